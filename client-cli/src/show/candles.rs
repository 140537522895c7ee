//! Tickers and candles.

use xbook_proto::v1::{BestQuote, Candle, GetTickerResponse, Level, Ticker};

use super::grid::{Column, Grid, Tint};
use super::market::indication;
use super::order::pairs;
use super::steps::Steps;
use super::words;
use crate::output::Terminal;

/// The best bid and offer, and the last 24 hours, a line each.
pub fn ticker(answer: &GetTickerResponse, steps: &Steps) -> String {
    let BestQuote { bid, ask, .. } = answer.quote.clone().unwrap_or_default();
    let ticker = answer.ticker.clone().unwrap_or_default();
    let quote = |level: &Option<Level>| {
        let level = level.as_ref();
        level.map(|level| format!("{} for {}", level.quantity, steps.price(&level.price))).unwrap_or_default()
    };
    let change = words::change(&ticker.open_price, &ticker.last_price).unwrap_or_default();
    pairs(&[
        ("market", &ticker.market),
        ("bid", &quote(&bid)),
        ("ask", &quote(&ask)),
        ("last", &steps.price(&ticker.last_price)),
        ("change", &change),
        ("open", &steps.price(&ticker.open_price)),
        ("high", &steps.price(&ticker.high_price)),
        ("low", &steps.price(&ticker.low_price)),
        ("volume", &ticker.volume),
        ("value", &ticker.value),
        ("trades", &ticker.trade_count.to_string()),
        ("from (UTC)", &words::second(ticker.begin_time.as_ref())),
        ("to (UTC)", &words::second(ticker.end_time.as_ref())),
        ("position", &ticker.position.to_string()),
    ])
}

/// A best bid and offer, as a line of a stream.
pub fn quote(quote: &BestQuote, steps: &Steps) -> String {
    let side = |level: &Option<Level>| match level {
        Some(level) => format!("{} for {}", level.quantity, steps.price(&level.price)),
        None => "none".to_owned(),
    };
    format!("{:>8}  bid {}, ask {}\n", quote.position, side(&quote.bid), side(&quote.ask))
}

/// A ticker, as a line of a stream.
pub fn ticker_line(ticker: &Ticker, steps: &Steps) -> String {
    let change = words::change(&ticker.open_price, &ticker.last_price).unwrap_or_default();
    let Ticker { position, volume, trade_count, .. } = ticker;
    let trades = words::count(usize::try_from(*trade_count).unwrap_or(usize::MAX), "trade");
    let last = steps.price(&ticker.last_price);
    let auction = match indication(ticker.indication.as_ref(), steps).as_str() {
        "" => String::new(),
        auction => format!("; auction: {auction}"),
    };
    format!("{position:>8}  24 h: last {last} {change}, volume {volume} in {trades}{auction}\n")
}

/// A candle, as a line of a stream.
pub fn candle_line(candle: &Candle, steps: &Steps) -> String {
    let [open, high, low, close] =
        [&candle.open_price, &candle.high_price, &candle.low_price, &candle.close_price]
            .map(|price| steps.price(price));
    let start = words::second(candle.start_time.as_ref());
    let closed = if candle.closed { "closed" } else { "" };
    let line = format!("{start}  {open} {high} {low} {close}  {}  {closed}", candle.volume);
    format!("{}\n", line.trim_end())
}

/// Candles, a row each.
pub fn candles(market: &str, candles: &[Candle], steps: &Steps, terminal: Terminal) -> String {
    if candles.is_empty() {
        return format!(
            "Nothing was traded in {market} by then. See what rests with `xcli book {market}`.\n"
        );
    }
    let mut grid = Grid::new(&[
        Column::Text("time (UTC)"),
        Column::Number("open"),
        Column::Number("high"),
        Column::Number("low"),
        Column::Number("close"),
        Column::Number("volume"),
        Column::Number("trades"),
    ]);
    for candle in candles {
        let tint = match words::decimal(&candle.open_price).cmp(&words::decimal(&candle.close_price)) {
            std::cmp::Ordering::Less => Tint::Bid,
            std::cmp::Ordering::Equal => Tint::Plain,
            std::cmp::Ordering::Greater => Tint::Ask,
        };
        grid.row(
            tint,
            [
                words::second(candle.start_time.as_ref()),
                steps.price(&candle.open_price),
                steps.price(&candle.high_price),
                steps.price(&candle.low_price),
                steps.price(&candle.close_price),
                candle.volume.clone(),
                candle.trade_count.to_string(),
            ],
        );
    }
    grid.render(terminal)
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;
    use crate::show::steps::tests::steps;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn a_ticker_is_shown_with_its_change() {
        let level =
            |price: &str| Level { price: price.to_owned(), quantity: "2".to_owned(), ..Level::default() };
        let ticker_of = Ticker {
            market: "A/B".to_owned(),
            position: 7,
            begin_time: at(1),
            end_time: at(86_400),
            open_price: "10".to_owned(),
            high_price: "12".to_owned(),
            low_price: "9.5".to_owned(),
            last_price: "11".to_owned(),
            volume: "30".to_owned(),
            value: "330".to_owned(),
            trade_count: 3,
            ..Ticker::default()
        };
        let quote = BestQuote { bid: Some(level("10.5")), ..BestQuote::default() };
        let answer = GetTickerResponse { quote: Some(quote), ticker: Some(ticker_of) };
        let expected = "\
market      A/B
bid         2 for 10.50
last        11.00
change      +10.00 %
open        10.00
high        12.00
low         9.50
volume      30
value       330
trades      3
from (UTC)  1970-01-01 00:00:01
to (UTC)    1970-01-02 00:00:00
position    7
";
        assert_eq!(ticker(&answer, &steps("0.01", "1")), expected);
    }

    #[test]
    fn candles_have_a_row_each() {
        let candle = Candle {
            start_time: at(60),
            open_price: "10".to_owned(),
            high_price: "12".to_owned(),
            low_price: "9.5".to_owned(),
            close_price: "11".to_owned(),
            volume: "30".to_owned(),
            trade_count: 3,
            ..Candle::default()
        };
        let expected = "\
time (UTC)            open   high   low  close  volume  trades
1970-01-01 00:01:00  10.00  12.00  9.50  11.00      30       3
";
        assert_eq!(candles("A/B", &[candle], &steps("0.01", "1"), Terminal::NONE), expected);
        assert!(candles("A/B", &[], &steps("0.01", "1"), Terminal::NONE).contains("xcli book A/B"));
    }
}

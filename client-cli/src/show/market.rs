//! Markets, books order by order, and trades.

use xbook_proto::v1::{
    GetOrderBookResponse, Indication, Level, Market, MarketRules, SessionTime, Side, Trade,
};

use super::grid::{Column, Grid, Tint};
use super::order::pairs;
use super::steps::Steps;
use super::words;
use crate::output::Terminal;

/// All markets.
pub fn markets(markets: &[Market], terminal: Terminal) -> String {
    if markets.is_empty() {
        return "There are no markets yet. Make one with `xcli market create BTC/USDT --tick 0.01 --lot 0.001`.\n"
            .to_owned();
    }
    let mut grid = Grid::new(&[
        Column::Text("market"),
        Column::Number("bid"),
        Column::Number("ask"),
        Column::Number("last"),
        Column::Number("orders"),
        Column::Number("tick"),
        Column::Number("lot"),
    ]);
    for market in markets {
        let rules = market.rules.clone().unwrap_or_default();
        let steps = Steps::new(Some(&rules));
        grid.row(
            Tint::Plain,
            [
                market.name.clone(),
                steps.price(&market.best_bid),
                steps.price(&market.best_ask),
                steps.price(&market.last_price),
                market.open_orders.to_string(),
                rules.tick_size,
                rules.lot_size,
            ],
        );
    }
    let quarantined = markets.iter().map(|market| (market.name.as_str(), market.quarantined.as_str()));
    let ahead = markets.iter().map(|market| (market.name.as_str(), market.tape_ahead_us));
    grid.render(terminal) + &words::quarantined(quarantined) + &words::tapes_ahead(ahead)
}

/// Everything about a market, a line each.
pub fn detail(market: &Market) -> String {
    let steps = Steps::new(market.rules.as_ref());
    let mut lines = vec![("market", market.name.clone()), ("state", words::market_state(market.state))];
    lines.extend(of_rules(&market.rules.clone().unwrap_or_default()));
    lines.extend([
        ("best bid", steps.price(&market.best_bid)),
        ("best ask", steps.price(&market.best_ask)),
        ("last price", steps.price(&market.last_price)),
        ("auction", indication(market.indication.as_ref(), &steps)),
        ("auction ends", words::time(market.auction_end_time.as_ref())),
        ("open orders", market.open_orders.to_string()),
        ("position", market.position.to_string()),
    ]);
    shown(&lines) + &words::tapes_ahead(std::iter::once((market.name.as_str(), market.tape_ahead_us)))
}

/// A market's rules, a line each.
pub fn rules(market: &Market) -> String {
    let mut lines = vec![("market", market.name.clone())];
    lines.extend(of_rules(&market.rules.clone().unwrap_or_default()));
    shown(&lines)
}

fn shown(lines: &[(&str, String)]) -> String {
    pairs(&lines.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
}

fn of_rules(rules: &MarketRules) -> [(&'static str, String); 15] {
    let MarketRules { tick_size, lot_size, min_quantity, max_quantity, protection_bp, .. } = rules.clone();
    [
        ("tick size", tick_size),
        ("lot size", lot_size),
        ("minimum", min_quantity),
        ("maximum", max_quantity),
        ("protection", protection(protection_bp)),
        ("day ends", format!("{:02}:{:02} UTC", rules.day_end_minute / 60, rules.day_end_minute % 60)),
        ("maker fee", fee(&rules.maker_fee_bp)),
        ("taker fee", fee(&rules.taker_fee_bp)),
        ("auction fee", fee(&rules.auction_fee_bp)),
        ("self trades", words::self_trade(rules.default_self_trade_prevention)),
        ("static band", band(rules.static_band_bp, "the last uncross")),
        ("dynamic band", band(rules.dynamic_band_bp, "the last trade")),
        ("volatility", volatility(rules)),
        ("extension", extension(rules)),
        ("sessions", sessions(rules)),
    ]
}

/// What the auction would give; nothing if it would give nothing.
pub fn indication(indication: Option<&Indication>, steps: &Steps) -> String {
    let Some(Indication { price, volume, surplus }) = indication else {
        return String::new();
    };
    let rest = match surplus.strip_prefix('-') {
        Some(sells) => format!("{sells} more to sell"),
        None if surplus == "0" => "nothing left over".to_owned(),
        None => format!("{surplus} more to buy"),
    };
    format!("{volume} at {}, {rest}", steps.price(price))
}

/// How far trades may be from something; nothing if they may be anywhere.
fn band(bp: u32, from: &str) -> String {
    if bp == 0 { String::new() } else { format!("{bp} bp around {from}") }
}

/// The auction that a band begins; nothing if there is none.
fn volatility(rules: &MarketRules) -> String {
    match rules.volatility_auction_seconds {
        0 => String::new(),
        seconds => format!("an auction of {seconds} s at a band"),
    }
}

/// How much longer an auction may last; nothing if it may not.
fn extension(rules: &MarketRules) -> String {
    match rules.auction_extension_seconds {
        0 => String::new(),
        seconds => format!("{seconds} s if it would end outside the static band"),
    }
}

/// When the market changes its state by itself; nothing if it does not.
fn sessions(rules: &MarketRules) -> String {
    let time = |session: &SessionTime| {
        let (hour, minute) = (session.minute / 60, session.minute % 60);
        format!("{hour:02}:{minute:02} {}", words::market_state(session.state))
    };
    rules.sessions.iter().map(time).collect::<Vec<_>>().join(", ")
}

/// What a fill costs; nothing if it costs nothing.
fn fee(bp: &str) -> String {
    if matches!(bp, "" | "0") { String::new() } else { format!("{bp} bp") }
}

/// How far a market order may go; nothing if it may go anywhere.
fn protection(bp: u32) -> String {
    if bp == 0 { String::new() } else { format!("{bp} bp from the best price") }
}

/// A book order by order: asks above, bids below, each level in time priority.
pub fn book_orders(book: &GetOrderBookResponse, steps: &Steps, terminal: Terminal) -> String {
    let title = format!("{} at position {}\n", book.market, book.position);
    if book.bids.is_empty() && book.asks.is_empty() {
        return format!("{title}{}", empty(&book.market, steps));
    }
    let mut grid = Grid::new(&[
        Column::Text("side"),
        Column::Number("price"),
        Column::Number("quantity"),
        Column::Number("priority"),
        Column::Text("order"),
    ]);
    let asks = book.asks.iter().rev().map(|level| (Side::Sell, level));
    let bids = book.bids.iter().map(|level| (Side::Buy, level));
    for (side, level) in asks.chain(bids) {
        add_level(&mut grid, side, level, steps);
    }
    format!("{title}{}", grid.render(terminal))
}

/// What to do about an empty book.
pub fn empty(market: &str, steps: &Steps) -> String {
    let (quantity, price) = (steps.any_quantity(), steps.any_price());
    format!("The book is empty. Place an order with `xcli buy {quantity} {market} {price}`.\n")
}

fn add_level(grid: &mut Grid, side: Side, level: &Level, steps: &Steps) {
    for (i, order) in level.orders.iter().enumerate() {
        grid.row(
            Tint::of_side(side.into()),
            [
                words::side(side.into()),
                steps.price(&level.price),
                order.quantity.clone(),
                (i + 1).to_string(),
                order.order_id.clone(),
            ],
        );
    }
}

/// A level that changed, as a line of a stream.
pub fn level(position: u64, side: Side, level: &Level, steps: &Steps) -> String {
    let side = words::side(side.into());
    let what = if words::is_zero(&level.quantity) {
        "gone".to_owned()
    } else {
        format!("{} in {}", level.quantity, words::count(level.order_count as usize, "order"))
    };
    format!("{position:>8}  {side:<4}  {:>14}  {what}\n", steps.price(&level.price))
}

/// The market's trades.
pub fn trades(market: &str, trades: &[Trade], steps: &Steps, terminal: Terminal) -> String {
    if trades.is_empty() {
        return format!(
            "Nothing was traded in {market} yet. See what rests with `xcli book {market}`, and take it with \
             `xcli buy {} {market} mkt`.\n",
            steps.any_quantity()
        );
    }
    let mut grid = Grid::new(&[
        Column::Text("time (UTC)"),
        Column::Text("taker"),
        Column::Number("price"),
        Column::Number("quantity"),
        Column::Number("value"),
        Column::Number("position"),
    ]);
    for trade in trades {
        grid.row(
            tint(trade),
            [
                words::time(trade.time.as_ref()),
                taker(trade),
                steps.price(&trade.price),
                trade.quantity.clone(),
                words::value(&trade.price, &trade.quantity),
                trade.position.to_string(),
            ],
        );
    }
    grid.render(terminal)
}

/// Who took: in an auction nobody does.
fn taker(trade: &Trade) -> String {
    if trade.auction { "auction".to_owned() } else { words::side(trade.taker_side) }
}

fn tint(trade: &Trade) -> Tint {
    if trade.auction { Tint::Plain } else { Tint::of_side(trade.taker_side) }
}

/// The header above a stream of [`trade`] lines.
pub fn trade_header() -> String {
    format!("{:<23}  {:<7}  {:>14}  {:>14}  {:>10}\n", "time (UTC)", "taker", "price", "quantity", "position")
}

/// A trade, as a line of a stream: its width is fixed, since later rows are not known.
pub fn trade(trade: &Trade, steps: &Steps, terminal: Terminal) -> String {
    let line = format!(
        "{:<23}  {:<7}  {:>14}  {:>14}  {:>10}",
        words::time(trade.time.as_ref()),
        taker(trade),
        steps.price(&trade.price),
        trade.quantity,
        trade.position
    );
    format!("{}\n", tint(trade).paint(&line, terminal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::steps::tests::steps;
    use xbook_proto::v1::BookOrder;

    #[test]
    fn markets_are_listed_with_what_is_known() {
        assert!(markets(&[], Terminal::NONE).contains("xcli market create"));
        let rules = MarketRules {
            tick_size: "0.01".to_owned(),
            lot_size: "0.001".to_owned(),
            ..MarketRules::default()
        };
        let market = Market {
            name: "BTC/USDT".to_owned(),
            rules: Some(rules),
            best_bid: "10".to_owned(),
            open_orders: 3,
            ..Market::default()
        };
        let expected = "\
market      bid  orders  tick    lot
BTC/USDT  10.00       3  0.01  0.001
";
        assert_eq!(markets(std::slice::from_ref(&market), Terminal::NONE), expected);
        assert!(detail(&market).contains("tick size     0.01\n"));
        let ahead = Market { tape_ahead_us: Some(7_000_000), ..market.clone() };
        let told = "warning: BTC/USDT: tape time is 7s ahead of this node's clock";
        assert!(markets(std::slice::from_ref(&ahead), Terminal::NONE).contains(told));
        assert!(detail(&ahead).contains(told) && !detail(&market).contains("warning"));
        let faulty = Market { quarantined: "record 3 is damaged".to_owned(), ..market };
        let shown = markets(&[faulty], Terminal::NONE);
        assert!(shown.ends_with("BTC/USDT is QUARANTINED on this node: record 3 is damaged\n"), "{shown}");
    }

    #[test]
    fn a_book_of_orders_shows_their_priority() {
        let orders = ["75", "5"].map(|quantity| BookOrder {
            order_id: format!("0000000000007f3a-{quantity}"),
            quantity: quantity.to_owned(),
        });
        let level = Level { price: "10".to_owned(), orders: orders.into(), ..Level::default() };
        let book = GetOrderBookResponse {
            market: "BTC/USDT".to_owned(),
            position: 4,
            bids: vec![level],
            ..GetOrderBookResponse::default()
        };
        let expected = "\
BTC/USDT at position 4
side  price  quantity  priority  order
buy    10.0        75         1  0000000000007f3a-75
buy    10.0         5         2  0000000000007f3a-5
";
        assert_eq!(book_orders(&book, &steps("0.5", "1"), Terminal::NONE), expected);
    }

    #[test]
    fn lines_of_streams_have_columns_of_their_own() {
        let trade_row = Trade {
            position: 3,
            price: "11".to_owned(),
            quantity: "50".to_owned(),
            taker_side: Side::Sell.into(),
            ..Trade::default()
        };
        let line = trade(&trade_row, &steps("0.01", "1"), Terminal::NONE);
        assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["sell", "11.00", "50", "3"]);
        assert_eq!(line.len(), trade_header().len());

        let gone = Level { price: "11".to_owned(), quantity: "0".to_owned(), ..Level::default() };
        let grid = steps("0.01", "1");
        assert_eq!(level(3, Side::Buy, &gone, &grid), "       3  buy            11.00  gone\n");
        let there = Level { quantity: "75".to_owned(), order_count: 1, ..gone };
        assert_eq!(level(3, Side::Sell, &there, &grid), "       3  sell           11.00  75 in 1 order\n");
    }
}

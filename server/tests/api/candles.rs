//! Candles, tickers and lists of trades: beside all trades of a market, over restarts, generations and nodes.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use tonic::Code;
use xbook::node::Clock;
use xbook::types::Micros;
use xbook_proto::v1::{self, CandleInterval};

use super::peers::joined;
use super::support::{MARKET, Served, assert_refused, buy, levels, sell};

const INTERVALS: [(CandleInterval, i64); 12] = [
    (CandleInterval::S1, 1),
    (CandleInterval::S5, 5),
    (CandleInterval::S15, 15),
    (CandleInterval::S30, 30),
    (CandleInterval::M1, 60),
    (CandleInterval::M5, 300),
    (CandleInterval::M15, 900),
    (CandleInterval::M30, 1_800),
    (CandleInterval::H1, 3_600),
    (CandleInterval::H4, 14_400),
    (CandleInterval::H12, 43_200),
    (CandleInterval::D1, 86_400),
];

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

async fn trades(served: &Served, request: v1::ListTradesRequest) -> Vec<v1::Trade> {
    let mut request = v1::ListTradesRequest { market: MARKET.into(), page_size: 7, ..request };
    let mut all = Vec::new();
    loop {
        let page = served.data.clone().list_trades(request.clone()).await.unwrap().into_inner();
        all.extend(page.trades);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return all;
        }
    }
}

async fn candles(served: &Served, request: v1::ListCandlesRequest) -> Vec<v1::Candle> {
    let mut request = v1::ListCandlesRequest { market: MARKET.into(), ..request };
    let mut all = Vec::new();
    loop {
        let page = served.data.clone().list_candles(request.clone()).await.unwrap().into_inner();
        all.extend(page.candles);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return all;
        }
    }
}

fn seconds(time: &Option<prost_types::Timestamp>) -> i64 {
    time.as_ref().unwrap().seconds
}

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

/// The candles of trades, oldest first, up to the interval of a second.
fn expected(trades: &[v1::Trade], length: i64, last: i64) -> Vec<v1::Candle> {
    let floor = |second: i64| second - second % length;
    let mut by_start: BTreeMap<i64, Vec<&v1::Trade>> = BTreeMap::new();
    for trade in trades.iter().rev() {
        by_start.entry(floor(seconds(&trade.time))).or_default().push(trade);
    }
    let mut candles = Vec::new();
    let mut start = *by_start.keys().next().unwrap();
    let mut close = String::new();
    while start <= floor(last) {
        let within = by_start.remove(&start).unwrap_or_default();
        let prices: Vec<&str> = within.iter().map(|trade| trade.price.as_str()).collect();
        let by_value = |price: &&str| decimal(price);
        let pick = |price: Option<&str>| price.map_or_else(|| close.clone(), str::to_owned);
        let candle = v1::Candle {
            start_time: at(start),
            open_price: pick(prices.first().copied()),
            high_price: pick(prices.iter().copied().max_by_key(by_value)),
            low_price: pick(prices.iter().copied().min_by_key(by_value)),
            close_price: pick(prices.last().copied()),
            volume: within
                .iter()
                .map(|trade| decimal(&trade.quantity))
                .sum::<Decimal>()
                .normalize()
                .to_string(),
            value: within
                .iter()
                .map(|trade| decimal(&trade.quantity) * decimal(&trade.price))
                .sum::<Decimal>()
                .normalize()
                .to_string(),
            trade_count: within.len() as u64,
            first_position: within.first().map_or(0, |trade| trade.position),
            last_position: within.last().map_or(0, |trade| trade.position),
            closed: floor(last) > start,
        };
        close.clone_from(&candle.close_price);
        candles.push(candle);
        start += length;
    }
    candles
}

async fn trade(served: &mut Served, round: u64) -> u64 {
    let price = format!("{}.{:02}", 90 + round * 7 % 20, round % 100);
    served.place(sell(&format!("s{round}"), &price, &format!("{}", 1 + round % 5))).await.unwrap();
    let all = buy(&format!("b{round}"), "200", &format!("{}.5", round % 5));
    served.place(all).await.unwrap().position
}

async fn ticker(served: &Served, end: Option<prost_types::Timestamp>) -> v1::GetTickerResponse {
    let request = v1::GetTickerRequest { market: MARKET.into(), at_least: 0, end_time: end };
    served.data.clone().get_ticker(request).await.unwrap().into_inner()
}

/// A market that traded for some days, each time after a restart, in several generations.
/// With a node that joined at the beginning.
async fn some_days() -> (Served, Served) {
    let begin = Clock::start();
    let mut served = Served::with_clock(tempfile::tempdir().unwrap(), begin).await;
    served.create(MARKET).await.unwrap();
    let other = joined(&served).await;
    let mut round = 0;
    for hours in [0, 1, 2, 25, 26, 60] {
        let data = served.end().await;
        served = Served::with_clock(data, begin.ahead_by(Micros(hours * 3_600_000_000))).await;
        for _ in 0..40 {
            round += 1;
            trade(&mut served, round).await;
        }
    }
    let node = served.cluster.get_node(v1::GetNodeRequest {}).await.unwrap().into_inner();
    let document = node.documents.iter().find(|document| document.name == MARKET).unwrap();
    assert!(document.generation > 2, "{}", document.generation);
    (served, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn candles_and_tickers_are_those_of_the_trades_over_restarts_generations_and_nodes() {
    let (mut served, other) = some_days().await;
    // The last event is no trade.
    let last = served.place(buy("last", "1", "1")).await.unwrap().order.unwrap();
    let now = seconds(&last.update_time);
    let all = trades(&served, v1::ListTradesRequest::default()).await;
    assert!(all.len() >= 240, "{}", all.len());
    other.node.market(MARKET).unwrap().reached(xbook::types::Position(last.position)).await.unwrap();
    let whole = async {
        while !other.node.market(MARKET).unwrap().opened().unwrap().history().gaps().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), whole).await.unwrap();
    for (interval, length) in INTERVALS {
        // Days of seconds are many: the last hours of those.
        let begin = if length < 60 { at(now - 600) } else { at(0) };
        let request = v1::ListCandlesRequest {
            interval: interval.into(),
            begin_time: begin,
            page_size: 500,
            ..Default::default()
        };
        let expected = expected(&all, length, now);
        let first = seconds(&begin) - seconds(&begin) % length;
        let expected: Vec<_> =
            expected.into_iter().filter(|candle| seconds(&candle.start_time) >= first).collect();
        for node in [&served, &other] {
            let found = candles(node, request.clone()).await;
            assert!(found == expected, "{interval:?}: {found:#?} but {expected:#?}");
        }
        // The newest, by default.
        let newest = v1::ListCandlesRequest { interval: interval.into(), page_size: 3, ..Default::default() };
        let newest = candles(&served, newest).await;
        assert_eq!(newest, expected[expected.len() - newest.len()..]);
    }
    for end in [None, at(now - 30 * 3_600), at(now - 59 * 3_600), at(now + 20 * 3_600), at(now + 100 * 3_600)]
    {
        let [one, same] = [ticker(&served, end).await, ticker(&other, end).await];
        assert_eq!(one, same);
        let end = end.map_or(now, |end| end.seconds);
        let within: Vec<_> =
            all.iter().filter(|trade| (end - 86_399..=end).contains(&seconds(&trade.time))).collect();
        let found = one.ticker.unwrap();
        assert_eq!(found.trade_count, within.len() as u64);
        let volume: Decimal = within.iter().map(|trade| decimal(&trade.quantity)).sum();
        assert_eq!(decimal(&found.volume), volume);
        assert_eq!(found.open_price, within.last().map_or("", |trade| &trade.price));
        let before = all.iter().find(|trade| seconds(&trade.time) <= end);
        assert_eq!(found.last_price, before.map_or("", |trade| &trade.price));
        assert_eq!(seconds(&found.begin_time), end - 86_399);
    }
    // The best bid and offer are those of the book.
    let (quote, book) = (ticker(&served, None).await.quote.unwrap(), served.book(last.position).await);
    assert_eq!(quote.bid.as_slice(), &book.bids[..1]);
    assert_eq!(quote.ask.as_slice(), &book.asks[..1]);
    served.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trades_are_listed_by_position_and_by_time() {
    let (served, _other) = some_days().await;
    let all = trades(&served, v1::ListTradesRequest::default()).await;
    let some = [0, 1, all.len() / 3, all.len() / 2, all.len() - 1].map(|index| all[index].clone());
    for later in &some {
        for earlier in &some {
            let by_position = v1::ListTradesRequest {
                after_position: earlier.position,
                before_position: later.position,
                ..Default::default()
            };
            let found = trades(&served, by_position).await;
            let within =
                |trade: &&v1::Trade| (earlier.position + 1..later.position).contains(&trade.position);
            assert_eq!(found, all.iter().filter(within).cloned().collect::<Vec<_>>());
            let by_time = v1::ListTradesRequest {
                begin_time: earlier.time,
                end_time: later.time,
                ..Default::default()
            };
            let found = trades(&served, by_time).await;
            let key = |trade: &v1::Trade| trade.time.map(|time| (time.seconds, time.nanos));
            let within = |trade: &&v1::Trade| key(trade) >= key(earlier) && key(trade) < key(later);
            assert_eq!(found, all.iter().filter(within).cloned().collect::<Vec<_>>());
        }
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_without_trades_has_no_candles() {
    let mut served = Served::start().await;
    let candle =
        |interval: i32| v1::ListCandlesRequest { market: MARKET.into(), interval, ..Default::default() };
    let answer = served.data.list_candles(candle(CandleInterval::M1.into())).await.unwrap().into_inner();
    assert_eq!(answer, v1::ListCandlesResponse::default());
    let answer = ticker(&served, None).await;
    assert_eq!(answer.quote.unwrap(), v1::BestQuote { market: MARKET.into(), ..Default::default() });
    let found = answer.ticker.unwrap();
    assert_eq!((found.last_price.as_str(), found.volume.as_str(), found.value.as_str()), ("", "0", "0"));
    served.place(buy("one", "10", "1")).await.unwrap();
    assert_eq!(levels(ticker(&served, None).await.quote.unwrap().bid.as_slice()), [("10", "1")]);
    let words = "interval: must be set";
    assert_refused(served.data.list_candles(candle(0)).await, Code::InvalidArgument, "MISSING_FIELD", words);
    let words = "interval is \"13\": must be a value that this node knows";
    assert_refused(served.data.list_candles(candle(13)).await, Code::InvalidArgument, "UNKNOWN_VALUE", words);
    let bad = v1::GetTickerRequest { market: MARKET.into(), end_time: at(-1), ..Default::default() };
    let words = "end_time is \"-1s 0ns\": must be a time from 1970 to 9999";
    assert_refused(served.data.get_ticker(bad).await, Code::InvalidArgument, "MALFORMED_TEXT", words);
    served.end().await;
}

//! Subscriptions: what a client makes of the messages is the book, whatever happens to its connection.

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;
use tonic::{Code, Status, Streaming};
use xbook_proto::v1::subscribe_response::Event;
use xbook_proto::v1::subscription::Channel;
use xbook_proto::v1::subscription_service_client::SubscriptionServiceClient;
use xbook_proto::v1::{self, CandleInterval, Side, SubscribeResponse, Subscription};

use super::peers::joined;
use super::session::Session;
use super::support::{MARKET, Served, assert_refused, buy, connect, new_order, reason, sell};

/// The orders of a price, which is told as text: ids and quantities.
type Queue = (String, Vec<(String, String)>);

/// What a client keeps of a subscription, by the words of the proto file.
#[derive(Clone, Default, PartialEq, Debug)]
struct Copied {
    position: u64,
    partial: bool,
    /// Bids, asks: price to quantity as text.
    levels: [BTreeMap<Decimal, (String, String)>; 2],
    /// Bids, asks: orders of each price, in time priority: id and quantity.
    orders: [BTreeMap<Decimal, Queue>; 2],
    quote: Option<v1::BestQuote>,
    trades: Vec<v1::Trade>,
    ticker: Option<v1::Ticker>,
    candles: BTreeMap<i64, v1::Candle>,
    /// Checksums that were right.
    checked: u64,
    snapshots: u64,
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// CRC-32 bit by bit, as the standard writes it down.
fn crc32(text: &str) -> u32 {
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

impl Copied {
    /// Takes a message; tells whether it was more than a sign of life.
    fn take(&mut self, message: SubscribeResponse) {
        let SubscribeResponse { previous_position, position, more, checksum, event, .. } = message;
        let event = event.unwrap();
        let snapshot = matches!(event, Event::LevelsSnapshot(_) | Event::OrdersSnapshot(_));
        if snapshot {
            assert_eq!(previous_position, 0);
        } else {
            assert_eq!(previous_position, self.position, "{event:?}");
        }
        if snapshot && !self.partial {
            self.levels = Default::default();
            self.orders = Default::default();
            self.snapshots += 1;
        }
        let is_orders = matches!(event, Event::OrdersSnapshot(_) | Event::OrdersChange(_));
        match event {
            Event::LevelsSnapshot(levels) | Event::LevelsChange(levels) => self.put_levels(levels),
            Event::OrdersSnapshot(orders) | Event::OrdersChange(orders) => {
                orders.orders.into_iter().for_each(|order| self.put_order(order));
            }
            Event::Quote(quote) => self.quote = Some(quote),
            Event::Trades(trades) => self.trades.extend(trades.trades),
            Event::Ticker(ticker) => self.ticker = Some(ticker),
            Event::Candles(candles) => {
                for candle in candles.candles {
                    self.candles.insert(candle.start_time.as_ref().unwrap().seconds, candle);
                }
            }
            Event::Heartbeat(heartbeat) => assert_eq!(heartbeat.position, position),
            Event::Updates(updates) => panic!("{updates:?}"),
            Event::End(end) => panic!("{end:?}"),
        }
        if let Some(checksum) = checksum {
            assert!(!more);
            let text = if is_orders { self.orders_text() } else { self.levels_text() };
            assert_eq!(checksum, crc32(&text), "{text}");
            self.checked += 1;
        }
        self.partial = more;
        if !more {
            self.position = position;
        }
    }

    fn put_levels(&mut self, levels: v1::BookLevels) {
        for (side, levels) in self.levels.iter_mut().zip([levels.bids, levels.asks]) {
            for level in levels {
                match level.quantity.as_str() {
                    "0" => _ = side.remove(&decimal(&level.price)),
                    _ => _ = side.insert(decimal(&level.price), (level.price, level.quantity)),
                }
            }
        }
    }

    fn put_order(&mut self, entry: v1::OrderEntry) {
        let mut place = None;
        for side in &mut self.orders {
            for (price, (_, queue)) in side.iter_mut() {
                if let Some(at) = queue.iter().position(|(id, _)| *id == entry.order_id) {
                    place = Some((*price, at));
                    if entry.back || entry.quantity == "0" {
                        queue.remove(at);
                    } else {
                        queue[at].1.clone_from(&entry.quantity);
                    }
                }
            }
            side.retain(|_, (_, queue)| !queue.is_empty());
        }
        if entry.quantity == "0" {
            assert!(place.is_some(), "{entry:?} was never there");
            return;
        }
        if !entry.back {
            assert_eq!(place.map(|(price, _)| price), Some(decimal(&entry.price)), "{entry:?}");
            return;
        }
        let side = &mut self.orders[usize::from(entry.side() == Side::Sell)];
        let queue = side.entry(decimal(&entry.price)).or_insert((entry.price, Vec::new()));
        queue.1.push((entry.order_id, entry.quantity));
    }

    fn levels_text(&self) -> String {
        let entry = |(price, quantity): &(String, String)| format!("{price}:{quantity}");
        let bids: Vec<_> = self.levels[0].values().rev().take(10).map(entry).collect();
        let asks: Vec<_> = self.levels[1].values().take(10).map(entry).collect();
        format!("{}|{}", asks.join(","), bids.join(","))
    }

    fn orders_text(&self) -> String {
        let level = |(price, queue): &Queue| {
            let orders = queue.iter().map(|(id, quantity)| format!("{price}:{id}:{quantity}"));
            orders.collect::<Vec<_>>().join(",")
        };
        let bids: Vec<_> = self.orders[0].values().rev().take(10).map(level).collect();
        let asks: Vec<_> = self.orders[1].values().take(10).map(level).collect();
        format!("{}|{}", asks.join(","), bids.join(","))
    }

    /// What it shows, without how it came to it.
    fn shown(&self) -> Self {
        Self { checked: 0, snapshots: 0, position: 0, ..self.clone() }
    }
}

fn subscription(channel: Channel, after: Option<u64>) -> Subscription {
    Subscription { market: MARKET.into(), after_position: after, channel: Some(channel) }
}

fn levels(depth: u32, price_step: &str) -> Channel {
    Channel::Levels(v1::LevelsChannel { depth, price_step: price_step.into() })
}

fn channels() -> Vec<Channel> {
    vec![
        levels(0, ""),
        levels(0, "2.5"),
        levels(3, ""),
        levels(12, "0.05"),
        Channel::Orders(v1::OrdersChannel {}),
        Channel::Quote(v1::QuoteChannel {}),
        Channel::Trades(v1::TradesChannel {}),
        Channel::Candles(v1::CandlesChannel { interval: CandleInterval::S1.into() }),
        Channel::Ticker(v1::TickerChannel {}),
    ]
}

async fn subscribe(
    served: &Served,
    subscriptions: Vec<Subscription>,
) -> Result<Streaming<SubscribeResponse>, Status> {
    let mut client = SubscriptionServiceClient::new(connect(served.address).await);
    Ok(client.subscribe(v1::SubscribeRequest { subscriptions }).await?.into_inner())
}

/// A client of all channels.
struct Client {
    copies: Vec<Copied>,
    /// Where each goes on.
    after: Vec<Option<u64>>,
}

impl Client {
    /// A client that has nothing; of what has no snapshot it wants what comes after a position.
    fn new(after: Option<u64>) -> Self {
        let begins = |channel: &Channel| match channel {
            Channel::Trades(_) | Channel::Candles(_) => after,
            _ => None,
        };
        let after: Vec<_> = channels().iter().map(begins).collect();
        let copy = |after: &Option<u64>| Copied { position: after.unwrap_or(0), ..Copied::default() };
        Self { copies: after.iter().map(copy).collect(), after }
    }

    async fn connect(&mut self, served: &Served) -> Streaming<SubscribeResponse> {
        let wanted = channels().into_iter().zip(&self.after);
        let wanted = wanted.map(|(channel, after)| subscription(channel, *after)).collect();
        for copy in &mut self.copies {
            // What was half sent is sent again.
            copy.partial = false;
        }
        subscribe(served, wanted).await.unwrap()
    }

    /// Reads some messages.
    async fn read(&mut self, stream: &mut Streaming<SubscribeResponse>, count: u64) {
        for _ in 0..count {
            let message = tokio::time::timeout(Duration::from_secs(20), stream.message()).await.unwrap();
            self.take(message.unwrap().unwrap());
        }
    }

    fn take(&mut self, message: SubscribeResponse) {
        let number = message.subscription as usize;
        let copy = &mut self.copies[number];
        if self.after[number].is_none() && copy.position == 0 {
            // From now on, whenever that is.
            copy.position = message.previous_position;
        }
        copy.take(message);
        if !copy.partial {
            self.after[number] = Some(copy.position);
        }
    }

    async fn read_until(&mut self, stream: &mut Streaming<SubscribeResponse>, last: u64) {
        while self.copies.iter().any(|copy| copy.position < last) {
            self.read(stream, 1).await;
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Places, amends and cancels orders on a session.
async fn busy(served: &Served, name: &str, rounds: u64) {
    let mut session = Session::open(served, name).await.unwrap();
    let mut random = Random(rounds);
    let mut number = 0;
    for _ in 0..rounds {
        let mut commands = Vec::new();
        for _ in 0..1 + random.below(30) {
            number += 1;
            let price = format!("{}.{:02}", 95 + random.below(10), 5 * random.below(20));
            let size = format!("{}", 1 + random.below(9));
            let order = Some(v1::OrderRef {
                order: Some(v1::order_ref::Order::CommandNumber(1 + random.below(number))),
            });
            let command = match random.below(11) {
                0 => {
                    let size = Some(v1::trade_amend::Size::OpenQuantity(size));
                    v1::trade_command::Command::Amend(v1::TradeAmend { order, size, ..Default::default() })
                }
                1 => v1::trade_command::Command::Amend(v1::TradeAmend { order, price, ..Default::default() }),
                2 => v1::trade_command::Command::Cancel(v1::TradeCancel { order }),
                kind => {
                    let side = if random.below(2) == 0 { Side::Buy } else { Side::Sell };
                    let mut order = new_order(side, &price, &size);
                    if kind == 3 {
                        order.time_in_force = v1::TimeInForce::Ioc.into();
                    }
                    match kind {
                        5 => (order.post_only, order.slide) = (true, true),
                        6 => order.time_in_force = v1::TimeInForce::Day.into(),
                        7 => {
                            order.r#type = v1::OrderType::MarketToLimit.into();
                            order.price = String::new();
                        }
                        8 => order.display_quantity = "0.7".into(),
                        9 => order.trigger_price = format!("{}", 95 + random.below(11)),
                        _ => {}
                    }
                    if kind == 4 {
                        // Cancels makers, itself, both, or takes from both: all of one account's.
                        order.self_trade_prevention = 1 + i32::try_from(random.below(4)).unwrap();
                    }
                    v1::trade_command::Command::Place(order)
                }
            };
            commands.push(v1::TradeCommand { command: Some(command) });
        }
        session.run(commands).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_cut_off_again_and_again_ends_as_one_that_never_was() {
    let mut first = Served::start().await;
    let (second, third) = (joined(&first).await, joined(&first).await);
    busy(&first, "before", 20).await;
    let begin = first.node.market(MARKET).unwrap().shown().0;
    for served in [&second, &third] {
        served.node.market(MARKET).unwrap().reached(xbook::types::Position(begin)).await.unwrap();
    }
    let (mut steady, mut cut) = (Client::new(Some(begin)), Client::new(Some(begin)));
    let mut steady_stream = steady.connect(&first).await;
    let load = async {
        tokio::join!(busy(&first, "one", 120), busy(&second, "two", 110));
    };
    let hopping = async {
        let mut random = Random(42);
        let mut hops = 0;
        while hops < 60 {
            let node = [&first, &second, &third][random.below(3) as usize];
            let mut stream = cut.connect(node).await;
            cut.read(&mut stream, 1 + random.below(25)).await;
            hops += 1;
        }
    };
    let reading = async {
        // It ends with the load.
        loop {
            steady.read(&mut steady_stream, 1).await;
        }
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(load, hopping) } => {}
        () = reading => {}
    }
    let last = first.place(buy("last", "1", "1")).await.unwrap().position;
    steady.read_until(&mut steady_stream, last).await;
    let mut stream = cut.connect(&third).await;
    cut.read_until(&mut stream, last).await;
    let names = channels();
    for ((one, other), channel) in steady.copies.iter().zip(&cut.copies).zip(&names) {
        let (mut one, mut other) = (one.shown(), other.shown());
        // Where it begins does not matter to a ticker, and the position of a quote is that of its change.
        for copy in [&mut one, &mut other] {
            copy.quote.iter_mut().for_each(|quote| quote.position = 0);
            if let Some(ticker) = &mut copy.ticker {
                (ticker.position, ticker.begin_time, ticker.end_time) = (0, None, None);
            }
        }
        assert!(one == other, "{channel:?}: {one:#?} but {other:#?}");
    }
    for copies in [&steady.copies, &cut.copies] {
        assert!(copies[..5].iter().all(|copy| copy.checked > 3), "{:?}", copies[0].checked);
    }
    // And it is the book, and the trades.
    let detail = v1::BookDetail::Orders.into();
    let request =
        v1::GetOrderBookRequest { market: MARKET.into(), depth: 1_000, detail, ..Default::default() };
    let book = first.data.get_order_book(request).await.unwrap().into_inner();
    assert_eq!(book.position, last);
    for ((mine, levels), orders) in
        [book.bids, book.asks].into_iter().zip(&cut.copies[0].levels).zip(&cut.copies[4].orders)
    {
        let expected: BTreeMap<_, _> =
            mine.iter().map(|l| (decimal(&l.price), (l.price.clone(), l.quantity.clone()))).collect();
        assert_eq!(*levels, expected);
        let queue = |level: &v1::Level| {
            let orders = level.orders.iter().map(|order| (order.order_id.clone(), order.quantity.clone()));
            (decimal(&level.price), (level.price.clone(), orders.collect::<Vec<_>>()))
        };
        assert_eq!(*orders, mine.iter().map(queue).collect());
    }
    assert!(cut.copies[6].trades.is_sorted_by(|a, b| a.position < b.position));
    assert!(cut.copies[6].trades.len() > 100, "{}", cut.copies[6].trades.len());
    first.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_nothing_happens_to_lives_and_begins_with_a_word() {
    let mut served = Served::start().await;
    let wanted = channels().into_iter().map(|channel| subscription(channel, None)).collect();
    let mut stream = subscribe(&served, wanted).await.unwrap();
    let mut client = Client::new(None);
    let mut first = vec![false; channels().len()];
    while first.contains(&false) {
        let message = stream.message().await.unwrap().unwrap();
        first[message.subscription as usize] = true;
        client.take(message);
    }
    let last = served.place(buy("1", "10", "1")).await.unwrap().position;
    client.read_until(&mut stream, last).await;
    assert_eq!(client.copies[0].levels[0].len(), 1);
    assert_eq!(client.copies[5].quote.as_ref().unwrap().bid.as_ref().unwrap().price, "10");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_subscribe_to_is_refused_by_name() {
    let served = Served::start().await;
    let refused = async |subscriptions: Vec<Subscription>, reason: &str, message: &str| {
        let code = match reason {
            "UNKNOWN_MARKET" => Code::NotFound,
            "POSITION" => Code::OutOfRange,
            _ => Code::InvalidArgument,
        };
        assert_refused(subscribe(&served, subscriptions).await.map(|_| ()), code, reason, message);
    };
    let quote = || Channel::Quote(v1::QuoteChannel {});
    let words = "subscriptions is \"0\": must have at least 1 entry";
    refused(vec![], "MISSING_FIELD", words).await;
    let nothing = Subscription { market: MARKET.into(), ..Default::default() };
    refused(vec![nothing], "MISSING_FIELD", "subscriptions.channel: must be set").await;
    let other = Subscription { market: "A/B".into(), ..subscription(quote(), None) };
    let words = "subscriptions.market is \"A/B\": no such market";
    refused(vec![subscription(quote(), None), other], "UNKNOWN_MARKET", words).await;
    let words = "subscriptions.levels.price_step is \"0.015\": must be a multiple of 0.01";
    refused(vec![subscription(levels(1, "0.015"), None)], "OFF_TICK", words).await;
    let candles = Channel::Candles(v1::CandlesChannel { interval: 0 });
    let words = "subscriptions.candles.interval: must be set";
    refused(vec![subscription(candles, None)], "MISSING_FIELD", words).await;
    let words = "subscriptions.after_position is \"9\": must be at most 0, the last position shown";
    refused(vec![subscription(quote(), Some(9))], "POSITION", words).await;
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_is_ended_and_resumes_without_gap() {
    let mut served = Served::start().await;
    // Its transport takes little that is not read.
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", served.address)).unwrap();
    let channel = endpoint.initial_stream_window_size(4_096).connect().await.unwrap();
    let wanted = |book, trades| {
        let trade_channel = Channel::Trades(v1::TradesChannel {});
        let subscriptions = vec![subscription(levels(0, ""), book), subscription(trade_channel, trades)];
        v1::SubscribeRequest { subscriptions }
    };
    let mut client = SubscriptionServiceClient::new(channel);
    let mut idle = client.subscribe(wanted(None, Some(0))).await.unwrap().into_inner();
    let mut session = Session::open(&served, "load").await.unwrap();
    for _ in 0..400 {
        let pair = [Side::Sell, Side::Buy].map(|side| super::session::place(side, "10", "1"));
        session.run(pair.into()).await;
    }
    // Longer than the node waits.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let mut copies = [Copied::default(), Copied::default()];
    let status = loop {
        match idle.message().await {
            Ok(message) => {
                let message = message.unwrap();
                copies[message.subscription as usize].take(message);
            }
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "SLOW_READER"));
    assert!(copies[1].trades.len() < 400, "{}", copies[1].trades.len());
    let last = served.place(buy("last", "1", "1")).await.unwrap().position;
    let again = wanted(Some(copies[0].position).filter(|at| *at > 0), Some(copies[1].position));
    let mut stream = subscribe(&served, again.subscriptions).await.unwrap();
    while copies.iter().any(|copy| copy.position < last) {
        let message = stream.message().await.unwrap().unwrap();
        copies[message.subscription as usize].take(message);
    }
    assert_eq!(copies[1].trades.len(), 400);
    assert!(copies[1].trades.is_sorted_by(|a, b| a.position < b.position));
    assert_eq!(copies[0].levels_text(), "|1:1");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_told_of_the_shutdown() {
    let mut served = Served::start().await;
    served.place(sell("1", "10", "1")).await.unwrap();
    let mut stream = subscribe(&served, vec![subscription(levels(0, ""), None)]).await.unwrap();
    stream.message().await.unwrap().unwrap();
    served.stop();
    let status = stream.message().await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    served.end().await;
}

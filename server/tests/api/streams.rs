//! Streams: no gap, no repeat, and an end for who does not read.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};
use xbook_proto::v1::stream_order_book_response::Event as BookEvent;
use xbook_proto::v1::stream_order_updates_response::Event as UpdateEvent;
use xbook_proto::v1::stream_trades_response::Event as TradeEvent;
use xbook_proto::v1::{self, Side};

use super::support::{MARKET, Served, assert_refused, buy, by, new_order, reason, sell};

/// Sends commands on a session of their own and waits for their results.
pub async fn trade(served: &Served, account: &str, orders: Vec<v1::NewOrder>) {
    let count = orders.len();
    let open = v1::TradeSession {
        market: MARKET.into(),
        session: format!("s{}", served.node.clock().now().0),
        ..Default::default()
    };
    let (sender, received) = tokio::sync::mpsc::channel(4);
    let call = by(account, ReceiverStream::new(received));
    let mut client = served.trading.clone();
    sender.send(v1::TradeRequest { open: Some(open), ..Default::default() }).await.unwrap();
    let mut answers = client.trade(call).await.unwrap().into_inner();
    let sending = tokio::spawn(async move {
        let mut first_number = 1;
        for chunk in orders.chunks(4_096) {
            let command = |order: &v1::NewOrder| v1::trade_command::Command::Place(order.clone());
            let commands =
                chunk.iter().map(|order| v1::TradeCommand { command: Some(command(order)) }).collect();
            sender.send(v1::TradeRequest { open: None, first_number, commands }).await.unwrap();
            first_number += chunk.len() as u64;
        }
    });
    let mut results = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        results += answer.results.len();
    }
    sending.await.unwrap();
    assert_eq!(results, count);
}

/// Orders of both sides that trade now and then.
fn mixed(count: usize, seed: u64) -> Vec<v1::NewOrder> {
    let mut state = seed;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let order = |_| {
        let side = if random(2) == 0 { Side::Buy } else { Side::Sell };
        new_order(side, &format!("{}", 95 + random(11)), &format!("{}", 1 + random(9)))
    };
    (0..count).map(order).collect()
}

async fn updates(
    served: &Served,
    account: &str,
    after: Option<u64>,
) -> Streaming<v1::StreamOrderUpdatesResponse> {
    let request = v1::StreamOrderUpdatesRequest { market: MARKET.into(), after_position: after };
    served.trading.clone().stream_order_updates(by(account, request)).await.unwrap().into_inner()
}

async fn trades(served: &Served, after: Option<u64>) -> Streaming<v1::StreamTradesResponse> {
    let request = v1::StreamTradesRequest { market: MARKET.into(), after_position: after };
    served.data.clone().stream_trades(request).await.unwrap().into_inner()
}

/// Updates up to a position.
async fn updates_until(
    stream: &mut Streaming<v1::StreamOrderUpdatesResponse>,
    last: u64,
) -> Vec<v1::OrderUpdate> {
    let mut seen = Vec::new();
    while seen.last().is_none_or(|update: &v1::OrderUpdate| update.order.as_ref().unwrap().position < last) {
        match stream.message().await.unwrap().unwrap().event.unwrap() {
            UpdateEvent::Updates(event) => seen.extend(event.updates),
            UpdateEvent::Heartbeat(heartbeat) if heartbeat.position >= last => break,
            UpdateEvent::Heartbeat(_) => {}
        }
    }
    seen
}

async fn trades_until(stream: &mut Streaming<v1::StreamTradesResponse>, last: u64) -> Vec<v1::Trade> {
    let mut seen = Vec::new();
    while seen.last().is_none_or(|trade: &v1::Trade| trade.position < last) {
        if let TradeEvent::Trade(trade) = stream.message().await.unwrap().unwrap().event.unwrap() {
            seen.push(trade);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_stream_goes_on_from_any_position() {
    let mut served = Served::start().await;
    let mut live = updates(&served, "main", None).await;
    let first = live.message().await.unwrap().unwrap().event.unwrap();
    assert_eq!(first, UpdateEvent::Heartbeat(v1::Heartbeat { position: 0 }));
    trade(&served, "main", mixed(600, 1)).await;
    trade(&served, "other", mixed(300, 2)).await;
    trade(&served, "main", mixed(600, 3)).await;
    let last = served.place(buy("last", "1", "1")).await.unwrap().position;

    let seen = updates_until(&mut live, last).await;
    let positions: Vec<u64> = seen.iter().map(|update| update.order.as_ref().unwrap().position).collect();
    assert!(positions.is_sorted() && seen.len() > 1_200);
    assert!(seen.iter().all(|update| update.order.as_ref().unwrap().account == "main"));
    for after in [0, 1, 57, positions[300], positions[300] + 1, last - 1] {
        let mut resumed = updates(&served, "main", Some(after)).await;
        let again = updates_until(&mut resumed, last).await;
        let from = positions.partition_point(|position| *position <= after);
        assert!(again == seen[from..], "after {after}: {} of {}", again.len(), seen.len() - from);
    }
    // Fills are those that ListFills knows.
    let fills = seen.iter().filter_map(|update| update.fill.clone()).count();
    let mut listed = 0;
    let mut page_token = String::new();
    loop {
        let request = v1::ListFillsRequest {
            market: MARKET.into(),
            page_token,
            page_size: 1_000,
            ..Default::default()
        };
        let page = served.trading.list_fills(request).await.unwrap().into_inner();
        listed += page.fills.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(fills, listed);
    // A quiet account's stream is told how far it is.
    let mut quiet = updates(&served, "quiet", Some(5)).await;
    let first = quiet.message().await.unwrap().unwrap().event.unwrap();
    assert_eq!(first, UpdateEvent::Heartbeat(v1::Heartbeat { position: 5 }));
    let second = quiet.message().await.unwrap().unwrap().event.unwrap();
    assert_eq!(second, UpdateEvent::Heartbeat(v1::Heartbeat { position: last }));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trade_stream_resumes_while_trades_go_on() {
    let served = Served::start().await;
    let mut live = trades(&served, None).await;
    trade(&served, "main", mixed(2_000, 4)).await;
    let at = served.node.market(MARKET).unwrap().shown().0;
    // Resumed in the middle of what is still being written.
    let busy = trade(&served, "main", mixed(20_000, 5));
    let resume = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        trades(&served, Some(at / 2)).await
    };
    let ((), mut resumed) = tokio::join!(busy, resume);
    trade(&served, "main", vec![new_order(Side::Buy, "200", "1"), new_order(Side::Sell, "1", "1")]).await;
    let last = {
        let request = v1::ListTradesRequest { market: MARKET.into(), page_size: 1, ..Default::default() };
        let page = served.data.clone().list_trades(request).await.unwrap().into_inner();
        page.trades[0].position
    };
    let seen = trades_until(&mut live, last).await;
    let again = trades_until(&mut resumed, last).await;
    assert!(seen.is_sorted_by(|a, b| a.position < b.position));
    let from = seen.partition_point(|trade| trade.position <= at / 2);
    assert!(again == seen[from..], "{} of {}", again.len(), seen.len() - from);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_is_not_reached_is_refused() {
    let mut served = Served::start().await;
    let request = v1::StreamTradesRequest { market: MARKET.into(), after_position: Some(1) };
    let words = "after_position is \"1\": must be at most 0, the last position shown";
    assert_refused(served.data.stream_trades(request).await, Code::OutOfRange, "POSITION", words);
    let request = v1::StreamOrderUpdatesRequest { market: MARKET.into(), after_position: Some(9) };
    let words = "after_position is \"9\": must be at most 0, the last position shown";
    assert_refused(served.trading.stream_order_updates(request).await, Code::OutOfRange, "POSITION", words);
    served.end().await;
}

/// A book built from a stream.
#[derive(Default, PartialEq, Debug)]
pub struct Ladder {
    pub position: u64,
    partial: bool,
    pub levels: [BTreeMap<String, (String, u32)>; 2],
}

impl Ladder {
    pub fn take(&mut self, event: BookEvent) {
        match event {
            BookEvent::Snapshot(snapshot) => {
                if !self.partial {
                    *self = Self { position: snapshot.position, ..Self::default() };
                }
                self.partial = snapshot.more;
                self.put([snapshot.bids, snapshot.asks]);
            }
            BookEvent::Delta(delta) => {
                assert_eq!(delta.previous_position, self.position);
                assert!(delta.position > delta.previous_position);
                self.partial = delta.more;
                self.position = if delta.more { self.position } else { delta.position };
                self.put([delta.bids, delta.asks]);
            }
            BookEvent::Heartbeat(heartbeat) => self.position = heartbeat.position,
        }
    }

    fn put(&mut self, sides: [Vec<v1::Level>; 2]) {
        for (side, levels) in self.levels.iter_mut().zip(sides) {
            for level in levels {
                if level.quantity == "0" {
                    side.remove(&level.price);
                } else {
                    side.insert(level.price, (level.quantity, level.order_count));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_book_stream_gives_the_book() {
    let mut served = Served::start().await;
    trade(&served, "main", mixed(200, 6)).await;
    let request = v1::StreamOrderBookRequest { market: MARKET.into() };
    let mut stream = served.data.stream_order_book(request).await.unwrap().into_inner();
    trade(&served, "main", mixed(30_000, 7)).await;
    let last = served.place(buy("last", "1", "1")).await.unwrap().position;
    let mut ladder = Ladder::default();
    let mut deltas = 0;
    while ladder.position < last {
        let event = stream.message().await.unwrap().unwrap().event.unwrap();
        deltas += usize::from(matches!(event, BookEvent::Delta(_)));
        ladder.take(event);
    }
    let book = served.book(last).await;
    let mut expected = Ladder { position: book.position, ..Ladder::default() };
    expected.put([book.bids, book.asks]);
    assert_eq!(ladder, expected);
    assert!(deltas > 0);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_streams_show_that_they_live() {
    let mut served = Served::start().await;
    let position = served.place(buy("1", "10", "1")).await.unwrap().position;
    let mut trades = trades(&served, None).await;
    let request = v1::StreamOrderBookRequest { market: MARKET.into() };
    let mut book = served.data.stream_order_book(request).await.unwrap().into_inner();
    let expected = v1::Heartbeat { position };
    let first = trades.message().await.unwrap().unwrap().event.unwrap();
    assert_eq!(first, TradeEvent::Heartbeat(expected));
    assert!(matches!(book.message().await.unwrap().unwrap().event.unwrap(), BookEvent::Snapshot(_)));
    let later = served.place(buy("2", "10", "1")).await.unwrap().position;
    let (trade, delta) = tokio::join!(trades.message(), book.message());
    assert_eq!(
        trade.unwrap().unwrap().event.unwrap(),
        TradeEvent::Heartbeat(v1::Heartbeat { position: later })
    );
    assert!(matches!(delta.unwrap().unwrap().event.unwrap(), BookEvent::Delta(_)));
    let alive = book.message().await.unwrap().unwrap().event.unwrap();
    assert_eq!(alive, BookEvent::Heartbeat(v1::Heartbeat { position: later }));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_ended_and_can_resume() {
    let served = Served::start().await;
    let mut slow = trades(&served, Some(0)).await;
    let makers = vec![new_order(Side::Sell, "10", "1"); 40_000];
    let takers = vec![new_order(Side::Buy, "10", "1"); 40_000];
    trade(&served, "main", makers).await;
    trade(&served, "main", takers).await;
    // Nothing is read for longer than the node waits.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let mut seen = Vec::new();
    let status = loop {
        match slow.message().await {
            Ok(message) => {
                if let Some(TradeEvent::Trade(trade)) = message.and_then(|message| message.event) {
                    seen.push(trade);
                }
            }
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "SLOW_READER"));
    assert_eq!(status.message(), "the stream was not read for 10 s");
    assert!(!seen.is_empty() && seen.len() < 40_000, "{}", seen.len());
    let last = served.node.market(MARKET).unwrap().shown().0;
    let mut resumed = trades(&served, Some(seen.last().unwrap().position)).await;
    seen.extend(trades_until(&mut resumed, last).await);
    assert_eq!(seen.len(), 40_000);
    assert!(seen.is_sorted_by(|a, b| a.position < b.position));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_told_of_the_shutdown() {
    let mut served = Served::start().await;
    served.place(sell("1", "10", "1")).await.unwrap();
    let mut trades = trades(&served, None).await;
    let mut updates = updates(&served, "main", None).await;
    let request = v1::StreamOrderBookRequest { market: MARKET.into() };
    let mut book = served.data.stream_order_book(request).await.unwrap().into_inner();
    let _ =
        (trades.message().await.unwrap(), updates.message().await.unwrap(), book.message().await.unwrap());
    served.stop();
    let ends = [
        trades.message().await.unwrap_err(),
        updates.message().await.unwrap_err(),
        book.message().await.unwrap_err(),
    ];
    for status in ends {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trade_with_oneself_is_one_message_and_what_never_rests_is_not_shown_open() {
    let mut served = Served::start().await;
    served.place(sell("maker", "10", "1")).await.unwrap();
    let mut ioc = buy("taker", "10", "2");
    ioc.order.as_mut().unwrap().time_in_force = v1::TimeInForce::Ioc.into();
    let last = served.place(ioc).await.unwrap().position;
    let mut live = updates(&served, "main", Some(0)).await;
    let mut events = Vec::new();
    while events.last().is_none_or(|event: &v1::OrderUpdates| event.position < last) {
        if let UpdateEvent::Updates(event) = live.message().await.unwrap().unwrap().event.unwrap() {
            events.push(event);
        }
    }
    let statuses = |event: &v1::OrderUpdates| -> Vec<v1::OrderStatus> {
        event.updates.iter().map(|update| update.order.as_ref().unwrap().status()).collect()
    };
    use v1::OrderStatus::{Cancelled, Filled, Open, PartiallyFilled};
    let seen: Vec<_> = events.iter().map(statuses).collect();
    assert_eq!(seen, [vec![Open], vec![Filled, PartiallyFilled], vec![Cancelled]]);
    // From each position on the rest comes, and nothing twice.
    for (at, event) in events.iter().enumerate() {
        let mut resumed = updates(&served, "main", Some(event.position)).await;
        let rest = updates_until(&mut resumed, last).await;
        let expected: Vec<_> = events[at + 1..].iter().flat_map(|event| event.updates.clone()).collect();
        assert_eq!(rest, expected);
    }
    served.end().await;
}

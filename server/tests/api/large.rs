//! What is too large for one message: books, and what one request did.

use xbook_proto::v1::stream_order_book_response::Event as BookEvent;
use xbook_proto::v1::{self, Side};

use super::peers::joined;
use super::streams::{Ladder, trade};
use super::support::{MARKET, Served, buy, by, levels, new_order, sell};

/// More orders at one price than a page of a book has, and more prices than a message of a stream has.
const AT_ONE_PRICE: usize = 25_000;
const PRICES: usize = 21_000;

/// A node with many sells: at 20, and one each at 20.01, 20.02 and so on.
async fn deep() -> Served {
    let served = Served::start().await;
    let mut orders = vec![new_order(Side::Sell, "20", "0.02"); AT_ONE_PRICE];
    let price = |n: usize| format!("{}.{:02}", 20 + n / 100, n % 100);
    orders.extend((1..=PRICES).map(|n| new_order(Side::Sell, &price(n), "0.02")));
    trade(&served, "main", orders).await;
    served
}

/// All pages of the book.
async fn pages(served: &mut Served, detail: v1::BookDetail) -> Vec<v1::GetOrderBookResponse> {
    let mut pages: Vec<v1::GetOrderBookResponse> = Vec::new();
    while pages.last().is_none_or(|page| !page.next_page_token.is_empty()) {
        let request = v1::GetOrderBookRequest {
            market: MARKET.into(),
            depth: 1_000,
            detail: detail.into(),
            page_token: pages.last().map(|page| page.next_page_token.clone()).unwrap_or_default(),
            ..Default::default()
        };
        pages.push(served.data.get_order_book(request).await.unwrap().into_inner());
    }
    pages
}

/// A usual client refuses what is larger.
fn assert_small(message: &impl prost::Message) {
    assert!(message.encoded_len() < 4 * 1_024 * 1_024, "{}", message.encoded_len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_book_of_any_size_is_read_by_pages_and_streamed_in_parts() {
    let mut served = deep().await;
    let orders = pages(&mut served, v1::BookDetail::Orders).await;
    orders.iter().for_each(assert_small);
    let first: Vec<_> = orders[0].asks.iter().map(|level| (level.order_count, level.orders.len())).collect();
    assert_eq!(first, [(AT_ONE_PRICE as u32, 20_000)]);
    assert!(orders[1].asks[0].continued && orders[1].asks.iter().skip(1).all(|level| !level.continued));
    let ids: Vec<u64> = orders
        .iter()
        .flat_map(|page| &page.asks)
        .flat_map(|level| &level.orders)
        .map(|order| order.order_id.split('-').nth(1).unwrap().parse().unwrap())
        .collect();
    // One after the other was placed, so time priority is the order of the ids, and prices rise with them.
    assert_eq!(ids.len(), AT_ONE_PRICE + PRICES);
    assert!(ids.is_sorted_by(|a, b| a < b));

    let l2 = pages(&mut served, v1::BookDetail::Levels).await;
    assert_eq!((l2.len(), l2[0].asks.len(), l2[0].asks[0].order_count), (22, 1_000, 25_000));
    assert_eq!(l2.iter().map(|page| page.asks.len()).sum::<usize>(), PRICES + 1);

    let request = v1::StreamOrderBookRequest { market: MARKET.into() };
    let mut stream = served.data.stream_order_book(request).await.unwrap().into_inner();
    let mut ladder = Ladder::default();
    let mut more = Vec::new();
    while more.last() != Some(&false) {
        let message = stream.message().await.unwrap().unwrap();
        assert_small(&message);
        let event = message.event.unwrap();
        let BookEvent::Snapshot(snapshot) = &event else { panic!("{event:?}") };
        more.push(snapshot.more);
        ladder.take(event);
    }
    assert_eq!(more, [true, false]);
    let counts = ladder.levels.each_ref().map(|side| side.len());
    assert_eq!((counts, ladder.position), ([0, PRICES + 1], l2[0].position));
    served.end().await;
}

/// All fills of an order, by pages.
async fn fills_of(served: &mut Served, account: &str, order_id: &str) -> Vec<v1::Fill> {
    let (mut fills, mut page_token) = (Vec::new(), String::new());
    loop {
        let (market, order_id) = (MARKET.to_owned(), order_id.to_owned());
        let request =
            v1::ListFillsRequest { market, order_id, page_size: 1_000, page_token, ..Default::default() };
        let page = served.trading.list_fills(by(account, request)).await.unwrap().into_inner();
        fills.extend(page.fills);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return fills;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_sweep_has_the_first_fills_and_the_list_all() {
    let mut served = deep().await;
    let request = v1::StreamOrderBookRequest { market: MARKET.into() };
    let mut stream = served.data.stream_order_book(request).await.unwrap().into_inner();
    // All 25,000 at 20, by a call.
    let swept = served.place_as("taker", buy("sweep", "20", "500")).await.unwrap();
    assert_small(&swept);
    assert_eq!((swept.fills.len(), swept.more_fills), (10_000, true));
    assert_eq!(served.place_as("taker", buy("sweep", "20", "500")).await.unwrap(), swept, "a repeat");
    let order = swept.order.unwrap();
    assert_eq!((order.status(), order.filled_quantity.as_str()), (v1::OrderStatus::Filled, "500"));
    let mut all = fills_of(&mut served, "taker", &order.order_id).await;
    all.reverse();
    assert_eq!(all.len(), AT_ONE_PRICE);
    assert_eq!(swept.fills, all[..10_000]);
    // All other prices, by a session.
    let open = v1::TradeSession { market: MARKET.into(), session: "s".into(), ..Default::default() };
    let command = v1::trade_command::Command::Place(new_order(Side::Buy, "1000", "420"));
    let commands = vec![v1::TradeCommand { command: Some(command) }];
    let request = v1::TradeRequest { open: Some(open), first_number: 1, commands };
    let call = by("taker", tokio_stream::iter([request]));
    let mut answers = served.trading.trade(call).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().unwrap().opened.is_some());
    let answer = answers.message().await.unwrap().unwrap();
    assert_small(&answer);
    let result = &answer.results[0];
    assert_eq!(
        (result.fills.len(), result.more_fills, result.status()),
        (10_000, true, v1::OrderStatus::Filled)
    );
    // The stream's book is empty after a change in parts.
    let (mut ladder, mut parts) = (Ladder::default(), 0);
    while ladder.position < result.position {
        let message = stream.message().await.unwrap().unwrap();
        assert_small(&message);
        let event = message.event.unwrap();
        parts += usize::from(matches!(&event, BookEvent::Delta(delta) if delta.more));
        ladder.take(event);
    }
    assert_eq!((parts, ladder.levels.each_ref().map(|side| side.len())), (1, [0, 0]));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_cancel_of_all_names_the_first_and_counts_all() {
    let mut served = Served::start().await;
    trade(&served, "main", vec![new_order(Side::Sell, "20", "1"); 20_500]).await;
    let request = v1::CancelAllOrdersRequest { request_id: "c".into(), market: MARKET.into(), side: 0 };
    let cancelled = served.trading.cancel_all_orders(request).await.unwrap().into_inner();
    assert_small(&cancelled);
    assert_eq!((cancelled.order_ids.len(), cancelled.count), (20_000, 20_500));
    let request = v1::ListOrdersRequest { market: MARKET.into(), include_closed: true, ..Default::default() };
    let page = served.trading.list_orders(request).await.unwrap().into_inner();
    assert!(page.orders.iter().all(|order| order.status() == v1::OrderStatus::Cancelled));
    // The newest first: those that the answer has no room for.
    assert!(page.orders.iter().all(|order| !cancelled.order_ids.contains(&order.order_id)));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_another_nodes_too_and_never_older() {
    let mut first = Served::start().await;
    for n in 0..3 {
        first.place(sell(&format!("s{n}"), &format!("1{n}"), "1")).await.unwrap();
    }
    let mut second = joined(&first).await;
    let page = |page_token: String| v1::GetOrderBookRequest {
        market: MARKET.into(),
        depth: 2,
        page_token,
        ..Default::default()
    };
    let begin = first.data.get_order_book(page(String::new())).await.unwrap().into_inner();
    let rest = second.data.get_order_book(page(begin.next_page_token)).await.unwrap().into_inner();
    assert_eq!(levels(&rest.asks), [("12", "1")]);
    assert!(rest.position >= begin.position && rest.next_page_token.is_empty());
    second.end().await;
    first.end().await;
}

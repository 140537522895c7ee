//! Books as they were, and price levels put together.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use tonic::Code;
use xbook_proto::v1::get_order_book_request::AsOf;
use xbook_proto::v1::{self, BookDetail, GetOrderBookRequest, GetOrderBookResponse, Level};

use super::peers::joined;
use super::support::{MARKET, Served, assert_refused, buy, levels, sell};

fn request(detail: BookDetail, as_of: Option<AsOf>) -> GetOrderBookRequest {
    GetOrderBookRequest {
        market: MARKET.into(),
        depth: 1_000,
        detail: detail.into(),
        as_of,
        ..Default::default()
    }
}

async fn book(served: &Served, request: GetOrderBookRequest) -> GetOrderBookResponse {
    served.data.clone().get_order_book(request).await.unwrap().into_inner()
}

/// What was shown at the positions at which something was read, and tape time there.
type Shown = BTreeMap<u64, (GetOrderBookResponse, Option<prost_types::Timestamp>)>;

/// Orders come, trade, change and go; after each the book is read.
async fn busy(served: &mut Served, rounds: u64, seed: &str) -> Shown {
    let mut shown = Shown::new();
    let mut placed: Vec<String> = Vec::new();
    for round in 0..rounds {
        let id = format!("{seed}-{round}");
        let price = format!("{}.{:02}", 90 + round * 7 % 20, round * 31 % 100);
        let size = format!("{}", 1 + round % 4);
        let time = match round % 5 {
            3 if !placed.is_empty() => {
                let order_id = placed[(round * 13) as usize % placed.len()].clone();
                let (size, price) = match round % 2 {
                    0 => (Some(v1::amend_order_request::Size::OpenQuantity("0.5".into())), String::new()),
                    _ => (None, price),
                };
                let market = MARKET.to_owned();
                let amend = v1::AmendOrderRequest {
                    request_id: id,
                    market,
                    order_id,
                    price,
                    size,
                    ..Default::default()
                };
                served.trading.amend_order(amend).await.ok().and_then(|done| done.into_inner().order)
            }
            4 if !placed.is_empty() => {
                let order_id = placed[(round * 17) as usize % placed.len()].clone();
                let market = MARKET.to_owned();
                let cancel =
                    v1::CancelOrderRequest { request_id: id, market, order_id, ..Default::default() };
                served.trading.cancel_order(cancel).await.ok().and_then(|done| done.into_inner().order)
            }
            side => {
                let mut order = if side == 0 { buy(&id, &price, &size) } else { sell(&id, &price, &size) };
                if side == 1 {
                    // Also where orders of the account take from each other.
                    order.order.as_mut().unwrap().self_trade_prevention = (round / 5 % 5) as i32;
                }
                if round % 3 == 0 {
                    // An iceberg: its hidden parts come to the back of the level one by one.
                    order.order.as_mut().unwrap().display_quantity = "0.3".into();
                }
                let order = served.place(order).await.unwrap().order.unwrap();
                placed.push(order.order_id.clone());
                Some(order)
            }
        };
        let now = book(served, request(BookDetail::Orders, None)).await;
        let time = time.filter(|order| order.position == now.position).and_then(|order| order.update_time);
        shown.insert(now.position, (now, time));
    }
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn a_book_is_shown_again_as_it_was_over_restarts_generations_and_on_other_nodes() {
    let mut served = Served::start().await;
    let other = joined(&served).await;
    let mut shown = busy(&mut served, 150, "a").await;
    let data = served.end().await;
    let mut served = Served::on(data).await;
    shown.extend(busy(&mut served, 150, "b").await);
    let node = served.cluster.get_node(v1::GetNodeRequest {}).await.unwrap().into_inner();
    let document = node.documents.iter().find(|document| document.name == MARKET).unwrap();
    assert!(document.generation > 1, "{}", document.generation);
    let last = *shown.keys().last().unwrap();
    other.node.market(MARKET).unwrap().reached(xbook::types::Position(last)).await.unwrap();
    for node in [&served, &other] {
        // Backwards, forwards, and some of them often.
        for position in shown.keys().rev().step_by(3).chain(shown.keys()) {
            let (then, time) = &shown[position];
            let found = book(node, request(BookDetail::Orders, Some(AsOf::AsOfPosition(*position)))).await;
            assert_eq!(found, GetOrderBookResponse { time: found.time, ..then.clone() }, "{position}");
            let Some(time) = time else { continue };
            assert_eq!(found.time, Some(*time));
            let by_time = book(node, request(BookDetail::Orders, Some(AsOf::AsOfTime(*time)))).await;
            assert_eq!(by_time, found);
        }
        let before = book(node, request(BookDetail::Orders, Some(AsOf::AsOfPosition(0)))).await;
        assert_eq!((before.position, before.time, before.bids.len()), (0, None, 0));
    }
    // By pages, of which each is of the same book.
    let position = *shown.keys().nth(shown.len() / 2).unwrap();
    let (whole, _) = &shown[&position];
    let mut page = request(BookDetail::Levels, Some(AsOf::AsOfPosition(position)));
    page.depth = 2;
    let mut bids = Vec::new();
    loop {
        let found = book(&served, page.clone()).await;
        assert_eq!(found.position, position);
        bids.extend(found.bids);
        page.page_token = found.next_page_token;
        if page.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(levels(&bids), levels(&whole.bids));
    served.end().await;
    other.end().await;
}

/// Levels put together, by the words of the proto file.
fn together(side: &[Level], step: Decimal, down: bool) -> Vec<(Decimal, Decimal, u32)> {
    let mut sums: Vec<(Decimal, Decimal, u32)> = Vec::new();
    for level in side {
        let price: Decimal = level.price.parse().unwrap();
        let steps = price / step;
        let price = if down { steps.floor() } else { steps.ceil() } * step;
        let quantity: Decimal = level.quantity.parse().unwrap();
        match sums.last_mut().filter(|last| last.0 == price) {
            Some(last) => (last.1, last.2) = (last.1 + quantity, last.2 + level.order_count),
            None => sums.push((price, quantity, level.order_count)),
        }
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn price_levels_are_put_together_also_of_the_past_and_by_pages() {
    let mut served = Served::start().await;
    let shown = busy(&mut served, 120, "a").await;
    let positions =
        [*shown.keys().next().unwrap(), *shown.keys().nth(60).unwrap(), *shown.keys().last().unwrap()];
    for position in positions {
        let (whole, _) = &shown[&position];
        for step in ["0.01", "0.05", "1", "2.5", "1000"] {
            let as_of = Some(AsOf::AsOfPosition(position));
            let mut asked = GetOrderBookRequest {
                price_step: step.into(),
                depth: 3,
                ..request(BookDetail::Levels, as_of)
            };
            let mut found = [Vec::new(), Vec::new()];
            loop {
                let page = book(&served, asked.clone()).await;
                found[0].extend(page.bids);
                found[1].extend(page.asks);
                asked.page_token = page.next_page_token;
                if asked.page_token.is_empty() {
                    break;
                }
            }
            let found = found.map(|side| together(&side, Decimal::new(1, 2), true));
            let step: Decimal = step.parse().unwrap();
            let expected = [together(&whole.bids, step, true), together(&whole.asks, step, false)];
            assert_eq!(found, expected, "{step} at {position}");
        }
    }
    let now = GetOrderBookRequest { price_step: "5".into(), ..request(BookDetail::Levels, None) };
    let (whole, _) = shown.values().last().unwrap();
    let bids = together(&book(&served, now).await.bids, Decimal::new(1, 2), true);
    assert_eq!(bids, together(&whole.bids, Decimal::from(5), true));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_book_that_is_not_to_be_had_is_refused_by_name() {
    let mut served = Served::start().await;
    let bad = GetOrderBookRequest { price_step: "0.015".into(), ..request(BookDetail::Levels, None) };
    let words = "price_step is \"0.015\": must be a multiple of 0.01";
    assert_refused(served.data.get_order_book(bad).await, Code::InvalidArgument, "OFF_TICK", words);
    let bad = GetOrderBookRequest { price_step: "1".into(), ..request(BookDetail::Orders, None) };
    let words = "price_step is \"1\": must not be set where orders are wanted";
    assert_refused(served.data.get_order_book(bad).await, Code::InvalidArgument, "CONFLICTING_FIELDS", words);
    let bad = request(BookDetail::Levels, Some(AsOf::AsOfPosition(9)));
    let words = "as_of_position is \"9\": must be at most 0, the last position shown";
    assert_refused(served.data.get_order_book(bad).await, Code::OutOfRange, "POSITION", words);
    let time = prost_types::Timestamp { seconds: -1, nanos: 0 };
    let bad = request(BookDetail::Levels, Some(AsOf::AsOfTime(time)));
    let words = "as_of_time is \"-1s 0ns\": must be a time from 1970 to 9999";
    assert_refused(served.data.get_order_book(bad).await, Code::InvalidArgument, "MALFORMED_TEXT", words);
    served.end().await;
}

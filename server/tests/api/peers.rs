//! Nodes that joined: the same book everywhere, orders from anywhere, and what a cut leaves.

use std::time::Duration;

use super::support::{MARKET, Served, buy, levels, sell, within};
use xbook_proto::v1::OrderStatus;

async fn joined(first: &Served) -> Served {
    let served = Served::joined(&[first.address]).await;
    tokio::time::timeout(Duration::from_secs(10), served.node.market_ready(MARKET)).await.unwrap().unwrap();
    served
}

#[tokio::test]
async fn orders_from_any_node_meet_in_one_book() {
    let mut first = Served::start().await;
    let (mut second, mut third) = (joined(&first).await, joined(&first).await);
    first.place(buy("a", "10", "100")).await.unwrap();
    second.place(buy("b", "11", "100")).await.unwrap();
    third.place(sell("c", "11", "50")).await.unwrap();
    let last = second.place(sell("d", "9", "75")).await.unwrap();
    assert_eq!(last.order.unwrap().status(), OrderStatus::Filled);
    for node in [&mut first, &mut second, &mut third] {
        let book = node.book(last.position).await;
        assert_eq!((levels(&book.bids), levels(&book.asks)), (vec![("10", "75")], vec![]));
    }
    let digests = [&first, &second, &third].map(|served| served.node.market(MARKET).unwrap());
    let mut seen = Vec::new();
    for market in digests {
        seen.push(market.read(|replica| replica.view().digest()).await.unwrap());
    }
    assert!(seen.iter().all(|digest| *digest == seen[0]), "every node has the same digest");
}

#[tokio::test]
async fn a_request_repeated_through_another_node_has_one_effect() {
    let mut first = Served::start().await;
    let mut second = joined(&first).await;
    let placed = first.place(buy("a", "10", "100")).await.unwrap();
    let again = second.place(buy("a", "10", "100")).await.unwrap();
    assert_eq!(again.order.unwrap().order_id, placed.order.unwrap().order_id);
    assert_eq!(levels(&second.book(again.position).await.bids), [("10", "100")]);
}

#[tokio::test]
async fn without_the_lease_holder_orders_are_pending_and_matched_when_it_is_back() {
    let first = Served::start().await;
    let address = first.address;
    let mut second = joined(&first).await;
    let directory = first.end().await;
    let order = within(Duration::from_secs(1), buy("a", "10", "100"));
    let pending = second.trading.place_order(order).await.unwrap().into_inner();
    assert_eq!(pending.order.unwrap().status(), OrderStatus::Pending);
    let mut first = Served::at(directory, address).await;
    let placed = second.place(buy("a", "10", "100")).await.unwrap();
    assert_eq!(placed.order.unwrap().status(), OrderStatus::Open);
    assert_eq!(levels(&first.book(placed.position).await.bids), [("10", "100")]);
}

#[tokio::test]
async fn a_market_created_anywhere_is_everywhere() {
    let mut first = Served::empty().await;
    let mut second = Served::joined(&[first.address]).await;
    second.create("ETH/USDT").await.unwrap();
    let ready = tokio::time::timeout(Duration::from_secs(10), first.node.market_ready("ETH/USDT")).await;
    ready.unwrap().unwrap();
    assert!(first.create("ETH/USDT").await.is_ok(), "the same request has one effect");
}

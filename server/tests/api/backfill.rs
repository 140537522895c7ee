//! What a new node gets of a history.
//!
//! `XBOOK_SWEEP=150000` has the sweep take so many orders; 6,000 otherwise.

use std::time::Duration;

use xbook::types::Position;
use xbook_proto::v1;

use super::peers::{document, place_until_generation};
use super::session::{Session, place};
use super::support::{MARKET, Served, buy, by};

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_too_large_for_a_message_reaches_a_new_node() {
    let mut first = Served::start().await;
    let mut session = Session::open(&first, "asks").await.unwrap();
    let orders: u64 = std::env::var("XBOOK_SWEEP").map_or(6_000, |orders| orders.parse().unwrap());
    assert_eq!(orders % 2_000, 0, "XBOOK_SWEEP is a multiple of 2,000");
    for _ in 0..orders / 2_000 {
        session.run((0..2_000).map(|_| place(v1::Side::Sell, "10", "0.002")).collect()).await;
    }
    let all = (orders / 500).to_string();
    let sweep = first.place_as("taker", buy("sweep", "10", &all)).await.unwrap();
    assert_eq!(sweep.order.unwrap().filled_quantity, all);
    let history = first.node.market(MARKET).unwrap().history().unwrap().clone();
    let piece = history.piece(Position(1), Position(sweep.position), 0).unwrap();
    assert!(matches!(piece, xbook::history::Piece::Part { .. }), "it comes in pieces");
    let generation = document(&mut first, MARKET).await.generation;
    let last = place_until_generation(&mut first, "after", generation + 2).await;

    let mut second = Served::joined(&[first.peer_address]).await;
    second.node.market_ready(MARKET).await.unwrap();
    second.book(last).await;
    let whole = async {
        while !second.node.market(MARKET).unwrap().history().unwrap().gaps().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), whole).await.unwrap();
    let list = v1::ListFillsRequest { market: MARKET.into(), page_size: 1_000, ..Default::default() };
    let [mine, theirs] = [&mut second, &mut first].map(|served| served.trading.clone());
    let mut lists = Vec::new();
    for mut client in [mine, theirs] {
        lists.push(client.list_fills(by("taker", list.clone())).await.unwrap().into_inner().fills);
    }
    assert_eq!((lists[0].len(), lists[0] == lists[1]), (1_000, true));
    let order = sweep_order(&mut second, "asks", orders - 1).await;
    assert_eq!(order.status(), v1::OrderStatus::Filled);
}

/// The order of a session's command.
async fn sweep_order(served: &mut Served, session: &str, command_number: u64) -> v1::Order {
    let request = v1::GetOrderRequest {
        market: MARKET.into(),
        session: session.into(),
        command_number,
        ..Default::default()
    };
    served.trading.get_order(by("main", request)).await.unwrap().into_inner().order.unwrap()
}

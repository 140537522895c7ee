//! Voters that come and go, while orders flow.

use std::time::Duration;

use tonic::Code;
use xbook::types::NodeId;
use xbook_proto::v1::{self, OrderStatus};

use super::support::{MARKET, Served, assert_refused, buy, sell, within};

const PATIENCE: Duration = Duration::from_secs(20);

/// The answer's documents: name and number of voters.
async fn add(asked: &mut Served, node: NodeId, market: &str) -> Vec<(String, usize)> {
    let request = v1::AddVoterRequest {
        request_id: format!("add-{node}"),
        node_id: node.to_string(),
        market: market.into(),
    };
    let answer = asked.cluster.add_voter(within(PATIENCE, request)).await.unwrap().into_inner();
    answer.documents.into_iter().map(|document| (document.name, document.voters.len())).collect()
}

async fn remove(asked: &mut Served, node: NodeId, market: &str) -> Vec<(String, usize)> {
    let request = v1::RemoveVoterRequest {
        request_id: format!("remove-{node}"),
        node_id: node.to_string(),
        market: market.into(),
    };
    let answer = asked.cluster.remove_voter(within(PATIENCE, request)).await.unwrap().into_inner();
    answer.documents.into_iter().map(|document| (document.name, document.voters.len())).collect()
}

async fn joined(first: &Served) -> Served {
    let served = Served::joined(&[first.peer_address]).await;
    tokio::time::timeout(PATIENCE, served.node.market_ready(MARKET)).await.unwrap().unwrap();
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_grows_and_a_dead_voter_is_replaced() {
    let mut first = Served::start().await;
    let (mut second, mut third) = (joined(&first).await, joined(&first).await);
    first.place(buy("1", "10", "1")).await.unwrap();
    let both = |voters| vec![("directory".to_owned(), voters), (MARKET.to_owned(), voters)];
    assert_eq!(add(&mut first, second.node.id(), "").await, both(2));
    // Any node can be asked.
    let asked = third.node.id();
    assert_eq!(add(&mut third, asked, "").await, both(3));
    assert_eq!(add(&mut second, third.node.id(), "").await, both(3), "a repeat");
    let filled = second.place(sell("2", "10", "1")).await.unwrap();
    assert_eq!(filled.order.unwrap().status(), OrderStatus::Filled);
    // A market gets the directory's voters.
    third.create("ETH/USDT").await.unwrap();
    // A restarted node begins where the generation does, and needs nobody for that.
    let (addresses, data) = (second.addresses(), second.end().await);
    let back = tokio::time::timeout(PATIENCE, Served::at(data, addresses));
    let mut second = back.await.unwrap();
    let dead = first.node.id();
    first.end().await;
    let placed = second.place(buy("3", "10", "1")).await.unwrap();
    assert_eq!(placed.order.unwrap().status(), OrderStatus::Open);
    let mut fourth = joined(&second).await;
    tokio::time::timeout(PATIENCE, fourth.node.market_ready("ETH/USDT")).await.unwrap().unwrap();
    let all = |voters| ["directory", MARKET, "ETH/USDT"].map(|name| (name.to_owned(), voters)).to_vec();
    let asked = fourth.node.id();
    assert_eq!(add(&mut fourth, asked, "").await, all(4));
    assert_eq!(remove(&mut third, dead, "").await, all(3));
    let filled = fourth.place(sell("4", "10", "1")).await.unwrap();
    assert_eq!(filled.order.unwrap().status(), OrderStatus::Filled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_holder_that_becomes_an_observer_lets_others_match() {
    let mut first = Served::start().await;
    let (mut second, third) = (joined(&first).await, joined(&first).await);
    add(&mut first, second.node.id(), MARKET).await;
    add(&mut first, third.node.id(), MARKET).await;
    first.place(buy("1", "10", "1")).await.unwrap();
    let gone = first.node.id();
    assert_eq!(remove(&mut second, gone, MARKET).await, [(MARKET.to_owned(), 2)]);
    let filled = first.place(sell("2", "10", "1")).await.unwrap();
    assert_eq!(filled.order.unwrap().status(), OrderStatus::Filled);
}

#[tokio::test(flavor = "multi_thread")]
async fn voters_that_make_no_sense_are_refused() {
    let mut first = Served::start().await;
    let me = first.node.id();
    let asked = |node_id: &str, market: &str| v1::AddVoterRequest {
        request_id: "1".into(),
        node_id: node_id.into(),
        market: market.into(),
    };
    let words = "node_id is \"00000000000000ff\": no such node in this cluster";
    let refused = first.cluster.add_voter(asked("00000000000000ff", "")).await;
    assert_refused(refused, Code::NotFound, "UNKNOWN_NODE", words);
    let words = "node_id is \"x\": must be 16 lower-case hex digits";
    let refused = first.cluster.add_voter(asked("x", "")).await;
    assert_refused(refused, Code::InvalidArgument, "MALFORMED_TEXT", words);
    let refused = first.cluster.add_voter(asked(&me.to_string(), "A/B")).await;
    assert_refused(refused, Code::NotFound, "UNKNOWN_MARKET", "market is \"A/B\": no such market");
    let words = format!("node_id is \"{me}\": the voters of directory stay as they are");
    let refused = first.cluster.add_voter(asked(&me.to_string(), "directory")).await;
    assert_refused(refused, Code::FailedPrecondition, "ALREADY_VOTER", &words);
    let last =
        v1::RemoveVoterRequest { request_id: "2".into(), node_id: me.to_string(), market: MARKET.into() };
    let words = format!("node_id is \"{me}\": the voters of {MARKET} stay as they are");
    let refused = first.cluster.remove_voter(last).await;
    assert_refused(refused, Code::FailedPrecondition, "LAST_VOTER", &words);
}

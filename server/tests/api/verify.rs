//! Verification tells what is wrong, and what it could not verify.

use std::time::Duration;

use tokio::net::TcpListener;
use tonic::Code;
use xbook_proto::v1::{self, DigestComparison as Comparison, VerifyVerdict as Verdict};

use super::peers::{place_until_generation, three_voters};
use super::stored;
use super::support::{MARKET, Served, assert_refused, buy, sell, within};

async fn verify(served: &mut Served, document: &str) -> v1::VerifyMarketResponse {
    let request = v1::VerifyMarketRequest { market: document.to_owned() };
    served.cluster.verify_market(request).await.unwrap().into_inner()
}

fn line<'a>(verified: &'a v1::VerifyMarketResponse, node: &str) -> &'a v1::NodeDigest {
    verified.nodes.iter().find(|line| line.node_id == node).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_is_verified_on_all_nodes_and_a_node_that_is_gone_or_silent_leaves_it_incomplete() {
    let mut nodes = three_voters().await;
    let mut last = 0;
    for (at, node) in nodes.iter_mut().enumerate() {
        node.place(buy(&format!("b{at}"), "10", "3")).await.unwrap();
        last = node.place(sell(&format!("s{at}"), "10", "2")).await.unwrap().position;
    }
    nodes[1].book(last).await;
    for document in [MARKET, "directory"] {
        let verified = verify(&mut nodes[1], document).await;
        assert_eq!((verified.passed, verified.verdict()), (true, Verdict::Passed), "{verified:?}");
        assert_eq!(verified.nodes.len(), 3);
        for node in &verified.nodes {
            assert_eq!(node.comparison(), Comparison::Equal, "{node:?}");
        }
        assert!(verified.unverified.is_empty() && verified.findings.is_empty());
        if document == MARKET {
            let matched = &verified.rematched[0];
            assert_eq!((matched.intents, matched.fills, matched.quantity.as_str()), (6, 4, "6"));
            assert_eq!((matched.after_position, matched.through_position), (0, verified.position));
        }
    }

    let [gone, mut left, _third] = nodes;
    let (id, address) = (gone.node.id().to_string(), gone.address);
    gone.end().await;
    let verified = verify(&mut left, MARKET).await;
    assert_eq!((verified.passed, verified.verdict()), (false, Verdict::Incomplete));
    assert_eq!(line(&verified, &id).comparison(), Comparison::Unreachable);
    let expected =
        format!("node {id}, a voter, was not reached: {address}: Connection refused (os error 111)");
    assert_eq!((verified.unverified, verified.findings), (vec![expected], vec![]));

    // It takes connections and never says a word.
    let _silent = TcpListener::bind(address).await.unwrap();
    let verified = tokio::time::timeout(Duration::from_secs(10), verify(&mut left, MARKET)).await.unwrap();
    let expected = format!("node {id}, a voter, was not reached: it did not answer in time");
    assert_eq!((verified.verdict(), verified.unverified), (Verdict::Incomplete, vec![expected]));

    let unknown = v1::VerifyMarketRequest { market: "ETH/USDT".to_owned() };
    assert_eq!(left.cluster.verify_market(unknown).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_costs_no_more_than_the_calls_time() {
    let nodes = three_voters().await;
    let [gone, mut left, _third] = nodes;
    let (id, address) = (gone.node.id().to_string(), gone.address);
    gone.end().await;
    let _silent = TcpListener::bind(address).await.unwrap();
    let request = within(Duration::from_secs(2), v1::VerifyMarketRequest { market: MARKET.to_owned() });
    let verified = left.cluster.verify_market(request).await.unwrap().into_inner();
    assert_eq!(verified.verdict(), Verdict::Incomplete);
    assert_eq!(line(&verified, &id).message, "it did not answer in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_at_anothers_address_is_not_taken_for_it() {
    let [gone, mut left, third] = three_voters().await;
    let (id, address) = (gone.node.id().to_string(), gone.address);
    gone.end().await;
    // Another node of the same cluster listens there now, and so says the same digest.
    let addresses = [address, third.peer_address];
    let directory = third.end().await;
    let third = Served::at(directory, addresses).await;
    let verified = verify(&mut left, MARKET).await;
    assert_eq!(verified.verdict(), Verdict::Incomplete, "{verified:?}");
    let line = line(&verified, &id);
    assert_eq!(line.comparison(), Comparison::Unreachable);
    assert_eq!(line.message, format!("node {} answers at its address", third.node.id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_goes_on_into_the_generations_before() {
    let mut served = Served::start().await;
    let generation = async |served: &mut Served| {
        let node = served.cluster.get_node(v1::GetNodeRequest {}).await.unwrap().into_inner();
        node.documents.into_iter().find(|document| document.name == MARKET).unwrap().generation
    };
    let mut placed = 0;
    while generation(&mut served).await < 4 {
        // Some rest and some trade; one at a time, so that a generation's first moments are met.
        served.place(buy(&format!("b{placed}"), "10", "2")).await.unwrap();
        served.place(sell(&format!("s{placed}"), "10", "1")).await.unwrap();
        placed += 1;
        let verified = verify(&mut served, MARKET).await;
        assert_eq!(verified.verdict(), Verdict::Passed, "{verified:?}");
        let (mut next, matched) = (verified.rematched[0].after_position, &verified.rematched);
        for matched in matched {
            assert!(matched.batches > 0);
            assert_eq!(matched.after_position, next, "{verified:?}");
            next = matched.through_position;
        }
        assert_eq!(next, verified.position, "all up to the position is covered");
    }
    let (addresses, directory) = (served.addresses(), served.end().await);
    let mut served = Served::at(directory, addresses).await;
    let verified = verify(&mut served, MARKET).await;
    assert_eq!(verified.verdict(), Verdict::Passed, "{verified:?}");
    assert!(verified.rematched.len() >= 2, "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_archive_is_wrong() {
    let mut served = Served::start().await;
    place_until_generation(&mut served, "before", 2).await;
    let (addresses, directory) = (served.addresses(), served.end().await);
    stored::flip_change(directory.path(), MARKET, 1, 3);
    let mut served = Served::at(directory, addresses).await;
    let verified = verify(&mut served, MARKET).await;
    let expected = "what is stored can't be used: record 3 of BTC/USDT is damaged";
    assert_eq!((verified.verdict(), verified.findings), (Verdict::Wrong, vec![expected.to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_keeps_nothing_of_a_market_says_so_and_one_with_a_fault_is_named() {
    let mut first = Served::start().await;
    place_until_generation(&mut first, "before", 2).await;
    let mut second = Served::joined(&[first.peer_address]).await;
    let market = tokio::time::timeout(Duration::from_secs(10), second.node.market_ready(MARKET)).await;
    let market = market.unwrap().unwrap();
    let last = first.node.market(MARKET).unwrap().shown();
    tokio::time::timeout(Duration::from_secs(10), market.reached(last)).await.unwrap().unwrap();
    let verified = verify(&mut second, MARKET).await;
    assert_eq!(
        verified.verdict(),
        if verified.rematched.is_empty() { Verdict::Incomplete } else { Verdict::Passed }
    );

    let (addresses, directory, id) = (first.addresses(), first.node.id().to_string(), first.end().await);
    let (directory, id) = (id, directory);
    stored::flip_change(directory.path(), MARKET, 2, 0);
    let first = Served::at(directory, addresses).await;
    assert!(first.node.market(MARKET).unwrap().quarantine().is_some());
    let verified = verify(&mut second, MARKET).await;
    assert_eq!(verified.verdict(), Verdict::Incomplete, "{verified:?}");
    let line = line(&verified, &id);
    assert_eq!(line.comparison(), Comparison::Refused);
    assert!(line.message.contains("BTC/USDT is quarantined on this node: record 0"), "{line:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_is_not_there_yet_is_refused_at_once() {
    let mut served = Served::start().await;
    let last = served.place(buy("a", "10", "1")).await.unwrap().position;
    for position in [last + 1, u64::MAX] {
        let request = v1::GetDigestRequest { market: MARKET.into(), position };
        let answer = tokio::time::timeout(Duration::from_secs(1), served.cluster.get_digest(request)).await;
        let message = format!("position is \"{position}\": must be at most {last}, the last position shown");
        assert_refused(answer.unwrap(), Code::OutOfRange, "POSITION", &message);
    }
}

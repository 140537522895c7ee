//! Formats: a document goes on in a newer one while orders flow, and who can't read it says so.

use std::time::Duration;

use tonic::Code;
use xbook::format::{Format, Formats};
use xbook_proto::v1::{self, OrderStatus};

use super::support::{MARKET, Served, assert_refused, buy, sell, within};

const PATIENCE: Duration = Duration::from_secs(20);

/// What a newer program reads.
const BOTH: Formats = Formats { oldest: Format(1), newest: Format(2) };

async fn upgrade(asked: &mut Served, market: &str, format: u32) -> Result<(u32, u64), tonic::Status> {
    let request = v1::UpgradeDocumentRequest { market: market.into(), format };
    let answer = asked.cluster.upgrade_document(within(PATIENCE, request)).await?.into_inner();
    Ok((answer.format, answer.generation))
}

/// The format of the market, and which ones its node reads.
async fn formats(asked: &mut Served) -> (u32, [u32; 2]) {
    let node = asked.cluster.get_node(v1::GetNodeRequest {}).await.unwrap().into_inner();
    let market = node.documents.into_iter().find(|document| document.name == MARKET).unwrap();
    (market.format, [node.oldest_format, node.newest_format])
}

/// The node with another program.
async fn replaced(served: Served, formats: Formats) -> Served {
    let addresses = served.addresses();
    let directory = served.end().await;
    tokio::time::timeout(PATIENCE, Served::reading(directory, &[], addresses, formats)).await.unwrap()
}

/// A second voter of all documents.
async fn second_voter(first: &mut Served, formats: Formats) -> Served {
    let free = ([127, 0, 0, 1], 0).into();
    let peers = [first.peer_address];
    let second = Served::reading(tempfile::tempdir().unwrap(), &peers, [free, free], formats).await;
    tokio::time::timeout(PATIENCE, second.node.market_ready(MARKET)).await.unwrap().unwrap();
    let node_id = second.node.id().to_string();
    let request = v1::AddVoterRequest { request_id: "add".into(), node_id, market: String::new() };
    first.cluster.add_voter(within(PATIENCE, request)).await.unwrap();
    second
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_goes_on_in_a_newer_format_once_both_voters_have_the_newer_program() {
    let mut first = Served::start().await;
    let second = second_voter(&mut first, Formats::KNOWN).await;
    first.place(buy("1", "10", "1")).await.unwrap();
    assert_eq!(formats(&mut first).await, (1, [1, 1]));
    let (_, before) = upgrade(&mut first, MARKET, 0).await.unwrap();
    assert_eq!(upgrade(&mut first, MARKET, 1).await.unwrap(), (1, before), "it has that already");
    // One node after the other, the market trades on.
    let mut second = replaced(second, BOTH).await;
    second.place(sell("2", "10", "0.5")).await.unwrap();
    let first_id = first.node.id();
    let words =
        format!("format is \"2\": all voters of BTC/USDT must read it, and {first_id} reads format 1");
    assert_refused(upgrade(&mut second, MARKET, 2).await, Code::FailedPrecondition, "FORMAT_UNREADY", &words);
    assert_eq!(upgrade(&mut second, MARKET, 0).await.unwrap().0, 1, "the newest that both read");
    let mut first = replaced(first, BOTH).await;
    let told = first.place(sell("3", "10", "0.25")).await.unwrap();
    assert_eq!(told.order.unwrap().status(), OrderStatus::Filled);
    // Either may be asked, whoever holds the lease.
    let (format, generation) = upgrade(&mut second, MARKET, 0).await.unwrap();
    assert!(format == 2 && generation > before, "{format} {generation}");
    assert_eq!(upgrade(&mut first, MARKET, 2).await.unwrap(), (2, generation), "a repeat");
    assert_eq!(formats(&mut first).await, (2, [1, 2]));
    let told = first.place(sell("4", "10", "0.25")).await.unwrap();
    assert_eq!(told.order.unwrap().status(), OrderStatus::Filled);
    // The directory has its own, and what comes after it begins as all markets do.
    assert_eq!(upgrade(&mut first, "directory", 0).await.unwrap().0, 2);
    first.create("ETH/USDT").await.unwrap();
    assert_eq!(upgrade(&mut first, "ETH/USDT", 0).await.unwrap().0, 2);
    let refused = upgrade(&mut first, MARKET, 1).await;
    let words = "format is \"1\": must not be older than that of BTC/USDT, 2";
    assert_refused(refused, Code::FailedPrecondition, "FORMAT_UNREADY", words);
    // A restart finds what is stored in the newer format.
    let mut first = replaced(first, BOTH).await;
    assert_eq!(formats(&mut first).await.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_not_read_a_format_says_so_and_serves_nothing_of_the_market() {
    let free = ([127, 0, 0, 1], 0).into();
    let mut first = Served::reading(tempfile::tempdir().unwrap(), &[], [free, free], BOTH).await;
    first.create(MARKET).await.unwrap();
    first.create("ETH/USDT").await.unwrap();
    let mut observer = Served::joined(&[first.peer_address]).await;
    tokio::time::timeout(PATIENCE, observer.node.market_ready("ETH/USDT")).await.unwrap().unwrap();
    observer.place(buy("1", "10", "1")).await.unwrap();
    assert_eq!(upgrade(&mut first, MARKET, 2).await.unwrap().0, 2, "an observer has no say");
    let market = observer.node.market(MARKET).unwrap();
    tokio::time::timeout(PATIENCE, market.faulted()).await.unwrap();
    let words = "this node can't read BTC/USDT any more: generation 1 of BTC/USDT has format 2, and this node reads \
                 format 1. Start it with a newer program, and ask another node until then";
    let refused = observer.place(buy("2", "10", "1")).await;
    assert_refused(refused, Code::Unavailable, "FORMAT_UNREADABLE", words);
    let book = v1::GetOrderBookRequest { market: MARKET.into(), ..Default::default() };
    let refused = observer.data.get_order_book(within(PATIENCE, book)).await;
    assert_refused(refused, Code::Unavailable, "FORMAT_UNREADABLE", words);
    // Also after a restart, when it is only told of the generation or has the Seal; the other market goes on.
    let mut observer = replaced(observer, Formats::KNOWN).await;
    let market = observer.node.market(MARKET).unwrap();
    tokio::time::timeout(PATIENCE, market.faulted()).await.unwrap();
    let refused = observer.place(buy("2", "10", "1")).await;
    assert_refused(refused, Code::Unavailable, "FORMAT_UNREADABLE", words);
    let other = v1::PlaceOrderRequest { market: "ETH/USDT".into(), ..buy("3", "10", "1") };
    observer.place(other).await.unwrap();
    // And it goes on where it was with a newer program.
    let mut observer = replaced(observer, BOTH).await;
    let told = observer.place(sell("4", "10", "1")).await.unwrap();
    assert_eq!(told.order.unwrap().status(), OrderStatus::Filled);
    // Back to the old program, its disk has what that can't read.
    let mut observer = replaced(observer, Formats::KNOWN).await;
    let refused = observer.place(buy("5", "10", "1")).await;
    assert_refused(refused, Code::Unavailable, "FORMAT_UNREADABLE", words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_is_not_there_is_waited_for() {
    let free = ([127, 0, 0, 1], 0).into();
    let mut first = Served::reading(tempfile::tempdir().unwrap(), &[], [free, free], BOTH).await;
    first.create(MARKET).await.unwrap();
    let second = second_voter(&mut first, BOTH).await;
    let gone = second.node.id();
    let _directory = second.end().await;
    tokio::time::timeout(PATIENCE, async {
        while !first.node.peers().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    let request = v1::UpgradeDocumentRequest { market: MARKET.into(), format: 2 };
    let refused = first.cluster.upgrade_document(within(Duration::from_millis(500), request)).await;
    let words = format!(
        "format is \"2\": all voters of BTC/USDT must say that they read it, and {gone} is not connected"
    );
    assert_refused(refused, Code::DeadlineExceeded, "DEADLINE", &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_vote_has_no_say() {
    let mut first = Served::start().await;
    let mut observer = Served::joined(&[first.peer_address]).await;
    tokio::time::timeout(PATIENCE, observer.node.market_ready(MARKET)).await.unwrap().unwrap();
    let words =
        "the answering node does not vote on BTC/USDT, so it has no say in its format: ask one of its voters";
    assert_refused(upgrade(&mut observer, MARKET, 0).await, Code::FailedPrecondition, "NOT_VOTER", words);
    let refused = upgrade(&mut first, "A/B", 0).await;
    assert_refused(refused, Code::NotFound, "UNKNOWN_MARKET", "market is \"A/B\": no such market");
    let me = first.node.id();
    let words = format!("format is \"9\": all voters of BTC/USDT must read it, and {me} reads format 1");
    assert_refused(upgrade(&mut first, MARKET, 9).await, Code::FailedPrecondition, "FORMAT_UNREADY", &words);
}

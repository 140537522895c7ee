//! Leases that are handed over, while orders flow.

use std::time::Duration;

use tonic::Code;
use xbook_proto::v1::{self, OrderStatus};

use super::peers::three_voters;
use super::support::{MARKET, Served, assert_refused, buy, sell, within};

const PATIENCE: Duration = Duration::from_secs(20);

async fn transfer(asked: &mut Served, to: &str) -> v1::Lease {
    let request = v1::TransferLeaseRequest { market: MARKET.into(), node_id: to.into() };
    asked.cluster.transfer_lease(within(PATIENCE, request)).await.unwrap().into_inner().lease.unwrap()
}

async fn lease(asked: &mut Served) -> v1::Lease {
    let request = v1::ListLeasesRequest { market: MARKET.into() };
    asked.cluster.list_leases(request).await.unwrap().into_inner().leases.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_goes_from_node_to_node_while_orders_flow() {
    let mut nodes = three_voters().await;
    nodes[0].place(buy("first", "10", "1")).await.unwrap();
    let ids = [0, 1, 2].map(|at: usize| nodes[at].node.id().to_string());
    let mut trading = nodes[0].trading.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let flow = tokio::spawn(async move {
        let mut placed = 0;
        while stopped.is_empty() {
            let order = |sell_side| match sell_side {
                true => sell(&format!("s{placed}"), "11", "1"),
                false => buy(&format!("b{placed}"), "11", "1"),
            };
            trading.place_order(within(PATIENCE, order(true))).await.unwrap();
            let taker = trading.place_order(within(PATIENCE, order(false))).await.unwrap().into_inner();
            assert_eq!(taker.order.unwrap().status(), OrderStatus::Filled);
            placed += 1;
        }
        placed
    });
    for round in 0..6 {
        // Asked is the next holder, the holder, or the third.
        let (to, asked) = (&ids[round % 3], (round / 3 + round) % 3);
        let before = lease(&mut nodes[asked]).await;
        let held = transfer(&mut nodes[asked], to).await;
        assert_eq!((&held.holder, held.held), (to, true));
        assert!(held.term > before.term || before.holder == *to, "{before:?} {held:?}");
        assert!(held.promised_by.len() >= 2, "{held:?}");
    }
    stop.send(()).unwrap();
    let placed: u32 = flow.await.unwrap();
    assert!(placed > 0);
    // Already there: nothing changes.
    let (holder, before) = (lease(&mut nodes[0]).await.holder, lease(&mut nodes[0]).await.term);
    assert_eq!(transfer(&mut nodes[1], &holder).await.term, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_ends_hands_its_lease_over_first() {
    let mut nodes = three_voters().await;
    nodes[0].place(buy("1", "10", "1")).await.unwrap();
    let leaving = nodes[0].node.id().to_string();
    transfer(&mut nodes[1], &leaving).await;
    let [first, mut second, _third] = nodes;
    first.end().await;
    // Before a lease is over: it was told by the time the holder was gone.
    let now = lease(&mut second).await;
    assert!(now.held && now.holder != leaving, "{now:?}");
}

#[tokio::test]
async fn only_a_voter_can_get_a_lease() {
    let mut first = Served::start().await;
    let me = first.node.id().to_string();
    let held = transfer(&mut first, &me).await;
    assert_eq!((held.holder.clone(), held.promised_by), (me.clone(), vec![me]));
    let ask = |market: &str, node_id: &str| v1::TransferLeaseRequest {
        market: market.into(),
        node_id: node_id.into(),
    };
    let words = "node_id is \"00000000000000ff\": must vote on BTC/USDT";
    let refused = first.cluster.transfer_lease(ask(MARKET, "00000000000000ff")).await;
    assert_refused(refused, Code::FailedPrecondition, "NOT_VOTER", words);
    let mut observer = Served::joined(&[first.peer_address]).await;
    tokio::time::timeout(PATIENCE, observer.node.market_ready(MARKET)).await.unwrap().unwrap();
    let refused = observer.cluster.transfer_lease(ask(MARKET, &held.holder)).await;
    let words =
        "the answering node does not vote on BTC/USDT, so it has no say in its lease: ask one of its voters";
    assert_refused(refused, Code::FailedPrecondition, "NOT_VOTER", words);
    let refused = first.cluster.transfer_lease(ask("A/B", "00000000000000ff")).await;
    assert_refused(refused, Code::NotFound, "UNKNOWN_MARKET", "market is \"A/B\": no such market");
    let all = first.cluster.list_leases(v1::ListLeasesRequest::default()).await.unwrap().into_inner();
    let names: Vec<_> = all.leases.iter().map(|lease| lease.document.as_str()).collect();
    assert_eq!(names, ["directory", MARKET]);
}

//! Nodes that joined: the same book everywhere, orders from anywhere, and what a cut leaves.

use std::time::Duration;

use tonic::Code;
use tonic_types::StatusExt;
use xbook::node::{Node, Start};
use xbook::types::NodeId;
use xbook_proto::v1::{self, OrderStatus, Reason};

use super::support::{MARKET, Served, assert_refused, buy, create_request, levels, reason, sell, within};

pub async fn joined(first: &Served) -> Served {
    let served = Served::joined(&[first.peer_address]).await;
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
    let addresses = first.addresses();
    let mut second = joined(&first).await;
    let directory = first.end().await;
    let order = within(Duration::from_secs(2), buy("a", "10", "100"));
    let pending = second.trading.place_order(order).await.unwrap().into_inner();
    assert_eq!(pending.order.unwrap().status(), OrderStatus::Pending);
    let mut first = Served::at(directory, addresses).await;
    let placed = second.place(buy("a", "10", "100")).await.unwrap();
    assert_eq!(placed.order.unwrap().status(), OrderStatus::Open);
    assert_eq!(levels(&first.book(placed.position).await.bids), [("10", "100")]);
}

/// Three nodes that are the voters of the market. Second and third join the first, and find each
/// other through the directory.
pub async fn three_voters() -> [Served; 3] {
    let mut first = Served::empty().await;
    let second = Served::joined(&[first.peer_address]).await;
    let third = Served::joined(&[first.peer_address]).await;
    let ids = [&first, &second, &third].map(|served| served.node.id().to_string());
    let request = v1::CreateMarketRequest { voters: ids.to_vec(), ..create_request(MARKET) };
    let known = async {
        while [&first, &second, &third].iter().any(|served| served.node.peers().len() < 2) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        first.cluster.create_market(request).await
    };
    tokio::time::timeout(Duration::from_secs(10), known).await.unwrap().unwrap();
    let mut nodes = [first, second, third];
    for node in &mut nodes {
        tokio::time::timeout(Duration::from_secs(10), node.node.market_ready(MARKET)).await.unwrap().unwrap();
        let document = document(node, MARKET).await;
        let mut voters = ids.to_vec();
        voters.sort();
        assert_eq!(document.voters, voters);
    }
    nodes
}

pub async fn document(served: &mut Served, name: &str) -> v1::DocumentStatus {
    let node = served.cluster.get_node(v1::GetNodeRequest {}).await.unwrap().into_inner();
    node.documents.into_iter().find(|document| document.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_voters_commit_orders_of_each_and_two_go_on_without_the_holder() {
    let mut nodes = three_voters().await;
    for (at, node) in nodes.iter_mut().enumerate() {
        let placed = node.place(buy(&format!("b{at}"), "10", "1")).await.unwrap();
        assert_eq!(placed.order.unwrap().status(), OrderStatus::Open);
    }
    let holder = document(&mut nodes[0], MARKET).await.holder;
    let at = nodes.iter().position(|node| node.node.id().to_string() == holder).unwrap();
    let [one, two, three] = nodes;
    let (gone, mut left) = match at {
        0 => (one, [two, three]),
        1 => (two, [one, three]),
        _ => (three, [one, two]),
    };
    gone.end().await;
    for (at, node) in left.iter_mut().enumerate() {
        let placed = node.place(sell(&format!("s{at}"), "10", "1")).await.unwrap();
        assert_eq!(placed.order.unwrap().status(), OrderStatus::Filled);
        assert_ne!(document(node, MARKET).await.holder, holder);
    }
}

#[tokio::test]
async fn a_pending_order_is_withdrawn_before_it_can_fill() {
    let mut first = Served::start().await;
    first.place(sell("ask", "10", "100")).await.unwrap();
    let addresses = first.addresses();
    let mut second = joined(&first).await;
    let directory = first.end().await;
    let order = within(Duration::from_secs(1), buy("a", "10", "100"));
    let pending = second.trading.place_order(order).await.unwrap().into_inner().order.unwrap();
    assert_eq!(pending.status(), OrderStatus::Pending);
    let withdraw = v1::CancelOrderRequest {
        request_id: "w".into(),
        market: MARKET.into(),
        order_id: pending.order_id.clone(),
        withdraw: true,
        ..Default::default()
    };
    // Nobody else has the order, so it can't trade any more.
    let late = second.trading.cancel_order(within(Duration::from_millis(300), withdraw.clone())).await;
    let late = late.unwrap().into_inner();
    assert!(late.withdrawn && late.order.is_none());

    let mut first = Served::at(directory, addresses).await;
    for node in [&mut second, &mut first] {
        let done = node.trading.cancel_order(withdraw.clone()).await.unwrap().into_inner();
        let order = done.order.unwrap();
        assert_eq!((order.status(), order.reason()), (OrderStatus::Cancelled, Reason::Requested));
        assert_eq!((order.order_id.as_str(), order.filled_quantity.as_str()), (&*pending.order_id, "0"));
        let placed = node.place(buy("a", "10", "100")).await.unwrap().order.unwrap();
        assert_eq!((placed.status(), placed.order_id), (OrderStatus::Cancelled, order.order_id));
        let book = node.book(done.position).await;
        assert_eq!((levels(&book.bids), levels(&book.asks)), (vec![], vec![("10", "100")]));
    }
    let again = v1::CancelOrderRequest { request_id: "w2".into(), ..withdraw };
    let closed = second.trading.cancel_order(again).await;
    let words = format!("order_id is \"{}\": the order is closed: CANCELLED", pending.order_id);
    assert_refused(closed, Code::FailedPrecondition, "ORDER_CLOSED", &words);
}

#[tokio::test]
async fn a_market_created_anywhere_is_everywhere() {
    let mut first = Served::empty().await;
    let mut second = Served::joined(&[first.peer_address]).await;
    second.create("ETH/USDT").await.unwrap();
    let ready = tokio::time::timeout(Duration::from_secs(10), first.node.market_ready("ETH/USDT")).await;
    ready.unwrap().unwrap();
    assert!(first.create("ETH/USDT").await.is_ok(), "the same request has one effect");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_listed_and_one_that_is_gone_can_be_forgotten() {
    let mut first = Served::empty().await;
    let second = Served::joined(&[first.peer_address]).await;
    let expected = |connected| {
        let mut nodes: Vec<v1::ClusterNode> = [(&first, true), (&second, false)]
            .map(|(served, this_node)| v1::ClusterNode {
                node_id: served.node.id().to_string(),
                address: served.address.to_string(),
                peer_address: served.peer_address.to_string(),
                this_node,
                connected: this_node || connected,
                voter: this_node,
                clock_ahead_us: None,
            })
            .into();
        nodes.sort_by(|a, b| a.node_id.cmp(&b.node_id));
        nodes
    };
    let (both, one_gone) = (expected(true), expected(false));
    let mut nodes = async |expected: &[v1::ClusterNode]| {
        let reached = async {
            loop {
                let mut list = first.cluster.list_nodes(v1::ListNodesRequest {}).await.unwrap().into_inner();
                for node in &mut list.nodes {
                    let ahead = node.clock_ahead_us.take();
                    // The majority of one voter's clocks is its own.
                    assert!(!node.this_node || ahead.is_none_or(|ahead| ahead == 0), "{ahead:?}");
                }
                if list.nodes == expected {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reached).await.unwrap();
    };
    nodes(&both).await;
    let gone = second.node.id();
    second.end().await;
    nodes(&one_gone).await;
    let remove = |node: NodeId| v1::RemoveNodeRequest {
        request_id: format!("remove-{node}"),
        node_id: node.to_string(),
    };
    let me = first.node.id();
    let words = format!("node_id is \"{me}\": must be no voter, but it votes on directory");
    let refused = first.cluster.remove_node(remove(me)).await;
    assert_refused(refused, Code::FailedPrecondition, "ALREADY_VOTER", &words);
    let removed = first.cluster.remove_node(remove(gone)).await.unwrap().into_inner();
    assert_eq!(first.cluster.remove_node(remove(gone)).await.unwrap().into_inner(), removed, "a repeat");
    let again = v1::RemoveNodeRequest { request_id: "again".into(), ..remove(gone) };
    let refused = first.cluster.remove_node(again).await;
    let words = format!("node_id is \"{gone}\": no such node in this cluster");
    assert_refused(refused, Code::NotFound, "UNKNOWN_NODE", &words);
    let left = first.cluster.list_nodes(v1::ListNodesRequest {}).await.unwrap().into_inner().nodes;
    assert_eq!(left.iter().map(|node| node.node_id.clone()).collect::<Vec<_>>(), [me.to_string()]);
}

#[tokio::test]
async fn a_new_directory_needs_a_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let start = Start { data: directory.path().to_owned(), ..Start::default() };
    let error = Node::start(start).await.err().unwrap().to_string();
    assert!(error.contains("begin one with --bootstrap, or join one with --join HOST:PORT"), "{error}");
}

/// Places orders until the market's document has begun a generation.
pub async fn place_until_generation(served: &mut Served, name: &str, generation: u64) -> u64 {
    let mut placed = 0;
    let mut last = 0;
    while document(served, MARKET).await.generation < generation {
        for _ in 0..20 {
            let order = buy(&format!("{name}-{placed}"), "10", "1");
            last = served.place(order).await.unwrap().position;
            placed += 1;
        }
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_slept_through_generations_catches_up_with_its_history() {
    let mut first = Served::start().await;
    let mut second = joined(&first).await;
    let addresses = second.addresses();
    let order = within(Duration::from_secs(5), buy("early", "10", "1"));
    let early = second.trading.place_order(order).await.unwrap().into_inner();
    let directory = second.end().await;
    place_until_generation(&mut first, "while-away", 3).await;
    let mut second = Served::at(directory, addresses).await;
    let last = place_until_generation(&mut first, "after", 4).await;
    assert_eq!(levels(&second.book(last).await.bids), levels(&first.book(last).await.bids));

    let history = second.node.market(MARKET).unwrap().history().unwrap().clone();
    let whole = async {
        while !history.gaps().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), whole).await.unwrap();
    let mut next = early.position;
    for block in history.blocks_after(xbook::types::Position(next - 1)) {
        let block = block.unwrap().block;
        assert!(block.first.0 <= next, "a gap before {}", block.first);
        next = block.last.0 + 1;
    }
    assert!(next > last);
    let theirs = first.node.market(MARKET).unwrap().history().unwrap().clone();
    let changes = |history: &xbook::history::History| -> Vec<_> {
        history
            .blocks_after(xbook::types::Position(0))
            .flat_map(|block| block.unwrap().block.changes)
            .collect()
    };
    let (mine, theirs) = (changes(&history), changes(&theirs));
    let common = mine.len().min(theirs.len());
    assert!(common as u64 > early.position);
    assert_eq!(mine[..common], theirs[..common]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_after_generations_finds_everything() {
    let mut first = Served::start().await;
    let last = place_until_generation(&mut first, "before", 4).await;
    let (addresses, levels_before) = (first.addresses(), first.book(last).await.bids);
    let directory = first.end().await;
    let mut first = Served::at(directory, addresses).await;
    assert_eq!(levels(&first.book(last).await.bids), levels(&levels_before));
    let again = first.place(buy("before-0", "10", "1")).await.unwrap();
    assert!(again.position < last, "a repeat across generations has the first's result");
    first.place(buy("new", "10", "1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_past_its_time_is_not_told_as_open_while_nobody_can_close_it() {
    let [mut left, second, third] = three_voters().await;
    let now = left.node.clock().now().0;
    let at = now + 3_000_000;
    let expire_time = prost_types::Timestamp {
        seconds: i64::try_from(at / 1_000_000).unwrap(),
        nanos: i32::try_from(at % 1_000_000 * 1_000).unwrap(),
    };
    let mut ids = Vec::new();
    for (name, expires) in [("gtd", Some(expire_time)), ("gtc", None)] {
        let mut request = buy(name, "10", "1");
        let order = request.order.as_mut().unwrap();
        order.expire_time = expires;
        if expires.is_some() {
            order.set_time_in_force(v1::TimeInForce::Gtd);
        }
        let order = left.place(request).await.unwrap().order.unwrap();
        assert_eq!(order.status(), OrderStatus::Open);
        ids.push(order.order_id);
    }
    let (at_second, data_of_second) = (second.addresses(), second.end().await);
    let _third = third.end().await;
    tokio::time::sleep(left.node.clock().until(xbook::types::Micros(at))).await;
    assert_eq!(left.order(&ids[0]).await.status(), OrderStatus::Expiring);
    assert_eq!(left.order(&ids[1]).await.status(), OrderStatus::Open);
    let list = v1::ListOrdersRequest { market: MARKET.into(), ..Default::default() };
    let listed = left.trading.list_orders(list).await.unwrap().into_inner().orders;
    let told: Vec<_> = listed.iter().map(|order| (order.order_id.clone(), order.status())).collect();
    let expected = [OrderStatus::Expiring, OrderStatus::Open];
    assert_eq!(told, ids.clone().into_iter().zip(expected).collect::<Vec<_>>());

    // A majority closes it.
    let _second = Served::at(data_of_second, at_second).await;
    let closed = async {
        while left.order(&ids[0]).await.status() == OrderStatus::Expiring {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        left.order(&ids[0]).await.status()
    };
    let closed = tokio::time::timeout(Duration::from_secs(20), closed).await.unwrap();
    assert_eq!(closed, OrderStatus::Expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hears_of_nobody_does_not_deny_a_market() {
    let first = Served::start().await;
    let second = joined(&first).await;
    let (at_first, at_second) = (first.addresses(), second.addresses());
    let (data_of_first, data_of_second) = (first.end().await, second.end().await);
    let mut second = Served::at(data_of_second, at_second).await;
    let other = || v1::GetMarketRequest { market: "ETH/USDT".into() };
    let words = "this node has just started or joined, and does not know of a market ETH/USDT yet: ask another \
                 node, or again";
    let refused = second.data.get_market(other()).await;
    assert!(refused.as_ref().unwrap_err().get_error_details().retry_info().is_some());
    assert_refused(refused, Code::Unavailable, "STARTING", words);
    let place = v1::PlaceOrderRequest { market: "ETH/USDT".into(), ..buy("a", "10", "1") };
    assert_refused(second.place(place).await, Code::Unavailable, "STARTING", words);
    let lease = v1::ListLeasesRequest { market: "ETH/USDT".into() };
    assert_refused(second.cluster.list_leases(lease).await, Code::Unavailable, "STARTING", words);
    // What it has it tells.
    assert_eq!(
        second.data.list_markets(v1::ListMarketsRequest {}).await.unwrap().into_inner().markets.len(),
        1
    );

    let mut first = Served::at(data_of_first, at_first).await;
    let known = async {
        while let Err(status) = second.data.get_market(other()).await {
            if status.code() == Code::NotFound {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), known).await.unwrap();
    assert_eq!(first.data.get_market(other()).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn joining_what_takes_a_connection_and_is_silent_goes_on_to_the_next() {
    let first = Served::start().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peers = [silent.local_addr().unwrap(), first.peer_address];
    let joined = tokio::time::timeout(Duration::from_secs(15), Served::joined(&peers)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), joined.node.market_ready(MARKET)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_never_says_that_an_old_order_is_not_there() {
    let mut first = Served::start().await;
    let old = first.place(buy("old", "10", "1")).await.unwrap().order.unwrap().order_id;
    place_until_generation(&mut first, "later", 4).await;
    for _ in 0..3 {
        let mut second = joined(&first).await;
        let refused = tokio::time::timeout(Duration::from_secs(20), async {
            let mut refused = Vec::new();
            let names = [
                v1::GetOrderRequest { order_id: old.clone(), ..Default::default() },
                v1::GetOrderRequest { placed_by_request_id: "old".into(), ..Default::default() },
            ];
            for name in names.iter().cycle() {
                let request = v1::GetOrderRequest { market: MARKET.into(), ..name.clone() };
                match second.trading.get_order(request).await {
                    Ok(found) => assert_eq!(found.into_inner().order.unwrap().order_id, old),
                    Err(status) => {
                        refused.push((status.code(), reason(&status)));
                        continue;
                    }
                }
                return refused;
            }
            unreachable!("names come again and again")
        });
        for told in refused.await.unwrap() {
            assert_eq!(told.0, Code::Unavailable, "{told:?}");
            assert!(["STARTING", "AWAY"].contains(&told.1.as_str()), "{told:?}");
        }
        // What nobody knows is not there, once this node knows what the others do.
        let unknown = v1::GetOrderRequest {
            market: MARKET.into(),
            order_id: "00000000000000ff-1".into(),
            ..Default::default()
        };
        let status = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                match second.trading.get_order(unknown.clone()).await.unwrap_err() {
                    status if status.code() == Code::Unavailable => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    status => return status,
                }
            }
        });
        assert_eq!(status.await.unwrap().code(), Code::NotFound);
        second.end().await;
    }
    first.end().await;
}

//! Nodes that are cut off from each other, in network namespaces: orders go to both sides.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;
use tonic::Request;
use tonic::metadata::MetadataValue;
use xbook_proto::v1::trading_service_client::TradingServiceClient;
use xbook_proto::v1::{AnswerWhen, GetOrderRequest, NewOrder, Order, OrderStatus, PlaceOrderRequest, Side};
use xbook_tests::client::{Progress, next_trade};
use xbook_tests::clock::Stopwatch;
use xbook_tests::cluster::Cluster;
use xbook_tests::network::Network;

use super::{LEASE, MARKET, begin_with, check};

/// How long a call on the minority's side waits before it is told that its order is pending.
const PENDING_AFTER: Duration = Duration::from_secs(2);

/// An order of a client whose orders are in the record, which will trade once it is sequenced.
fn order(name: &str) -> Request<PlaceOrderRequest> {
    let order = NewOrder {
        side: Side::Buy.into(),
        price: "1010".into(),
        quantity: "3".into(),
        ..NewOrder::default()
    };
    let mut request = Request::new(PlaceOrderRequest {
        request_id: name.into(),
        market: MARKET.into(),
        order: Some(order),
        answer_when: AnswerWhen::Committed.into(),
    });
    request.metadata_mut().insert("xbook-account", MetadataValue::from_static("caller-0"));
    request.set_timeout(PENDING_AFTER);
    request
}

/// Places an order through a node that has no majority: it is kept, and pending.
async fn place_pending(cluster: &Cluster, node: usize, name: &str) -> Result<Order> {
    let mut trading = TradingServiceClient::new(cluster.connect(node).await?);
    let placed = trading.place_order(order(name)).await?.into_inner();
    let order = placed.order.clone().context("an answer without an order")?;
    ensure!(order.status() == OrderStatus::Pending, "without a majority: {order:?}");
    ensure!(placed.fills.is_empty(), "a fill without a majority: {placed:?}");
    Ok(order)
}

/// A kept order has been sequenced meanwhile.
async fn is_sequenced(cluster: &Cluster, node: usize, order: &Order) -> Result<()> {
    let mut trading = TradingServiceClient::new(cluster.connect(node).await?);
    let mut request = Request::new(GetOrderRequest {
        market: MARKET.into(),
        order_id: order.order_id.clone(),
        ..GetOrderRequest::default()
    });
    request.metadata_mut().insert("xbook-account", MetadataValue::from_static("caller-0"));
    let now = trading.get_order(request).await?.into_inner().order.context("no order")?;
    let sequenced = [OrderStatus::Open, OrderStatus::PartiallyFilled, OrderStatus::Filled];
    ensure!(sequenced.contains(&now.status()), "after healing: {now:?}");
    Ok(())
}

/// Position of the market on a node.
async fn position(cluster: &Cluster, node: usize) -> Result<u64> {
    Ok(cluster.status(node, MARKET).await?.context("no market")?.position)
}

/// With everyone trading on both sides: a minority is split off, keeps what it is sent and commits
/// nothing, the majority goes on; then it is healed, and everything is matched or rests everywhere.
async fn split(
    cluster: Cluster,
    part: impl Fn(&Network, usize) -> Result<()>,
    heal: impl Fn(&Network, usize) -> Result<()>,
    minority: impl Fn(usize, usize) -> Vec<usize>,
) -> Result<()> {
    let (cluster, mut clients, _) = begin_with(cluster).await?;
    for holder_is_cut_off in [false, true] {
        let addresses = cluster.addresses();
        let act = async |progress: &Progress| {
            progress.answers(40).await;
            let holder = cluster.holder(MARKET).await?;
            let cut = if holder_is_cut_off { holder } else { (holder + 1) % cluster.len() };
            let few = minority(cut, cluster.len());
            let majority = (0..cluster.len()).find(|node| !few.contains(node)).context("no majority")?;
            part(cluster.network()?, cut)?;
            sleep(2 * LEASE).await;
            let (before, shown) = (position(&cluster, majority).await?, position(&cluster, cut).await?);
            next_trade(&cluster.address(majority), MARKET).await?;
            let pending = place_pending(&cluster, cut, &format!("minority-{holder_is_cut_off}")).await?;
            let (after, still) = (position(&cluster, majority).await?, position(&cluster, cut).await?);
            ensure!(after > before, "the majority did not go on");
            ensure!(still == shown, "the minority went from {shown} to {still}");
            heal(cluster.network()?, cut)?;
            let since = Stopwatch::start();
            cluster
                .wait_until("the minority is back", async || Ok(position(&cluster, cut).await? > after))
                .await?;
            println!("back after {:?}; holder was cut off: {holder_is_cut_off}", since.elapsed());
            progress.answers(40).await;
            anyhow::Ok(pending)
        };
        let pending = clients.trade_while(&addresses, act).await?;
        check(&cluster, &mut clients).await?;
        for node in cluster.running() {
            is_sequenced(&cluster, node, &pending).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_is_cut_off() -> Result<()> {
    let Some(network) = Network::new(3)? else { return Ok(()) };
    let cluster = Cluster::start_on(network).await?;
    split(cluster, Network::cut, Network::mend, |cut, _| vec![cut]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_five_are_cut_off() -> Result<()> {
    let Some(network) = Network::new(5)? else { return Ok(()) };
    let cluster = Cluster::start_on(network).await?;
    let few = |cut: usize, nodes: usize| vec![cut, (cut + 1) % nodes];
    let between = |cut| {
        let few = few(cut, 5);
        let many = (0..5).filter({
            let few = few.clone();
            move |node| !few.contains(node)
        });
        many.flat_map(move |one| few.clone().into_iter().map(move |other| (one, other)))
    };
    let part = |network: &Network, cut| {
        between(cut)
            .try_for_each(|(one, other)| network.block(one, other).and_then(|()| network.block(other, one)))
    };
    let heal = |network: &Network, cut| {
        between(cut).try_for_each(|(one, other)| {
            network.unblock(one, other).and_then(|()| network.unblock(other, one))
        })
    };
    split(cluster, part, heal, few).await
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_are_lost_one_way_or_between_two_stop_nobody() -> Result<()> {
    let Some(network) = Network::new(3)? else { return Ok(()) };
    let (cluster, mut clients, _) = begin_with(Cluster::start_on(network).await?).await?;
    let addresses = cluster.addresses();
    let act = async |progress: &Progress| {
        for (there, back) in [(true, false), (false, true), (true, true)] {
            progress.answers(30).await;
            let holder = cluster.holder(MARKET).await?;
            let other = (holder + 1) % 3;
            let network = cluster.network()?;
            if there {
                network.block(holder, other)?;
            }
            if back {
                network.block(other, holder)?;
            }
            sleep(3 * LEASE).await;
            // Through the node that both can reach.
            next_trade(&cluster.address((holder + 2) % 3), MARKET).await?;
            progress.answers(30).await;
            if there {
                network.unblock(holder, other)?;
            }
            if back {
                network.unblock(other, holder)?;
            }
        }
        anyhow::Ok(())
    };
    clients.trade_while(&addresses, act).await?;
    check(&cluster, &mut clients).await
}

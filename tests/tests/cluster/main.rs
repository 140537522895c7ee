//! Three and five real nodes under load, killed, stopped and cut off: whatever a client was told stays true.
#![allow(clippy::print_stdout, reason = "whoever repeats a failed run needs the seed")]

mod copies;
mod kills;
mod partitions;
mod playbooks;
mod weather;

use std::time::Duration;

use anyhow::{Result, ensure};
use xbook_proto::v1::{MarketRules, SelfTradePrevention};
use xbook_tests::client::{Crowd, Flow, Random, Window};
use xbook_tests::cluster::Cluster;
use xbook_tests::process::Address;

const MARKET: &str = "BTC/USDT";

/// How long a lease lasts without renewal.
const LEASE: Duration = Duration::from_secs(1);

/// Sessions are slow, so that there is less to compare at the end.
const WINDOW: Window = Window { outstanding: 100, message: 20, pause: Duration::from_millis(30) };

/// Whole prices and quantities.
fn rules() -> MarketRules {
    // Accounts trade with themselves here.
    MarketRules {
        tick_size: "1".into(),
        lot_size: "1".into(),
        default_self_trade_prevention: SelfTradePrevention::Allow.into(),
        ..MarketRules::default()
    }
}

/// The random numbers of this run.
fn random() -> Random {
    let seed = Random::seed();
    println!("XBOOK_SEED={seed} chooses the same orders again");
    Random::new(seed)
}

/// Nodes that are all voters of one market, and its clients.
async fn begin(nodes: usize) -> Result<(Cluster, Crowd, Random)> {
    begin_with(Cluster::start(nodes).await?).await
}

/// The same with these nodes.
async fn begin_with(cluster: Cluster) -> Result<(Cluster, Crowd, Random)> {
    let nodes = cluster.len();
    let mut random = random();
    cluster.create_market(MARKET, rules(), &(0..nodes).collect::<Vec<_>>()).await?;
    let clients = Crowd::new(&mut random, MARKET, 3 * nodes, nodes, nodes).with_flow(Flow::WILD, WINDOW);
    Ok((cluster, clients, random))
}

/// While nobody trades: every open question is answered by any node that runs, all of them show the same, and
/// every promise holds in it.
async fn check(cluster: &Cluster, clients: &mut Crowd) -> Result<()> {
    cluster.agree(MARKET).await?;
    let mut channels = Vec::new();
    for node in cluster.running() {
        channels.push(cluster.connect(node).await?);
    }
    clients.recover(&channels).await?;
    let agreed = cluster.agree(MARKET).await?;
    let first = clients.record(&channels[0]).await?;
    clients.holds_in(&first)?;
    for channel in &channels[1..] {
        let other = clients.record(channel).await?;
        ensure!(other.orders == first.orders, "the nodes show different orders");
        ensure!(other.trades == first.trades, "the nodes show different trades");
        ensure!(other == first, "the nodes show different markets");
    }
    let [calls, sessions] = clients.promised();
    println!(
        "position {}, term {}: {} orders, {} trades; promised orders and fills: calls {calls:?}, sessions {sessions:?}",
        agreed.position,
        agreed.term,
        first.orders.len(),
        first.trades.len(),
    );
    ensure!(calls.1 > 0 && sessions.1 > 0, "nothing was promised");
    Ok(())
}

/// One of the others.
fn other(cluster: &Cluster, node: usize) -> Address {
    cluster.address((node + 1) % cluster.len())
}

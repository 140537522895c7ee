//! Nodes that are killed, stopped, started again, or lose their disks.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;
use xbook_proto::v1::StreamTradesRequest;
use xbook_proto::v1::market_data_service_client::MarketDataServiceClient;
use xbook_proto::v1::stream_trades_response::Event;
use xbook_tests::client::{Progress, next_trade};
use xbook_tests::clock::Stopwatch;
use xbook_tests::process::Address;

use super::{LEASE, MARKET, begin, check, other};

#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_when_the_lease_holder_is_killed() -> Result<()> {
    let (mut cluster, mut clients, _) = begin(3).await?;
    for round in 1..=3 {
        let addresses = cluster.addresses();
        let act = async |progress: &Progress| {
            progress.answers(60).await;
            let holder = cluster.holder(MARKET).await?;
            cluster.kill(holder).await?;
            let since = Stopwatch::start();
            next_trade(&other(&cluster, holder), MARKET).await?;
            println!("round {round}: next fill {:?} after the kill of the holder", since.elapsed());
            // Time alone proves nothing on a busy machine: this only says that it comes back.
            ensure!(since.elapsed() < 20 * LEASE, "no fill for {:?}", since.elapsed());
            progress.answers(60).await;
            cluster.restart(holder).await?;
            progress.answers(20).await;
            anyhow::Ok(())
        };
        clients.trade_while(&addresses, act).await?;
        check(&cluster, &mut clients).await.with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_told_to_end_hands_over_before_it_does() -> Result<()> {
    let (mut cluster, mut clients, _) = begin(3).await?;
    for round in 1..=3 {
        let addresses = cluster.addresses();
        let act = async |progress: &Progress| {
            progress.answers(60).await;
            let holder = cluster.holder(MARKET).await?;
            let watched = (holder + 1) % cluster.len();
            let address = cluster.address(watched);
            let enough = tokio::sync::Notify::new();
            let (gap, next) = tokio::join!(longest_gap(&address, &enough), async {
                let exit = cluster.terminate(holder).await?;
                ensure!(exit.code == Some(0), "{:?}", exit.log);
                let status = cluster.status(watched, MARKET).await?.context("no market")?;
                progress.answers(60).await;
                enough.notify_one();
                anyhow::Ok(status.holder)
            });
            ensure!(next? != cluster.id(holder), "it ended before another node had its lease");
            println!("round {round}: longest time between fills {:?}, while the holder ended", gap?);
            cluster.restart(holder).await?;
            progress.answers(20).await;
            anyhow::Ok(())
        };
        clients.trade_while(&addresses, act).await?;
        check(&cluster, &mut clients).await.with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// The longest time between two trades that a node shows, until there are enough.
async fn longest_gap(node: &Address, enough: &tokio::sync::Notify) -> Result<Duration> {
    let mut data = MarketDataServiceClient::new(node.connect().await?);
    let request = StreamTradesRequest { market: MARKET.into(), after_position: None };
    let mut trades = data.stream_trades(request).await?.into_inner();
    let (mut longest, mut since) = (Duration::ZERO, Stopwatch::start());
    loop {
        let message = tokio::select! {
            message = trades.message() => message?.context("the stream of trades ended")?,
            () = enough.notified() => return Ok(longest),
        };
        if let Some(Event::Trade(_)) = message.event {
            longest = longest.max(since.elapsed());
            since = Stopwatch::start();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_slept_beyond_its_lease_gives_way() -> Result<()> {
    let (mut cluster, mut clients, _) = begin(3).await?;
    let addresses = cluster.addresses();
    let act = async |progress: &Progress| {
        progress.answers(60).await;
        let holder = cluster.holder(MARKET).await?;
        cluster.stop(holder)?;
        next_trade(&other(&cluster, holder), MARKET).await?;
        let next = cluster.holder(MARKET).await?;
        ensure!(next != holder, "a stopped process holds the lease");
        progress.answers(60).await;
        sleep(2 * LEASE).await;
        cluster.go_on(holder)?;
        progress.answers(60).await;
        anyhow::Ok(())
    };
    clients.trade_while(&addresses, act).await?;
    check(&cluster, &mut clients).await
}

#[tokio::test(flavor = "multi_thread")]
async fn promises_hold_through_a_storm_of_restarts() -> Result<()> {
    let (mut cluster, mut clients, mut random) = begin(3).await?;
    let addresses = cluster.addresses();
    let act = async |progress: &Progress| {
        progress.answers(30).await;
        for _ in 0..8 {
            let node = usize::try_from(random.below(3))?;
            cluster.kill(node).await?;
            sleep(Duration::from_millis(random.below(600))).await;
            cluster.restart(node).await?;
        }
        cluster.holder(MARKET).await?;
        progress.answers(30).await;
        anyhow::Ok(())
    };
    clients.trade_while(&addresses, act).await?;
    check(&cluster, &mut clients).await
}

#[tokio::test(flavor = "multi_thread")]
async fn five_voters_go_on_without_two() -> Result<()> {
    let (mut cluster, mut clients, _) = begin(5).await?;
    let addresses = cluster.addresses();
    let act = async |progress: &Progress| {
        progress.answers(50).await;
        let holder = cluster.holder(MARKET).await?;
        let second = (holder + 1) % 5;
        cluster.kill(holder).await?;
        cluster.kill(second).await?;
        next_trade(&cluster.address((holder + 2) % 5), MARKET).await?;
        progress.answers(50).await;
        anyhow::Ok([holder, second])
    };
    let dead = clients.trade_while(&addresses, act).await?;
    for node in dead {
        cluster.restart(node).await?;
    }
    check(&cluster, &mut clients).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_disk_comes_back_as_an_observer() -> Result<()> {
    let (mut cluster, mut clients, _) = begin(3).await?;
    // Not the first one, the directory's only voter: without that nobody else is let in.
    let lost = cluster.holder(MARKET).await?.max(1);
    // What only the lost disk had is lost, as an order that was accepted and not yet sent on.
    let addresses = [other(&cluster, lost), cluster.address((lost + 2) % 3)];
    let act = async |progress: &Progress| {
        progress.answers(50).await;
        cluster.kill(lost).await?;
        // An empty directory is another node, whatever the address.
        let replaced = cluster.replace(lost).await?;
        progress.answers(50).await;
        anyhow::Ok(replaced)
    };
    let (old, new) = clients.trade_while(&addresses, act).await?;
    ensure!(old != new, "an empty node has the old one's id");
    check(&cluster, &mut clients).await?;
    for node in cluster.running() {
        let status = cluster.status(node, MARKET).await?.context("no market")?;
        ensure!(status.voters.contains(&old), "the voters changed by themselves: {status:?}");
        ensure!(!status.voters.contains(&new), "a node without memory votes: {status:?}");
        ensure!(status.holder != new, "a node without a vote holds the lease: {status:?}");
    }
    Ok(())
}

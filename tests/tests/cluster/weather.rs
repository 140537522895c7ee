//! Links that are slow, late, unreliable or silent, by a proxy in front of each node.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;
use xbook_tests::client::{Progress, next_trade};
use xbook_tests::cluster::Cluster;
use xbook_tests::proxy::Weather;

use super::{LEASE, MARKET, begin_with, check, random};

#[tokio::test(flavor = "multi_thread")]
async fn promises_hold_on_slow_and_unreliable_links() -> Result<()> {
    let cluster = Cluster::start_behind_proxies(3, &mut random()).await?;
    let (cluster, mut clients, _) = begin_with(cluster).await?;
    let fair = Weather::default();
    let weathers = [
        Weather { delay: Duration::from_millis(30), ..fair },
        Weather { delay: Duration::from_millis(5), bytes_per_s: Some(200_000), ..fair },
        Weather { reset_one_in: Some(300), ..fair },
    ];
    let addresses = cluster.addresses();
    let set_all = |weather| (0..3).try_for_each(|node| cluster.proxy(node).map(|proxy| proxy.set(weather)));
    let act = async |progress: &Progress| {
        for weather in weathers {
            set_all(weather)?;
            progress.answers(40).await;
            sleep(2 * LEASE).await;
        }
        set_all(fair)?;
        // One node's links are half open: nothing comes through, and nobody is told.
        let holder = cluster.holder(MARKET).await?;
        cluster.proxy(holder)?.set(Weather { silent: true, ..fair });
        sleep(3 * LEASE).await;
        cluster.proxy(holder)?.set(fair);
        next_trade(&cluster.address((holder + 1) % 3), MARKET).await?;
        progress.answers(40).await;
        anyhow::Ok(())
    };
    clients.trade_while(&addresses, act).await?;
    check(&cluster, &mut clients).await
}

//! A replay through one node of a cluster while the holder of the lease, another node, is killed
//! again and again.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::watch;

use super::{Pace, Replayed, create_market, replay};
use crate::cluster::Cluster;
use crate::workload::e1::Message;

/// The node that everything is sent through; it is never killed.
pub const THROUGH: usize = 0;

/// Sends all messages through one node to a new market of which all nodes are voters. So many times
/// on the way the lease is brought to another node, which is killed while commands are on their way,
/// and started again.
///
/// # Errors
/// As of [`replay`]; or the nodes don't agree on everything at the end.
pub async fn replay_killing(
    cluster: &mut Cluster,
    messages: &[Message],
    pace: Pace,
    kills: u32,
    clock: impl Fn() -> Duration,
    progress: impl Fn(u64),
) -> Result<Replayed> {
    cluster.connected().await?;
    let channel = cluster.connect(THROUGH).await?;
    let voters = (0..cluster.len()).map(|node| cluster.id(node).to_owned()).collect();
    let market = create_market(channel.clone(), voters).await?;
    cluster.holder(&market).await?;
    let length = messages.len() as u64 / (u64::from(kills) + 1);
    // Small enough that every opening of the gate lets something through.
    let batch = pace.batch.min(u32::try_from(length / 8)?.max(1));
    // Commands up to here may be sent.
    let open = watch::Sender::new(if kills == 0 { u64::MAX } else { 0 });
    let answered = watch::Sender::new(0);
    let killing = async {
        for kill in 1..=u64::from(kills) {
            cluster.hold_elsewhere(&market, THROUGH).await?;
            let holder = cluster.holder(&market).await?;
            // The kill finds half a stretch on its way.
            open.send_replace(length * kill + length / 2);
            answered.subscribe().wait_for(|answered| *answered >= length * kill).await?;
            cluster.kill(holder).await?;
            let stalled = *answered.borrow();
            // There is more to do for whoever takes over.
            open.send_replace(length * kill + length * 3 / 4);
            answered.subscribe().wait_for(|answered| *answered > stalled).await?;
            cluster.restart(holder).await?;
        }
        open.send_replace(u64::MAX);
        anyhow::Ok(())
    };
    let gate = async |last: u64| {
        // The sender is here.
        let _ = open.subscribe().wait_for(|open| last <= *open).await;
    };
    let told = |count| {
        answered.send_replace(count);
        progress(count);
    };
    let replaying = replay(channel, &market, messages, Pace { batch, ..pace }, clock, told, gate);
    let (replayed, ()) = match tokio::try_join!(replaying, killing) {
        Ok(replayed) => replayed,
        Err(error) => return Err(error.context(cluster.describe_all().await)),
    };
    let agreed = cluster.agree(&market).await?;
    ensure!(agreed.pending_intents == 0 && agreed.position > 0, "not everything is committed: {agreed:?}");
    Ok(replayed)
}

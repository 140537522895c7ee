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
    let channel = cluster.connect(THROUGH).await?;
    let voters = (0..cluster.len()).map(|node| cluster.id(node).to_owned()).collect();
    let market = create_market(channel.clone(), voters).await?;
    cluster.holder(&market).await?;
    let stretches = Stretches { length: messages.len() as u64 / (u64::from(kills) + 1), kills };
    // Commands up to here may be sent: the next kill finds half a stretch on its way or waiting.
    let open = watch::Sender::new(stretches.open(1));
    let answered = watch::Sender::new(0);
    let killing = async {
        for kill in 1..=kills {
            cluster.hold_elsewhere(&market, THROUGH).await?;
            let holder = cluster.holder(&market).await?;
            let reached = stretches.length * u64::from(kill);
            answered.subscribe().wait_for(|answered| *answered >= reached).await?;
            cluster.kill(holder).await?;
            let stalled = *answered.borrow();
            // Somebody else takes over, and what was on its way is answered.
            answered.subscribe().wait_for(|answered| *answered > stalled).await?;
            cluster.restart(holder).await?;
            open.send_replace(stretches.open(kill + 1));
        }
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
    let replaying = replay(channel, &market, messages, pace, clock, told, gate);
    let (replayed, ()) = tokio::try_join!(replaying, killing)?;
    let agreed = cluster.agree(&market).await?;
    ensure!(agreed.pending_intents == 0 && agreed.position > 0, "not everything is committed: {agreed:?}");
    Ok(replayed)
}

/// The way from one kill to the next, in commands.
struct Stretches {
    length: u64,
    kills: u32,
}

impl Stretches {
    /// Up to where commands may be sent until a kill is over.
    fn open(&self, kill: u32) -> u64 {
        if kill > self.kills { u64::MAX } else { self.length * u64::from(kill) + self.length / 2 }
    }
}

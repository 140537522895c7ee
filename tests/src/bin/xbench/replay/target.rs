//! The nodes that a benchmark runs against.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tonic::transport::Endpoint;
use xbook_tests::cluster::Cluster;
use xbook_tests::replay::{Pace, Replayed, THROUGH, create_market, replay, replay_killing};
use xbook_tests::workload::e1::Message;

/// A running node, or a cluster of the benchmark's own.
pub enum Target {
    /// Somebody else's.
    Running(Box<Endpoint>),
    /// New nodes in temporary directories.
    Own(Cluster),
}

/// What the node of the benchmark's own that was sent everything left behind.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// How often it synced changes to the disk, from start to end.
    pub fsyncs: u64,
    /// The size of its data directory after its end.
    pub bytes: u64,
}

impl Target {
    /// The node at an URL, or new ones of the benchmark's own.
    pub async fn new(url: Option<&str>, nodes: usize) -> Result<Self> {
        let Some(url) = url else { return Ok(Self::Own(Cluster::start(nodes).await?)) };
        let endpoint = Endpoint::from_shared(url.to_owned()).with_context(|| format!("not an URL: {url}"))?;
        Ok(Self::Running(Box::new(endpoint.tcp_nodelay(true))))
    }

    /// Sends it all messages, and kills the lease's holder so many times meanwhile.
    pub async fn replay(
        &mut self,
        messages: &[Message],
        pace: Pace,
        kills: u32,
        clock: impl Fn() -> Duration,
        progress: impl Fn(u64),
    ) -> Result<Replayed> {
        match self {
            Self::Running(endpoint) => {
                let connected = endpoint.connect().await;
                let channel = connected.with_context(|| format!("can't connect to {}", endpoint.uri()))?;
                let market = create_market(channel.clone(), Vec::new()).await?;
                replay(channel, &market, messages, pace, clock, progress, async |_| {}).await
            }
            Self::Own(cluster) => replay_killing(cluster, messages, pace, kills, clock, progress).await,
        }
    }

    /// Ends own nodes; another one goes on.
    pub async fn end(self) -> Result<Option<Disk>> {
        let Self::Own(mut cluster) = self else { return Ok(None) };
        let fsyncs = cluster.describe(THROUGH).await?.syncs;
        // The others first, so that nobody takes a lease over.
        for node in (0..cluster.len()).rev() {
            let exit = cluster.terminate(node).await?;
            ensure!(exit.code == Some(0), "xnode ended with {:?}:\n{}", exit.code, exit.log);
        }
        Ok(Some(Disk { fsyncs, bytes: cluster.home(THROUGH).disk_bytes()? }))
    }
}

//! The node that a benchmark runs against.

use anyhow::{Context, Result, ensure};
use tonic::transport::{Channel, Endpoint};
use xbook_tests::process::{Home, Xnode};

/// A node.
pub struct Target {
    endpoint: Endpoint,
    /// The process and its temporary directory, if it is the benchmark's own.
    own: Option<(Xnode, Home)>,
}

/// What a node of the benchmark's own left behind.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// How often it synced changes to the disk, from start to end.
    pub fsyncs: Option<u64>,
    /// The size of its data directory after its end.
    pub bytes: u64,
}

impl Target {
    /// The node at an URL, or a new one of the benchmark's own.
    pub async fn new(url: Option<&str>) -> Result<Self> {
        let (url, own) = match url {
            Some(url) => (url.to_owned(), None),
            None => {
                let mut home = Home::new()?;
                let node = Xnode::start(&mut home).await?;
                (node.url(), Some((node, home)))
            }
        };
        let endpoint = Endpoint::from_shared(url.clone()).with_context(|| format!("not an URL: {url}"))?;
        Ok(Self { endpoint: endpoint.tcp_nodelay(true), own })
    }

    /// A new connection.
    pub async fn connect(&self) -> Result<Channel> {
        self.endpoint.connect().await.with_context(|| format!("can't connect to {}", self.endpoint.uri()))
    }

    /// Ends an own node; another one goes on.
    pub async fn end(self) -> Result<Option<Disk>> {
        let Some((node, home)) = self.own else { return Ok(None) };
        let exit = node.terminate(&home).await?;
        ensure!(exit.code == Some(0), "xnode ended with {:?}:\n{}", exit.code, exit.log);
        Ok(Some(Disk { fsyncs: exit.syncs(), bytes: home.disk_bytes()? }))
    }
}

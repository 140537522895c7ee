//! The demo's nodes: all in this process, but each with its own data directory, its own port and
//! its own part of the documents. They speak with each other over gRPC, as on different machines.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures::future::{join_all, select_all};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use xbook::machine::JoinToken;
use xbook::node::Start;
use xbook::types::NodeId;
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;
use xbook_proto::v1::{AddVoterRequest, ListNodesRequest};

use super::play::failed;
use crate::service::{Listen, Service};

/// How long a call may take, and how long nodes may take to find each other.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is looked whether the nodes have found each other.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long calls may take when the demo ends.
const GRACE: Duration = Duration::from_secs(2);

/// Running nodes. Their directories go when this is dropped.
pub struct Nodes {
    services: Vec<Service>,
    directory: TempDir,
}

/// What a client needs to know of a node.
#[derive(Clone)]
pub struct About {
    /// Its id.
    pub id: NodeId,
    /// Where it serves.
    pub url: String,
    /// A connection to it.
    pub channel: Channel,
}

impl Nodes {
    /// Starts nodes: the first begins a cluster, the others join it. They serve on ports from the
    /// given one on, or on free ones.
    pub async fn start(count: u8, port: Option<u16>) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("xbook-demo-")
            .tempdir()
            .context("can't make a temporary directory")?;
        let mut services: Vec<Service> = Vec::new();
        let mut token = [0; 16];
        getrandom::fill(&mut token).map_err(|error| anyhow!("no random numbers: {error}"))?;
        for number in 1..=count {
            let start = Start {
                clock: None,
                data: directory.path().join(format!("node-{number}")),
                bootstrap: number == 1,
                join: services.first().iter().map(|first| first.peer_address().to_string()).collect(),
                join_token: Some(JoinToken(token)),
                ..Start::default()
            };
            let port = port.map_or(0, |first| first.saturating_add(u16::from(number) - 1));
            let clients = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let peers = xbook::config::peer_listen(clients).context("no port is left for the other nodes")?;
            services.push(Service::start(Listen { clients, peers }, start).await?);
        }
        Ok(Self { services, directory })
    }

    /// What clients need to know, in the order in which the nodes were started.
    pub async fn about(&self) -> Result<Vec<About>> {
        let mut about = Vec::new();
        for service in &self.services {
            let url = format!("http://{}", service.address());
            let endpoint = Endpoint::from_shared(url.clone())?.timeout(TIMEOUT).tcp_nodelay(true);
            let channel = endpoint.connect().await.with_context(|| format!("can't connect to {url}"))?;
            about.push(About { id: service.node_id(), url, channel });
        }
        Ok(about)
    }

    /// Where the data is.
    pub fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Waits until one of them ends by itself; says why.
    pub async fn failed(&mut self) -> anyhow::Error {
        select_all(self.services.iter_mut().map(|service| Box::pin(service.failed()))).await.0
    }

    /// Ends them and removes their data.
    pub async fn stop(self) -> Result<()> {
        let stopped = join_all(self.services.into_iter().map(|service| service.stop(GRACE))).await;
        stopped.into_iter().collect::<Result<Vec<_>>>()?;
        self.directory.close().context("can't remove the temporary directory")
    }
}

/// Makes all nodes voters, once the first knows them.
pub async fn make_voters(nodes: &[About]) -> Result<()> {
    let (first, others) = nodes.split_first().context("there are no nodes")?;
    let mut client = ClusterServiceClient::new(first.channel.clone());
    let met = async {
        loop {
            let listed = client.list_nodes(ListNodesRequest {}).await?.into_inner().nodes;
            if listed.iter().filter(|node| node.connected).count() >= nodes.len() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let met = tokio::time::timeout(TIMEOUT, met).await;
    met.map_err(|_| anyhow!("the nodes did not find each other in {TIMEOUT:?}"))?
        .map_err(|status| failed("listing the nodes", &status))?;
    for node in others {
        let node_id = node.id.to_string();
        let request =
            AddVoterRequest { request_id: format!("demo-voter-{node_id}"), node_id, market: String::new() };
        client.add_voter(request).await.map_err(|status| failed("adding a voter", &status))?;
    }
    Ok(())
}

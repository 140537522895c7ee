//! A node, its API and its door for other nodes, from start to end.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use xbook::api::Limits;
use xbook::node::{Ending, Node, Start};
use xbook::store::Written;
use xbook::types::NodeId;

use crate::descriptors;

/// A node that serves.
pub struct Service {
    node: Node,
    address: SocketAddr,
    peer_address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<()>>,
    /// Ends with the node.
    peers: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// Where to listen.
#[derive(Clone, Copy)]
pub struct Listen {
    /// For clients.
    pub clients: SocketAddr,
    /// For other nodes.
    pub peers: SocketAddr,
}

impl Service {
    /// Starts a node, serves its API on an address and lets other nodes in on another one, which are also
    /// where it is reached unless `start` names others.
    ///
    /// # Errors
    /// An address is not free, the directory can't be used, or there is no node to join.
    pub async fn start(listen: Listen, mut start: Start) -> Result<Self> {
        // The addresses first: it is told at once if another process has one, and nothing is written.
        let (listener, address) = bind(listen.clients).await?;
        let (peer_listener, peer_address) = bind(listen.peers).await?;
        if start.advertise.is_none() && !address.ip().is_unspecified() {
            start.advertise = Some(address.to_string());
        }
        if start.peer_advertise.is_none() {
            let host = start.advertise.as_ref().and_then(|advertised| advertised.rsplit_once(':'));
            start.peer_advertise = match host {
                Some((host, _)) if peer_address.ip().is_unspecified() => {
                    Some(format!("{host}:{}", peer_address.port()))
                }
                _ => Some(peer_address.to_string()),
            };
        }
        start.join = others(start.join, [address, peer_address]).await?;
        let data = start.data.clone();
        let node = Node::start(start)
            .await
            .with_context(|| format!("can't start on the data directory {}", data.display()))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let limits = Limits { connections: descriptors::connections(), ..Limits::default() };
        let server = tokio::spawn(xbook::api::serve(node.clone(), listener, limits, async move {
            // A sender that is gone says the same.
            let _ = stopped.await;
        }));
        let door = node.clone();
        let peers = tokio::spawn(async move { door.serve_peers(peer_listener).await });
        Ok(Self { node, address, peer_address, stop, server, peers })
    }

    /// The node's id.
    pub fn node_id(&self) -> NodeId {
        self.node.id()
    }

    /// Where it listens for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for other nodes.
    pub fn peer_address(&self) -> SocketAddr {
        self.peer_address
    }

    /// Waits until it ends by itself, which is a failure; says why.
    pub async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            // The API ends with its node; the node knows why.
            biased;
            ending = self.node.ended() => failure(ending),
            ended = &mut self.server => match ended {
                Ok(Ok(())) => anyhow!("the API ended unexpectedly"),
                Ok(Err(error)) => error.context("the API failed"),
                Err(error) => anyhow!(error).context("the API's task ended"),
            },
            ended = &mut self.peers => match ended {
                // It ends with the node, which is about to say why.
                Ok(Ok(())) => failure(self.node.ended().await),
                Ok(Err(error)) => anyhow!(error).context("the door for other nodes failed"),
                Err(error) => anyhow!(error).context("the door's task ended"),
            },
        }
    }

    /// Ends it: no new calls, those that were taken are finished, then all is closed. Calls that
    /// are not done within `grace` are cut off.
    ///
    /// # Errors
    /// The node failed at that.
    pub async fn stop(self, grace: Duration) -> Result<Written> {
        let Self { node, stop, mut server, peers, .. } = self;
        // A server that has ended needs no word.
        let _ = stop.send(());
        // The node beside the calls: what was taken may need its peers, whose streams end with it.
        let (ending, served) = tokio::join!(node.shutdown(), tokio::time::timeout(grace, &mut server));
        if served.is_err() {
            tracing::warn!(?grace, "calls were not done in time and are cut off");
            server.abort();
        }
        peers.abort();
        match ending {
            Ending::Shutdown(written) => Ok(written),
            failed @ Ending::Failed(_) => Err(failure(failed)),
        }
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
    let address = listener.local_addr().context("the listening socket has no address")?;
    Ok((listener, address))
}

/// The addresses of other nodes among those to join: the same list may be given to all. A name that
/// can't be resolved is left for later, if there is another one.
async fn others(join: Vec<String>, myself: [SocketAddr; 2]) -> Result<Vec<String>> {
    let (mut others, mut faults) = (Vec::new(), Vec::new());
    for address in join {
        let found = tokio::net::lookup_host(&address).await.map(|found| found.collect::<Vec<_>>());
        match found {
            Ok(found) if found.iter().any(|found| myself.iter().any(|mine| is_same(*found, *mine))) => {
                faults.push(format!("{address} is this node itself"));
            }
            Ok(_) => others.push((address, true)),
            Err(error) => {
                tracing::error!(%address, %error, "no such host to join");
                faults.push(format!("there is no host of the name in {address} ({error})"));
                others.push((address, false));
            }
        }
    }
    if !faults.is_empty() && !others.iter().any(|(_, resolved)| *resolved) {
        bail!("can't join: {}", faults.join("; "));
    }
    Ok(others.into_iter().map(|(address, _)| address).collect())
}

/// Whether an address leads to the socket that listens on another.
fn is_same(found: SocketAddr, listening: SocketAddr) -> bool {
    let everywhere = listening.ip().is_unspecified() && found.ip().is_loopback();
    found.port() == listening.port() && (found.ip() == listening.ip() || everywhere)
}

fn failure(ending: Ending) -> anyhow::Error {
    match ending {
        Ending::Failed(reason) => anyhow!(reason).context("the node failed"),
        Ending::Shutdown(_) => anyhow!("the node ended unexpectedly"),
    }
}

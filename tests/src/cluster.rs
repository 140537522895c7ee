//! A cluster of real `xnode` processes, each with a data directory of its own, and what is done to
//! them: killed, stopped, started again, cut off.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;
use xbook_proto::v1::{
    CreateMarketRequest, DocumentStatus, GetNodeRequest, GetNodeResponse, ListNodesRequest, MarketRules,
    TransferLeaseRequest,
};

use crate::client::Random;
use crate::network::Network;
use crate::process::{Address, Exit, Home, Signal, Xnode};
use crate::proxy::Proxy;

/// How long nodes may take to agree on a holder, or on what was committed, on a machine that does
/// other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a node may take to tell how it is.
const ANSWER: Duration = Duration::from_secs(5);

/// How often nodes are asked.
const PAUSE: Duration = Duration::from_millis(20);

/// Nodes of one cluster, by number from 0. Each dials all before it, so any two are connected.
pub struct Cluster {
    seats: Vec<Seat>,
    /// Goes after the nodes.
    network: Option<Network>,
}

struct Seat {
    home: Home,
    /// Through which other nodes reach it.
    proxy: Option<Proxy>,
    id: String,
    node: Option<Xnode>,
    stopped: bool,
}

impl Seat {
    /// Where other nodes reach it.
    fn peer_address(&self) -> SocketAddr {
        self.proxy.as_ref().map_or_else(|| self.home.peer_address(), Proxy::address)
    }
}

impl Cluster {
    /// So many new nodes on this machine's loopback.
    ///
    /// # Errors
    /// One does not start.
    pub async fn start(nodes: usize) -> Result<Self> {
        let homes = (0..nodes).map(|_| Home::new()).collect::<Result<_>>()?;
        Self::start_at(homes).await
    }

    /// A new node in each of these homes, which are on this machine's loopback.
    ///
    /// # Errors
    /// One does not start.
    pub async fn start_at(homes: Vec<Home>) -> Result<Self> {
        Self::start_in(homes, None).await
    }

    /// A new node on each host of a network.
    ///
    /// # Errors
    /// One does not start.
    pub async fn start_on(network: Network) -> Result<Self> {
        let homes = network.hosts().into_iter().map(Home::on).collect::<Result<_>>()?;
        Self::start_in(homes, Some(network)).await
    }

    /// So many new nodes on this machine's loopback, which reach each other through proxies.
    ///
    /// # Errors
    /// One does not start.
    pub async fn start_behind_proxies(nodes: usize, random: &mut Random) -> Result<Self> {
        let mut cluster = Self { seats: Vec::new(), network: None };
        for _ in 0..nodes {
            let proxy = Proxy::start(random.below(u64::MAX)).await?;
            let home = Home::new()?.advertising(proxy.address());
            cluster.seat(home, Some(proxy)).await?;
        }
        Ok(cluster)
    }

    async fn start_in(homes: Vec<Home>, network: Option<Network>) -> Result<Self> {
        let mut cluster = Self { seats: Vec::new(), network };
        for home in homes {
            cluster.add(home).await?;
        }
        Ok(cluster)
    }

    /// One more node, in a new home; returns its number.
    ///
    /// # Errors
    /// It does not start.
    pub async fn add(&mut self, home: Home) -> Result<usize> {
        self.seat(home, None).await
    }

    async fn seat(&mut self, mut home: Home, proxy: Option<Proxy>) -> Result<usize> {
        self.seats.iter().for_each(|before| home.join(before.peer_address()));
        let node = Xnode::start(&mut home).await?;
        if let Some(proxy) = &proxy {
            proxy.lead_to(home.peer_address());
        }
        self.seats.push(Seat { home, proxy, id: node.id().to_owned(), node: Some(node), stopped: false });
        Ok(self.seats.len() - 1)
    }

    /// The proxy through which other nodes reach a node.
    ///
    /// # Errors
    /// They reach it without one.
    pub fn proxy(&self, node: usize) -> Result<&Proxy> {
        self.seats[node].proxy.as_ref().context("there is no proxy in front of it")
    }

    /// How many nodes there are, dead ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// The network, if the nodes have one of their own.
    ///
    /// # Errors
    /// They are on the machine's loopback.
    pub fn network(&self) -> Result<&Network> {
        self.network.as_ref().context("the nodes have no network of their own")
    }

    /// Where a node serves, whether it runs or not.
    #[must_use]
    pub fn address(&self, node: usize) -> Address {
        self.seats[node].home.address()
    }

    /// Where all nodes serve.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        self.seats.iter().map(|seat| seat.home.address()).collect()
    }

    /// A node's id.
    #[must_use]
    pub fn id(&self, node: usize) -> &str {
        &self.seats[node].id
    }

    /// A node's place.
    #[must_use]
    pub fn home(&self, node: usize) -> &Home {
        &self.seats[node].home
    }

    /// The same, to change it.
    pub fn home_mut(&mut self, node: usize) -> &mut Home {
        &mut self.seats[node].home
    }

    /// A new connection.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn connect(&self, node: usize) -> Result<Channel> {
        self.address(node).connect().await
    }

    /// Kills a node as a power cut would.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self, node: usize) -> Result<()> {
        let seat = &mut self.seats[node];
        seat.stopped = false;
        seat.node.take().context("it does not run")?.kill().await
    }

    /// Starts a node that was killed, where it was.
    ///
    /// # Errors
    /// It does not start, or is another node.
    pub async fn restart(&mut self, node: usize) -> Result<()> {
        let seat = &mut self.seats[node];
        let started = Xnode::start(&mut seat.home).await?;
        ensure!(started.id() == seat.id, "another node came back: {}, not {}", started.id(), seat.id);
        seat.node = Some(started);
        Ok(())
    }

    /// In a killed node's place, and on its address, a new node with an empty disk joins the others.
    /// Returns the ids of both.
    ///
    /// # Errors
    /// It does not start.
    pub async fn replace(&mut self, node: usize) -> Result<(String, String)> {
        let others = self.seats.iter().enumerate().filter(|(other, _)| *other != node);
        let others: Vec<_> = others.map(|(_, seat)| seat.peer_address()).collect();
        let seat = &mut self.seats[node];
        ensure!(seat.node.is_none(), "it still runs");
        seat.home.wipe()?;
        others.into_iter().for_each(|other| seat.home.join(other));
        let started = Xnode::start(&mut seat.home).await?;
        let new = started.id().to_owned();
        seat.node = Some(started);
        Ok((std::mem::replace(&mut seat.id, new.clone()), new))
    }

    /// Stops a node's process, which then does nothing and loses nothing.
    ///
    /// # Errors
    /// It does not run.
    pub fn stop(&mut self, node: usize) -> Result<()> {
        self.signal(node, Signal::STOP)?;
        self.seats[node].stopped = true;
        Ok(())
    }

    /// Lets a stopped process go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn go_on(&mut self, node: usize) -> Result<()> {
        self.signal(node, Signal::CONT)?;
        self.seats[node].stopped = false;
        Ok(())
    }

    fn signal(&self, node: usize, signal: Signal) -> Result<()> {
        self.seats[node].node.as_ref().context("it does not run")?.signal(signal)
    }

    /// The processes of all nodes that were started and not killed.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.seats.iter().filter_map(|seat| seat.node.as_ref().and_then(Xnode::process)).collect()
    }

    /// The nodes that run.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        let runs = |seat: &Seat| seat.node.is_some() && !seat.stopped;
        self.seats.iter().enumerate().filter(move |(_, seat)| runs(seat)).map(|(node, _)| node)
    }

    /// How a node is.
    ///
    /// # Errors
    /// It does not say.
    pub async fn describe(&self, node: usize) -> Result<GetNodeResponse> {
        let asked = async {
            let mut client = ClusterServiceClient::new(self.connect(node).await?);
            anyhow::Ok(client.get_node(GetNodeRequest {}).await?.into_inner())
        };
        timeout(ANSWER, asked).await.context("no answer")?.with_context(|| format!("node {node}"))
    }

    /// How a document is on a node; `None` if it is not there.
    ///
    /// # Errors
    /// The node does not say.
    pub async fn status(&self, node: usize, document: &str) -> Result<Option<DocumentStatus>> {
        let described = self.describe(node).await?;
        Ok(described.documents.into_iter().find(|status| status.name == document))
    }

    /// How a document is on all nodes that run and have it.
    async fn statuses(&self, document: &str) -> Result<Vec<(usize, DocumentStatus)>> {
        let mut statuses = Vec::new();
        for node in self.running() {
            if let Some(status) = self.status(node, document).await? {
                statuses.push((node, status));
            }
        }
        Ok(statuses)
    }

    /// Waits until all nodes that run are connected with each other.
    ///
    /// # Errors
    /// They are not in time.
    pub async fn connected(&self) -> Result<()> {
        for node in self.running() {
            self.wait_until("it is connected with all others", async || {
                let mut client = ClusterServiceClient::new(self.connect(node).await?);
                let nodes = client.list_nodes(ListNodesRequest {}).await?.into_inner().nodes;
                let is_connected =
                    |id: &str| nodes.iter().any(|other| other.node_id == id && other.connected);
                Ok(self.running().all(|other| is_connected(self.id(other))))
            })
            .await?;
        }
        Ok(())
    }

    /// Makes a market with these voters, and waits until all nodes that run have it and one holds
    /// its lease.
    ///
    /// # Errors
    /// It is refused, or there is no holder in time.
    pub async fn create_market(&self, market: &str, rules: MarketRules, voters: &[usize]) -> Result<()> {
        let request = CreateMarketRequest {
            request_id: format!("market-{market}"),
            market: market.to_owned(),
            rules: Some(rules),
            voters: voters.iter().map(|voter| self.id(*voter).to_owned()).collect(),
        };
        self.connected().await?;
        let channel = self.connect(self.running().next().context("no node runs")?).await?;
        ClusterServiceClient::new(channel).create_market(request).await.context("no market")?;
        for node in self.running() {
            self.wait_until("it has the market", async || Ok(self.status(node, market).await?.is_some()))
                .await?;
        }
        self.holder(market).await?;
        Ok(())
    }

    /// Waits until all nodes that run name the same holder of a market's lease, and it runs.
    ///
    /// # Errors
    /// They don't in time.
    pub async fn holder(&self, market: &str) -> Result<usize> {
        let mut holder = None;
        self.wait_until("one node holds the lease", async || {
            let statuses = self.statuses(market).await?;
            let named = statuses.first().map(|(_, status)| (status.term, status.holder.clone()));
            let same = |status: &DocumentStatus| Some((status.term, status.holder.clone())) == named;
            let agreed = statuses.iter().all(|(_, status)| same(status));
            holder =
                self.running().find(|node| named.as_ref().is_some_and(|(_, name)| self.id(*node) == name));
            Ok(agreed && holder.is_some())
        })
        .await?;
        holder.context("no holder")
    }

    /// Hands a market's lease over to the next node, if this one has it.
    ///
    /// # Errors
    /// It is refused.
    pub async fn hold_elsewhere(&self, market: &str, node: usize) -> Result<()> {
        while self.holder(market).await? == node {
            let to = (node + 1) % self.len();
            let request = TransferLeaseRequest { market: market.to_owned(), node_id: self.id(to).to_owned() };
            let mut client = ClusterServiceClient::new(self.connect(node).await?);
            client.transfer_lease(request).await.with_context(|| format!("no hand-over to node {to}"))?;
        }
        Ok(())
    }

    /// Asks a node to end, and waits until it has.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub async fn terminate(&mut self, node: usize) -> Result<Exit> {
        let seat = &mut self.seats[node];
        seat.node.take().context("it does not run")?.terminate(&seat.home).await
    }

    /// Waits until a node shows a market up to a position.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn shows(&self, node: usize, market: &str, position: u64) -> Result<()> {
        self.wait_until("the node has caught up", async || {
            let status = self.status(node, market).await?;
            Ok(status.is_some_and(|status| status.position >= position))
        })
        .await
    }

    /// Waits until all nodes that run are at the same position of a market with the same digest, and
    /// nothing is pending anywhere.
    ///
    /// # Errors
    /// They are not in time.
    pub async fn agree(&self, market: &str) -> Result<DocumentStatus> {
        let mut agreed = None;
        self.wait_until("all have committed the same", async || {
            let statuses = self.statuses(market).await?;
            let (_, first) = statuses.first().context("no node runs")?;
            let same = |status: &DocumentStatus| {
                status.position == first.position
                    && status.digest == first.digest
                    && status.pending_intents == 0
            };
            agreed = statuses.iter().all(|(_, status)| same(status)).then(|| first.clone());
            Ok(agreed.is_some() && statuses.len() == self.running().count())
        })
        .await?;
        agreed.context("no agreement")
    }

    /// Asks again and again.
    ///
    /// # Errors
    /// The answer is not yes in time; the error has the logs' ends.
    pub async fn wait_until(&self, what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
        let mut last = None;
        let waiting = async {
            loop {
                match holds().await {
                    Ok(true) => return,
                    Ok(false) => {}
                    // A node that is busy or about to end.
                    Err(error) => last = Some(error),
                }
                sleep(PAUSE).await;
            }
        };
        if timeout(PATIENCE, waiting).await.is_ok() {
            return Ok(());
        }
        let error = last.unwrap_or_else(|| anyhow!("no error"));
        bail!("not after {PATIENCE:?}: {what}; last error: {error:#}\n{}", self.describe_all().await)
    }

    /// How all nodes are, and what they logged last, for whoever reads of a failure.
    pub async fn describe_all(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        for (node, seat) in self.seats.iter().enumerate() {
            let state = match (&seat.node, seat.stopped) {
                (None, _) => "not running".to_owned(),
                (Some(_), true) => "stopped".to_owned(),
                (Some(_), false) => match self.describe(node).await {
                    Ok(described) => format!("{:#?}", described.documents),
                    Err(error) => format!("{error:#}"),
                },
            };
            let log = seat.home.log();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            // Writing to a string can't fail.
            let _ = writeln!(text, "node {node}, {}: {state}", seat.id);
            tail.iter().rev().for_each(|line| _ = writeln!(text, "  {line}"));
        }
        text
    }
}

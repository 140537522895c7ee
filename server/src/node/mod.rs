//! The shell around the pure core: tasks, the disk, the clock.
//!
//! A [`Node`] has a directory replica and one replica for each market in it. Each replica is owned
//! by one `task`: requests come in through a [`ReplicaHandle`], changes go to the store's
//! writer, messages to the peers' links, committed blocks to the `publish`er, which appends them to the history,
//! answers who waits, and feeds the streams, in this order.

mod backfill;
mod clock;
mod clock_watch;
mod disk;
mod handle;
mod mesh;
mod publish;
mod quarantine;
mod refill;
mod starter;
mod summary;
mod supervisor;
mod task;
mod waiting;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use xbook_proto::peer::v1::{HistoryPart, HistoryRequest};

pub use clock::Clock;
pub use handle::{DirectoryHandle, DocumentHandle, Listed, MarketHandle};
pub use publish::BlockReceiver;
pub use quarantine::Closed;
pub(crate) use quarantine::cut;
pub use summary::{MarketSummary, Summary};
pub use waiting::{Asked, CallNews, Caller, Outcome, SessionNews, SubmitError, call};

use crate::document::{Actor, DIRECTORY, Genesis};
use crate::format::Formats;
use crate::history::HistoryError;
use crate::machine::{Announcement, JoinToken, NodeEntry};
use crate::peer::{
    self, Dialler, Gate, Identity, Link, LinkEvent, Links, Members, Pace, PeerError, Received, Router,
    Secret, fetch_directory,
};
use crate::replica::message::Envelope;
use crate::replica::{Remembered, Replica, ReplicaError, Settings};
use crate::store::{Loaded, Store, StoreError, Written};
use crate::types::{Micros, NodeId, Position};
use starter::Starter;
use supervisor::Supervisor;

/// How long a lease lasts without renewal.
const LEASE: Micros = Micros(1_000_000);

/// Size in bytes at which a document is sealed and its next generation begins, by default.
pub const DOCUMENT_BYTES: u64 = 8 * 1024 * 1024;

/// What a node starts with.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Start {
    /// Where its data is; made if it is not there.
    pub data: PathBuf,
    /// Begins a cluster if the data directory is new.
    pub bootstrap: bool,
    /// Nodes to connect with; one whose data directory is new joins the cluster of the first of
    /// them that answers, and waits for that.
    pub join: Vec<String>,
    /// Where clients reach this node: host and port. Without it others can't ask it for its digests.
    pub advertise: Option<String>,
    /// Where other nodes reach this one: host and port. Without it they don't dial it.
    pub peer_advertise: Option<String>,
    /// Lets this node join, if the cluster's directory does not know it.
    pub join_token: Option<JoinToken>,
    /// Size in bytes at which a document is sealed and its next generation begins; without it
    /// [`DOCUMENT_BYTES`].
    pub document_bytes: Option<u64>,
    /// Whether the data directory is the newest copy of it, though it was copied from another place.
    pub trust_directory: bool,
    /// The node's clock; without it the system's.
    pub clock: Option<Clock>,
    /// The formats of documents that this node reads: those that this program knows, unless a test says
    /// otherwise.
    pub formats: Formats,
}

/// A running node. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    identity: Identity,
    clock: Clock,
    started: Micros,
    directory: DirectoryHandle,
    markets: watch::Receiver<Markets>,
    links: watch::Receiver<Links>,
    members: watch::Receiver<Members>,
    stopping: watch::Sender<bool>,
    stopped: watch::Receiver<Option<Ending>>,
    written: watch::Receiver<Written>,
    events: mpsc::Sender<LinkEvent>,
    store: Store,
    history_turns: Arc<Semaphore>,
    /// Whether the directory was current once.
    knows_directory: Arc<AtomicBool>,
}

/// The node's replicas, as peers reach them.
#[derive(Clone)]
pub struct Documents {
    directory: DirectoryHandle,
    markets: watch::Receiver<Markets>,
    members: watch::Receiver<Members>,
    history_turns: Arc<Semaphore>,
    clock: Clock,
}

impl Router for Documents {
    async fn deliver(&self, from: NodeId, document: &str, envelope: Envelope, received: Received) {
        let market = match document {
            DIRECTORY => return self.directory.hear(from, envelope, received).await,
            market => self.market_of(from, market),
        };
        if let Some(market) = market {
            market.hear(from, envelope, received).await;
        }
    }

    fn ask_history(&self, peer: Link, request: HistoryRequest) {
        let market = self.market_of(peer.peer, &request.market);
        if let Some(market) = market.and_then(|market| market.usable().ok()) {
            backfill::answer(&self.history_turns, Arc::clone(market.history()), request, peer);
        }
    }

    fn deliver_history(&self, from: NodeId, part: HistoryPart) {
        if let Some(market) = self.market_of(from, &part.market).and_then(Listed::opened) {
            market.take_history(from, part);
        }
    }

    fn members(&self) -> watch::Receiver<Members> {
        self.members.clone()
    }

    fn now(&self) -> Micros {
        self.clock.now()
    }
}

impl Documents {
    /// A market that a peer speaks about, if it may.
    fn market_of(&self, peer: NodeId, name: &str) -> Option<Listed> {
        let market = self.markets.borrow().get(name).cloned();
        market.filter(|_| self.members.borrow().contains(peer))
    }
}

type Markets = BTreeMap<Arc<str>, Listed>;

/// How a node ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// On request, with everything written.
    Shutdown(Written),
    /// By an error, which says what.
    Failed(String),
}

/// Why a node can't start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The history log.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A document.
    #[error("the document {document} can't be used: {error}")]
    Replica {
        /// Which.
        document: String,
        /// Why.
        error: Box<ReplicaError>,
    },
    /// The system's source of randomness.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
    /// A new data directory, and nothing said where it belongs.
    #[error(
        "the data directory is new and belongs to no cluster: begin one with --bootstrap, or join one with \
         --join HOST:PORT --join-token TOKEN"
    )]
    NoCluster,
    /// The cluster can't be joined.
    #[error("can't join: {0}")]
    Join(#[from] PeerError),
    /// A node to join is none of this cluster's.
    #[error("can't join the node at {address}: {error}")]
    JoinAt {
        /// Where.
        address: String,
        /// What it is.
        error: PeerError,
    },
    /// A document whose replica panicked when it was opened.
    #[error("{0}")]
    Faulty(String),
    /// A replica's task ended unexpectedly.
    #[error("a task of the node ended: {0}")]
    Task(String),
}

/// Takes the directory out of what is stored, or begins or fetches one; and the genesis that names the cluster.
async fn directory(
    starter: &Starter,
    stored: &mut Vec<Loaded>,
    begins: bool,
    join: &[String],
) -> Result<(Genesis, Loaded), NodeError> {
    let at = stored.iter().position(|document| document.name == DIRECTORY);
    let document = match at {
        Some(at) => stored.swap_remove(at).stored,
        None if begins => Ok(starter.store.enter(&Genesis::directory(starter.node))?),
        None if join.is_empty() => return Err(NodeError::NoCluster),
        None => Ok(starter.store.enter(&fetch_directory(join).await?)?),
    };
    let (cluster, stored) = match (starter.store.cluster()?, document) {
        (Some(cluster), document) => (cluster, document),
        (None, Ok(document)) => (document.genesis.clone(), Ok(document)),
        (None, Err(error)) => return Err(error.into()),
    };
    Ok((cluster, Loaded { name: DIRECTORY.to_owned(), stored }))
}

impl Node {
    /// Starts a node.
    ///
    /// # Errors
    /// The directory can't be used or is damaged, or it is new and belongs to no cluster.
    pub async fn start(start: Start) -> Result<Self, NodeError> {
        let Start {
            data,
            bootstrap,
            join,
            advertise,
            peer_advertise,
            join_token,
            document_bytes,
            trust_directory,
            clock,
            formats,
        } = start;
        let clock = clock.unwrap_or_else(Clock::start);
        let document_bytes = document_bytes.unwrap_or(DOCUMENT_BYTES);
        let starter = Starter::new(&data, formats, document_bytes, clock, trust_directory)?;
        let mut stored = starter.store.load()?;
        let begins = bootstrap && stored.iter().all(|document| document.name != DIRECTORY);
        let (cluster, directory_document) = directory(&starter, &mut stored, begins, &join).await?;
        let identity = Identity { node: starter.node, cluster, secret: Secret::new(&starter.secret) };
        let announcement = Announcement {
            address: advertise.unwrap_or_default().into(),
            peer_address: peer_advertise.unwrap_or_default().into(),
            key: identity.secret.public(),
            token: join_token,
        };
        let supervisor = Supervisor::start(starter, directory_document, stored)?;
        let inner = Inner {
            identity: identity.clone(),
            clock,
            started: clock.now(),
            directory: supervisor.directory.clone(),
            markets: supervisor.markets.subscribe(),
            links: supervisor.links.subscribe(),
            members: supervisor.members.subscribe(),
            stopping: supervisor.stopping.clone(),
            stopped: supervisor.ended.subscribe(),
            written: supervisor.starter.written()?,
            events: supervisor.events.clone(),
            store: supervisor.starter.store.clone(),
            history_turns: Arc::new(Semaphore::new(backfill::MAX_ANSWERED)),
            knows_directory: Arc::default(),
        };
        let members = supervisor.members.clone();
        tokio::spawn(supervisor.run());
        let node = Self { inner: Arc::new(inner) };
        let dialler = Dialler {
            identity,
            token: join_token,
            links: node.inner.links.clone(),
            events: node.inner.events.clone(),
            router: node.router(),
            pace: Pace::default(),
        };
        node.watch_clocks();
        // Whoever asks first shall find the markets that were there before.
        node.caught_up().await;
        tokio::spawn(mesh::learn(node.directory().clone(), Arc::clone(&node.inner.knows_directory)));
        // And whoever dials this node, that it knows who is in the directory.
        mesh::note_members(node.directory(), &members).await;
        tokio::spawn(mesh::connect(node.directory().clone(), members, dialler, join));
        let (directory, me) = (node.directory().clone(), node.id());
        tokio::spawn(async move {
            mesh::announce(directory.clone(), clock, me, announcement).await;
            if let Some(token) = join_token.filter(|_| begins) {
                mesh::invite(directory, clock, me, token).await;
            }
        });
        Ok(node)
    }

    /// Lets peers in through a listener, until the node ends.
    ///
    /// # Errors
    /// The transport's own.
    pub async fn serve_peers(&self, listener: TcpListener) -> Result<(), tonic::transport::Error> {
        let gate = Gate::new(self.inner.identity.clone(), self.inner.events.clone(), self.router());
        let mut stopping = self.inner.stopping.subscribe();
        let stop = async {
            // The node has the sender.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        peer::serve(gate, listener, stop).await
    }

    fn router(&self) -> Documents {
        Documents {
            directory: self.inner.directory.clone(),
            markets: self.inner.markets.clone(),
            members: self.inner.members.clone(),
            clock: self.inner.clock,
            history_turns: Arc::clone(&self.inner.history_turns),
        }
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.inner.identity.node
    }

    /// The formats of documents that the node can read.
    #[must_use]
    pub fn formats(&self) -> Formats {
        self.inner.store.formats()
    }

    /// When the process started.
    #[must_use]
    pub fn started(&self) -> Micros {
        self.inner.started
    }

    /// What was made durable since the start.
    #[must_use]
    pub fn written(&self) -> Written {
        *self.inner.written.borrow()
    }

    /// The node's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &DirectoryHandle {
        &self.inner.directory
    }

    /// A market.
    #[must_use]
    pub fn market(&self, name: &str) -> Option<Listed> {
        self.inner.markets.borrow().get(name).cloned()
    }

    /// All markets, by name.
    #[must_use]
    pub fn markets(&self) -> Vec<Listed> {
        self.inner.markets.borrow().values().cloned().collect()
    }

    /// The peers that this node is connected with now.
    #[must_use]
    pub fn peers(&self) -> Vec<NodeId> {
        self.inner.links.borrow().keys().copied().collect()
    }

    /// The nodes in the directory, by id, and the position that they are as of.
    ///
    /// # Errors
    /// The node has ended.
    pub async fn directory_nodes(&self) -> Result<(Position, BTreeMap<NodeId, NodeEntry>), Closed> {
        mesh::nodes(self.directory()).await
    }

    /// Whether the node has had, since it started, all of the directory that was committed then. Before,
    /// what it does not find may be there nevertheless.
    #[must_use]
    pub fn knows_directory(&self) -> bool {
        self.inner.knows_directory.load(Ordering::Acquire)
    }

    /// Has it told where clocks are wrong.
    fn watch_clocks(&self) {
        let (directory, markets) = (self.directory().clone(), self.inner.markets.clone());
        tokio::spawn(clock_watch::watch(directory, markets, self.inner.clock, self.id()));
    }

    /// The directory, then all markets by name.
    #[must_use]
    pub fn documents(&self) -> Vec<DocumentHandle> {
        let markets = self.inner.markets.borrow();
        let markets = markets.values().map(|market| DocumentHandle::clone(market));
        std::iter::once(DocumentHandle::clone(self.directory())).chain(markets).collect()
    }

    /// Waits until a market is there.
    ///
    /// # Errors
    /// The node ended before.
    pub async fn market_ready(&self, name: &str) -> Result<Listed, Closed> {
        let mut markets = self.inner.markets.clone();
        let found =
            markets.wait_for(|markets| markets.contains_key(name)).await.map_err(|_| Closed::Ended)?;
        found.get(name).cloned().ok_or(Closed::Ended)
    }

    /// The number of a document's newest generation on the disk. Blocks.
    ///
    /// # Errors
    /// There is no such document, or what is stored can't be read.
    pub fn newest_generation(&self, document: &str) -> Result<u64, NodeError> {
        let newest = self.inner.store.newest_generation(document)?;
        newest.ok_or_else(|| NodeError::Task(format!("{document} is not stored")))
    }

    /// A document's generation as it is on the disk, opened beside the running replica: its tape can be
    /// [matched again](Replica::rematch). `None` if it is not kept. Blocks, and takes as long as a restart.
    ///
    /// # Errors
    /// What is stored can't be read.
    pub fn open_copy(&self, document: &str, generation: u64) -> Result<Option<Replica>, NodeError> {
        let Some(stored) = self.inner.store.read(document, generation)? else { return Ok(None) };
        let now = self.inner.clock.now();
        let formats = self.inner.store.formats();
        let settings = Settings { now, lease: LEASE, formats, ..Settings::default() };
        // No node has this id, so the copy is nobody's.
        let opened = Replica::open(
            stored.genesis,
            Actor::new(now, NodeId(0), 0),
            settings,
            stored.loaded,
            Remembered::default(),
        );
        let document = document.to_owned();
        opened.map(Some).map_err(|error| NodeError::Replica { document, error: Box::new(error) })
    }

    /// Asks the node to end: requests that were taken are finished, then all is closed.
    pub async fn shutdown(&self) -> Ending {
        self.inner.stopping.send_replace(true);
        self.ended().await
    }

    /// Waits until the node has ended, on request or by an error.
    pub async fn ended(&self) -> Ending {
        let mut stopped = self.inner.stopped.clone();
        match stopped.wait_for(Option::is_some).await.map(|ending| ending.clone()) {
            Ok(Some(ending)) => ending,
            _ => Ending::Failed("the node's supervisor ended".to_owned()),
        }
    }

    /// Whether the node takes requests.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        !*self.inner.stopping.borrow() && self.inner.stopped.borrow().is_none()
    }

    /// Waits until each replica shows what was committed before the start.
    async fn caught_up(&self) {
        let _ = self.directory().settled().await;
        for market in self.markets() {
            let _ = market.settled().await;
        }
    }
}

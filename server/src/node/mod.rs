//! The shell around the pure core: tasks, the disk, the clock.
//!
//! A [`Node`] has a directory replica and one replica for each market in it. Each replica is owned
//! by one `task`: requests come in through a [`MarketHandle`] or the [`DirectoryHandle`], changes go to the store's
//! writer, messages to the peers' links, committed blocks to the publisher, which appends them to the history,
//! answers who waits, and feeds the streams, in this order. What many ask for is left behind as a [`Summary`].
//!
//! ```text
//! supervisor ──> starter ──> task ──> handle, publish ──> waiting, summary, quarantine
//! ```
//!
//! Nothing on the right knows what is on its left.
//!
//! - `start`: in which order a node comes up; `starter`: what it takes to start a document's tasks; `supervisor`: who
//!   owns them.
//! - `handle`: what may be asked of a task; `task`: inputs in, effects out; `waiting`: who waits for what.
//! - `publish`: what happens with a committed block; `summary`: a document at a glance; `quarantine`: whose fault it was.
//! - `disk`: a replica's way to the store; `backfill`, `refill`: what a history lacks.
//! - `documents`: a node's documents, as peers reach them; `mesh`: who is connected.
//! - `clock`, `clock_watch`: the time, and where it is wrong.

mod backfill;
mod clock;
mod clock_watch;
mod disk;
mod documents;
mod error;
mod handle;
mod mesh;
mod publish;
mod quarantine;
mod refill;
mod start;
mod starter;
mod summary;
mod supervisor;
mod task;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};

pub use clock::Clock;
pub use documents::Documents;
pub use error::NodeError;
pub use handle::{DirectoryHandle, DocumentHandle, Listed, MarketHandle};
pub use publish::BlockReceiver;
pub use quarantine::Closed;
pub(crate) use quarantine::cut;
pub use start::Start;
pub use summary::{MarketSummary, Summary};
pub use waiting::{Asked, CallNews, Caller, Outcome, SessionNews, SubmitError, call};

use crate::document::Actor;
use crate::format::Formats;
use crate::machine::NodeEntry;
use crate::peer::{self, Gate, Identity, LinkEvent, Links, Members};
use crate::replica::{Remembered, Replica, Settings};
use crate::store::{Store, Written};
use crate::types::{Micros, NodeId, Position};

/// How long a lease lasts without renewal.
const LEASE: Micros = Micros(1_000_000);

/// Size in bytes at which a document is sealed and its next generation begins, by default.
pub const DOCUMENT_BYTES: u64 = 8 * 1024 * 1024;

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

type Markets = BTreeMap<Arc<str>, Listed>;

/// How a node ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// On request, with everything written.
    Shutdown(Written),
    /// By an error, which says what.
    Failed(String),
}

impl Node {
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
}

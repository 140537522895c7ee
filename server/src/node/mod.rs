//! The shell around the pure core: tasks, the disk, the clock.
//!
//! A [`Node`] has a directory replica and one replica for each market in it. Each replica is owned
//! by one [`task`](task): requests come in through a [`ReplicaHandle`], changes go to the store's
//! writer, committed blocks go to the [`publish`](publish)er, which appends them to the history,
//! answers who waits, and feeds the streams, in this order.

mod clock;
mod handle;
mod publish;
mod task;
mod waiting;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use clock::Clock;
pub use handle::{CallWaiter, Closed, Outcome, ReplicaHandle, SubmitError, Waiter};

use crate::document::{Actor, Genesis};
use crate::history::{HistoryError, HistoryStore};
use crate::machine::{Machine, MarketEntry, NewMarket};
use crate::replica::{Replica, ReplicaError, Settings};
use crate::store::{Store, StoreError, Stored, Writer, Written};
use crate::types::{Micros, NodeId};
use publish::Follower;

/// How long a lease lasts without renewal.
const LEASE: Micros = Micros(1_000_000);

/// A running node. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    id: NodeId,
    clock: Clock,
    started: Micros,
    directory: ReplicaHandle,
    markets: watch::Receiver<Markets>,
    stopping: watch::Sender<bool>,
    stopped: watch::Receiver<Option<Ending>>,
}

type Markets = BTreeMap<Arc<str>, ReplicaHandle>;

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
    /// The history database can't be opened.
    #[error("the history in {path} can't be opened: {error}")]
    OpenHistory {
        /// Where.
        path: PathBuf,
        /// Why.
        error: fjall::Error,
    },
    /// A replica's task ended unexpectedly.
    #[error("a task of the node ended: {0}")]
    Task(String),
}

impl Node {
    /// Starts the node whose data is in a directory, which is made if it is not there.
    ///
    /// # Errors
    /// The directory can't be used or is damaged.
    pub async fn start(directory: &Path) -> Result<Self, NodeError> {
        let clock = Clock::start();
        let starter = Starter::new(directory, clock)?;
        let mut stored = starter.load()?;
        let at = stored.iter().position(|document| document.genesis.name() == "directory");
        let directory_document = at.map(|at| stored.swap_remove(at));
        let supervisor = Supervisor::start(starter, directory_document, stored)?;
        let inner = Inner {
            id: supervisor.starter.node,
            clock,
            started: clock.now(),
            directory: supervisor.directory.clone(),
            markets: supervisor.markets.subscribe(),
            stopping: supervisor.stopping.clone(),
            stopped: supervisor.ended.subscribe(),
        };
        tokio::spawn(supervisor.run());
        let node = Self { inner: Arc::new(inner) };
        // Whoever asks first shall find the markets that were there before.
        node.caught_up().await;
        Ok(node)
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.inner.id
    }

    /// When the process started.
    #[must_use]
    pub fn started(&self) -> Micros {
        self.inner.started
    }

    /// The node's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &ReplicaHandle {
        &self.inner.directory
    }

    /// A market.
    #[must_use]
    pub fn market(&self, name: &str) -> Option<ReplicaHandle> {
        self.inner.markets.borrow().get(name).cloned()
    }

    /// All markets, by name.
    #[must_use]
    pub fn markets(&self) -> Vec<ReplicaHandle> {
        self.inner.markets.borrow().values().cloned().collect()
    }

    /// The directory, then all markets by name.
    #[must_use]
    pub fn documents(&self) -> Vec<ReplicaHandle> {
        let mut documents = vec![self.directory().clone()];
        documents.extend(self.markets());
        documents
    }

    /// Waits until a market is there.
    ///
    /// # Errors
    /// The node ended before.
    pub async fn market_ready(&self, name: &str) -> Result<ReplicaHandle, Closed> {
        let mut markets = self.inner.markets.clone();
        let found = markets.wait_for(|markets| markets.contains_key(name)).await.map_err(|_| Closed)?;
        found.get(name).cloned().ok_or(Closed)
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

/// What it takes to start replicas.
struct Starter {
    node: NodeId,
    clock: Clock,
    random: u16,
    seed: u64,
    store: Store,
    history: HistoryStore,
    writer: Option<Writer>,
}

impl Starter {
    fn new(directory: &Path, clock: Clock) -> Result<Self, NodeError> {
        let fresh = getrandom::u64().map_err(NodeError::Random)?;
        let seed = getrandom::u64().map_err(NodeError::Random)?;
        // The low bits of the seed; an actor has room for 16.
        let random = u16::try_from(seed & 0xFFFF).unwrap_or(0);
        let store = Store::open(directory)?;
        // Zero names no node.
        let node = store.node_id(NodeId(fresh.max(1)))?;
        let path = directory.join("history");
        let history = HistoryStore::open(&path)
            .map_err(|error| NodeError::OpenHistory { path: path.clone(), error })?;
        let writer = Some(Writer::start(&store)?);
        Ok(Self { node, clock, random, seed, store, history, writer })
    }

    fn load(&self) -> Result<Vec<Stored>, NodeError> {
        self.store.create(&Genesis::directory(self.node))?;
        Ok(self.store.load()?)
    }

    /// Starts the task of a document's replica.
    fn start(
        &self,
        stored: Stored,
        follower: FollowerKind,
        tasks: &mut JoinSet<TaskEnd>,
    ) -> Result<ReplicaHandle, NodeError> {
        let name: Arc<str> = stored.genesis.name().into();
        let me = Actor::new(self.clock.now(), self.node, self.random);
        let settings = Settings { now: self.clock.now(), lease: LEASE, seed: self.seed };
        let opened = Replica::open(&stored.genesis, me, settings, stored.loaded);
        let replica = opened
            .map_err(|error| NodeError::Replica { document: name.to_string(), error: Box::new(error) })?;
        let rules = match stored.genesis.machine() {
            Machine::Market(market) => Some(market.rules().clone()),
            Machine::Directory(_) => None,
        };
        let follower = match (follower, &rules) {
            (FollowerKind::History, Some(rules)) => {
                Follower::History(Arc::new(self.history.market(&name, rules)?))
            }
            (FollowerKind::Directory(created), _) => Follower::Directory(created),
            (FollowerKind::History, None) => Follower::Nobody,
        };
        let disk = task::Disk { changes: stored.changes, writer: self.writer_sender()? };
        Ok(task::spawn(name, rules, replica, disk, follower, self.clock, tasks))
    }

    fn writer_sender(&self) -> Result<std::sync::mpsc::SyncSender<crate::store::Write>, NodeError> {
        match &self.writer {
            Some(writer) => Ok(writer.sender()),
            None => Err(NodeError::Task("the writer has ended".to_owned())),
        }
    }
}

enum FollowerKind {
    History,
    Directory(publish::Created),
}

/// How a replica's task ended: its document, and the error if there was one.
type TaskEnd = (Arc<str>, Result<(), String>);

/// Owns the tasks: starts markets as the directory creates them, and ends all if one fails.
struct Supervisor {
    starter: Starter,
    directory: ReplicaHandle,
    markets: watch::Sender<Markets>,
    created: publish::CreatedReceiver,
    stopping: watch::Sender<bool>,
    ended: watch::Sender<Option<Ending>>,
    tasks: JoinSet<TaskEnd>,
}

impl Supervisor {
    fn start(starter: Starter, directory: Option<Stored>, markets: Vec<Stored>) -> Result<Self, NodeError> {
        let mut tasks = JoinSet::new();
        let (sender, created) = publish::created();
        let directory =
            directory.ok_or_else(|| NodeError::Task("the directory was not stored".to_owned()))?;
        let directory = starter.start(directory, FollowerKind::Directory(sender), &mut tasks)?;
        let mut handles = Markets::new();
        for stored in markets {
            let handle = starter.start(stored, FollowerKind::History, &mut tasks)?;
            handles.insert(handle.name().into(), handle);
        }
        Ok(Self {
            starter,
            directory,
            markets: watch::Sender::new(handles),
            created,
            stopping: watch::Sender::new(false),
            ended: watch::Sender::new(None),
            tasks,
        })
    }

    async fn run(mut self) {
        let mut stopping = self.stopping.subscribe();
        let outcome = loop {
            tokio::select! {
                Some((market, ready)) = self.created.recv() => {
                    if let Err(error) = self.open_market(&market) {
                        break Err(error);
                    }
                    // The directory goes on only now, so whoever learns of the market finds it.
                    let _ = ready.send(());
                }
                Some(ended) = self.tasks.join_next() => break Err(unexpected(ended)),
                _ = stopping.wait_for(|stopping| *stopping) => break Ok(()),
            }
        };
        self.stopping.send_replace(true);
        let ending = match self.close(outcome.err()).await {
            Ok(written) => Ending::Shutdown(written),
            Err(error) => Ending::Failed(error.to_string()),
        };
        self.ended.send_replace(Some(ending));
    }

    fn open_market(&mut self, market: &MarketEntry) -> Result<(), NodeError> {
        if self.markets.borrow().contains_key(&market.name) {
            return Ok(());
        }
        let new = NewMarket {
            name: market.name.clone(),
            rules: market.rules.clone(),
            voters: market.voters.clone(),
        };
        let genesis = Genesis::market(&new);
        let stored = self.starter.store.create_new(&genesis)?;
        let handle = self.starter.start(stored, FollowerKind::History, &mut self.tasks)?;
        self.markets.send_modify(|markets| {
            markets.insert(market.name.clone(), handle);
        });
        Ok(())
    }

    /// Ends all tasks, the directory's first, then the writer.
    async fn close(&mut self, cause: Option<NodeError>) -> Result<Written, NodeError> {
        let mut error = cause;
        self.directory.close();
        self.markets.borrow().values().for_each(ReplicaHandle::close);
        while let Some(ended) = self.tasks.join_next().await {
            if !matches!(ended, Ok((_, Ok(())))) {
                error = error.or(Some(unexpected(ended)));
            }
        }
        let writer =
            self.starter.writer.take().ok_or_else(|| NodeError::Task("the writer has ended".to_owned()))?;
        let finished = tokio::task::spawn_blocking(|| writer.finish()).await;
        let written = finished.map_err(|error| NodeError::Task(error.to_string()))?;
        match (written, error) {
            // The disk's own error says more than that of a task which it ended.
            (Err(error), _) => Err(error.into()),
            (Ok(_), Some(error)) => Err(error),
            (Ok(written), None) => Ok(written),
        }
    }
}

fn unexpected(ended: Result<TaskEnd, tokio::task::JoinError>) -> NodeError {
    NodeError::Task(match ended {
        Ok((document, Ok(()))) => format!("the replica of {document} ended"),
        Ok((document, Err(error))) => format!("the replica of {document} failed: {error}"),
        Err(error) => error.to_string(),
    })
}

//! What it takes to start the tasks of documents.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::backfill::{Filler, MAX_FILLED};
use super::disk::Disk;
use super::handle::{DirectoryHandle, DocumentHandle, Listed, MarketHandle};
use super::publish::{self, Witness};
use super::quarantine::{Fault, TaskEnd, panicked};
use super::{Clock, LEASE, NodeError, task};
use crate::document::Actor;
use crate::format::Formats;
use crate::history::{History, HistoryStore};
use crate::machine::Caps;
use crate::peer::Links;
use crate::replica::{Remembered, Replica, Settings};
use crate::store::{Changes, Identity, Loaded, Store, Stored, Writer, Written};
use crate::types::{NodeId, Position};

/// What it takes to start replicas.
pub(super) struct Starter {
    pub node: NodeId,
    /// What only this node has: it proves who it is, and marks its acknowledgements.
    pub secret: [u8; 32],
    /// Whether the directory was copied from another place, and may be an old copy.
    pub restored: bool,
    clock: Clock,
    random: u16,
    seed: u64,
    roll_at: u64,
    pub store: Store,
    history: HistoryStore,
    fill_turns: Arc<Semaphore>,
    pub writer: Option<Writer>,
}

impl Starter {
    /// What it takes in a directory; `trusted` if it is no old copy, wherever it was copied from.
    pub fn new(
        directory: &Path,
        formats: Formats,
        roll_at: u64,
        clock: Clock,
        trusted: bool,
    ) -> Result<Self, NodeError> {
        let fresh = getrandom::u64().map_err(NodeError::Random)?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(NodeError::Random)?;
        let seed = getrandom::u64().map_err(NodeError::Random)?;
        // The low bits of the seed; an actor has room for 16.
        let random = u16::try_from(seed & 0xFFFF).unwrap_or(0);
        let store = Store::open(directory, formats)?;
        // Zero names no node.
        let Identity { node, secret } = store.identity(Identity { node: NodeId(fresh.max(1)), secret })?;
        let restored = store.is_restored() && !trusted;
        if trusted {
            store.settle()?;
        }
        if restored {
            tracing::warn!(
                "this data directory was copied from another place and may be an old copy: this node takes no \
                 requests and does not vote before it has heard a majority of the other voters; if they are gone \
                 and it is the newest copy, start with --trust-directory"
            );
        }
        let history = HistoryStore::open(&directory.join("history"), roll_at)?;
        let writer = Some(Writer::start(&store)?);
        let fill_turns = Arc::new(Semaphore::new(MAX_FILLED));
        Ok(Self { node, secret, restored, clock, random, seed, roll_at, store, history, fill_turns, writer })
    }

    /// Opens the directory, or quarantines it, and starts its task.
    pub fn directory(
        &self,
        Loaded { name, stored }: Loaded,
        created: publish::Created,
        links: &watch::Sender<Links>,
        tasks: &mut Tasks,
    ) -> Result<DirectoryHandle, NodeError> {
        let opened = stored.map_err(NodeError::from).and_then(|stored| self.replica(stored));
        match opened.and_then(|opened| self.task(opened, Witness::Directory(created), links)) {
            Ok((handle, task)) => {
                tasks.replicas.spawn(task);
                Ok(DirectoryHandle(handle))
            }
            Err(error) => unopened(&name, error).map(DirectoryHandle),
        }
    }

    /// Opens a market, or quarantines it, enters it where others look for it, and starts its tasks.
    pub fn market(
        &self,
        Loaded { name, stored }: Loaded,
        links: &watch::Sender<Links>,
        tasks: &mut Tasks,
        enter: impl FnOnce(Listed),
    ) -> Result<(), NodeError> {
        let prepared = stored.map_err(NodeError::from).and_then(|stored| self.prepare(stored, links));
        match prepared {
            Ok(Prepared { market, task, filler }) => {
                let (name, document) = (Arc::<str>::from(name), DocumentHandle::clone(&market));
                enter(Listed::Opened(market));
                tasks.replicas.spawn(task);
                tasks.fillers.spawn(async move {
                    tokio::select! {
                        ended = filler.run() => (name, ended.map_err(Fault::from)),
                        // What is stored of it stays as it is.
                        _ = document.faulted() => (name, Ok(())),
                    }
                });
            }
            Err(error) => enter(Listed::Unopened(unopened(&name, error)?)),
        }
        Ok(())
    }

    /// Opens a market's replica and its history.
    fn prepare(
        &self,
        stored: Stored,
        links: &watch::Sender<Links>,
    ) -> Result<Prepared<impl Future<Output = TaskEnd> + Send + use<>>, NodeError> {
        let (start, chain) = (stored.genesis.position(), stored.genesis.chain());
        let no_rules = || NodeError::Faulty("its genesis has no rules".to_owned());
        let rules = stored.genesis.rules().ok_or_else(no_rules)?;
        let opened = self.replica(stored)?;
        let history = opened.history.clone().ok_or_else(no_rules)?;
        // The document has nothing of what was before.
        history.reach_to(start, chain)?;
        let (store, turns) = (self.store.clone(), Arc::clone(&self.fill_turns));
        let (filler, parts) = Filler::new(Arc::clone(&history), store, links.subscribe(), turns);
        let (document, task) = self.task(opened, Witness::History(Arc::clone(&history)), links)?;
        Ok(Prepared { market: MarketHandle::new(document, rules, history, parts), task, filler })
    }

    /// Opens a document's replica.
    fn replica(&self, stored: Stored) -> Result<Opened, NodeError> {
        let name: Arc<str> = stored.genesis.name().into();
        let me = Actor::new(self.clock.now(), self.node, self.random);
        let history = stored.genesis.rules().map(|rules| Arc::new(self.history.market(&name, &rules)));
        let settings = Settings {
            now: self.clock.now(),
            lease: LEASE,
            seed: self.seed,
            roll_at: self.roll_at,
            caps: Caps::default(),
            // What is in the history was committed and shown.
            shown: history.as_ref().map_or(Position(0), |history| history.last()),
            secret: self.secret,
            restored: self.restored,
            formats: self.store.formats(),
        };
        let remembered = Remembered::from_record(stored.remembered);
        let malformed = || NodeError::Faulty("what it remembers of others' words is malformed".to_owned());
        let remembered = remembered.ok_or_else(malformed)?;
        let open = || Replica::open(stored.genesis, me, settings, stored.loaded, remembered);
        let opened =
            catch_unwind(AssertUnwindSafe(open)).map_err(|panic| match panicked(panic.as_ref()) {
                Fault::Node(error) => NodeError::Faulty(error.to_string()),
                Fault::Document(cause) => NodeError::Faulty(cause.words.to_string()),
            })?;
        let replica = opened
            .map_err(|error| NodeError::Replica { document: name.to_string(), error: Box::new(error) })?;
        Ok(Opened { name, replica, history, changes: stored.changes, count: stored.count })
    }

    /// The task of an open document, and the handle to it.
    fn task(
        &self,
        Opened { name, replica, changes, count, .. }: Opened,
        witness: Witness,
        links: &watch::Sender<Links>,
    ) -> Result<(DocumentHandle, impl Future<Output = TaskEnd> + Send + use<>), NodeError> {
        let disk = Disk::new((changes, count), self.store.clone(), self.writer_sender()?);
        if self.restored {
            self.store.wait_for_gate();
        }
        Ok(task::prepare((name, replica, disk), witness, links.subscribe(), self.clock))
    }

    /// What the writer did so far.
    pub fn written(&self) -> Result<watch::Receiver<Written>, NodeError> {
        match &self.writer {
            Some(writer) => Ok(writer.progress()),
            None => Err(NodeError::Task("the writer has ended".to_owned())),
        }
    }

    fn writer_sender(&self) -> Result<std::sync::mpsc::SyncSender<crate::store::Write>, NodeError> {
        match &self.writer {
            Some(writer) => Ok(writer.sender()),
            None => Err(NodeError::Task("the writer has ended".to_owned())),
        }
    }
}

/// A document whose replica is open.
struct Opened {
    name: Arc<str>,
    replica: Replica,
    /// Of a market.
    history: Option<Arc<History>>,
    /// Where its changes go, and how many there are.
    changes: Changes,
    count: u64,
}

/// A market that is open, and whose tasks do not run yet.
struct Prepared<T> {
    market: MarketHandle,
    task: T,
    filler: Filler,
}

/// A document that can't be used, if that is its own fault.
fn unopened(name: &str, error: NodeError) -> Result<DocumentHandle, NodeError> {
    let cause = error.of_document().ok_or(error)?;
    tracing::error!(document = %name, reason = %cause.words, "the document is quarantined");
    Ok(DocumentHandle::quarantined(name, &cause))
}

/// The tasks of a node's documents.
#[derive(Default)]
pub(super) struct Tasks {
    pub replicas: JoinSet<TaskEnd>,
    /// They end with the supervisor.
    pub fillers: JoinSet<TaskEnd>,
}

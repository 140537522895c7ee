//! Who starts the replicas' tasks, connects them with peers, quarantines a document that fails, and
//! ends all if the node can't go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tonic::Status;

use super::backfill::{Filler, MAX_FILLED};
use super::disk::Disk;
use super::publish::{self, Follower};
use super::quarantine::{Cause, Fault, panicked};
use super::{Clock, Ending, LEASE, Markets, NodeError, ReplicaHandle, task};
use crate::document::{Actor, Genesis};
use crate::format::Formats;
use crate::history::{History, HistoryStore};
use crate::machine::{Caps, MarketEntry, NewMarket};
use crate::peer::{Link, LinkEvent, Links, Members, PeerError};
use crate::replica::{Remembered, Replica, Settings};
use crate::store::{Identity, Loaded, Store, Stored, Writer, Written};
use crate::types::{NodeId, Position};

/// How long replicas may take to finish what they have taken. Without a majority they can't.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Most link events that wait.
const MAX_LINK_EVENTS: usize = 64;

/// Most links to nodes that are not in the directory yet.
const MAX_GUESTS: usize = 16;

/// What it takes to start replicas.
pub(super) struct Starter {
    pub node: NodeId,
    /// What only this node has: it proves who it is, and marks its acknowledgements.
    pub secret: [u8; 32],
    /// Whether the directory was copied from another place, and may be an old copy.
    restored: bool,
    clock: Clock,
    random: u16,
    seed: u64,
    roll_at: u64,
    pub store: Store,
    history: HistoryStore,
    fill_turns: Arc<Semaphore>,
    writer: Option<Writer>,
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

    /// Starts what there is of a document, or quarantines it, and enters its handle where others look for it.
    fn open<T>(
        &self,
        Loaded { name, stored }: Loaded,
        follower: FollowerKind,
        links: &watch::Sender<Links>,
        tasks: &mut Tasks,
        enter: impl FnOnce(ReplicaHandle) -> T,
    ) -> Result<T, NodeError> {
        let prepared =
            stored.map_err(NodeError::from).and_then(|stored| self.prepare(stored, follower, links));
        match prepared {
            Ok(Prepared { name, handle, task, filler }) => {
                let entered = enter(handle.clone());
                tasks.replicas.spawn(task);
                if let Some(filler) = filler {
                    tasks.fillers.spawn(async move {
                        tokio::select! {
                            ended = filler.run() => (name, ended.map_err(Fault::from)),
                            // What is stored of it stays as it is.
                            _ = handle.faulted() => (name, Ok(())),
                        }
                    });
                }
                Ok(entered)
            }
            Err(error) => {
                let cause = error.of_document().ok_or(error)?;
                tracing::error!(document = %name, reason = %cause.words, "the document is quarantined");
                Ok(enter(ReplicaHandle::quarantined(&name, &cause)))
            }
        }
    }

    /// Opens a document's replica.
    fn prepare(
        &self,
        stored: Stored,
        follower: FollowerKind,
        links: &watch::Sender<Links>,
    ) -> Result<Prepared<impl Future<Output = TaskEnd> + Send + use<>>, NodeError> {
        let name: Arc<str> = stored.genesis.name().into();
        let me = Actor::new(self.clock.now(), self.node, self.random);
        let history = stored.genesis.rules().map(|rules| self.history.market(&name, &rules));
        let settings = Settings {
            now: self.clock.now(),
            lease: LEASE,
            seed: self.seed,
            roll_at: self.roll_at,
            caps: Caps::default(),
            // What is in the history was committed and shown.
            shown: history.as_ref().map_or(Position(0), History::last),
            secret: self.secret,
            restored: self.restored,
            formats: self.store.formats(),
        };
        let (start, chain) = (stored.genesis.position(), stored.genesis.chain());
        let remembered = Remembered::from_record(stored.remembered);
        let malformed = || NodeError::Faulty("what it remembers of others' words is malformed".to_owned());
        let remembered = remembered.ok_or_else(malformed)?;
        let open = || Replica::open(stored.genesis, me, settings, stored.loaded, remembered);
        let opened =
            catch_unwind(AssertUnwindSafe(open)).map_err(|panic| match panicked(panic.as_ref()) {
                Fault::Node(words) => NodeError::Faulty(words),
                Fault::Document(cause) => NodeError::Faulty(cause.words.to_string()),
            })?;
        let replica = opened
            .map_err(|error| NodeError::Replica { document: name.to_string(), error: Box::new(error) })?;
        let mut filler = None;
        let (follower, parts) = match (follower, history) {
            (FollowerKind::History, Some(history)) => {
                // The document has nothing of what was before.
                history.reach_to(start, chain)?;
                let history = Arc::new(history);
                let (store, turns) = (self.store.clone(), Arc::clone(&self.fill_turns));
                let (fills, parts) = Filler::new(Arc::clone(&history), store, links.subscribe(), turns);
                filler = Some(fills);
                (Follower::History(history), Some(parts))
            }
            (FollowerKind::Directory(created), _) => (Follower::Directory(created), None),
            (FollowerKind::History, None) => (Follower::Nobody, None),
        };
        let (place, writer) = ((stored.changes, stored.count), self.writer_sender()?);
        let disk = Disk::new(place, self.store.clone(), writer);
        if self.restored {
            self.store.wait_for_gate();
        }
        let documents = (Arc::clone(&name), replica, disk);
        let (handle, task) = task::prepare(documents, (follower, parts), links.subscribe(), self.clock);
        Ok(Prepared { name, handle, task, filler })
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

/// A document that is open, and whose tasks do not run yet.
struct Prepared<T> {
    name: Arc<str>,
    handle: ReplicaHandle,
    task: T,
    filler: Option<Filler>,
}

enum FollowerKind {
    History,
    Directory(publish::Created),
}

/// How a replica's task ended: its document, and the error if there was one.
pub(super) type TaskEnd = (Arc<str>, Result<(), Fault>);

/// The tasks of a node's documents.
#[derive(Default)]
struct Tasks {
    replicas: JoinSet<TaskEnd>,
    /// They end with the supervisor.
    fillers: JoinSet<TaskEnd>,
}

/// Owns the tasks: starts markets as the directory creates them, quarantines a document whose task
/// fails, and ends all if the node can't go on.
pub(super) struct Supervisor {
    pub starter: Starter,
    pub directory: ReplicaHandle,
    pub markets: watch::Sender<Markets>,
    pub stopping: watch::Sender<bool>,
    pub ended: watch::Sender<Option<Ending>>,
    /// Where links say that they are up or down.
    pub events: mpsc::Sender<LinkEvent>,
    /// All links: those that are only for the directory too.
    pub links: watch::Sender<Links>,
    /// The links to nodes of the directory.
    member_links: watch::Sender<Links>,
    /// Who may be spoken with.
    pub members: watch::Sender<Members>,
    link_events: mpsc::Receiver<LinkEvent>,
    created: publish::CreatedReceiver,
    tasks: Tasks,
}

impl Supervisor {
    /// Starts the tasks of all stored documents.
    pub fn start(starter: Starter, directory: Loaded, markets: Vec<Loaded>) -> Result<Self, NodeError> {
        let mut tasks = Tasks::default();
        let (sender, created) = publish::created();
        let (links, member_links) = (watch::Sender::default(), watch::Sender::default());
        // Until all are started, none is the last.
        if starter.restored {
            starter.store.wait_for_gate();
        }
        let follower = FollowerKind::Directory(sender);
        let directory = starter.open(directory, follower, &links, &mut tasks, |handle| handle)?;
        let mut handles = Markets::new();
        for stored in markets {
            starter.open(stored, FollowerKind::History, &member_links, &mut tasks, |handle| {
                handles.insert(handle.name().into(), handle);
            })?;
        }
        if starter.restored {
            starter.store.gate_opened()?;
        }
        let (events, link_events) = mpsc::channel(MAX_LINK_EVENTS);
        Ok(Self {
            starter,
            directory,
            markets: watch::Sender::new(handles),
            stopping: watch::Sender::new(false),
            ended: watch::Sender::new(None),
            events,
            links,
            member_links,
            members: watch::Sender::default(),
            link_events,
            created,
            tasks,
        })
    }

    /// Runs until the node is asked to end, or something in it fails.
    pub async fn run(mut self) {
        let mut stopping = self.stopping.subscribe();
        let mut members = self.members.subscribe();
        let outcome = loop {
            tokio::select! {
                Some((market, ready)) = self.created.recv() => {
                    if let Err(error) = self.open_market(&market) {
                        break Err(error);
                    }
                    // The directory goes on only now, so whoever learns of the market finds it.
                    let _ = ready.send(());
                }
                Some(event) = self.link_events.recv() => if let Err(error) = self.link(event) {
                    break Err(error);
                },
                Ok(()) = members.changed() => self.sort_links(),
                Some(ended) = self.tasks.replicas.join_next() => {
                    if let Err(error) = self.replica_ended(ended) {
                        break Err(error);
                    }
                }
                Some(ended) = self.tasks.fillers.join_next() => {
                    if let Err(error) = self.filler_ended(ended) {
                        break Err(error);
                    }
                }
                () = requested(&mut stopping) => break Ok(()),
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
        let stored = self.starter.store.create(&genesis)?;
        let loaded = Loaded { name: market.name.to_string(), stored: Ok(stored) };
        let Self { starter, member_links, tasks, markets, .. } = self;
        starter.open(loaded, FollowerKind::History, member_links, tasks, |handle| {
            markets.send_modify(|markets| _ = markets.insert(market.name.clone(), handle));
        })
    }

    /// A replica's task ended before it was asked to: by its document's fault, or with the node.
    fn replica_ended(&self, ended: Result<TaskEnd, JoinError>) -> Result<(), NodeError> {
        match ended {
            Ok((document, Err(Fault::Document(cause)))) => self.quarantine(&document, &cause),
            ended => return Err(unexpected(ended)),
        }
        Ok(())
    }

    /// A history's filler ended: by its document's fault, after it, or with the node.
    fn filler_ended(&self, ended: Result<TaskEnd, JoinError>) -> Result<(), NodeError> {
        match ended {
            Ok((_, Ok(()))) => {}
            Ok((document, Err(Fault::Document(cause)))) => self.quarantine(&document, &cause),
            ended => return Err(unexpected(ended)),
        }
        Ok(())
    }

    fn quarantine(&self, document: &str, cause: &Cause) {
        tracing::error!(%document, reason = %cause.words, "the document is quarantined");
        let market = self.markets.borrow().get(document).cloned();
        let handle = market.unwrap_or_else(|| self.directory.clone());
        handle.fault(cause);
    }

    fn link(&self, event: LinkEvent) -> Result<(), NodeError> {
        match event {
            LinkEvent::Up(link, agreed) => {
                let agree = self.admit(&link);
                self.sort_links();
                // The link's task waits for the word; if it has gone, its end is reported too.
                let _ = agreed.send(agree);
            }
            LinkEvent::Down(link) => {
                self.links.send_if_modified(|links| {
                    let known = links.get(&link.peer).is_some_and(|known| known.is(&link));
                    known && links.remove(&link.peer).is_some()
                });
                self.sort_links();
            }
            LinkEvent::Foreign { address, error } => return Err(NodeError::JoinAt { address, error }),
        }
        Ok(())
    }

    /// Takes a link unless there is a better one to the same peer. If both dialled each other, both
    /// keep the link that the lower node id dialled.
    fn admit(&self, link: &Link) -> Result<(), PeerError> {
        let members = self.members.borrow();
        let mut answer = Ok(());
        self.links.send_if_modified(|links| {
            if let Some(known) = links.get(&link.peer) {
                let better =
                    known.is_closed() || link.dialler == known.dialler || link.dialler < known.dialler;
                if !better {
                    answer = Err(PeerError::Connected);
                    return false;
                }
                known.close(Status::aborted("there is a newer connection to the same peer"));
            } else if !members.contains(link.peer) {
                let guests = links.keys().filter(|peer| !members.contains(**peer));
                if guests.count() >= MAX_GUESTS {
                    answer = Err(PeerError::Busy);
                    return false;
                }
            }
            links.insert(link.peer, link.clone());
            true
        });
        answer
    }

    /// The directory has other nodes, or there are other links: those of its nodes are for all
    /// documents, and nobody speaks with a node that it has forgotten.
    fn sort_links(&self) {
        let (members, links) = (self.members.borrow(), self.links.borrow());
        let of_members = links.iter().filter(|(peer, _)| members.contains(**peer));
        let of_members: Links = of_members.map(|(peer, link)| (*peer, link.clone())).collect();
        self.member_links.send_if_modified(|known| {
            for (peer, link) in known.iter().filter(|(peer, _)| !members.contains(**peer)) {
                tracing::info!(%peer, "the directory has forgotten the peer");
                link.close(PeerError::NoMember.status());
            }
            let same = |(a, b): (&Link, &Link)| a.is(b);
            let changed =
                known.len() != of_members.len() || !known.values().zip(of_members.values()).all(same);
            *known = of_members;
            changed
        });
    }

    /// Ends all tasks, the directory's first, then the writer.
    async fn close(&mut self, cause: Option<NodeError>) -> Result<Written, NodeError> {
        let mut error = cause;
        // Nobody opens a market any more; the directory does not wait for it.
        self.created.close();
        while self.created.try_recv().is_ok() {}
        self.directory.close();
        self.markets.borrow().values().for_each(ReplicaHandle::close);
        let finish = async {
            while let Some(ended) = self.tasks.replicas.join_next().await {
                if let Ok((document, Err(Fault::Document(cause)))) = &ended {
                    tracing::error!(%document, reason = %cause.words, "the document is quarantined");
                } else if !matches!(ended, Ok((_, Ok(())))) {
                    error = error.take().or(Some(unexpected(ended)));
                }
            }
        };
        if tokio::time::timeout(FINISH_TIMEOUT, finish).await.is_err() {
            tracing::warn!(
                "requests that are accepted but not sequenced stay on the disk for the next start"
            );
            self.tasks.replicas.shutdown().await;
        }
        // None may be left behind: a peer's stream ends once nobody can send on it.
        self.member_links.send_replace(Links::new());
        for link in self.links.send_replace(Links::new()).into_values() {
            link.close(PeerError::Closing.status());
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

/// Completes when the node is asked to end.
async fn requested(stopping: &mut watch::Receiver<bool>) {
    // The supervisor has the sender, so this can't fail.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

fn unexpected(ended: Result<TaskEnd, JoinError>) -> NodeError {
    NodeError::Task(match ended {
        Ok((document, Ok(()))) => format!("the replica of {document} ended"),
        Ok((document, Err(Fault::Node(words)))) => format!("the replica of {document} failed: {words}"),
        Ok((document, Err(Fault::Document(cause)))) => {
            format!("the replica of {document} failed: {}", cause.words)
        }
        Err(error) => error.to_string(),
    })
}

//! The task that owns one replica: inputs in, effects out.
//!
//! All requests that wait are handed to the replica at once, so a batch is whatever came while the
//! batch before it was on its way to the disk.

mod gather;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinError;
use tokio::time::{Sleep, sleep};
use tonic::Status;

use super::LEASE;
use super::clock::Clock;
use super::disk::{Disk, StoredAt};
use super::handle::{DocumentHandle, Shared, ToTask};
use super::publish::{self, Publication, Publisher, Witness};
use super::quarantine::{Fault, NodeFault, Quarantine, TaskEnd, panicked};
use super::summary::{self, Summary};
use super::waiting::Waiting;
use crate::document::Genesis;
use crate::peer::{self, Link, Links};
use crate::replica::{Effect, Input, Replica, ReplicaError};
use crate::types::{Micros, NodeId, Position};

/// Most words of handles that wait.
const MAX_WORDS: usize = 1_024;

/// What the task waits for.
enum Event {
    Stored(StoredAt),
    Woken,
    NoSuccessor,
    Closing,
    Links,
    Received(usize),
}

struct Task {
    name: Arc<str>,
    /// The links that the replica knows, and those that there are.
    known: Links,
    links: watch::Receiver<Links>,
    replica: Replica,
    disk: Disk,
    clock: Clock,
    waiting: Waiting,
    publications: mpsc::Sender<Publication>,
    summaries: summary::Publish,
    /// Whether requests are taken; a closing replica only finishes those that it has.
    open: bool,
    wake: Option<std::pin::Pin<Box<Sleep>>>,
    /// Until when a closing holder waits for the next one to take the lease.
    handing_over: Option<std::pin::Pin<Box<Sleep>>>,
    effects: Vec<Effect>,
    /// When the running step began.
    step_began: Micros,
    quarantine: Quarantine,
}

/// A replica's task, with its publisher, and the handle to it. The handle has to be where others look for it
/// before the task runs: it greets the peers at once, and their answers come to the handle.
pub(super) fn prepare(
    (name, replica, disk): (Arc<str>, Replica, Disk),
    witness: Witness,
    links: watch::Receiver<Links>,
    clock: Clock,
) -> (DocumentHandle, impl Future<Output = TaskEnd> + Send + 'static) {
    let (words, mut receiver) = mpsc::channel(MAX_WORDS);
    let (publications, published) = publish::channel();
    let (shown, blocks) = (watch::Sender::default(), publish::streams());
    let (summarize, summaries) = summary::channel();
    summarize.send_replace(Some(Arc::new(Summary::of(&replica, clock.now()))));
    let (closing, quarantine) = (watch::Sender::new(false), Quarantine::default());
    let shared = Shared {
        name: name.clone(),
        task: words,
        summaries,
        shown: shown.subscribe(),
        blocks: blocks.clone(),
        closing: closing.clone(),
        quarantine: quarantine.clone(),
    };
    let publisher = Publisher { witness, shown, blocks, quarantine: quarantine.clone() };
    let waiting = Waiting::from(replica.node(), replica.next_counter(), replica.pending());
    let mut task = Task {
        name: name.clone(),
        known: Links::new(),
        links,
        replica,
        disk,
        clock,
        waiting,
        publications,
        summaries: summarize,
        open: true,
        wake: None,
        handing_over: None,
        effects: Vec::new(),
        step_began: clock.now(),
        quarantine: quarantine.clone(),
    };
    let running = async move {
        // A task of its own: while it writes the history, the replica goes on with the next batch.
        let mut publishing = tokio::spawn(publisher.run(published));
        let running = AssertUnwindSafe(task.run(&mut receiver, closing.subscribe())).catch_unwind();
        let ran = tokio::select! {
            ran = running => ran.unwrap_or_else(|panic| Err(panicked(panic.as_ref()))),
            // It ends before the task only if it failed; then nothing more may be shown.
            failed = &mut publishing => {
                let ended = publisher_end(failed);
                quarantine.raise_on(&ended);
                return (name, ended);
            }
        };
        // Whoever waits finds the word why before he learns that he waits in vain.
        quarantine.raise_on(&ran);
        drop((task, receiver));
        // What was committed is published to the end.
        let ended = publisher_end(publishing.await).and(ran);
        quarantine.raise_on(&ended);
        (name, ended)
    };
    (DocumentHandle { shared: Arc::new(shared) }, running)
}

fn publisher_end(ended: Result<Result<(), Fault>, JoinError>) -> Result<(), Fault> {
    match ended {
        Ok(published) => published,
        Err(panicked) => Err(panicked.into()),
    }
}

impl Task {
    async fn run(
        &mut self,
        words: &mut mpsc::Receiver<ToTask>,
        mut closing: watch::Receiver<bool>,
    ) -> Result<(), Fault> {
        self.show_start().await?;
        self.step(Input::Wake).await?;
        self.relink().await?;
        let mut connected = true;
        let mut received = Vec::new();
        while self.open || !self.replica.is_idle() || self.waits_for_successor() {
            let event = tokio::select! {
                biased;
                stored = self.disk.first_stored() => {
                    Event::Stored(stored.map_err(Fault::Node)?)
                }
                () = woken(&mut self.wake) => Event::Woken,
                () = woken(&mut self.handing_over) => Event::NoSuccessor,
                _ = closing.wait_for(|closing| *closing), if self.open => Event::Closing,
                Ok(()) = self.links.changed() => Event::Links,
                () = self.quarantine.raised() => return Ok(()),
                count = words.recv_many(&mut received, MAX_WORDS), if connected => Event::Received(count),
            };
            match event {
                Event::Stored(StoredAt { generation, index }) => {
                    self.step(Input::Stored { generation, index }).await?;
                }
                Event::Woken => {
                    self.wake = None;
                    self.step(Input::Wake).await?;
                }
                Event::Links => self.relink().await?,
                Event::NoSuccessor => self.handing_over = None,
                Event::Closing => {
                    self.open = false;
                    self.give_lease_up().await?;
                }
                Event::Received(count) => {
                    // Without a handle there will be no request and no peer's word any more.
                    connected = count > 0;
                    self.open &= connected;
                    self.take(&mut received).await?;
                }
            }
        }
        words.close();
        while let Some(word) = words.recv().await {
            self.refuse(word);
        }
        Ok(())
    }

    /// What the generation begins with is shown from the start: no batch will come for it.
    async fn show_start(&mut self) -> Result<(), Fault> {
        let view = self.replica.view();
        let start = view.start();
        if start.position == Position(0) {
            return Ok(());
        }
        let markets = view.machine.directory().map(|directory| directory.markets().cloned().collect());
        self.publish(Publication::Skipped { start, markets: markets.unwrap_or_default() }).await
    }

    /// A closing holder hands its lease over, so that nobody has to wait until it is over.
    async fn give_lease_up(&mut self) -> Result<(), Fault> {
        let Some(to) = self.replica.successor(self.clock.now()) else { return Ok(()) };
        tracing::info!(document = %self.name, %to, "the lease is handed over");
        self.handing_over = Some(Box::pin(sleep(Duration::from_micros(LEASE.0))));
        self.step(Input::HandOver(to)).await
    }

    fn waits_for_successor(&self) -> bool {
        self.handing_over.is_some() && self.replica.is_last_holder()
    }

    /// Tells the replica which peers came and went.
    async fn relink(&mut self) -> Result<(), Fault> {
        let links = self.links.borrow_and_update().clone();
        let same = |known: &Link| links.get(&known.peer).is_some_and(|link| link.is(known));
        let gone: Vec<NodeId> =
            self.known.values().filter(|known| !same(known)).map(|known| known.peer).collect();
        for peer in gone {
            self.known.remove(&peer);
            self.step(Input::PeerDown(peer)).await?;
        }
        for (peer, link) in links {
            if self.known.insert(peer, link).is_none() {
                self.step(Input::PeerUp(peer)).await?;
            }
        }
        Ok(())
    }

    async fn step(&mut self, input: Input) -> Result<(), Fault> {
        let mut effects = std::mem::take(&mut self.effects);
        self.step_began = self.clock.now();
        // What a replica wanted before it gave up is not done: nobody heard of it.
        if let Err(error) = self.replica.handle(self.step_began, input, &mut effects) {
            if matches!(error, ReplicaError::Outdated { .. }) {
                self.disk.condemn(&error.to_string());
            }
            return Err(error.into());
        }
        // Nobody may see what was skipped to before it is on the disk.
        if !effects.iter().any(|effect| matches!(effect, Effect::Skipped { .. })) {
            self.summarize();
        }
        for effect in effects.drain(..) {
            self.perform(effect).await?;
        }
        self.effects = effects;
        Ok(())
    }

    /// Leaves behind what there is to know at a glance.
    fn summarize(&self) {
        self.summaries.send_replace(Some(Arc::new(Summary::of(&self.replica, self.step_began))));
    }

    async fn perform(&mut self, effect: Effect) -> Result<(), Fault> {
        match effect {
            Effect::Store { generation, index, bytes } => {
                self.disk.write(generation, index, bytes).map_err(Fault::Node)?;
            }
            Effect::Roll { genesis, changes } => self.roll(genesis, changes).await?,
            Effect::Skipped { through, start } => {
                // What is shown now must be shown after a restart too.
                self.disk.begun().await.map_err(Fault::Node)?;
                self.summarize();
                self.waiting.skip(through);
                let directory = self.replica.view().machine.directory();
                let markets =
                    directory.map_or_else(Vec::new, |directory| directory.markets().cloned().collect());
                self.publish(Publication::Skipped { start, markets }).await?;
            }
            Effect::Remember(remembered) => self.disk.remember(&remembered),
            Effect::GateOpened => {
                tracing::info!(document = %self.name, "a majority of the other voters was heard: this node votes");
                self.disk.gate_opened().map_err(Fault::Node)?;
            }
            Effect::Report(what) => tracing::error!(document = %self.name, "{what}"),
            Effect::Accepted { through } => {
                let ledger = &self.replica.view().ledger;
                self.waiting.accept(through, |account, id| ledger.request(account, id));
            }
            Effect::Committed(block) => {
                let notices = self.waiting.settle(&block);
                self.publish(Publication::Block { block, notices }).await?;
            }
            Effect::Send { to, envelope } => {
                if let Some(link) = self.known.get(&to) {
                    link.send(peer::encode(&self.name, envelope));
                }
            }
            Effect::Disconnect { peer, reason } => {
                if let Some(link) = self.known.get(&peer) {
                    tracing::warn!(document = %self.name, %peer, %reason, "a peer's stream is closed");
                    link.close(Status::invalid_argument(format!("{}: {reason}", self.name)));
                }
            }
            Effect::WakeAt(at) => self.wake = Some(Box::pin(sleep(self.clock.until(at)))),
        }
        Ok(())
    }
}

impl Task {
    /// A generation begins. The old one can make the history anew, so the history is synced before
    /// the old one is given up.
    async fn roll(&mut self, genesis: Arc<Genesis>, changes: Vec<Bytes>) -> Result<(), Fault> {
        let (synced, history_is_synced) = oneshot::channel();
        self.publish(Publication::Sync(synced)).await?;
        history_is_synced.await.map_err(|_| history_failed())?;
        // So long nothing else went on with this document: its genesis was made, its history synced.
        let pause_us = self.clock.now().0.saturating_sub(self.step_began.0);
        tracing::info!(
            document = %self.name, generation = genesis.generation().0, genesis_bytes = genesis.bytes(),
            position = genesis.position().0, pause_us, "a generation begins"
        );
        self.disk.begin_generation(genesis, changes).map_err(Fault::Node)
    }

    async fn publish(&self, publication: Publication) -> Result<(), Fault> {
        self.publications.send(publication).await.map_err(|_| history_failed())
    }
}

async fn woken(wake: &mut Option<std::pin::Pin<Box<Sleep>>>) {
    match wake {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}

/// The publisher's own word comes before this one.
fn history_failed() -> Fault {
    Fault::Node(NodeFault::Publisher)
}

//! The replica of one document: a state machine without I/O, clock or randomness.
//!
//! [`Replica::handle`] takes an input and a time and appends effects. The way of a request: it is
//! gathered; [`tick`](Replica::handle) writes all that was gathered as intents and, under the
//! lease, what became of them as a tape batch, in one change; the change is stored; a majority's
//! acknowledgements under the holder's term commit it; the view applies the committed batch, and
//! the block of changes that this gives is the answer to everyone.
//!
//! - `inbox`: intents that are not consumed yet.
//! - [`tape`]: which batches count.
//! - `lease`: promises, activation, what is committed.

mod inbox;
mod lease;
pub mod tape;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::document::{Actor, ChangeError, Document, DocumentError, Entry, Genesis, RawChange};
use crate::machine::{Block, FoldError, Intent, Request, State, decode_batch, encode_batch};
use crate::types::{Micros, NodeId, OrderId, Position};

use inbox::Inbox;
use lease::Lease;
use tape::Tape;

/// Most requests that one change carries.
pub const MAX_BATCH: usize = 4_096;

/// Most changes that may be on their way to the disk. While they are, requests gather.
const MAX_IN_FLIGHT: usize = 2;

/// Most unconsumed intents of this node.
pub const MAX_PENDING: usize = 262_144;

/// Most batches that the view applies in one step, so that a long catch-up stays responsive.
const MAX_APPLIED: usize = 64;

/// What happens to a replica.
#[derive(Debug)]
pub enum Input {
    /// Requests of clients, in the order in which they take effect.
    Submit(Vec<Request>),
    /// All own changes up to this number are on the disk.
    Stored {
        /// The change's number.
        seq: u64,
    },
    /// Time has passed, or there is more to do.
    Wake,
}

/// What a replica wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Put a change on the disk, then say [`Input::Stored`]. Nobody may hear of it before.
    Store {
        /// The change's number.
        seq: u64,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// This node's intents up to this counter are on the disk.
    Accepted {
        /// The counter.
        through: u64,
    },
    /// A batch is committed: show what it did.
    Committed(Arc<Block>),
    /// Say [`Input::Wake`] at this time, or sooner.
    WakeAt(Micros),
}

/// Why a replica can't go on. What is on the disk stands.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The document refused something.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A tape batch does not fit.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// A stored change can't be read.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A batch of intents that does not follow its node's last, or can't be read.
    #[error("intents {first} of node {node} do not follow its intent {last}")]
    Intents {
        /// The node.
        node: NodeId,
        /// The batch's first counter.
        first: u64,
        /// The last counter before it.
        last: u64,
    },
}

/// How a replica is, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicaStatus {
    /// The generation.
    pub generation: u64,
    /// The voters.
    pub voters: Vec<NodeId>,
    /// Term of the fold's head; zero before the first lease.
    pub term: u64,
    /// Who holds that lease.
    pub holder: Option<NodeId>,
    /// Position of the view.
    pub position: Position,
    /// Tape time of the view.
    pub tape_time: Micros,
    /// Batches in the view.
    pub committed_batches: u64,
    /// Changes in the document.
    pub changes: u64,
    /// Their bytes.
    pub bytes: u64,
    /// This node's unconsumed intents.
    pub pending: u64,
    /// The view's running digest.
    pub digest: [u8; 32],
}

/// A replica.
#[derive(Debug)]
pub struct Replica {
    node: NodeId,
    generation: u64,
    document: Document,
    inbox: Inbox,
    tape: Tape,
    view: State,
    lease: Lease,
    /// How many batches of the effective tape are known to be committed.
    committed: u64,
    gathering: VecDeque<Request>,
    /// Own changes on their way to the disk: number, and the last own counter in it.
    in_flight: VecDeque<(u64, u64)>,
}

impl Replica {
    /// A replica with what its node has stored, in the order in which it was stored.
    ///
    /// # Errors
    /// What is stored can't be read or does not fit together.
    pub fn open(genesis: &Genesis, me: Actor, stored: Vec<Vec<u8>>) -> Result<Self, ReplicaError> {
        let node = me.node();
        let document = Document::new(genesis, me)?;
        let tape = Tape::new(genesis.voters());
        let view = State::new(genesis.machine(), genesis.digest());
        let mut replica = Self {
            node,
            generation: genesis.generation(),
            document,
            inbox: Inbox::default(),
            tape,
            view,
            lease: Lease::default(),
            committed: 0,
            gathering: VecDeque::new(),
            in_flight: VecDeque::new(),
        };
        let changes = stored.into_iter().map(RawChange::parse).collect::<Result<Vec<_>, _>>()?;
        for (actor, entry) in replica.document.apply(changes)? {
            replica.take(actor, entry)?;
        }
        replica.recall_committed();
        Ok(replica)
    }

    /// Takes an input. All effects are appended in the order in which they must be done.
    ///
    /// # Errors
    /// The replica can't go on and must not be used any more.
    pub fn handle(
        &mut self,
        now: Micros,
        input: Input,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        match input {
            Input::Submit(requests) => self.gathering.extend(requests),
            Input::Stored { seq } => self.stored(seq, effects),
            Input::Wake => {}
        }
        if self.show(effects)? {
            self.seek_lease(effects)?;
            self.tick(now, effects)?;
        }
        self.plan_wake(now, effects);
        Ok(())
    }

    /// The committed state: all that may be shown.
    #[must_use]
    pub fn view(&self) -> &State {
        &self.view
    }

    /// The node whose replica this is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Position of the last committed event that the document has; the view may still be behind.
    #[must_use]
    pub fn committed_position(&self) -> Position {
        let last = self.committed.checked_sub(1).and_then(|at| self.tape.batch(at));
        last.map_or(self.view.position(), |batch| batch.first)
    }

    /// This node's intents that are accepted and not consumed, by counter.
    pub fn pending(&self) -> impl Iterator<Item = (OrderId, &Intent)> {
        self.inbox.of(self.node)
    }

    /// How many requests may still be submitted.
    #[must_use]
    pub fn room(&self) -> usize {
        MAX_PENDING.saturating_sub(self.gathering.len() + self.inbox.len_of(self.node))
    }

    /// The counter that the next submitted request will get.
    #[must_use]
    pub fn next_counter(&self) -> u64 {
        self.inbox.last(self.node) + self.gathering.len() as u64 + 1
    }

    /// Whether all that was submitted is consumed, committed and shown.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.gathering.is_empty() && self.in_flight.is_empty() && self.inbox.len_of(self.node) == 0
    }

    /// How it is, for people.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        let head = self.tape.head();
        ReplicaStatus {
            generation: self.generation,
            voters: self.tape.voters().to_vec(),
            term: head.map_or(0, |head| head.term),
            holder: head.map(|head| head.actor.node()),
            position: self.view.position(),
            tape_time: self.view.time(),
            committed_batches: self.view.batches(),
            changes: self.document.changes(),
            bytes: self.document.bytes(),
            pending: self.inbox.len_of(self.node) as u64,
            digest: self.view.digest(),
        }
    }

    /// Takes an entry that the document has got.
    fn take(&mut self, actor: Actor, entry: Entry) -> Result<(), ReplicaError> {
        match entry {
            Entry::Intents(batch) => {
                let (node, first) = (NodeId(batch.node), batch.first_counter);
                let intents = decode_batch(batch).filter(|_| node == actor.node());
                if !intents.is_some_and(|intents| self.inbox.add(node, first, intents)) {
                    return Err(ReplicaError::Intents { node, first, last: self.inbox.last(node) });
                }
            }
            Entry::Promise(promise) => self.tape.add_promise(actor, &promise),
            Entry::Activation(activation) => self.tape.add_activation(actor, &activation),
            Entry::Tape(batch) => self.tape.add_batch(actor, Arc::new(batch)),
        }
        Ok(())
    }

    /// Own changes reached the disk: intents are accepted, and this voter acknowledges.
    fn stored(&mut self, seq: u64, effects: &mut Vec<Effect>) {
        let mut accepted = None;
        while let Some((_, through)) = self.in_flight.front().filter(|(change, _)| *change <= seq).copied() {
            accepted = Some(through);
            self.in_flight.pop_front();
        }
        if let Some(through) = accepted {
            effects.push(Effect::Accepted { through });
        }
        self.acknowledge(seq);
    }

    /// Applies committed batches to the view; `false` if more are left for the next step.
    fn show(&mut self, effects: &mut Vec<Effect>) -> Result<bool, ReplicaError> {
        for _ in 0..MAX_APPLIED {
            if self.view.batches() >= self.committed {
                return Ok(true);
            }
            let at = self.view.batches();
            let Some(batch) = self.tape.batch(at).cloned() else {
                return Ok(true);
            };
            let block = self.view.apply(&batch, |id| self.inbox.get(id))?;
            for (node, first, count) in &batch.runs {
                self.inbox.release(*node, first + count - 1);
            }
            self.tape.release(at);
            effects.push(Effect::Committed(Arc::new(block)));
        }
        Ok(self.view.batches() >= self.committed)
    }

    /// Writes what was gathered and, under the lease, what becomes of it, as one change.
    fn tick(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            return Ok(());
        }
        let mut entries = Vec::new();
        if let Some(batch) = self.write_intents(now)? {
            entries.push(batch);
        }
        let batch = self.write_batch(now)?;
        let batches = batch.is_some();
        entries.extend(batch);
        if !entries.is_empty() {
            let seq = self.write(&entries, effects)?;
            if batches {
                self.lease.batch_written(seq);
            }
        }
        Ok(())
    }

    fn write_intents(&mut self, now: Micros) -> Result<Option<Entry>, ReplicaError> {
        if self.gathering.is_empty() {
            return Ok(None);
        }
        let count = self.gathering.len().min(MAX_BATCH);
        let requests: Vec<Request> = self.gathering.drain(..count).collect();
        let first = self.inbox.last(self.node) + 1;
        let based_on = self.view.time();
        let batch = encode_batch(self.node, first, based_on, now, &requests);
        let intents =
            requests.into_iter().map(|request| Intent { request, based_on, accepted: now }).collect();
        if !self.inbox.add(self.node, first, intents) {
            return Err(ReplicaError::Intents { node: self.node, first, last: self.inbox.last(self.node) });
        }
        Ok(Some(Entry::Intents(batch)))
    }

    fn write(&mut self, entries: &[Entry], effects: &mut Vec<Effect>) -> Result<u64, ReplicaError> {
        let change = self.document.append(entries)?;
        self.in_flight.push_back((change.seq, self.inbox.last(self.node)));
        effects.push(Effect::Store { seq: change.seq, bytes: change.bytes });
        Ok(change.seq)
    }

    /// Asks to be woken when there is something to do that nothing else would bring up.
    fn plan_wake(&self, now: Micros, effects: &mut Vec<Effect>) {
        let more_to_show = self.view.batches() < self.committed;
        let expiry = self.lease.next_expiry();
        if more_to_show {
            effects.push(Effect::WakeAt(now));
        } else if let Some(at) = expiry.filter(|_| self.in_flight.len() < MAX_IN_FLIGHT) {
            effects.push(Effect::WakeAt(at.max(now)));
        }
    }
}

#[cfg(test)]
mod tests;

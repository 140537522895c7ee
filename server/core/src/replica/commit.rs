//! Matching under the lease, and what a majority's acknowledgements commit.
//!
//! A batch of term t is committed when a majority of voters acknowledged, under the label t, the
//! change that carries it. What was adopted from earlier terms is committed together with the
//! activation of t and never before: counting acknowledgements of an adopted batch alone is the
//! Figure-8 mistake, and a later holder could win without it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::inbox::Inbox;
use super::message::Ack;
use super::{Effect, MAX_BATCH, Replica, ReplicaError};
use crate::document::{Actor, Entry, Genesis};
use crate::machine::{BatchBuilder, Block, FoldError, State};
use crate::plant::{Plant, planted};
use crate::types::{Micros, NodeId, OrderId, Position};

/// What a holder matches on.
#[derive(Debug)]
pub(super) struct Holding {
    pub term: u64,
    /// The whole effective tape's state, committed or not.
    pub ahead: State,
    /// The own change that carries the activation.
    activation: u64,
    /// How many batches the activation adopted.
    adopted: u64,
    /// The writer of the adopted head and how many of its changes were there; only for a plant.
    pub adopted_from: Option<(Actor, u64)>,
    /// Own changes with batches that are not committed yet, and the tape's length after each.
    uncommitted: VecDeque<(u64, u64)>,
    /// The genesis that follows the Seal that this holder wrote.
    pub sealed: Option<Box<Genesis>>,
    /// The node whose turn it was last.
    last_turn: NodeId,
}

impl Holding {
    pub fn new(term: u64, ahead: State, activation: u64, node: NodeId) -> Self {
        let adopted = ahead.batches();
        let uncommitted = VecDeque::new();
        Self {
            term,
            ahead,
            activation,
            adopted,
            adopted_from: None,
            uncommitted,
            sealed: None,
            last_turn: node,
        }
    }
}

/// Most intents that a batch consumes, and most bytes that it records, but for those of its last
/// intent, which are bounded by the orders of a book.
type Limits = (usize, usize);

/// How many times more the last batch of a generation may have: it consumes all that there is, if it can.
const LAST_BATCH: (usize, usize) = (16, 4);

/// Consumes intents, nodes in turn; returns whether none is left.
fn consume(
    inbox: &Inbox,
    holding: &mut Holding,
    batch: &mut BatchBuilder,
    (intents, bytes): Limits,
) -> Result<bool, FoldError> {
    let mut nodes: Vec<NodeId> = inbox.nodes().collect();
    let turn = nodes.partition_point(|node| *node <= holding.last_turn);
    nodes.rotate_left(turn);
    let mut full = batch.is_full_of_expired() || batch.is_full_of_triggered();
    while !full && !nodes.is_empty() {
        let mut failed = None;
        nodes.retain(|node| {
            full |= batch.len() >= intents || batch.bytes() >= bytes || batch.is_full_of_triggered();
            let next = OrderId { node: *node, counter: holding.ahead.consumed(*node) + 1 };
            let after = OrderId { counter: next.counter + 1, ..next };
            let skips = planted(Plant::OutOfOrder) && inbox.get(after).is_some();
            let id = if skips { after } else { next };
            let Some(intent) = inbox.get(id).filter(|_| failed.is_none()) else {
                return false;
            };
            if !full {
                holding.last_turn = *node;
                failed = holding.ahead.sequence(batch, id, intent, inbox).err();
            }
            true
        });
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(!full)
}

impl Replica {
    /// On start: what an earlier process has shown, and what batches say about what was committed before
    /// them, may be shown at once.
    pub(super) fn recall_committed(&mut self, shown: Position) {
        let batches = (self.view.batches()..self.tape.len()).filter_map(|at| self.tape.batch(at));
        let known = batches.clone().map(|batch| batch.committed).max().unwrap_or_default();
        let known = if planted(Plant::TakenBack) { known } else { known.max(shown) };
        let committed = batches.take_while(|batch| batch.first <= known).count() as u64;
        self.committed = self.committed.max(self.view.batches() + committed);
        self.told = self.tape.head().map_or((0, 0), |head| (head.term, self.committed));
        self.recall_told();
    }

    /// The state after the whole effective tape: the view, and what it does not show yet, which is
    /// also given block by block.
    ///
    /// # Errors
    /// The tape does not fit together.
    pub fn whole_fold(&self, mut each: impl FnMut(Block)) -> Result<State, ReplicaError> {
        let mut state = self.view.clone();
        while let Some(batch) = self.tape.batch(state.batches()) {
            each(state.apply(batch, |id| self.inbox.get(id))?);
        }
        Ok(state)
    }

    /// Consumes intents under the lease, nodes in turn, each node's in their order; and ends the
    /// generation if it is time.
    pub(super) fn write_batch(
        &mut self,
        now: Micros,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Entry>, ReplicaError> {
        // After a Seal nothing is written in this generation.
        if !self.may_match(now) || self.tape.is_sealed() {
            return Ok(None);
        }
        let (clock, committed) = (self.tape_clock(now), self.view.position());
        let sealing = self.wants_seal(now);
        let (intents, bytes) = if sealing { LAST_BATCH } else { (1, 1) };
        let limits = (intents * MAX_BATCH, bytes * self.caps.batch_bytes);
        let Some(holding) = self.lease.holding() else {
            return Ok(None);
        };
        let mut batch = holding.ahead.begin(holding.term, clock, committed)?;
        let drained = consume(&self.inbox, holding, &mut batch, limits)?;
        if sealing && drained {
            return Ok(self.write_seal(now, batch, effects));
        }
        let Some(holding) = self.lease.holding().filter(|_| !batch.is_empty()) else {
            return Ok(None);
        };
        Ok(Some(Entry::Tape(Arc::new(holding.ahead.end(batch)))))
    }

    /// Notes that an own change carries the holder's newest batch.
    pub(super) fn batch_written(&mut self, change: u64) {
        if let Some(holding) = self.lease.holding() {
            holding.uncommitted.push_back((change, holding.ahead.batches()));
        }
    }

    /// Counts acknowledgements and notes what they commit.
    pub(super) fn count_acks(&mut self, now: Micros) {
        if planted(Plant::AdoptedAlone) {
            self.commit_adopted_alone();
        }
        if planted(Plant::SealUncommitted) && self.tape.seal().is_some() {
            self.committed = self.tape.len();
        }
        let Some(covered) = self.covered() else {
            return;
        };
        let Some(holding) = self.lease.holding().filter(|holding| holding.activation <= covered) else {
            return;
        };
        let mut committed = holding.adopted;
        while let Some((_, length)) =
            holding.uncommitted.front().filter(|(change, _)| *change <= covered).copied()
        {
            committed = length;
            holding.uncommitted.pop_front();
        }
        let (term, before) = (holding.term, self.committed);
        self.committed = before.max(committed);
        if self.committed > before {
            self.owe_told(now, before);
        }
        // Said under each term anew, even if nothing was added: the last holder's word may not
        // have reached everyone.
        self.note_told(now, (term, self.committed));
    }

    /// The last own change that a majority of the voters has on disk under this holder's term.
    pub(super) fn covered(&self) -> Option<u64> {
        let (term, me) = (self.lease.held()?.term, self.document.me());
        let counted = self.counted_voters();
        let acks = counted.iter().filter_map(|voter| {
            let ack: &Ack = if *voter == self.node {
                self.log.ack()
            } else {
                self.peers.connected.get(voter)?.acked.as_ref()?
            };
            let observes = planted(Plant::WrongVoters) && !self.tape.voters().contains(voter);
            let labelled = ack.label == term || observes;
            labelled.then(|| ack.vector.get(&me).copied().unwrap_or(0))
        });
        let mut covered: Vec<u64> = acks.collect();
        covered.sort_unstable_by(|a, b| b.cmp(a));
        covered.get(self.tape.majority() - 1).copied()
    }

    /// Whose acknowledgements count.
    fn counted_voters(&self) -> Vec<NodeId> {
        let mut voters = self.tape.voters().to_vec();
        if planted(Plant::WrongVoters) {
            voters.extend(self.peers.connected.keys().filter(|peer| !self.tape.voters().contains(peer)));
        }
        voters
    }

    /// Planted: the Figure-8 mistake, acknowledgements of the adopted batches without the activation.
    fn commit_adopted_alone(&mut self) {
        let Some(Holding { term, adopted, adopted_from: Some((writer, seq)), .. }) = self.lease.held() else {
            return;
        };
        let acks = self.tape.voters().iter().filter_map(|voter| match *voter == self.node {
            true => Some(self.log.ack()),
            false => self.peers.connected.get(voter)?.acked.as_ref(),
        });
        let covers =
            |ack: &&Ack| ack.label == *term && ack.vector.get(writer).is_some_and(|have| have >= seq);
        if acks.filter(covers).count() >= self.tape.majority() {
            self.committed = self.committed.max(*adopted);
        }
    }

    /// The holder of a term says what is committed. It holds for this node only if its own head is
    /// at least of that term; what it does not have yet, it shows when it comes.
    pub(super) fn take_committed(&mut self, now: Micros, from: NodeId, term: u64, batches: u64) {
        if self.lease.held().is_some_and(|holding| holding.term >= term) {
            // Nobody knows more of its own term than the holder.
            return;
        }
        if term > self.reachable_term() {
            return;
        }
        if let Some(peer) = self.peers.connected.get_mut(&from) {
            peer.told = peer.told.max((term, batches));
        }
        self.hear_told(now);
        self.recall_told();
    }

    /// Believes of what peers said what the tape bears out: a word of a term counts once the head is
    /// of that term, and only for batches that its holder can have committed.
    pub(super) fn hear_told(&mut self, now: Micros) {
        let Some(head) = self.tape.head() else {
            return;
        };
        // Whoever has no vote may have heard it from anyone, and need not say what the holder would say itself.
        let holder = head.actor.node();
        let relayed = !self.peers.connected.contains_key(&holder);
        let may_know = |node: &NodeId| *node == holder || relayed || self.tape.voters().contains(node);
        let voices = self.peers.connected.iter().filter(|(node, _)| may_know(node));
        let heard = voices.map(|(_, peer)| peer.told);
        let known = heard.filter(|(term, _)| head.term >= *term || planted(Plant::CommitWithoutTerm));
        let best = known.map(|(term, batches)| (term, batches.min(self.tape.end_of(term)))).max();
        if let Some(told) = best {
            self.note_told(now, told);
        }
    }

    fn note_told(&mut self, now: Micros, told: (u64, u64)) {
        if told > self.told {
            self.told = told;
            self.told_since = now;
        }
    }

    /// Believes what it was told once its head is new enough, and what the document shows.
    pub(super) fn recall_told(&mut self) {
        let (term, batches) = self.told;
        if self.tape.head().is_some_and(|head| head.term >= term || planted(Plant::CommitWithoutTerm)) {
            self.committed = self.committed.max(batches);
        }
        if self.tape.seal_is_acknowledged() {
            self.committed = self.committed.max(self.tape.len());
        }
    }
}

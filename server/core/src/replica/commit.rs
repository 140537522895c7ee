//! Matching under the lease, and what a majority's acknowledgements commit.
//!
//! A batch of term t is committed when a majority of voters acknowledged, under the label t, the
//! change that carries it. What was adopted from earlier terms is committed together with the
//! activation of t and never before: counting acknowledgements of an adopted batch alone is the
//! Figure-8 mistake, and a later holder could win without it.

use super::generation::Generation;
use super::matching::Holding;
use super::message::{Ack, Told};
use super::tape::Tape;
use super::{Replica, ReplicaError};
use crate::machine::{Block, State};
use crate::plant::{Plant, planted};
use crate::types::{BatchIndex, Micros, NodeId, Position};

/// What is known to be committed of a generation's effective tape.
#[derive(Debug)]
pub(super) struct Commit {
    /// How many batches.
    batches: BatchIndex,
    /// What the newest holder that was heard said.
    told: Told,
    /// When that was heard.
    told_since: Micros,
}

impl Commit {
    /// Of a generation that begins: nothing.
    pub fn beginning(now: Micros) -> Self {
        Self { batches: BatchIndex::default(), told: Told::default(), told_since: now }
    }

    /// How many batches of the effective tape are known to be committed.
    pub fn batches(&self) -> BatchIndex {
        self.batches
    }

    /// What the newest holder that was heard said.
    pub fn told(&self) -> Told {
        self.told
    }

    /// When that was heard.
    pub fn told_since(&self) -> Micros {
        self.told_since
    }

    /// So many batches are; it is never less than before. Returns how many were known, if it is more.
    fn reach(&mut self, batches: BatchIndex) -> Option<BatchIndex> {
        let before = self.batches;
        self.batches = before.max(batches);
        (self.batches > before).then_some(before)
    }

    /// What an earlier process knew is committed, and said under the head's term.
    fn recall(&mut self, batches: BatchIndex, tape: &Tape) {
        self.reach(batches);
        self.told =
            tape.head().map_or_else(Told::default, |head| Told { term: head.term, batches: self.batches });
        self.believe(tape);
    }

    /// A holder's word that the tape bears out; an older one than was heard is none.
    fn note(&mut self, now: Micros, told: Told) {
        if told > self.told {
            (self.told, self.told_since) = (told, now);
        }
    }

    /// Believes what it was told once its head is new enough, and what the document shows.
    pub fn believe(&mut self, tape: &Tape) {
        let Told { term, batches } = self.told;
        if tape.head().is_some_and(|head| head.term >= term || planted(Plant::CommitWithoutTerm)) {
            self.reach(batches);
        }
        if tape.seal_is_acknowledged() {
            self.reach(tape.len());
        }
    }
}

impl Replica {
    /// On start: what an earlier process has shown, and what batches say about what was committed before
    /// them, may be shown at once.
    pub(super) fn recall_committed(&mut self, shown: Position) {
        let Generation { tape, commit, .. } = &mut self.current;
        let batches = self.view.batches().until(tape.len()).filter_map(|at| tape.batch(at));
        let known = batches.clone().map(|batch| batch.committed).max().unwrap_or_default();
        let known = if planted(Plant::TakenBack) { known } else { known.max(shown) };
        let committed = batches.take_while(|batch| batch.first <= known).count() as u64;
        commit.recall(BatchIndex(self.view.batches().0 + committed), tape);
    }

    /// The state after the whole effective tape: the view, and what it does not show yet, which is
    /// also given block by block.
    ///
    /// # Errors
    /// The tape does not fit together.
    pub fn whole_fold(&self, mut each: impl FnMut(Block)) -> Result<State, ReplicaError> {
        let mut state = self.view.clone();
        while let Some(batch) = self.current.tape.batch(state.batches()) {
            each(state.apply(batch, |id| self.current.inbox.get(id))?);
        }
        Ok(state)
    }

    /// Counts acknowledgements and notes what they commit.
    pub(super) fn count_acks(&mut self, now: Micros) {
        if planted(Plant::AdoptedAlone) {
            self.commit_adopted_alone();
        }
        if planted(Plant::SealUncommitted) && self.current.tape.seal().is_some() {
            self.current.commit.batches = self.current.tape.len();
        }
        let Some(covered) = self.covered() else {
            return;
        };
        let Generation { lease, commit, .. } = &mut self.current;
        let Some((term, committed)) =
            lease.holding().and_then(|holding| Some((holding.term, holding.commit_through(covered)?)))
        else {
            return;
        };
        let before = commit.reach(committed);
        // Said under each term anew, even if nothing was added: the last holder's word may not
        // have reached everyone.
        let batches = commit.batches();
        if let Some(before) = before {
            self.current.owe_told(now, before);
        }
        self.current.commit.note(now, Told { term, batches });
    }

    /// The last own change that a majority of the voters has on disk under this holder's term.
    pub(super) fn covered(&self) -> Option<u64> {
        let (term, me) = (self.current.lease.held()?.term, self.current.document.me());
        let counted = self.counted_voters();
        let acks = counted.iter().filter_map(|voter| {
            let ack: &Ack = if *voter == self.node {
                self.current.log.ack()
            } else {
                self.current.peers.acked(*voter)?
            };
            let observes = planted(Plant::WrongVoters) && !self.current.tape.voters().contains(voter);
            let labelled = ack.label == term || observes;
            labelled.then(|| ack.vector.get(&me).copied().unwrap_or(0))
        });
        let mut covered: Vec<u64> = acks.collect();
        covered.sort_unstable_by(|a, b| b.cmp(a));
        covered.get(self.current.tape.majority() - 1).copied()
    }

    /// Whose acknowledgements count.
    fn counted_voters(&self) -> Vec<NodeId> {
        let mut voters = self.current.tape.voters().to_vec();
        if planted(Plant::WrongVoters) {
            voters.extend(
                self.current.peers.connected.keys().filter(|peer| !self.current.tape.voters().contains(peer)),
            );
        }
        voters
    }

    /// Planted: the Figure-8 mistake, acknowledgements of the adopted batches without the activation.
    fn commit_adopted_alone(&mut self) {
        let Some(Holding { term, adopted, adopted_from: Some((writer, seq)), .. }) =
            self.current.lease.held()
        else {
            return;
        };
        let acks = self.current.tape.voters().iter().filter_map(|voter| match *voter == self.node {
            true => Some(self.current.log.ack()),
            false => self.current.peers.acked(*voter),
        });
        let covers =
            |ack: &&Ack| ack.label == *term && ack.vector.get(writer).is_some_and(|have| have >= seq);
        if acks.filter(covers).count() >= self.current.tape.majority() {
            self.current.commit.batches = self.current.commit.batches.max(*adopted);
        }
    }

    /// The holder of a term says what is committed. It holds for this node only if its own head is
    /// at least of that term; what it does not have yet, it shows when it comes.
    pub(super) fn take_committed(&mut self, now: Micros, from: NodeId, told: Told) {
        if self.current.lease.held().is_some_and(|holding| holding.term >= told.term) {
            // Nobody knows more of its own term than the holder.
            return;
        }
        if told.term > self.reachable_term() {
            return;
        }
        if let Some(peer) = self.current.peers.connected.get_mut(&from) {
            peer.told = peer.told.max(told);
        }
        self.hear_told(now);
    }

    /// Believes of what peers said what the tape bears out: a word of a term counts once the head is
    /// of that term, and only for batches that its holder can have committed.
    pub(super) fn hear_told(&mut self, now: Micros) {
        let Generation { tape, peers, commit, .. } = &mut self.current;
        if let Some(head) = tape.head() {
            // Whoever has no vote may have heard it from anyone, and need not say what the holder would say itself.
            let holder = head.actor.node();
            let relayed = !peers.connected.contains_key(&holder);
            let may_know = |node: &NodeId| *node == holder || relayed || tape.voters().contains(node);
            let heard = peers.connected.iter().filter(|(node, _)| may_know(node)).map(|(_, peer)| peer.told);
            let known = heard.filter(|told| head.term >= told.term || planted(Plant::CommitWithoutTerm));
            let borne_out = |told: Told| Told { batches: told.batches.min(tape.end_of(told.term)), ..told };
            if let Some(told) = known.map(borne_out).max() {
                commit.note(now, told);
            }
        }
        commit.believe(tape);
    }
}

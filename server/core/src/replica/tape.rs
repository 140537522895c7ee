//! The fold's choice: which tape batches of a document count.
//!
//! An activation is valid if a majority of the voters promised its term to its actor, in its own
//! past. Of the valid ones the highest term is the *head*. Going back from it through what each
//! activation adopted gives the *effective tape*; every other batch is void, though the intents
//! beside it stand. Pure: the same entries in any order give the same tape.
//!
//! A generation that follows a Seal begins with the lease under which the Seal was written; its
//! genesis stands for that lease's activation. The last batch of a generation carries its own Seal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use xbook_proto::record::v1 as record;

use crate::document::{Actor, Heading, LeaseId};
use crate::machine::{Batch, Seal};
use crate::types::{BatchIndex, NodeId, Term};

/// The lease records and batches of a document.
#[derive(Debug)]
pub struct Tape {
    voters: Vec<NodeId>,
    /// The lease that the generation begins with.
    genesis: Option<LeaseId>,
    /// By term and voter: who wrote the promise, and to whom.
    promises: BTreeMap<(Term, NodeId), Promised>,
    activations: BTreeMap<LeaseId, Activation>,
    /// Terms under which a voter holds the Seal.
    seal_acks: BTreeSet<(Term, NodeId)>,
    batches: BTreeMap<Actor, Authored>,
    effective: Vec<Segment>,
    /// How many batches there are up to the first Seal of the effective tape: what comes after it is void.
    end: Option<BatchIndex>,
    /// The Seal was applied: nothing counts after it.
    ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Promised {
    writer: Actor,
    candidate: Actor,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Activation {
    promises: Vec<Actor>,
    adopts: Option<Head>,
    first_batch: u64,
}

/// A prefix of the effective tape: an activation and how many of its batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The activation's term.
    pub term: Term,
    /// Who wrote it.
    pub actor: Actor,
    /// How many of its batches.
    pub batches: u64,
}

/// A writer's batches; the first ones may have been let go after they were applied.
#[derive(Default, Debug)]
struct Authored {
    released: u64,
    /// With the number of the change that carries it.
    batches: VecDeque<(u64, Arc<Batch>)>,
}

/// An activation's part of the effective tape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Segment {
    /// Where on the effective tape it begins.
    start: BatchIndex,
    term: Term,
    actor: Actor,
    first_batch: u64,
    /// How many batches a later activation adopted; `None` for the head, whose batches all count.
    adopted: Option<u64>,
}

impl Tape {
    /// The tape of a generation that has only its genesis: voters, and the lease it begins with.
    #[must_use]
    pub fn new(voters: Vec<NodeId>, genesis: Option<LeaseId>) -> Self {
        let mut tape = Self {
            voters,
            genesis,
            promises: BTreeMap::new(),
            activations: BTreeMap::new(),
            seal_acks: BTreeSet::new(),
            batches: BTreeMap::new(),
            effective: Vec::new(),
            end: None,
            ended: false,
        };
        tape.choose();
        tape
    }

    /// The term that the generation begins with; every promise in it is above.
    #[must_use]
    pub fn first_term(&self) -> Term {
        self.genesis.map_or(Term::default(), |lease| lease.term)
    }

    /// How many voters are a majority.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// The voters, ascending.
    #[must_use]
    pub fn voters(&self) -> &[NodeId] {
        &self.voters
    }

    /// Takes a promise. Those of observers do not count, nor do a voter's further ones of a term.
    pub fn add_promise(&mut self, writer: Actor, promise: &record::Promise) {
        let (voter, Ok(candidate)) = (NodeId(promise.voter), promise.candidate.as_ref().try_into()) else {
            return;
        };
        if voter == writer.node() && self.voters.contains(&voter) {
            let promised = Promised { writer, candidate: Actor(candidate) };
            self.promises.entry((Term(promise.term), voter)).or_insert(promised);
            self.choose();
        }
    }

    /// Takes an activation.
    pub fn add_activation(&mut self, writer: Actor, activation: &record::Activation) {
        let actor = |bytes: &[u8]| bytes.try_into().ok().map(Actor);
        let adopts = match &activation.adopts {
            None => None,
            Some(head) => match actor(&head.actor) {
                Some(actor) => Some(Head { term: Term(head.term), actor, batches: head.batches }),
                None => return,
            },
        };
        let promises = activation.promises.iter().filter_map(|bytes| actor(bytes)).collect();
        let activation_of = Activation { promises, adopts, first_batch: activation.first_batch };
        let lease = LeaseId { term: Term(activation.term), holder: writer };
        self.activations.entry(lease).or_insert(activation_of);
        self.choose();
    }

    /// Takes a voter's word that it holds the Seal durably.
    pub fn add_seal_ack(&mut self, writer: Actor, ack: &record::SealAck) {
        let voter = NodeId(ack.voter);
        if voter == writer.node() && self.voters.contains(&voter) {
            self.seal_acks.insert((Term(ack.term), voter));
        }
    }

    /// Whether a voter said under a term that it holds the Seal durably.
    #[must_use]
    pub fn has_seal_ack(&self, term: Term, voter: NodeId) -> bool {
        self.seal_acks.contains(&(term, voter))
    }

    /// The Seal, if the effective tape ends with one.
    #[must_use]
    pub fn seal(&self) -> Option<&Seal> {
        self.batch(self.len().before()?)?.seal.as_ref()
    }

    /// Whether the effective tape ends with a Seal, applied already or not.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.ended || self.seal().is_some()
    }

    /// Whether the Seal was applied. The next generation begins at once, unless its genesis is awaited
    /// from a peer; until then nothing more counts in this one.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the document itself shows that the Seal is committed: a majority said under one term
    /// that they hold it durably, and the head is of that term or a later one, which adopted it.
    #[must_use]
    pub fn seal_is_acknowledged(&self) -> bool {
        let head = self.head_term();
        let acknowledged = |term: Term| {
            let all = (term, NodeId(0))..=(term, NodeId(u64::MAX));
            term <= head && self.seal_acks.range(all).count() >= self.majority()
        };
        self.seal().is_some() && self.seal_acks.iter().any(|(term, _)| acknowledged(*term))
    }

    /// Takes a writer's next batch, with the number of the change that carries it.
    pub fn add_batch(&mut self, Heading { actor: writer, seq: change }: Heading, batch: Arc<Batch>) {
        let seals = batch.seal.is_some();
        self.batches.entry(writer).or_default().batches.push_back((change, batch));
        if seals {
            self.find_end();
        }
    }

    /// The valid activations in the document: term and holder, ascending.
    pub fn leases(&self) -> impl Iterator<Item = LeaseId> {
        let valid = |(lease, of): &(&LeaseId, &Activation)| self.is_valid(**lease, of);
        self.activations.iter().filter(valid).map(|(lease, _)| *lease)
    }

    /// The highest term that a voter promised; every valid activation rests on promises.
    #[must_use]
    pub fn highest_term(&self) -> Term {
        let promised = self.promises.keys().next_back().map(|(term, _)| *term);
        promised.unwrap_or_default().max(self.first_term())
    }

    /// A voter's label: the highest term that it promised, and at least the one that the generation
    /// begins with.
    #[must_use]
    pub fn promised_by(&self, voter: NodeId) -> Term {
        let promised = self.promises.keys().filter(|(_, by)| *by == voter).map(|(term, _)| *term);
        promised.max().unwrap_or_default().max(self.first_term())
    }

    /// The writers of the promises of a term to a candidate, if they are a majority.
    #[must_use]
    pub fn majority_for(&self, term: Term, candidate: Actor) -> Option<Vec<Actor>> {
        let writers: Vec<Actor> = self
            .promises
            .range((term, NodeId(0))..=(term, NodeId(u64::MAX)))
            .filter(|(_, promised)| promised.candidate == candidate)
            .map(|(_, promised)| promised.writer)
            .collect();
        (writers.len() >= self.majority()).then_some(writers)
    }

    /// The voters whose promises of a term to a candidate are in the document, ascending.
    #[must_use]
    pub fn promised_to(&self, term: Term, candidate: Actor) -> Vec<NodeId> {
        let promises = self.promises.range((term, NodeId(0))..=(term, NodeId(u64::MAX)));
        promises.filter(|(_, of)| of.candidate == candidate).map(|((_, voter), _)| *voter).collect()
    }

    /// The head: the activation that the effective tape ends with, or the genesis in its place, and
    /// how many of its batches are in the document. `None` before the first activation of
    /// generation 0.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        let head = self.effective.last()?;
        let batches = self.len().0.saturating_sub(head.start.0);
        Some(Head { term: head.term, actor: head.actor, batches })
    }

    /// The head's term; zero before the first.
    #[must_use]
    pub fn head_term(&self) -> Term {
        self.effective.last().map_or(Term::default(), |head| head.term)
    }

    /// How many batches of the effective tape the holder of a term, or one before it, can have
    /// committed: those before the first later lease's own.
    #[must_use]
    pub fn end_of(&self, term: Term) -> BatchIndex {
        let later = self.effective.iter().find(|segment| segment.term > term);
        later.map_or(self.len(), |segment| segment.start)
    }

    /// Whether a node holds, or held, the lease of a term: by a valid activation, or by the genesis;
    /// or a voter promised it the term, so that its activation may be on its way.
    #[must_use]
    pub fn may_hold(&self, term: Term, node: NodeId) -> bool {
        let promised = self.promises.range((term, NodeId(0))..=(term, NodeId(u64::MAX)));
        self.genesis.is_some_and(|lease| lease.term == term && lease.holder.node() == node)
            || promised.into_iter().any(|(_, of)| of.candidate.node() == node)
    }

    /// How many batches the effective tape has.
    #[must_use]
    pub fn len(&self) -> BatchIndex {
        let all = self.all();
        self.end.map_or(all, |end| end.min(all))
    }

    /// The same with what comes after a Seal.
    fn all(&self) -> BatchIndex {
        let all = |head: &Segment| BatchIndex(head.start.0 + self.written(head.actor) - head.first_batch);
        self.effective.last().map_or(BatchIndex::default(), all)
    }

    /// Looks for the Seal; one that was applied stays where it is.
    fn find_end(&mut self) {
        if !self.ended {
            let seals = |at: &BatchIndex| self.batch(*at).is_some_and(|batch| batch.seal.is_some());
            self.end = BatchIndex(0).until(self.all()).find(seals).map(BatchIndex::next);
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == BatchIndex(0)
    }

    /// A batch of the effective tape; `None` beyond its end, or if it was let go.
    #[must_use]
    pub fn batch(&self, at: BatchIndex) -> Option<&Arc<Batch>> {
        self.entry(at).map(|(_, (_, batch))| batch)
    }

    /// The change that carries a batch of the effective tape: its actor and number.
    #[must_use]
    pub fn change_of(&self, at: BatchIndex) -> Option<Heading> {
        self.entry(at).map(|(actor, (change, _))| Heading { actor, seq: *change })
    }

    fn entry(&self, at: BatchIndex) -> Option<(Actor, &(u64, Arc<Batch>))> {
        let segment = self.effective.iter().rev().find(|segment| segment.start <= at)?;
        let within = at.0 - segment.start.0;
        if segment.adopted.is_some_and(|adopted| within >= adopted) {
            return None;
        }
        let written = self.batches.get(&segment.actor)?;
        let index = (segment.first_batch + within).checked_sub(written.released)?;
        Some((segment.actor, written.batches.get(usize::try_from(index).ok()?)?))
    }

    /// Lets go of a batch that is committed and applied, and of all before it by its writer.
    pub fn release(&mut self, at: BatchIndex) {
        self.ended |= self.batch(at).is_some_and(|batch| batch.seal.is_some());
        let Some(segment) = self.effective.iter().rev().find(|segment| segment.start <= at) else {
            return;
        };
        let through = segment.first_batch + (at.0 - segment.start.0);
        if let Some(written) = self.batches.get_mut(&segment.actor) {
            while written.released <= through && written.batches.pop_front().is_some() {
                written.released += 1;
            }
        }
    }

    /// How many batches a writer has written.
    #[must_use]
    pub fn written(&self, actor: Actor) -> u64 {
        self.batches.get(&actor).map_or(0, |written| written.released + written.batches.len() as u64)
    }

    fn is_valid(&self, LeaseId { term, holder }: LeaseId, activation: &Activation) -> bool {
        let promised = |voter: &&NodeId| {
            self.promises.get(&(term, **voter)).is_some_and(|promised| {
                promised.candidate == holder && activation.promises.contains(&promised.writer)
            })
        };
        term > self.first_term() && self.voters.iter().filter(promised).count() >= self.majority()
    }

    /// Finds the effective tape anew: from the highest valid activation back to the genesis.
    fn choose(&mut self) {
        let head = self.activations.iter().rev().find(|(lease, of)| self.is_valid(**lease, of));
        let mut chain: Vec<Segment> = Vec::new();
        let head = head.map(|(lease, _)| *lease).or(self.genesis);
        let mut next = head.map(|lease| (lease, None));
        while let Some((lease, adopted)) = next {
            let LeaseId { term, holder: actor } = lease;
            let start = BatchIndex::default();
            if self.genesis == Some(lease) {
                chain.push(Segment { start, term, actor, first_batch: 0, adopted });
                break;
            }
            let Some(activation) = self.activations.get(&lease) else {
                return;
            };
            chain.push(Segment { start, term, actor, first_batch: activation.first_batch, adopted });
            // Terms fall along the chain, or it would not end.
            next = activation
                .adopts
                .filter(|head| head.term < term)
                .map(|head| (LeaseId { term: head.term, holder: head.actor }, Some(head.batches)));
        }
        chain.reverse();
        let mut start = BatchIndex::default();
        for segment in &mut chain {
            segment.start = start;
            start.0 += segment.adopted.unwrap_or(0);
        }
        self.effective = chain;
        self.find_end();
    }
}

//! The lease: promises, activation, matching under it, and what a majority's acknowledgements
//! commit.
//!
//! A voter promises a term once, above every term that it promised before, on top of all that it
//! has applied. A candidate with a majority of promises in its document writes its activation,
//! which adopts the head of its fold. From then on it matches. A batch is committed when a
//! majority of voters acknowledged, under the holder's term, the change that carries it; what was
//! adopted is committed together with the activation and never before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use xbook_proto::record::v1 as record;

use super::tape::Head;
use super::{Effect, MAX_BATCH, Replica, ReplicaError};
use crate::document::Entry;
use crate::machine::State;
use crate::types::{Micros, NodeId, OrderId};

/// This replica's part in the lease.
#[derive(Default, Debug)]
pub(super) struct Lease {
    /// The term that this process is a candidate for, or holds.
    term: u64,
    holding: Option<Box<Holding>>,
}

/// What only the holder has.
#[derive(Debug)]
struct Holding {
    /// The matching state: the whole effective tape, committed or not.
    ahead: State,
    /// The change that carries the activation.
    activation: u64,
    /// How many batches the activation adopted.
    adopted: u64,
    /// Changes with batches that are not committed yet, and the tape's length after each.
    uncommitted: VecDeque<(u64, u64)>,
    /// The last own change that each voter acknowledged under this term.
    acknowledged: BTreeMap<NodeId, u64>,
    /// The node whose turn it was last.
    last_turn: NodeId,
}

impl Lease {
    /// Notes that a change carries the holder's newest batch.
    pub fn batch_written(&mut self, change: u64) {
        if let Some(holding) = &mut self.holding {
            holding.uncommitted.push_back((change, holding.ahead.batches()));
        }
    }

    /// When the holder has an order to expire.
    pub fn next_expiry(&self) -> Option<Micros> {
        self.holding.as_ref()?.ahead.next_expiry()
    }
}

impl Replica {
    /// On start: what batches say about what was committed before them may be shown at once.
    pub(super) fn recall_committed(&mut self) {
        let batches = (0..self.tape.len()).filter_map(|at| self.tape.batch(at));
        let known = batches.clone().map(|batch| batch.committed).max().unwrap_or_default();
        self.committed = batches.take_while(|batch| batch.first <= known).count() as u64;
    }

    /// Moves towards the lease: promises itself a new term, and activates it once a majority has
    /// promised.
    pub(super) fn seek_lease(&mut self, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        let alone = self.tape.voters() == [self.node];
        if self.lease.holding.is_some() || !alone {
            return Ok(());
        }
        if self.lease.term == 0 {
            self.promise_myself(effects)?;
        }
        match self.tape.majority_for(self.lease.term, self.document.me()) {
            Some(promises) => self.activate(&promises, effects),
            None => Ok(()),
        }
    }

    fn promise_myself(&mut self, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        let me = self.document.me();
        let term = self.tape.highest_term() + 1;
        let candidate = me.0.to_vec().into();
        let promise = record::Promise { term, candidate, voter: self.node.0 };
        self.write(&[Entry::Promise(promise.clone())], effects)?;
        self.tape.add_promise(me, &promise);
        self.lease.term = term;
        Ok(())
    }

    fn activate(
        &mut self,
        promises: &[crate::document::Actor],
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let me = self.document.me();
        let ahead = self.whole_fold()?;
        let adopts = self.tape.head().map(|Head { term, actor, batches }| record::Head {
            term,
            actor: actor.0.to_vec().into(),
            batches,
        });
        let activation = record::Activation {
            term: self.lease.term,
            promises: promises.iter().map(|actor| actor.0.to_vec().into()).collect(),
            adopts,
            first_batch: self.tape.written(me),
        };
        let change = self.write(&[Entry::Activation(activation.clone())], effects)?;
        self.tape.add_activation(me, &activation);
        self.lease.holding = Some(Box::new(Holding {
            adopted: ahead.batches(),
            ahead,
            activation: change,
            uncommitted: VecDeque::new(),
            acknowledged: BTreeMap::new(),
            last_turn: self.node,
        }));
        Ok(())
    }

    /// The state after the whole effective tape: the view, and what it does not show yet.
    fn whole_fold(&self) -> Result<State, ReplicaError> {
        let mut state = self.view.clone();
        while let Some(batch) = self.tape.batch(state.batches()) {
            state.apply(batch, |id| self.inbox.get(id))?;
        }
        Ok(state)
    }

    /// Consumes intents under the lease, nodes in turn, each node's in their order.
    pub(super) fn write_batch(&mut self, now: Micros) -> Result<Option<Entry>, ReplicaError> {
        let me = self.document.me();
        let Some(holding) = &mut self.lease.holding else {
            return Ok(None);
        };
        let mut batch = holding.ahead.begin(self.lease.term, now, self.view.position())?;
        let mut nodes: Vec<NodeId> = self.inbox.nodes().collect();
        let turn = nodes.partition_point(|node| *node <= holding.last_turn);
        nodes.rotate_left(turn);
        while batch.len() < MAX_BATCH && !batch.is_full_of_expired() && !nodes.is_empty() {
            let mut failed = None;
            nodes.retain(|node| {
                let id = OrderId { node: *node, counter: holding.ahead.consumed(*node) + 1 };
                let Some(intent) = self.inbox.get(id).filter(|_| batch.len() < MAX_BATCH && failed.is_none())
                else {
                    return false;
                };
                holding.last_turn = *node;
                failed = holding.ahead.sequence(&mut batch, id, intent).err();
                true
            });
            if let Some(error) = failed {
                return Err(error.into());
            }
        }
        if batch.is_empty() {
            return Ok(None);
        }
        let batch = holding.ahead.end(batch);
        self.tape.add_batch(me, Arc::new(batch.clone()));
        Ok(Some(Entry::Tape(batch)))
    }

    /// This voter's disk has all own changes up to `seq`, under the term that it promised.
    pub(super) fn acknowledge(&mut self, seq: u64) {
        let (label, majority) = (self.tape.promised_by(self.node), self.tape.majority());
        let Some(holding) = &mut self.lease.holding else {
            return;
        };
        if label != self.lease.term {
            return;
        }
        holding.acknowledged.insert(self.node, seq);
        let mut acknowledged: Vec<u64> = holding.acknowledged.values().copied().collect();
        acknowledged.sort_unstable_by(|a, b| b.cmp(a));
        let Some(covered) = acknowledged.get(majority - 1).copied().filter(|seq| *seq >= holding.activation)
        else {
            return;
        };
        self.committed = self.committed.max(holding.adopted);
        while let Some((_, length)) =
            holding.uncommitted.front().filter(|(change, _)| *change <= covered).copied()
        {
            self.committed = length;
            holding.uncommitted.pop_front();
        }
    }
}

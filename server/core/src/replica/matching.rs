//! Matching under the lease: what the holder consumes, and in which order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::inbox::Inbox;
use super::{Effect, MAX_BATCH, Replica, ReplicaError};
use crate::document::{Actor, Entry, Genesis};
use crate::machine::{BatchBuilder, FoldError, State};
use crate::plant::{Plant, planted};
use crate::types::{BatchIndex, Micros, NodeId, OrderId, Term};

/// What a holder matches on.
#[derive(Debug)]
pub(super) struct Holding {
    pub term: Term,
    /// The whole effective tape's state, committed or not.
    pub ahead: State,
    /// The own change that carries the activation.
    activation: u64,
    /// How many batches the activation adopted.
    pub adopted: BatchIndex,
    /// The writer of the adopted head and how many of its changes were there; only for a plant.
    pub adopted_from: Option<(Actor, u64)>,
    /// Own changes with batches that are not committed yet.
    uncommitted: VecDeque<Uncommitted>,
    /// The genesis that follows the Seal that this holder wrote.
    pub sealed: Option<Box<Genesis>>,
    /// The node whose turn it was last.
    last_turn: NodeId,
}

impl Holding {
    /// Of a lease that begins: the own change that carries its activation, and what that adopted.
    pub fn new(term: Term, ahead: State, activation: u64, node: NodeId) -> Self {
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

    /// An own change carries the newest batch.
    pub fn wrote(&mut self, change: u64) {
        self.uncommitted.push_back(Uncommitted { change, end: self.ahead.batches() });
    }

    /// A majority has all own changes up to this one: how many batches that commits, with what the activation
    /// adopted; `None` while it does not have the activation.
    pub fn commit_through(&mut self, covered: u64) -> Option<BatchIndex> {
        if self.activation > covered {
            return None;
        }
        let mut committed = self.adopted;
        while let Some(covers) = self.uncommitted.pop_front_if(|batch| batch.change <= covered) {
            committed = covers.end;
        }
        Some(committed)
    }
}

/// An own change with a batch.
#[derive(Debug)]
struct Uncommitted {
    change: u64,
    /// Where the tape ends with it.
    end: BatchIndex,
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
    /// Consumes intents under the lease, nodes in turn, each node's in their order; and ends the
    /// generation if it is time.
    pub(super) fn write_batch(
        &mut self,
        now: Micros,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Entry>, ReplicaError> {
        // After a Seal nothing is written in this generation.
        if !self.may_match(now) || self.current.tape.is_sealed() {
            return Ok(None);
        }
        let (clock, committed) = (self.tape_clock(now), self.view.position());
        let sealing = self.wants_seal(now);
        let (intents, bytes) = if sealing { LAST_BATCH } else { (1, 1) };
        let limits = (intents * MAX_BATCH, bytes * self.caps.batch_bytes);
        let Some(holding) = self.current.lease.holding() else {
            return Ok(None);
        };
        let mut batch = holding.ahead.begin(holding.term, clock, committed)?;
        let drained = consume(&self.current.inbox, holding, &mut batch, limits)?;
        if sealing && drained {
            return Ok(self.write_seal(now, batch, effects));
        }
        let Some(holding) = self.current.lease.holding().filter(|_| !batch.is_empty()) else {
            return Ok(None);
        };
        Ok(Some(Entry::Tape(Arc::new(holding.ahead.end(batch)))))
    }
}

//! The outcome of a request that was answered before, for its repeats.

use super::Sizes;
use crate::machine::{Block, Change, Order, RequestOutcome};
use crate::types::{Micros, OrderId};

/// How a request ended, and what it changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredOutcome {
    /// How it ended.
    pub outcome: RequestOutcome,
    /// The changes, in their order.
    pub changes: Vec<Change>,
    /// What they count in.
    pub sizes: Sizes,
    /// Tape time of its block.
    pub time: Micros,
}

impl StoredOutcome {
    /// The order as the request left it.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.changes.iter().rev().filter_map(Change::order).find(|order| order.id == id)
    }
}

/// The outcomes in a block that are kept: those that the position of their last event does not tell.
pub(super) fn kept(block: &Block) -> impl Iterator<Item = RequestOutcome> + '_ {
    block.answers.iter().filter_map(|answer| {
        let changes = block.changes_of(answer);
        let first = changes.first().map(Change::position);
        RequestOutcome::kept(changes.len(), first, answer.position, answer.refused)
    })
}

//! The outcome of a request that was answered before, for its repeats.

use xbook_proto::v1::Reason;

use super::{History, Result, Sizes};
use crate::machine::{Block, Change, Order};
use crate::types::{OrderId, Position};

/// How a request ended.
///
/// A block's record keeps it where the position of its last event does not tell it: for an outcome
/// of several changes, and for a refusal that changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestOutcome {
    /// Position of its first event.
    pub first: Position,
    /// Position of its last event.
    pub last: Position,
    /// Why it was refused; unspecified if it was not.
    pub refused: Reason,
}

/// How a request ended, and what it changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredOutcome {
    /// How it ended.
    pub outcome: RequestOutcome,
    /// The changes, in their order.
    pub changes: Vec<Change>,
    /// What they count in.
    pub sizes: Sizes,
}

impl History {
    /// The outcome that ended at a position; `None` if it is not stored.
    ///
    /// # Errors
    /// The store's own, or a damaged block.
    pub fn outcome(&self, last: Position) -> Result<Option<StoredOutcome>> {
        let Some(mut stored) = self.block_at(last)? else {
            return Ok(None);
        };
        let kept = stored.outcomes.iter().find(|outcome| outcome.last == last);
        let single = RequestOutcome { first: last, last, refused: Reason::Unspecified };
        let outcome = *kept.unwrap_or(&single);
        stored.block.changes.retain(|change| (outcome.first..=last).contains(&change.position()));
        Ok(Some(StoredOutcome { outcome, changes: stored.block.changes, sizes: stored.sizes }))
    }
}

impl StoredOutcome {
    /// The order as the request left it.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.changes.iter().rev().filter_map(Change::order).find(|order| order.id == id)
    }
}

/// The outcomes in a block that are kept.
pub(super) fn kept(block: &Block) -> impl Iterator<Item = RequestOutcome> + '_ {
    block.answers.iter().filter_map(|answer| {
        let changes = block.changes_of(answer);
        let told = match changes.len() {
            0 => answer.refused == Reason::Unspecified,
            count => count == 1,
        };
        let first = changes.first().map_or(answer.position, Change::position);
        (!told).then_some(RequestOutcome { first, last: answer.position, refused: answer.refused })
    })
}

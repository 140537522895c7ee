//! The outcome of a request that was answered before, for its repeats.

use xbook_proto::v1::Reason;

use super::{History, Result, Sizes};
use crate::machine::{Block, Change, Order, RequestOutcome};
use crate::types::{OrderId, Position};

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

/// The outcomes in a block that are kept: those that the position of their last event does not tell.
pub(super) fn kept(block: &Block) -> impl Iterator<Item = RequestOutcome> + '_ {
    block.answers.iter().filter_map(|answer| {
        let changes = block.changes_of(answer);
        let first = changes.first().map(Change::position);
        RequestOutcome::kept(changes.len(), first, answer.position, answer.refused)
    })
}

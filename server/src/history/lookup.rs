//! Looking up orders and outcomes, many at a time: what is asked for together mostly lies together.

use std::collections::VecDeque;

use super::log::Range;
use super::{History, Result, Sizes, StoredBlock, StoredOutcome};
use crate::machine::{Change, Order, Origin, RequestOutcome, SessionId};
use crate::types::{OrderId, Position, Reason};

/// Blocks that are kept for the next question.
const KEPT: usize = 4;

/// Answers questions, and reads a block that several of them are about only once.
pub struct Lookup<'a> {
    history: &'a History,
    /// The one that was read last at the end.
    blocks: VecDeque<StoredBlock>,
}

impl History {
    /// Begins to look things up.
    #[must_use]
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup { history: self, blocks: VecDeque::new() }
    }
}

impl Lookup<'_> {
    /// The block that contains a position; `None` if that is beyond all.
    fn block_at(&mut self, position: Position) -> Result<Option<&StoredBlock>> {
        let contains = |stored: &StoredBlock| (stored.block.first..=stored.block.last).contains(&position);
        if let Some(at) = self.blocks.iter().position(contains) {
            return Ok(self.blocks.get(at));
        }
        let Some(block) = self.history.block_at(position)? else {
            return Ok(None);
        };
        if self.blocks.len() == KEPT {
            self.blocks.pop_front();
        }
        self.blocks.push_back(block);
        Ok(self.blocks.back())
    }

    /// A closed order, with the sizes that it counts in.
    ///
    /// # Errors
    /// The store's own, or it may be in what is not here.
    pub fn closed_order(&mut self, id: OrderId) -> Result<Option<(Order, Sizes)>> {
        let from = self.history.keys.closed(id);
        let mut to = from.clone();
        to.push(0);
        let found = self.history.log.find_last(&self.history.market, &Range { from, to }, 1)?;
        if let Some((_, position)) = found.first()
            && let Some(stored) = self.block_at(Position(*position))?
        {
            let mut orders = stored.block.changes.iter().rev().filter_map(Change::order);
            if let Some(order) = orders.find(|order| order.id == id && !order.is_live()) {
                return Ok(Some((order.clone(), stored.sizes)));
            }
        }
        self.history.whole().map(|()| None)
    }

    /// The order that a command of a session placed; `None` if it placed none.
    ///
    /// # Errors
    /// The store's own, or it may be in what is not here.
    pub fn order_of_command(&mut self, session: SessionId, number: u64) -> Result<Option<OrderId>> {
        let keys = &self.history.keys;
        let (from, mut to) = (keys.session(session, 0), keys.session(session, number));
        to.push(0);
        let found = self.history.log.find_last(&self.history.market, &Range { from, to }, usize::MAX)?;
        if let Some(first) = found.iter().map(|(_, first)| *first).max()
            && let Some(stored) = self.block_at(Position(first))?
        {
            let placed = stored.block.changes.iter().find_map(|change| match change {
                Change::Order { order, placed: true, .. } => match &order.origin {
                    Origin::Command { session: of, number: at } if of.id == session && *at == number => {
                        Some(order.id)
                    }
                    _ => None,
                },
                _ => None,
            });
            if placed.is_some() {
                return Ok(placed);
            }
        }
        self.history.whole().map(|()| None)
    }

    /// The outcome that ended at a position; `None` if it is not stored.
    ///
    /// # Errors
    /// The store's own, or it is not here.
    pub fn outcome(&mut self, last: Position) -> Result<Option<StoredOutcome>> {
        let Some(stored) = self.block_at(last)? else {
            return Ok(None);
        };
        let kept = stored.outcomes.iter().find(|outcome| outcome.last == last);
        let single = RequestOutcome { first: last, last, refused: Reason::Unspecified };
        let outcome = *kept.unwrap_or(&single);
        let within = |change: &&Change| (outcome.first..=last).contains(&change.position());
        let changes = stored.block.changes.iter().filter(within).cloned().collect();
        Ok(Some(StoredOutcome { outcome, changes, sizes: stored.sizes }))
    }
}

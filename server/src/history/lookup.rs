//! Looking up orders and outcomes, many at a time: what is asked for together mostly lies together.

use std::collections::VecDeque;
use std::sync::Arc;

use super::log::Range;
use super::{History, Result, Sizes, StoredBlock, StoredOutcome, outcome};
use crate::machine::{Block, Change, Order, Origin, RequestOutcome, SessionId};
use crate::types::{ClientId, OrderId, Position, Reason};

/// Blocks that are kept for the next question.
const KEPT: usize = 4;

/// Answers questions, and reads a block that several of them are about only once.
pub struct Lookup<'a> {
    history: &'a History,
    /// The one that was read last at the end.
    blocks: VecDeque<Known>,
}

/// A block that questions are about.
enum Known {
    /// From memory.
    Recent(Arc<Block>),
    /// From the log.
    Stored(Box<StoredBlock>),
}

impl Known {
    fn block(&self) -> &Block {
        match self {
            Self::Recent(block) => block,
            Self::Stored(stored) => &stored.block,
        }
    }

    /// The outcome that ended at a position, if the position alone does not tell it.
    fn outcome(&self, last: Position) -> Option<RequestOutcome> {
        match self {
            Self::Recent(block) => outcome::kept(block).find(|outcome| outcome.last == last),
            Self::Stored(stored) => stored.outcomes.iter().find(|outcome| outcome.last == last).copied(),
        }
    }
}

impl History {
    /// Begins to look things up.
    #[must_use]
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup { history: self, blocks: VecDeque::new() }
    }
}

impl Lookup<'_> {
    /// The block that contains a position, with the sizes that it counts in; `None` if that is beyond all.
    fn block_at(&mut self, position: Position) -> Result<Option<(&Known, Sizes)>> {
        let contains = |known: &Known| (known.block().first..=known.block().last).contains(&position);
        let at = match self.blocks.iter().position(contains) {
            Some(at) => at,
            None => {
                let History { recent, market, .. } = self.history;
                let block = match recent.block_at(market, position) {
                    Some(block) => Known::Recent(block),
                    None => match self.history.block_at(position)? {
                        Some(stored) => Known::Stored(Box::new(stored)),
                        None => return Ok(None),
                    },
                };
                if self.blocks.len() == KEPT {
                    self.blocks.pop_front();
                }
                self.blocks.push_back(block);
                self.blocks.len() - 1
            }
        };
        let sizes = |known: &Known| match known {
            Known::Recent(_) => self.history.sizes,
            Known::Stored(stored) => stored.sizes,
        };
        Ok(self.blocks.get(at).map(|known| (known, sizes(known))))
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
            && let Some((known, sizes)) = self.block_at(Position(*position))?
        {
            let changes = &known.block().changes;
            let from = changes.partition_point(|change| change.position().0 < *position);
            let mut orders = changes[from..].iter().map_while(Change::order);
            if let Some(order) = orders.find(|order| order.id == id && !order.is_live()) {
                return Ok(Some((order.clone(), sizes)));
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
            && let Some((known, _)) = self.block_at(Position(first))?
        {
            let placed = known.block().changes.iter().find_map(|change| match change {
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

    /// The last order of an account that had this name of its client's; `None` if none did.
    ///
    /// # Errors
    /// The store's own, or it may be in what is not here.
    pub fn order_of_client(&mut self, account: &str, name: ClientId) -> Result<Option<OrderId>> {
        let keys = &self.history.keys;
        let (from, mut to) =
            (keys.client(account, name, Position(0)), keys.client(account, name, Position(u64::MAX)));
        to.push(0);
        // What is not here may have had it later.
        self.history.whole()?;
        let found = self.history.log.find_last(&self.history.market, &Range { from, to }, usize::MAX)?;
        if let Some(position) = found.iter().map(|(_, position)| *position).max()
            && let Some((known, _)) = self.block_at(Position(position))?
        {
            let placed = known.block().changes.iter().find_map(|change| match change {
                Change::Order { order, placed: true, .. } if order.position.0 == position => Some(order),
                _ => None,
            });
            let named = placed.filter(|order| order.client_id() == Some(name) && *order.account == *account);
            return Ok(named.map(|order| order.id));
        }
        Ok(None)
    }

    /// The outcome that ended at a position; `None` if it is not stored.
    ///
    /// # Errors
    /// The store's own, or it is not here.
    pub fn outcome(&mut self, last: Position) -> Result<Option<StoredOutcome>> {
        let Some((known, sizes)) = self.block_at(last)? else {
            return Ok(None);
        };
        let single = RequestOutcome { first: last, last, refused: Reason::Unspecified };
        let outcome = known.outcome(last).unwrap_or(single);
        let within = |change: &&Change| (outcome.first..=last).contains(&change.position());
        let changes = known.block().changes.iter().filter(within).cloned().collect();
        let time = known.block().time;
        Ok(Some(StoredOutcome { outcome, changes, sizes, time }))
    }
}

//! Replaying: recorded executions applied to a book, without matching.
//!
//! What a holder's [`Book::apply`] did is recorded as: a `reduce` of the maker for each fill, then for
//! the taker a `rest` of what rests, or a `requote` (`remove` if it filled whole) of an amended order;
//! and a `remove` for a cancel. Applied in this order they give an equal book.

use super::Book;
use super::index::Hash;
use super::queue::Entry;
use crate::types::{Lots, OrderId, Side, Ticks};

/// A recorded execution does not fit the book. Nothing was changed. If several reasons hold, the
/// first in this order is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Misfit {
    /// `rest`: the id rests already.
    #[error("order {0} rests already")]
    DuplicateId(OrderId),
    /// `reduce`, `requote`, `remove`: the id does not rest.
    #[error("order {0} does not rest")]
    UnknownOrder(OrderId),
    /// A quantity of zero.
    #[error("order {0}: the quantity is zero")]
    ZeroQuantity(OrderId),
    /// `rest`: the book holds its maximum of orders.
    #[error("order {0} would be one more than the book may hold")]
    BookFull(OrderId),
    /// `rest`, `requote`: at this price the order would cross the other side.
    #[error("order {id} at {} ticks would cross the book", price.0)]
    Crossed {
        /// The order.
        id: OrderId,
        /// Its price.
        price: Ticks,
    },
    /// `reduce`: more than is open.
    #[error("order {id}: {} lots traded, but only {} open", by.0, open.0)]
    Overfill {
        /// The order.
        id: OrderId,
        /// What was recorded as traded.
        by: Lots,
        /// What is open.
        open: Lots,
    },
    /// `rest`, `requote`: the level's total would not fit into 64 bits.
    #[error("order {id}: the total of the level at {} ticks would not fit into 64 bits", price.0)]
    LevelOverflow {
        /// The order.
        id: OrderId,
        /// The level's price.
        price: Ticks,
    },
}

impl Book {
    /// A new order rests at the back of its level.
    ///
    /// # Errors
    /// Duplicate id, zero quantity, full book, crossed book, level overflow.
    pub fn rest(&mut self, id: OrderId, side: Side, price: Ticks, open: Lots) -> Result<(), Misfit> {
        let hash = Hash::of(id);
        if self.find(hash, id).is_some() {
            return Err(Misfit::DuplicateId(id));
        }
        if open.is_zero() {
            return Err(Misfit::ZeroQuantity(id));
        }
        if self.is_full() {
            return Err(Misfit::BookFull(id));
        }
        if self.would_take(side, price.0) {
            return Err(Misfit::Crossed { id, price });
        }
        let handle = self
            .attach(side, price.0, Entry { id, open: open.0 })
            .map_err(|_overflow| Misfit::LevelOverflow { id, price })?;
        self.index.insert(hash, handle);
        Ok(())
    }

    /// A maker traded: its open quantity shrinks in its place, and at zero it is gone. Returns what is
    /// left.
    ///
    /// # Errors
    /// Unknown order, zero quantity, more than is open.
    pub fn reduce(&mut self, id: OrderId, by: Lots) -> Result<Lots, Misfit> {
        let hash = Hash::of(id);
        let handle = self.find(hash, id).ok_or(Misfit::UnknownOrder(id))?;
        if by.is_zero() {
            return Err(Misfit::ZeroQuantity(id));
        }
        let open = self.queues.entry(handle).open;
        let left = open.checked_sub(by.0).ok_or(Misfit::Overfill { id, by, open: Lots(open) })?;
        let number = self.level_of(handle);
        if left == 0 {
            self.detach(number, handle);
            self.index.remove(hash, handle);
        } else {
            self.shrink(number, handle, left);
        }
        Ok(Lots(left))
    }

    /// An order was amended and still rests, with this price and open quantity. Returns whether it
    /// kept its place, by the rule of [`super::Command::Amend`]: the same price and no more quantity.
    ///
    /// An amended order that took and rests with the remainder lost its place even if the remainder is
    /// smaller than before; it took because of another price, so the rule says so too.
    ///
    /// # Errors
    /// Unknown order, zero quantity, crossed book, level overflow.
    pub fn requote(&mut self, id: OrderId, price: Ticks, open: Lots) -> Result<bool, Misfit> {
        let hash = Hash::of(id);
        let handle = self.find(hash, id).ok_or(Misfit::UnknownOrder(id))?;
        if open.is_zero() {
            return Err(Misfit::ZeroQuantity(id));
        }
        let number = self.level_of(handle);
        let (side, old_price) = (self.levels[number].side, self.levels[number].price);
        let old_open = self.queues.entry(handle).open;
        if price.0 == old_price && open.0 <= old_open {
            self.shrink(number, handle, open.0);
            return Ok(true);
        }
        if self.would_take(side, price.0) {
            return Err(Misfit::Crossed { id, price });
        }
        if !self.fits(side, price.0, open.0, (old_price, old_open)) {
            return Err(Misfit::LevelOverflow { id, price });
        }
        self.detach(number, handle);
        self.settle(hash, handle, side, price.0, Entry { id, open: open.0 });
        Ok(false)
    }

    /// An order left the book: cancelled, expired, or amended and filled whole. Returns what was open.
    ///
    /// # Errors
    /// Unknown order.
    pub fn remove(&mut self, id: OrderId) -> Result<Lots, Misfit> {
        let hash = Hash::of(id);
        let handle = self.find(hash, id).ok_or(Misfit::UnknownOrder(id))?;
        let open = self.queues.entry(handle).open;
        self.detach(self.level_of(handle), handle);
        self.index.remove(hash, handle);
        Ok(Lots(open))
    }
}

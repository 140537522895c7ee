//! Replaying: recorded events applied to a book, without matching.
//!
//! The events of a holder's [`Book::apply`], applied one by one in their order, give an equal book.

use super::index::Hash;
use super::queue::{Entry, Handle};
use super::{Book, Event, Owner, Prevented, Trade};
use crate::types::{Lots, OrderId, Side, Ticks};

/// A recorded event does not fit the book. Nothing was changed. If several reasons hold, the
/// first in this order is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Misfit {
    /// Rested: the id rests already.
    #[error("order {0} rests already")]
    DuplicateId(OrderId),
    /// Traded, replenished, prevented, reduced, lifted: the id does not rest.
    #[error("order {0} does not rest")]
    UnknownOrder(OrderId),
    /// A quantity of zero.
    #[error("order {0}: the quantity is zero")]
    ZeroQuantity(OrderId),
    /// Rested: the book holds its maximum of orders, or of parts that are not shown.
    #[error("order {0} would be one more than the book may hold")]
    BookFull(OrderId),
    /// Rested: at this price the order would cross the other side.
    #[error("order {id} at {} ticks would cross the book", price.0)]
    Crossed {
        /// The order.
        id: OrderId,
        /// Its price.
        price: Ticks,
    },
    /// Traded: not at the maker's price.
    #[error("order {id} rests at {} ticks, not at {}", rests.0, recorded.0)]
    Price {
        /// The order.
        id: OrderId,
        /// As recorded.
        recorded: Ticks,
        /// Its price.
        rests: Ticks,
    },
    /// The recorded amounts don't follow from what is open.
    #[error("order {id} has {} lots open, which does not lead to the recorded {}", open.0, recorded.0)]
    Amount {
        /// The order.
        id: OrderId,
        /// What is recorded to be open, before or after.
        recorded: Lots,
        /// What is open.
        open: Lots,
    },
    /// Rested: the level's total would not fit into 64 bits.
    #[error("order {id}: the total of the level at {} ticks would not fit into 64 bits", price.0)]
    LevelOverflow {
        /// The order.
        id: OrderId,
        /// The level's price.
        price: Ticks,
    },
}

impl Book {
    /// Applies a recorded event.
    ///
    /// Of an order that is not in the book, `Removed` tells nothing to it: the order had been taken in hand,
    /// tried to trade, and may not rest.
    ///
    /// # Errors
    /// [`Misfit`].
    pub fn replay(&mut self, event: &Event) -> Result<(), Misfit> {
        match *event {
            Event::Traded(trade) => self.trade(&trade),
            Event::Prevented(prevented) => self.prevented(&prevented),
            Event::Rested { order, side, price, open, display, owner } => {
                self.rest(order, (side, price), (open, display), owner)
            }
            Event::Replenished { order, shown } => {
                let (_, handle) = self.find_resting(order, shown)?;
                self.replenished((order, handle), shown)
            }
            Event::Reduced { order, open } => self.reduce(order, open),
            Event::Lifted { order, open, .. } => {
                let (hash, handle) = self.find_resting(order, open)?;
                self.take_out(hash, handle);
                Ok(())
            }
            Event::Removed { order, open, .. } => match self.find_resting(order, open) {
                Err(Misfit::UnknownOrder(_)) => Ok(()),
                Err(misfit) => Err(misfit),
                Ok((hash, handle)) => {
                    let found = Lots(self.queues.entry(handle).open + self.hidden(handle));
                    if found != open {
                        return Err(Misfit::Amount { id: order, recorded: open, open: found });
                    }
                    self.take_out(hash, handle);
                    Ok(())
                }
            },
        }
    }

    fn rest(
        &mut self,
        id: OrderId,
        (side, price): (Side, Ticks),
        (open, display): (Lots, Lots),
        owner: Owner,
    ) -> Result<(), Misfit> {
        let hash = Hash::of(id);
        if self.find(hash, id).is_some() {
            return Err(Misfit::DuplicateId(id));
        }
        if open.is_zero() {
            return Err(Misfit::ZeroQuantity(id));
        }
        let hides = !display.is_zero();
        if self.has_no_place() || hides && self.check_parts(id, display.0, open.0).is_err() {
            return Err(Misfit::BookFull(id));
        }
        if self.would_take(side, price.0) {
            return Err(Misfit::Crossed { id, price });
        }
        let handle = self
            .attach(side, price.0, Entry { id, open: open.0 }, owner)
            .map_err(|_overflow| Misfit::LevelOverflow { id, price })?;
        self.index.insert(hash, handle);
        if hides {
            self.hide(handle, display.0);
        }
        Ok(())
    }

    /// A maker traded: its open quantity shrinks in its place, and at zero it is gone.
    fn trade(&mut self, trade: &Trade) -> Result<(), Misfit> {
        let id = trade.maker;
        let (hash, handle) = self.find_resting(id, trade.quantity)?;
        let number = self.level_of(handle);
        let rests = Ticks(self.levels[number].price);
        if rests != trade.price {
            return Err(Misfit::Price { id, recorded: trade.price, rests });
        }
        if self.queues.tag(handle).is_iceberg() {
            return self.trade_iceberg(id, handle, trade);
        }
        self.lose((id, hash, handle), trade.quantity, trade.maker_open)
    }

    /// A maker lost what it would have traded with its own owner.
    fn prevented(&mut self, prevented: &Prevented) -> Result<(), Misfit> {
        let Prevented { maker: id, quantity, maker_open, .. } = *prevented;
        let (hash, handle) = self.find_resting(id, quantity)?;
        self.lose((id, hash, handle), quantity, maker_open)
    }

    /// A resting order has so much less open, in its place, and at zero it is gone.
    fn lose(
        &mut self,
        (id, hash, handle): (OrderId, Hash, Handle),
        quantity: Lots,
        left: Lots,
    ) -> Result<(), Misfit> {
        let open = self.queues.entry(handle).open + self.hidden(handle);
        if open.checked_sub(quantity.0) != Some(left.0) {
            return Err(Misfit::Amount { id, recorded: left, open: Lots(open) });
        }
        match left.0 {
            0 => self.take_out(hash, handle),
            left => self.shrink(self.level_of(handle), handle, left),
        }
        Ok(())
    }

    fn reduce(&mut self, id: OrderId, open: Lots) -> Result<(), Misfit> {
        let (_, handle) = self.find_resting(id, open)?;
        let before = self.queues.entry(handle).open + self.hidden(handle);
        if open.0 > before {
            return Err(Misfit::Amount { id, recorded: open, open: Lots(before) });
        }
        self.shrink(self.level_of(handle), handle, open.0);
        Ok(())
    }

    /// Where an order rests of which an event tells this quantity.
    fn find_resting(&self, id: OrderId, quantity: Lots) -> Result<(Hash, Handle), Misfit> {
        let hash = Hash::of(id);
        let handle = self.find(hash, id).ok_or(Misfit::UnknownOrder(id))?;
        if quantity.is_zero() { Err(Misfit::ZeroQuantity(id)) } else { Ok((hash, handle)) }
    }

    /// Takes a resting order out of its level and of the index.
    pub(super) fn take_out(&mut self, hash: Hash, handle: Handle) {
        self.detach(self.level_of(handle), handle);
        self.index.remove(hash, handle);
    }
}

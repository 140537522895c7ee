//! Orders of one owner do not trade with each other: what happens instead when one reaches another.

use super::index::{Hash, OrderIndex};
use super::queue::{Handle, Level, Queues};
use super::{Book, Event, Owner, Prevented, Prevention, Removal, reaches};
use crate::types::{Lots, OrderId, Side};

/// No order's owner.
const NO_OWNER: u32 = u32::MAX;

/// An order that takes.
#[derive(Clone, Copy)]
pub(super) struct Taker {
    pub(super) id: OrderId,
    pub(super) side: Side,
    /// The owner whose orders it must not trade with; [`NO_OWNER`] if it may with all.
    avoided: u32,
    prevention: Prevention,
}

impl Taker {
    #[inline]
    pub(super) fn new(id: OrderId, side: Side, owner: Owner, prevention: Prevention) -> Self {
        let trades_with_all = owner == Owner::NOBODY || prevention == Prevention::Allow;
        let avoided = if trades_with_all { NO_OWNER } else { owner.number() };
        Self { id, side, avoided, prevention }
    }

    #[inline]
    pub(super) fn avoids_anyone(&self) -> bool {
        self.avoided != NO_OWNER
    }

    #[inline]
    pub(super) fn avoids(&self, owner: Owner) -> bool {
        owner.number() == self.avoided
    }
}

/// A resting order of the taker's owner that is reached: the first of its level.
pub(super) struct Own<'a> {
    pub(super) queues: &'a mut Queues,
    pub(super) index: &'a mut OrderIndex,
    pub(super) level: &'a mut Level,
    pub(super) handle: Handle,
}

impl Own<'_> {
    /// Does what the taker's way of prevention says. What the taker has left, and whether it is stopped.
    #[cold]
    pub(super) fn prevent(self, taker: Taker, left: u64, events: &mut Vec<Event>) -> (u64, bool) {
        match taker.prevention {
            Prevention::Allow | Prevention::CancelTaker => (left, true),
            Prevention::CancelMaker => {
                self.remove(events);
                (left, false)
            }
            Prevention::CancelBoth => {
                self.remove(events);
                (left, true)
            }
            Prevention::Decrement => (self.decrement(taker.id, left, events), false),
        }
    }

    fn remove(self, events: &mut Vec<Event>) {
        let entry = *self.queues.entry(self.handle);
        events.push(Event::Removed { order: entry.id, open: Lots(entry.open), why: Removal::SelfTrade });
        self.take_out(entry.id);
    }

    fn decrement(self, taker: OrderId, left: u64, events: &mut Vec<Event>) -> u64 {
        let maker = *self.queues.entry(self.handle);
        let lost = maker.open.min(left);
        let (maker_open, left) = (maker.open - lost, left - lost);
        events.push(Event::Prevented(Prevented {
            maker: maker.id,
            taker,
            quantity: Lots(lost),
            maker_open: Lots(maker_open),
            taker_open: Lots(left),
        }));
        if maker_open > 0 {
            self.queues.entry_mut(self.handle).open = maker_open;
            self.level.total -= lost;
        } else {
            self.take_out(maker.id);
        }
        left
    }

    fn take_out(self, id: OrderId) {
        self.queues.remove(self.level, self.handle);
        self.index.remove(Hash::of(id), self.handle);
    }
}

impl Book {
    /// Whether a taker of this quantity would trade as much as `needed` of it with others: played through with
    /// prevention, order by order, changing nothing.
    pub(super) fn play_through(&self, taker: Taker, limit: u64, quantity: u64, needed: u64) -> bool {
        let (mut left, mut missing) = (quantity, needed);
        for number in self.walk(taker.side.opposite()) {
            let level = &self.levels[number];
            if !reaches(taker.side, limit, level.price) {
                return false;
            }
            for (handle, entry) in self.queues.iter(level) {
                match (taker.avoids(self.queues.owner(handle)), taker.prevention) {
                    (false, _) => {
                        let traded = left.min(entry.open);
                        left -= traded;
                        missing = missing.saturating_sub(traded);
                    }
                    (true, Prevention::CancelMaker) => {}
                    (true, Prevention::Decrement) => left -= left.min(entry.open),
                    (true, _) => return false,
                }
                if missing == 0 || left == 0 {
                    return missing == 0;
                }
            }
        }
        false
    }
}

//! Orders of one owner do not trade with each other: what happens instead when one reaches another.

use super::iceberg::Resting;
use super::instead::Without;
use super::queue::{Level, Tag};
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
    pub(super) fn avoids(&self, tag: Tag) -> bool {
        tag.number() == self.avoided
    }
}

/// A resting order of the taker's owner that is reached: the first of its level.
pub(super) struct Own<'a>(pub(super) Resting<'a>);

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
        let (order, open) = self.0.whole();
        events.push(Event::Removed { order, open: Lots(open), why: Removal::SelfTrade });
        self.0.take_out();
    }

    fn decrement(self, taker: OrderId, left: u64, events: &mut Vec<Event>) -> u64 {
        let (maker, open) = self.0.whole();
        let lost = open.min(left);
        let (maker_open, left) = (open - lost, left - lost);
        events.push(Event::Prevented(Prevented {
            maker,
            taker,
            quantity: Lots(lost),
            maker_open: Lots(maker_open),
            taker_open: Lots(left),
        }));
        if maker_open > 0 {
            self.0.shrink(maker_open);
        } else {
            self.0.take_out();
        }
        left
    }
}

/// How far a taker that is played through has come.
struct Progress {
    left: u64,
    /// How much must still trade.
    missing: u64,
}

impl Progress {
    /// Meets an order that shows so much of what it has open; `None` if the taker stops there.
    fn meet(&mut self, avoids: bool, prevention: Prevention, (shown, open): (u64, u64)) -> Option<()> {
        match (avoids, prevention) {
            (false, _) => {
                let traded = self.left.min(shown);
                self.left -= traded;
                self.missing = self.missing.saturating_sub(traded);
            }
            (true, Prevention::CancelMaker) => {}
            (true, Prevention::Decrement) => self.left -= self.left.min(open),
            (true, _) => return None,
        }
        Some(())
    }

    fn is_over(&self) -> bool {
        self.missing == 0 || self.left == 0
    }
}

impl Book {
    /// Whether a taker of this quantity would trade as much as `needed` of it with others: played through with
    /// prevention, order by order, changing nothing, as if `gone` were.
    pub(super) fn play_through(
        &self,
        taker: Taker,
        limit: u64,
        (quantity, needed): (u64, u64),
        gone: Without,
    ) -> bool {
        let mut progress = Progress { left: quantity, missing: needed };
        for number in self.walk(taker.side.opposite()) {
            let level = &self.levels[number];
            if !reaches(taker.side, limit, level.price) {
                return false;
            }
            let goes_on = if level.hidden > 0 {
                self.play_icebergs(taker, level, &mut progress, gone)
            } else {
                self.play_level(taker, level, &mut progress, gone)
            };
            if goes_on.is_none() || progress.is_over() {
                return progress.missing == 0;
            }
        }
        false
    }

    /// Plays a taker through a level where all is shown; `None` if it stops.
    fn play_level(&self, taker: Taker, level: &Level, progress: &mut Progress, gone: Without) -> Option<()> {
        for (handle, entry) in self.queues.iter(level).filter(|(handle, _)| Some(*handle) != gone) {
            let avoids = taker.avoids(self.queues.tag(handle));
            progress.meet(avoids, taker.prevention, (entry.open, entry.open))?;
            if progress.is_over() {
                break;
            }
        }
        Some(())
    }

    /// The same where parts are hidden, which come to the back one after the other.
    fn play_icebergs(
        &self,
        taker: Taker,
        level: &Level,
        progress: &mut Progress,
        gone: Without,
    ) -> Option<()> {
        let mut queue = self.played(level, gone);
        while let Some(part) = queue.next() {
            let avoids = taker.avoids(part.tag);
            progress.meet(avoids, taker.prevention, (part.shown, part.shown + part.hidden))?;
            if progress.is_over() {
                break;
            }
            if !avoids {
                queue.replenish(part);
            }
        }
        Some(())
    }
}

//! Icebergs: orders that show only a part of what they have open.
//!
//! In its level an iceberg stands as what it shows. What it hides is known here, by its id, and in its level's total,
//! and other orders pay nothing for it but a bit beside them. When the shown part has traded, the next one joins the
//! back of the level. So an iceberg may trade as often as it has parts, all in one command: how many
//! parts are hidden in a book is counted and bounded, as its orders are.

use std::collections::{HashMap, VecDeque};

use rustc_hash::FxBuildHasher;

use super::index::{Hash, OrderIndex};
use super::instead::Without;
use super::queue::{Entry, Handle, Level, Queues, Tag};
use super::replay::Misfit;
use super::{Book, Event, Refusal, Trade};
use crate::types::{Lots, OrderId, Ticks};

/// The icebergs of a book.
#[derive(Clone)]
pub(super) struct Icebergs {
    by_id: HashMap<OrderId, Iceberg, FxBuildHasher>,
    /// How many parts all of them hide: of whatever is recorded, more than 64 bits.
    parts: u128,
    pub(super) most_parts: u64,
}

/// What one hides, and how much it shows at a time.
#[derive(Clone, Copy)]
pub(super) struct Iceberg {
    pub(super) display: u64,
    pub(super) hidden: u64,
}

impl Iceberg {
    fn parts(self) -> u128 {
        self.hidden.div_ceil(self.display.max(1)).into()
    }
}

impl Icebergs {
    pub(super) fn new() -> Self {
        Self { by_id: HashMap::default(), parts: 0, most_parts: u64::MAX }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Bytes allocated, to within a few.
    pub(super) fn bytes(&self) -> usize {
        self.by_id.capacity() * size_of::<(OrderId, Iceberg)>()
    }

    /// An iceberg's state; nothing for an id that is none's.
    fn get(&self, id: OrderId) -> Iceberg {
        self.by_id.get(&id).copied().unwrap_or(Iceberg { display: 0, hidden: 0 })
    }

    /// Sets what an iceberg hides, or takes it out.
    fn set(&mut self, id: OrderId, iceberg: Option<Iceberg>) {
        let before = match iceberg {
            Some(iceberg) => self.by_id.insert(id, iceberg),
            None => self.by_id.remove(&id),
        };
        self.parts -= before.map_or(0, Iceberg::parts);
        self.parts += iceberg.map_or(0, Iceberg::parts);
    }

    /// Whether there is room for an iceberg with so much open, in place of what it hides now.
    fn has_room(&self, id: OrderId, display: u64, open: u64) -> bool {
        let hidden = open.saturating_sub(display);
        let parts = Iceberg { display, hidden }.parts();
        self.parts - self.get(id).parts() + parts <= self.most_parts.into()
    }
}

/// An order that rests in a level, and may be an iceberg.
pub(super) struct Resting<'a> {
    pub(super) queues: &'a mut Queues,
    pub(super) index: &'a mut OrderIndex,
    pub(super) icebergs: &'a mut Icebergs,
    pub(super) number: u32,
    pub(super) level: &'a mut Level,
    pub(super) handle: Handle,
}

impl Resting<'_> {
    /// An iceberg, the first of its level, trades what it shows; what the taker has left.
    #[cold]
    pub(super) fn trade(mut self, taker: OrderId, left: u64, events: &mut Vec<Event>) -> u64 {
        let Entry { id, open: shown } = *self.queues.entry(self.handle);
        let hidden = self.icebergs.get(id).hidden;
        let traded = shown.min(left);
        let (shown, left) = (shown - traded, left - traded);
        events.push(Event::Traded(Trade {
            maker: id,
            taker,
            price: Ticks(self.level.price),
            quantity: Lots(traded),
            maker_open: Lots(shown + hidden),
            taker_open: Lots(left),
        }));
        self.queues.entry_mut(self.handle).open = shown;
        self.level.total -= traded;
        if shown == 0 && hidden == 0 {
            self.take_out();
        } else if shown == 0 {
            let shown = Lots(self.replenish());
            events.push(Event::Replenished { order: id, shown });
        }
        left
    }

    /// Shows the next part at the back of the level; how much that is.
    fn replenish(&mut self) -> u64 {
        let Entry { id, .. } = *self.queues.entry(self.handle);
        let owner = self.queues.owner(self.handle);
        let Iceberg { display, hidden } = self.icebergs.get(id);
        let shown = display.min(hidden);
        self.queues.remove(self.level, self.handle);
        // It is in the total already.
        self.level.total -= shown;
        self.level.hidden -= shown;
        let handle = self.queues.push(self.number, self.level, Entry { id, open: shown }, owner);
        self.queues.mark_iceberg(handle);
        self.index.replace(Hash::of(id), self.handle, handle);
        self.icebergs.set(id, Some(Iceberg { display, hidden: hidden - shown }));
        shown
    }

    /// The order, and all that it has open.
    pub(super) fn whole(&self) -> (OrderId, u64) {
        let Entry { id, open } = *self.queues.entry(self.handle);
        let iceberg = self.queues.tag(self.handle).is_iceberg();
        (id, open + if iceberg { self.icebergs.get(id).hidden } else { 0 })
    }

    /// Gives it less open, in its place.
    pub(super) fn shrink(self, open: u64) {
        if self.queues.tag(self.handle).is_iceberg() {
            return shrink(self.queues, self.icebergs, self.level, (self.handle, open));
        }
        let entry = self.queues.entry_mut(self.handle);
        self.level.total -= entry.open - open;
        entry.open = open;
    }

    /// Takes it out of its level and of the index.
    pub(super) fn take_out(self) {
        let Entry { id, .. } = *self.queues.entry(self.handle);
        if self.queues.tag(self.handle).is_iceberg() {
            surface(self.queues, self.icebergs, self.level, self.handle);
        }
        self.queues.remove(self.level, self.handle);
        self.index.remove(Hash::of(id), self.handle);
    }
}

/// An iceberg that is about to leave its level shows all of itself.
#[cold]
pub(super) fn surface(queues: &mut Queues, icebergs: &mut Icebergs, level: &mut Level, handle: Handle) {
    let entry = queues.entry_mut(handle);
    let Iceberg { hidden, .. } = icebergs.get(entry.id);
    entry.open += hidden;
    level.hidden -= hidden;
    icebergs.set(entry.id, None);
}

/// Gives an iceberg less open, in its place: what it hides goes first.
#[cold]
pub(super) fn shrink(
    queues: &mut Queues,
    icebergs: &mut Icebergs,
    level: &mut Level,
    (handle, open): (Handle, u64),
) {
    let entry = queues.entry_mut(handle);
    let iceberg = icebergs.get(entry.id);
    let shown = entry.open.min(open);
    let hidden = open - shown;
    level.total -= entry.open + iceberg.hidden - open;
    level.hidden -= iceberg.hidden - hidden;
    entry.open = shown;
    icebergs.set(entry.id, Some(Iceberg { hidden, ..iceberg }));
}

/// Orders of a level that a taker is played through with, as they come.
pub(super) struct Played {
    queue: VecDeque<Part>,
}

/// An order that rests, or what is left of it.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) tag: Tag,
    pub(super) shown: u64,
    pub(super) hidden: u64,
    display: u64,
}

impl Played {
    /// The next order.
    pub(super) fn next(&mut self) -> Option<Part> {
        self.queue.pop_front()
    }

    /// An order's shown part has traded: the next one, if there is one, comes to the back.
    pub(super) fn replenish(&mut self, part: Part) {
        let shown = part.display.min(part.hidden);
        if shown > 0 {
            self.queue.push_back(Part { shown, hidden: part.hidden - shown, ..part });
        }
    }
}

impl Book {
    /// The orders of a level as a taker would meet them.
    pub(super) fn played(&self, level: &Level, gone: Without) -> Played {
        let part = |(handle, entry): (Handle, &Entry)| {
            let tag = self.queues.tag(handle);
            let Iceberg { display, hidden } = if tag.is_iceberg() {
                self.icebergs.get(entry.id)
            } else {
                Iceberg { display: 0, hidden: 0 }
            };
            Part { tag, shown: entry.open, hidden, display }
        };
        let orders = self.queues.iter(level).filter(|(handle, _)| Some(*handle) != gone);
        Played { queue: orders.map(part).collect() }
    }

    /// What an order has open and does not show.
    #[inline]
    pub(super) fn hidden(&self, handle: Handle) -> u64 {
        if self.queues.tag(handle).is_iceberg() { self.iceberg(handle).hidden } else { 0 }
    }

    /// How much an order shows at a time; zero for all of it.
    #[inline]
    pub(super) fn display(&self, handle: Handle) -> u64 {
        if self.queues.tag(handle).is_iceberg() { self.iceberg(handle).display } else { 0 }
    }

    #[cold]
    pub(super) fn iceberg(&self, handle: Handle) -> Iceberg {
        self.icebergs.get(self.queues.entry(handle).id)
    }

    /// Refuses an iceberg that would hide more parts than the book has room for.
    #[cold]
    pub(super) fn check_parts(&self, id: OrderId, display: u64, open: u64) -> Result<(), Refusal> {
        if self.icebergs.has_room(id, display, open) { Ok(()) } else { Err(Refusal::BookFull) }
    }

    /// Hides all of a resting order but so much.
    #[cold]
    pub(super) fn hide(&mut self, handle: Handle, display: u64) {
        let number = self.level_of(handle);
        let entry = self.queues.entry_mut(handle);
        let hidden = entry.open.saturating_sub(display);
        entry.open -= hidden;
        self.levels[number].hidden += hidden;
        self.icebergs.set(entry.id, Some(Iceberg { display, hidden }));
        self.queues.mark_iceberg(handle);
    }

    /// An iceberg as it rests.
    pub(super) fn resting_iceberg(&mut self, handle: Handle) -> Resting<'_> {
        let number = self.level_of(handle);
        let (queues, index, icebergs) = (&mut self.queues, &mut self.index, &mut self.icebergs);
        Resting { queues, index, icebergs, number, level: &mut self.levels[number], handle }
    }

    /// An iceberg shows as much at its place as it may of what it has open.
    pub(super) fn show_most(&mut self, handle: Handle) {
        if !self.queues.tag(handle).is_iceberg() {
            return;
        }
        let iceberg = self.iceberg(handle);
        let number = self.level_of(handle);
        let entry = self.queues.entry_mut(handle);
        let more = iceberg.display.saturating_sub(entry.open).min(iceberg.hidden);
        entry.open += more;
        self.levels[number].hidden -= more;
        self.icebergs.set(entry.id, Some(Iceberg { hidden: iceberg.hidden - more, ..iceberg }));
    }

    /// Replays a trade of an iceberg. What it shows may be used up then, until it is replenished.
    #[cold]
    pub(super) fn trade_iceberg(&mut self, id: OrderId, handle: Handle, trade: &Trade) -> Result<(), Misfit> {
        let (shown, hidden) = (self.queues.entry(handle).open, self.iceberg(handle).hidden);
        let left = shown.checked_sub(trade.quantity.0);
        let Some(left) = left.filter(|left| left + hidden == trade.maker_open.0) else {
            return Err(Misfit::Amount { id, recorded: trade.maker_open, open: Lots(shown + hidden) });
        };
        if left + hidden == 0 {
            self.take_out(Hash::of(id), handle);
        } else {
            let number = self.level_of(handle);
            self.queues.entry_mut(handle).open = left;
            self.levels[number].total -= trade.quantity.0;
        }
        Ok(())
    }

    /// Replays the replenishment of an iceberg that shows nothing.
    pub(super) fn replenished(&mut self, (id, handle): (OrderId, Handle), shown: Lots) -> Result<(), Misfit> {
        let Iceberg { display, hidden } = self.iceberg(handle);
        let empty = self.queues.tag(handle).is_iceberg() && self.queues.entry(handle).open == 0;
        if !empty || shown.0 != display.min(hidden) {
            return Err(Misfit::Amount { id, recorded: shown, open: Lots(hidden) });
        }
        self.resting_iceberg(handle).replenish();
        Ok(())
    }

    /// Has a resting iceberg show so much, no more than it would by itself: for a book that is read from its parts.
    ///
    /// # Errors
    /// [`Misfit`]: it is no iceberg, or can't show that.
    pub fn show(&mut self, id: OrderId, shown: Lots) -> Result<(), Misfit> {
        let handle = self.find(Hash::of(id), id).ok_or(Misfit::UnknownOrder(id))?;
        let open = self.queues.entry(handle).open;
        if shown.is_zero() || shown.0 > open || !self.queues.tag(handle).is_iceberg() {
            return Err(Misfit::Amount { id, recorded: shown, open: Lots(open) });
        }
        let iceberg = self.iceberg(handle);
        let more = open - shown.0;
        let number = self.level_of(handle);
        self.queues.entry_mut(handle).open = shown.0;
        self.levels[number].hidden += more;
        self.icebergs.set(id, Some(Iceberg { hidden: iceberg.hidden + more, ..iceberg }));
        Ok(())
    }

    /// How many parts are hidden in the book.
    #[must_use]
    pub fn hidden_parts(&self) -> u64 {
        u64::try_from(self.icebergs.parts).unwrap_or(u64::MAX)
    }

    /// How many icebergs rest in a level.
    pub(super) fn icebergs_in(&self, number: u32) -> usize {
        let orders = self.queues.iter(&self.levels[number]);
        orders.filter(|(handle, _)| self.queues.tag(*handle).is_iceberg()).count()
    }
}

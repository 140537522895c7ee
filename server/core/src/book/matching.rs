//! Matching: what a command does to the book.

use std::hint::black_box;

use super::iceberg::{self, Resting};
use super::index::{Hash, OrderIndex};
use super::instead::Without;
use super::prevention::{Own, Taker};
use super::queue::{Entry, Handle, Queues};
use super::slab::NIL;
use super::{Book, Command, Event, NewOrder, Owner, Prevention, Refusal, Removal, Style, Trade, reaches};
use crate::types::{Lots, OrderId, Side, Ticks};

/// How many commands [`Book::warm`] fetches for at a time: more than a processor can wait for at once.
const WARM_GROUP: usize = 32;

impl Book {
    /// Applies a command; what it does is appended to `events` as it happens.
    ///
    /// A refused command changes nothing and has no events. Does not allocate once the book and
    /// `events` have seen their largest size, and touches as many orders as it trades with, plus one.
    ///
    /// # Errors
    /// [`Refusal`].
    #[inline]
    pub fn apply(&mut self, command: &Command, events: &mut Vec<Event>) -> Result<(), Refusal> {
        match *command {
            Command::Place(ref order) => self.place(order, events),
            Command::Amend { id, price, open, post_only, prevention } => {
                self.amend(id, (price.0, open.0), post_only, prevention, events)
            }
            Command::Cancel { id } => self.cancel(id, events),
        }
    }

    /// Fetches what the commands will need from memory, all at once; changes nothing.
    ///
    /// In a large book most of a command's time is waiting for memory, one cache line after the other.
    /// Here nothing depends on anything else, so the processor waits for many at a time. Worth its cost
    /// when a batch of commands is about to be applied to a book of more than about 20,000 orders; a
    /// few hundred commands at a time stay in the cache until they are applied.
    pub fn warm(&self, commands: &[Command]) {
        let mut touched = 0;
        for group in commands.chunks(WARM_GROUP) {
            let mut hashes = [Hash::of(OrderId::default()); WARM_GROUP];
            for (hash, command) in hashes.iter_mut().zip(group) {
                *hash = Hash::of(command.id());
                touched ^= self.index.touch(*hash);
            }
            for hash in &hashes[..group.len()] {
                touched ^= self.index.find(*hash, |_| true).map_or(0, |handle| self.queues.touch(handle));
            }
        }
        black_box(touched);
    }

    fn place(&mut self, order: &NewOrder, events: &mut Vec<Event>) -> Result<(), Refusal> {
        let NewOrder { id, side, quantity: Lots(quantity), style, display, owner, prevention, .. } = *order;
        let hash = Hash::of(id);
        if self.find(hash, id).is_some() {
            return Err(Refusal::DuplicateId);
        }
        if quantity == 0 {
            return Err(Refusal::ZeroQuantity);
        }
        let limit = limit_or_any(order);
        let takes = self.would_take(side, limit);
        let reach =
            if takes { self.reach(side, limit, self.ladder(side.opposite()).best_price) } else { limit };
        self.check_style(order, reach, takes, None)?;

        let mut open = quantity;
        if takes {
            let taker = Taker::new(id, side, owner, prevention);
            let taken = self.take(taker, reach, quantity, events);
            if taken.is_stopped {
                events.push(Event::Removed { order: id, open: Lots(taken.left), why: Removal::SelfTrade });
                return Ok(());
            }
            open = taken.left;
        }
        if open == 0 {
            return Ok(());
        }
        let band = if takes { self.stopping_band(side, limit) } else { None };
        if !matches!(style, Style::Rest | Style::PostOnly) || band.is_some_and(|band| !band.rests) {
            let why = if band.is_some() { Removal::Band } else { Removal::Left };
            events.push(Event::Removed { order: id, open: Lots(open), why });
            return Ok(());
        }
        // An order that took, or was kept from it by a band, has no level of its own side at its limit (the book was not
        // crossed), so a total can only overflow where nothing was changed yet.
        let handle = self
            .attach(side, limit, Entry { id, open }, owner)
            .map_err(|_overflow| Refusal::LevelOverflow)?;
        self.index.insert(hash, handle);
        if !display.is_zero() {
            self.hide(handle, display.0);
        }
        events.push(Event::Rested { order: id, side, price: Ticks(limit), open: Lots(open), display, owner });
        Ok(())
    }

    /// What style and minimum alone refuse, as if `gone` were. It takes as far as `limit`.
    #[inline]
    pub(super) fn check_style(
        &self,
        order: &NewOrder,
        limit: u64,
        takes: bool,
        gone: Without,
    ) -> Result<(), Refusal> {
        match order.style {
            Style::Rest | Style::PostOnly => {
                if order.limit.is_none() {
                    return Err(Refusal::NoLimit);
                }
                if self.has_no_place() && gone.is_none() {
                    return Err(Refusal::BookFull);
                }
                if !order.display.is_zero() {
                    let instead_of = gone.map_or(order.id, |gone| self.queues.entry(gone).id);
                    self.check_parts(instead_of, order.display.0, order.quantity.0)?;
                }
                if takes && order.style == Style::PostOnly {
                    return Err(Refusal::WouldTake);
                }
            }
            Style::AllOrNothing | Style::Cancel => {}
        }
        if order.style == Style::AllOrNothing || !order.minimum.is_zero() {
            return self.check_fill(order, limit, gone);
        }
        Ok(())
    }

    /// Refuses an order that would not trade as much at once as it must.
    #[cold]
    fn check_fill(&self, order: &NewOrder, limit: u64, gone: Without) -> Result<(), Refusal> {
        let whole = order.style == Style::AllOrNothing;
        let needed = if whole { order.quantity.0 } else { order.minimum.0 };
        if self.can_fill(order, limit, needed, gone) { Ok(()) } else { Err(Refusal::NotFillable) }
    }

    /// Whether an order would trade this much with others within the limit.
    fn can_fill(&self, order: &NewOrder, limit: u64, needed: u64, gone: Without) -> bool {
        let taker = Taker::new(order.id, order.side, order.owner, order.prevention);
        if needed > order.quantity.0 {
            return false;
        }
        let mut found = 0u64;
        for number in self.walk(taker.side.opposite()) {
            let level = &self.levels[number];
            if !reaches(taker.side, limit, level.price) {
                break;
            }
            found = found.saturating_add(self.total_without(number, gone));
            if found >= needed {
                // All orders count so far, the owner's too.
                let amounts = (order.quantity.0, needed);
                return !taker.avoids_anyone() || self.play_through(taker, limit, amounts, gone);
            }
        }
        false
    }

    /// Takes from the other side within the limit, best price first.
    fn take(&mut self, taker: Taker, limit: u64, quantity: u64, events: &mut Vec<Event>) -> Taken {
        let mut taken = Taken { left: quantity, is_stopped: false };
        while taken.left > 0 && !taken.is_stopped {
            let other = self.ladder(taker.side.opposite());
            if other.best == NIL || !reaches(taker.side, limit, other.best_price) {
                break;
            }
            taken = self.take_level(other.best, taker, taken.left, events);
        }
        taken
    }

    /// Takes from one level, longest waiting order first.
    fn take_level(&mut self, number: u32, taker: Taker, quantity: u64, events: &mut Vec<Event>) -> Taken {
        let mut left = quantity;
        let mut is_stopped = false;
        let mut chunk = NIL;
        let level = &mut self.levels[number];
        let price = Ticks(level.price);
        while level.head != NIL && left > 0 {
            let handle = self.queues.first_in(level.head);
            if chunk != level.head {
                chunk = level.head;
                if left > self.queues.entry(handle).open {
                    foresee(&self.queues, &self.index, chunk);
                }
            }
            let tag = self.queues.tag(handle);
            if tag.is_iceberg() || taker.avoids(tag) {
                let (queues, index, icebergs) = (&mut self.queues, &mut self.index, &mut self.icebergs);
                let resting = Resting { queues, index, icebergs, number, level, handle };
                if !taker.avoids(tag) {
                    left = resting.trade(taker.id, left, events);
                    continue;
                }
                let own = Own(resting);
                (left, is_stopped) = own.prevent(taker, left, events);
                if is_stopped {
                    break;
                }
                continue;
            }
            let maker = self.queues.entry_mut(handle);
            let id = maker.id;
            let traded = maker.open.min(left);
            left -= traded;
            let maker_open = maker.open - traded;
            events.push(Event::Traded(Trade {
                maker: id,
                taker: taker.id,
                price,
                quantity: Lots(traded),
                maker_open: Lots(maker_open),
                taker_open: Lots(left),
            }));
            if maker_open > 0 {
                maker.open = maker_open;
                level.total -= traded;
            } else {
                self.queues.remove(level, handle);
                self.index.remove(Hash::of(id), handle);
            }
        }
        if level.count == 0 {
            self.drop_level(number);
        }
        Taken { left, is_stopped }
    }

    fn amend(
        &mut self,
        id: OrderId,
        (price, open): (u64, u64),
        post_only: bool,
        prevention: Prevention,
        events: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let hash = Hash::of(id);
        let handle = self.find(hash, id).ok_or(Refusal::UnknownOrder)?;
        if open == 0 {
            return Err(Refusal::ZeroQuantity);
        }
        let number = self.level_of(handle);
        let (side, previous_price) = (self.levels[number].side, self.levels[number].price);
        let previous_open = self.queues.entry(handle).open + self.hidden(handle);
        if price == previous_price && open <= previous_open {
            self.shrink(number, handle, open);
            events.push(Event::Reduced { order: id, open: Lots(open) });
            return Ok(());
        }
        let display = self.display(handle);
        if display > 0 {
            self.check_parts(id, display, open)?;
        }
        let takes = self.would_take(side, price);
        if takes && post_only {
            return Err(Refusal::WouldTake);
        }
        if !takes && !self.fits(side, price, open, (previous_price, previous_open)) {
            return Err(Refusal::LevelOverflow);
        }
        let owner = self.queues.owner(handle);
        self.detach(number, handle);
        events.push(Event::Lifted { order: id, price: Ticks(price), open: Lots(open) });
        let mut taken = Taken { left: open, is_stopped: false };
        if takes {
            let reach = self.reach(side, price, self.ladder(side.opposite()).best_price);
            taken = self.take(Taker::new(id, side, owner, prevention), reach, open, events);
        }
        let Taken { left, is_stopped } = taken;
        let band = if takes && !is_stopped { self.stopping_band(side, price) } else { None };
        let why = if is_stopped { Removal::SelfTrade } else { Removal::Band };
        let is_stopped = is_stopped || band.is_some_and(|band| !band.rests) && left > 0;
        let rests = if is_stopped { 0 } else { left };
        self.settle((hash, handle), (side, price), Entry { id, open: rests }, (owner, display));
        if is_stopped {
            events.push(Event::Removed { order: id, open: Lots(left), why });
        } else if left > 0 {
            let (price, open, display) = (Ticks(price), Lots(left), Lots(display));
            events.push(Event::Rested { order: id, side, price, open, display, owner });
        }
        Ok(())
    }

    /// Gives an order a smaller open quantity, above zero, in its place.
    pub(super) fn shrink(&mut self, number: u32, handle: Handle, open: u64) {
        if self.queues.tag(handle).is_iceberg() {
            let level = &mut self.levels[number];
            return iceberg::shrink(&mut self.queues, &mut self.icebergs, level, (handle, open));
        }
        let entry = self.queues.entry_mut(handle);
        self.levels[number].total -= entry.open - open;
        entry.open = open;
    }

    /// Whether an order that rests (`from`: price and quantity) could move to this price and quantity
    /// without its level's total leaving 64 bits.
    fn fits(&self, side: Side, price: u64, open: u64, from: (u64, u64)) -> bool {
        let Some(number) = self.ladder(side).tree.get(&self.levels, price) else { return true };
        let own = if price == from.0 { from.1 } else { 0 };
        (self.levels[number].total - own).checked_add(open).is_some()
    }

    /// Files a detached order anew: at the back of its new level, or nowhere if nothing is left.
    /// The caller has checked that it fits.
    fn settle(
        &mut self,
        (hash, old): (Hash, Handle),
        (side, price): (Side, u64),
        entry: Entry,
        (owner, display): (Owner, u64),
    ) {
        let attached = if entry.open == 0 { None } else { self.attach(side, price, entry, owner).ok() };
        match attached {
            Some(handle) => {
                self.index.replace(hash, old, handle);
                if display > 0 {
                    self.hide(handle, display);
                }
            }
            None => self.index.remove(hash, old),
        }
    }

    fn cancel(&mut self, id: OrderId, events: &mut Vec<Event>) -> Result<(), Refusal> {
        let hash = Hash::of(id);
        let handle = self.find(hash, id).ok_or(Refusal::UnknownOrder)?;
        let open = Lots(self.queues.entry(handle).open + self.hidden(handle));
        self.take_out(hash, handle);
        events.push(Event::Removed { order: id, open, why: Removal::Cancelled });
        Ok(())
    }
}

/// What a taker has left, and whether it was stopped at an order of its owner.
#[derive(Clone, Copy)]
struct Taken {
    left: u64,
    is_stopped: bool,
}

/// Fetches what taking a whole chunk will need from memory, all at once, as [`Book::warm`] does.
#[inline]
fn foresee(queues: &Queues, index: &OrderIndex, chunk: u32) {
    let mut touched = u64::from(queues.chunks[queues.chunks[chunk].next].live);
    for entry in queues.in_chunk(chunk) {
        touched ^= index.touch(Hash::of(entry.id));
    }
    black_box(touched);
}

#[inline]
pub(super) fn limit_or_any(order: &NewOrder) -> u64 {
    match (order.limit, order.side) {
        (Some(limit), _) => limit.0,
        (None, Side::Buy) => u64::MAX,
        (None, Side::Sell) => 0,
    }
}

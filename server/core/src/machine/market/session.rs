//! What a market does by itself at a time: it changes its state as its rules say each day, and ends an auction that a band
//! began.

use super::Market;
use crate::machine::journal::Journal;
use crate::machine::tape::Event;
use crate::types::{MarketState, Micros, Reason, TimeInForce};

/// A change of state that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Change {
    pub due: Micros,
    state: MarketState,
    /// Whether the rules say so, and not the auction's own end.
    scheduled: bool,
}

impl Market {
    /// When the auction ends by itself, if it does.
    #[must_use]
    pub fn auction_ends(&self) -> Option<Micros> {
        self.ends
    }

    /// The change of state that comes next. `now` counts only before the first one: a market begins with the state that it
    /// would have.
    pub(super) fn next_change(&self, now: Micros) -> Option<Change> {
        let ends = self.ends.map(|due| Change { due, state: MarketState::Continuous, scheduled: false });
        let after = match self.scheduled {
            Micros(0) => self.rules.session_before(now).map(|due| Micros(due.0.saturating_sub(1))),
            scheduled => Some(scheduled),
        };
        let next = after.filter(|_| self.state != MarketState::Delisted);
        let next = next.and_then(|after| self.rules.session_after(after, None));
        let next = next.map(|(due, state)| Change { due, state, scheduled: true });
        // Of one time the auction's end comes first.
        [ends, next].into_iter().flatten().min_by_key(|change| change.due)
    }

    /// Says in events what becomes of the change of state that is due.
    pub(super) fn say_change(&self, now: Micros, events: &mut Vec<Event>) {
        let Some(Change { due, state, .. }) = self.next_change(now) else {
            return;
        };
        if let Some(until) = self.put_off(due, state) {
            events.push(Event::StateChanged { state: MarketState::Auction, until: Some(until) });
            return;
        }
        if state == self.state {
            events.push(Event::Nothing);
            return;
        }
        events.push(Event::StateChanged { state, until: None });
        if state == MarketState::Closed {
            let day = self.ids(|time_in_force| time_in_force == TimeInForce::Day);
            let orders = day.into_iter().filter_map(|id| self.orders.get(&id));
            let reason = Reason::SessionEnd;
            events.extend(orders.map(|order| Event::Removed { order: order.id, open: order.open, reason }));
        }
    }

    /// When an auction ends instead that would end now at a price outside the static band: that is put off once.
    fn put_off(&self, due: Micros, to: MarketState) -> Option<Micros> {
        let extension = self.rules.bands.auction_extension;
        let ends = self.state == MarketState::Auction && to == MarketState::Continuous;
        let beyond = || self.auction().is_some_and(|auction| self.is_beyond_static(auction.price));
        (ends && extension > Micros(0) && !self.extended && beyond()).then(|| due.plus(extension))
    }

    /// The change of state that is due happened; `None` if that can't be.
    pub(in crate::machine) fn change(
        &mut self,
        events: &[Event],
        due: Micros,
        journal: &mut Journal,
    ) -> Option<()> {
        let change = self.next_change(journal.block.time).filter(|change| change.due == due)?;
        let (first, rest) = events.split_first()?;
        journal.advance();
        match *first {
            Event::StateChanged { state: MarketState::Auction, until: Some(until) } => {
                let put_off = self.state == MarketState::Auction && !self.extended && until > due;
                put_off.then_some(())?;
                self.enter_state(MarketState::Auction, Some(until))?;
                self.extended = true;
            }
            Event::StateChanged { state, until: None } if state == change.state => {
                self.enter_state(state, None)?;
            }
            Event::Nothing if change.state == self.state => {}
            _ => return None,
        }
        if change.scheduled {
            self.scheduled = due;
        }
        for event in rest {
            journal.advance();
            let Event::Removed { order, open, reason: reason @ Reason::SessionEnd } = *event else {
                return None;
            };
            self.remove(order, open, reason, journal)?;
        }
        Some(())
    }
}

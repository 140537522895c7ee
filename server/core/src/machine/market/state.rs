//! A market's state: what it takes.

use super::{Market, Rules};
use crate::machine::intent::{NewRules, Place};
use crate::machine::tape::Event;
use crate::types::{MarketState, Micros, OrderId, Reason, TimeInForce, may_rest};

impl Market {
    /// The state that it is in.
    #[must_use]
    pub fn state(&self) -> MarketState {
        self.state
    }

    /// Whether it takes such an order.
    pub(super) fn takes(&self, place: &Place) -> bool {
        let terms = place.terms.as_deref().copied().unwrap_or_default();
        let of_auction = place.time_in_force == TimeInForce::Auction;
        match self.state {
            MarketState::PreOpen | MarketState::Auction => {
                may_rest(place.time_in_force)
                    && !place.post_only
                    && !terms.market_to_limit
                    && terms.minimum.is_zero()
            }
            MarketState::Continuous => !of_auction,
            MarketState::PostOnly => place.post_only,
            _ => false,
        }
    }

    /// Whether an order may be amended, and whether it must not take then. `stays` is whether it keeps its place.
    pub(super) fn amends(&self, stays: bool, post_only: bool) -> Result<bool, Reason> {
        match self.state {
            MarketState::Continuous => Ok(post_only),
            // Nothing takes there; a post-only order that rests was honoured when it came.
            MarketState::PreOpen | MarketState::Auction if stays || !post_only => Ok(false),
            MarketState::PostOnly => Ok(true),
            MarketState::CancelOnly if stays => Ok(post_only),
            _ => Err(Reason::MarketState),
        }
    }

    /// A delisted market stays that.
    pub(super) fn decide_state(&mut self, state: MarketState, events: &mut Vec<Event>) -> Result<(), Reason> {
        if state == self.state {
            events.push(Event::Nothing);
            return Ok(());
        }
        if self.state == MarketState::Delisted {
            return Err(Reason::MarketState);
        }
        events.push(Event::StateChanged { state, until: None });
        match state {
            MarketState::Closed => {
                let day = self.ids(|time_in_force| time_in_force == TimeInForce::Day);
                self.take_all_out(day, Reason::SessionEnd, events)
            }
            MarketState::Delisted => {
                let all = self.ids(|_| true);
                self.take_all_out(all, Reason::Delisted, events)
            }
            _ => Ok(()),
        }
    }

    /// Decides what becomes of other rules: those by which prices and quantities count stay.
    pub(super) fn decide_rules(&self, new: &NewRules, events: &mut Vec<Event>) -> Result<(), Reason> {
        let NewRules { rules, reference } = new;
        let fixed = |rules: &Rules| (rules.tick, rules.lot, rules.min_lots, rules.max_lots);
        if self.state == MarketState::Delisted {
            return Err(Reason::MarketState);
        }
        if fixed(rules) != fixed(&self.rules) {
            return Err(Reason::FixedRule);
        }
        let same = *rules == self.rules && reference.is_none();
        events.push(if same { Event::Nothing } else { Event::RulesChanged });
        Ok(())
    }

    /// Other rules hold from a time on; `None` if it can't have them.
    pub(super) fn take_rules(&mut self, new: &NewRules, time: Micros) -> Option<()> {
        let NewRules { rules, reference } = new;
        let fixed = |rules: &Rules| (rules.tick, rules.lot, rules.min_lots, rules.max_lots);
        (fixed(rules) == fixed(&self.rules)).then_some(())?;
        if rules.sessions != self.rules.sessions {
            // What was to be before is not made up for.
            self.scheduled = if rules.sessions.is_empty() { Micros(0) } else { time };
        }
        self.rules = rules.clone();
        self.uncrossed_price = reference.or(self.uncrossed_price);
        self.book.set_band(None, false);
        Some(())
    }

    /// It is in a state; `None` if the book is not. While nothing trades orders may rest at prices that cross.
    /// `until` is when an auction ends by itself.
    pub(super) fn enter_state(&mut self, state: MarketState, until: Option<Micros>) -> Option<()> {
        let trades = matches!(state, MarketState::Continuous | MarketState::PostOnly);
        (until.is_none() || state == MarketState::Auction).then_some(())?;
        (!trades || !self.book.is_crossed() && self.unpriced.len() == 0).then_some(())?;
        self.book.stand(!trades);
        self.state = state;
        (self.ends, self.extended) = (until, false);
        if state != MarketState::Auction {
            self.indicated = None;
        }
        Some(())
    }

    /// The orders of some times in force, by id.
    pub(super) fn ids(&self, of: impl Fn(TimeInForce) -> bool) -> Vec<OrderId> {
        let orders = self.orders.iter().filter(|order| of(order.time_in_force));
        let mut ids: Vec<OrderId> = orders.map(|order| order.id).collect();
        ids.sort_unstable();
        ids
    }
}

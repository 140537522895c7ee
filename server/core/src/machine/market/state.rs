//! A market's state: what it takes.

use super::Market;
use crate::machine::intent::Place;
use crate::machine::tape::Event;
use crate::types::{MarketState, OrderId, Reason, TimeInForce};

impl Market {
    /// The state that it is in.
    #[must_use]
    pub fn state(&self) -> MarketState {
        self.state
    }

    /// Whether it takes such an order.
    pub(super) fn takes(&self, place: &Place) -> bool {
        match self.state {
            MarketState::Continuous => true,
            MarketState::PostOnly => place.post_only,
            _ => false,
        }
    }

    /// Whether an order may be amended, and whether it must not take then. `stays` is whether it keeps its place.
    pub(super) fn amends(&self, stays: bool, post_only: bool) -> Result<bool, Reason> {
        match self.state {
            MarketState::Continuous => Ok(post_only),
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
        events.push(Event::StateChanged);
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

    /// The orders of some times in force, by id.
    fn ids(&self, of: impl Fn(TimeInForce) -> bool) -> Vec<OrderId> {
        let orders = self.orders.iter().filter(|order| of(order.time_in_force));
        let mut ids: Vec<OrderId> = orders.map(|order| order.id).collect();
        ids.sort_unstable();
        ids
    }
}

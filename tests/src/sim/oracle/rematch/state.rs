//! What a market takes, from the table of the proto's words.

use xbook::machine::Place;
use xbook::types::{MarketState, OrderId, Reason};

use super::Rematch;

/// The state of the market.
#[derive(Debug)]
pub(super) struct Trading(MarketState);

impl Default for Trading {
    fn default() -> Self {
        Self(MarketState::Continuous)
    }
}

impl Trading {
    /// Whether it takes a new order: all, or post-only ones.
    pub fn takes(&self, place: &Place) -> bool {
        self.0 == MarketState::Continuous || self.0 == MarketState::PostOnly && place.post_only
    }

    /// Whether it takes an amend, which may keep the order's place.
    pub fn amends(&self, keeps: bool) -> bool {
        match self.0 {
            MarketState::Continuous | MarketState::PostOnly => true,
            state => state == MarketState::CancelOnly && keeps,
        }
    }

    /// Whether triggered orders run.
    pub fn runs(&self) -> bool {
        self.0 == MarketState::Continuous
    }

    /// Whether an amend must not take, whatever the order is.
    pub fn never_takes(&self) -> bool {
        self.0 == MarketState::PostOnly
    }
}

impl Rematch {
    /// As a market is closed its DAY orders end; as it is delisted all do, and it stays that.
    pub(super) fn set_state(&mut self, state: MarketState) -> bool {
        if state == self.trading.0 {
            return true;
        }
        if self.trading.0 == MarketState::Delisted {
            return false;
        }
        self.trading.0 = state;
        let (ends, reason) = match state {
            MarketState::Closed => (false, Reason::SessionEnd),
            MarketState::Delisted => (true, Reason::Delisted),
            _ => return true,
        };
        let ended: Vec<OrderId> =
            self.live.iter().filter(|(_, live)| ends || live.day).map(|(id, _)| *id).collect();
        for id in ended {
            self.cancel(id);
            self.cancelled.push((id, reason));
        }
        true
    }
}

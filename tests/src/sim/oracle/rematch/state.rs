//! What a market takes, from the table of the proto's words.

use xbook::book::{Auction, Event};
use xbook::machine::Place;
use xbook::types::{Lots, MarketState, OrderId, Position, Reason, TimeInForce};

use super::stops::Told;
use super::{Rematch, RematchViolation};

/// The state of the market.
#[derive(Debug)]
pub(super) struct Trading(MarketState);

impl Default for Trading {
    fn default() -> Self {
        Self(MarketState::Continuous)
    }
}

impl Trading {
    /// Whether it takes a new order: all but those of auctions, post-only ones, or what may stand in an auction.
    pub fn takes(&self, place: &Place) -> bool {
        let terms = place.terms.as_deref().copied().unwrap_or_default();
        let at_once = matches!(place.time_in_force, TimeInForce::Ioc | TimeInForce::Fok);
        match self.0 {
            MarketState::Continuous => place.time_in_force != TimeInForce::Auction,
            MarketState::PostOnly => place.post_only,
            MarketState::PreOpen | MarketState::Auction => {
                !at_once && !place.post_only && !terms.market_to_limit && terms.minimum == Lots(0)
            }
            _ => false,
        }
    }

    /// Whether it takes an amend, which may keep the order's place.
    pub fn amends(&self, keeps: bool, post_only: bool) -> bool {
        match self.0 {
            MarketState::Continuous | MarketState::PostOnly => true,
            MarketState::PreOpen | MarketState::Auction => keeps || !post_only,
            state => state == MarketState::CancelOnly && keeps,
        }
    }

    pub fn set(&mut self, state: MarketState) {
        self.0 = state;
    }

    pub fn is_auction(&self) -> bool {
        self.0 == MarketState::Auction
    }

    /// Whether it stays as it is.
    pub fn is_over(&self) -> bool {
        self.0 == MarketState::Delisted
    }

    /// Whether orders trade as they come.
    pub fn trades(&self) -> bool {
        matches!(self.0, MarketState::Continuous | MarketState::PostOnly)
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
        let traded = self.trading.trades();
        let trades = matches!(state, MarketState::Continuous | MarketState::PostOnly);
        if trades && !traded {
            self.uncross();
        }
        self.enter(state, None);
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

    /// All that can trade does at one price, and orders of the auction end.
    fn uncross(&mut self) {
        for trade in self.book.uncross(self.reference()) {
            self.meet(&[Event::Traded(trade)], true);
            self.uncrossed_at(trade.price);
            for (id, open) in [(trade.maker, trade.maker_open), (trade.taker, trade.taker_open)] {
                if open == Lots(0) {
                    self.live.remove(&id);
                } else if let Some(live) = self.live.get_mut(&id) {
                    live.filled += trade.quantity.0;
                }
            }
        }
        let ended: Vec<OrderId> =
            self.live.iter().filter(|(_, live)| live.of_auction).map(|(id, _)| *id).collect();
        for id in ended {
            self.cancel(id);
            self.log.push(Told::AuctionEnded(id));
        }
        self.keep_root();
    }

    /// Compares what a market says that its auction would give with what it would give here.
    ///
    /// # Errors
    /// It is something else.
    pub fn compare_indication(&self, at: Position, shown: Option<Auction>) -> Result<(), RematchViolation> {
        let told = self.trading.0 == MarketState::Auction;
        let naive = if told { self.book.auction(self.reference()) } else { None };
        if shown == naive { Ok(()) } else { Err(RematchViolation::Indication { at, shown, naive }) }
    }
}

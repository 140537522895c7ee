//! Price bands and what begins and ends by itself, from the proto's words: the static band is around the last uncross, the
//! dynamic one around the last trade before the request whose doing it is, what that triggers included.

use xbook::book::{Event, Removal};
use xbook::machine::NewRules;
use xbook::types::{MarketState, Micros, OrderId, Reason, Side, Ticks};

use super::Rematch;
use super::rules::{band, sessions_about};
use super::stops::Told;

/// What bands are around, and when the market changes its state by itself.
#[derive(Debug, Default)]
pub(super) struct Bands {
    pub uncrossed: Option<Ticks>,
    root: Option<Ticks>,
    /// When the auction ends by itself, and whether that was put off.
    pub ends: Option<Micros>,
    extended: bool,
    /// The last time at which the rules changed the state.
    scheduled: Option<Micros>,
}

impl Rematch {
    /// None without a price, or without a width.
    fn band_around(&self, price: Option<Ticks>, bp: u32) -> Option<(Ticks, Ticks)> {
        price.filter(|_| bp > 0).map(|price| band(price, bp))
    }

    fn static_band(&self) -> Option<(Ticks, Ticks)> {
        self.band_around(self.bands.uncrossed, self.rules.bands.static_bp)
    }

    /// Whether an order with this limit is refused: a buy above the static band, a sell below it.
    pub(super) fn is_beyond(&self, side: Side, limit: Ticks) -> bool {
        self.static_band().is_some_and(|(lowest, highest)| match side {
            Side::Buy => limit > highest,
            Side::Sell => limit < lowest,
        })
    }

    pub(super) fn lay_band(&mut self) {
        let dynamic = self.band_around(self.bands.root, self.rules.bands.dynamic_bp);
        let narrower = match (self.static_band(), dynamic) {
            (Some(one), Some(other)) => Some((one.0.max(other.0), one.1.min(other.1))),
            (one, other) => one.or(other),
        };
        self.book.set_band(narrower, self.rules.bands.volatility_auction > Micros(0));
    }

    /// A step is over. What was triggered and is still to run keeps the band of what triggered it.
    pub(super) fn keep_root(&mut self) {
        if self.queue.is_empty() {
            self.bands.root = self.last;
        }
    }

    /// What breaks ties in an auction: the last trade, or if there is none what the static band is around.
    pub(super) fn reference(&self) -> Option<Ticks> {
        self.last.or(self.bands.uncrossed)
    }

    /// An uncross was at this price.
    pub(super) fn uncrossed_at(&mut self, price: Ticks) {
        (self.bands.uncrossed, self.bands.root) = (Some(price), Some(price));
    }

    /// What was done ended at a band: the market goes into an auction.
    pub(super) fn halt_at_band(&mut self, did: &[Event]) {
        let beyond = did.iter().filter_map(|event| match event {
            Event::Removed { order, why: Removal::Band, .. } => Some(*order),
            _ => None,
        });
        let removed: Vec<OrderId> = beyond.collect();
        if self.trading.trades() && (!removed.is_empty() || self.book.is_crossed()) {
            let lasts = self.rules.bands.volatility_auction;
            if lasts > Micros(0) {
                self.enter(MarketState::Auction, Some(self.time.plus(lasts)));
            }
        }
        self.log.extend(removed.into_iter().map(Told::Banded));
    }

    /// It is in a state, in which an auction ends by itself if it says when.
    pub(super) fn enter(&mut self, state: MarketState, ends: Option<Micros>) {
        self.trading.set(state);
        self.book.stand(!self.trading.trades());
        (self.bands.ends, self.bands.extended) = (ends, false);
    }

    /// When the market changes its state by itself next, as of a time that has come.
    pub(super) fn next_change(&self, now: Micros) -> Option<(Micros, MarketState, bool)> {
        let after = |since: Micros| {
            // More than a day after the last time there is another one in between.
            sessions_about(since, &self.rules).into_iter().find(|(at, _)| *at > since)
        };
        let next = match self.bands.scheduled {
            Some(since) => after(since),
            None => sessions_about(now, &self.rules).into_iter().rfind(|(at, _)| *at <= now),
        };
        let next = next.filter(|_| !self.trading.is_over());
        let ends = self.bands.ends.map(|at| (at, MarketState::Continuous, false));
        let next = next.map(|(at, state)| (at, state, true));
        match (ends, next) {
            (Some(ends), Some(next)) => Some(if ends.0 <= next.0 { ends } else { next }),
            (ends, next) => ends.or(next),
        }
    }

    /// The market changes its state by itself; the orders that end with its session, and how many events that is.
    pub(super) fn change(
        &mut self,
        (due, to, scheduled): (Micros, MarketState, bool),
    ) -> Vec<(OrderId, Reason)> {
        if scheduled {
            self.bands.scheduled = Some(due);
        }
        let price = self.book.auction(self.reference()).map(|auction| auction.price);
        let beyond = price
            .zip(self.static_band())
            .is_some_and(|(price, (lowest, highest))| price < lowest || price > highest);
        let more = self.rules.bands.auction_extension;
        let goes_on = beyond && !self.bands.extended && more > Micros(0);
        if self.trading.is_auction() && to == MarketState::Continuous && goes_on {
            self.enter(MarketState::Auction, Some(due.plus(more)));
            self.bands.extended = true;
            return Vec::new();
        }
        self.cancelled.clear();
        self.set_state(to);
        std::mem::take(&mut self.cancelled)
    }

    /// The market's rules change. Other session times count from then on.
    pub(super) fn set_rules(&mut self, new: &NewRules) -> bool {
        let NewRules { rules, reference } = new;
        if self.trading.is_over() {
            return false;
        }
        if rules.sessions != self.rules.sessions {
            self.bands.scheduled = (!rules.sessions.is_empty()).then_some(self.time);
        }
        self.rules = rules.clone();
        self.bands.uncrossed = reference.or(self.bands.uncrossed);
        true
    }
}

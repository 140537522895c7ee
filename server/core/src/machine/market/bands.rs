//! Price bands: how far trades may be from a price, and what happens to an order that would trade beyond.
//!
//! The static band is around the price of the last uncross, the dynamic one around the last trade before the step of an
//! intent. What that triggers keeps it, however many steps and batches it takes: a cascade can't walk away with its band.

use super::Market;
use crate::machine::tape::Event;
use crate::types::{MarketState, Micros, Reason, Side, Ticks};

/// Widths of bands count in these.
const PRICE_PARTS: u128 = 10_000;

impl Market {
    /// Prices so far from a price at most, edges inside.
    fn around(price: Option<Ticks>, bp: u32) -> Option<(Ticks, Ticks)> {
        let price = price.filter(|_| bp > 0)?;
        let away = (u128::from(price.0) * u128::from(bp) / PRICE_PARTS) as u64;
        Some((Ticks(price.0.saturating_sub(away)), Ticks(price.0.saturating_add(away))))
    }

    fn static_band(&self) -> Option<(Ticks, Ticks)> {
        Self::around(self.uncrossed_price, self.rules.bands.static_bp)
    }

    /// Whether a limit is beyond the static band, on the side on which it could trade beyond it.
    pub(super) fn is_outside_static(&self, side: Side, limit: Ticks) -> bool {
        self.static_band().is_some_and(|(lowest, highest)| match side {
            Side::Buy => limit > highest,
            Side::Sell => limit < lowest,
        })
    }

    /// Whether a price is outside the static band, to either side.
    pub(super) fn is_beyond_static(&self, price: Ticks) -> bool {
        self.static_band().is_some_and(|(lowest, highest)| !(lowest..=highest).contains(&price))
    }

    /// Why an order is refused whose limit is outside the static band: that a post-only order would take comes first.
    pub(super) fn refused_by_band(&self, side: Side, limit: Ticks, post_only: bool) -> Reason {
        let best = self.best_price(side.opposite(), None);
        let takes = best.is_some_and(|best| if side == Side::Buy { limit >= best } else { limit <= best });
        if post_only && takes { Reason::WouldTake } else { Reason::PriceBand }
    }

    /// Tells the book between which prices orders may trade in the step that is about to be decided.
    pub(super) fn lay_band(&mut self) {
        let bands = self.rules.bands;
        if !bands.are_some() {
            return;
        }
        let dynamic = Self::around(self.root_price, bands.dynamic_bp);
        let both = [self.static_band(), dynamic].into_iter().flatten();
        let band = both.reduce(|(lowest, highest), other| (lowest.max(other.0), highest.min(other.1)));
        self.book.set_band(band, bands.volatility_auction > Micros(0));
    }

    /// Whether what the book has just said ended at a band.
    pub(super) fn is_halted_by_band(&self) -> bool {
        use crate::book::{Event, Removal};
        let removed = |said: &Event| matches!(said, Event::Removed { why: Removal::Band, .. });
        self.rules.bands.are_some()
            && self.state == MarketState::Continuous
            && (self.said.iter().any(removed) || self.book.is_crossed())
    }

    /// The auction that a band begins, if it does.
    pub(super) fn volatility_auction(&self) -> Option<Event> {
        let lasts = Some(self.rules.bands.volatility_auction).filter(|lasts| *lasts > Micros(0))?;
        Some(Event::StateChanged { state: MarketState::Auction, until: Some(self.now.plus(lasts)) })
    }

    /// A band ended the order of the step, and begins an auction; `None` if it can't.
    pub(super) fn halt_by_band(&mut self, state: MarketState, until: Option<Micros>) -> Option<()> {
        let begins = self.state == MarketState::Continuous && state == MarketState::Auction;
        (begins && until.is_some() && self.hand.is_none()).then_some(())?;
        self.enter_state(state, until)
    }

    /// A step is about to be followed: if it begins an auction, the order that a band ended may rest across the other side.
    pub(in crate::machine) fn stand_for(&mut self, events: &[Event]) {
        let begins = |event: &Event| matches!(event, Event::StateChanged { state: MarketState::Auction, .. });
        if self.rules.bands.volatility_auction > Micros(0) && events.iter().any(begins) {
            self.book.stand(true);
        }
    }

    /// A step is over: the next one is judged by the last trade, unless it runs what was triggered before.
    pub(super) fn keep_root(&mut self) {
        if !self.stops.are_queued() {
            self.root_price = self.last_price;
        }
    }
}

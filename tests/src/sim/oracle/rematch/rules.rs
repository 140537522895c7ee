//! The rules of orders, from the proto's words.

use rust_decimal::Decimal;
use xbook::book::Prevention;
use xbook::machine::{Change, Place, Rules};
use xbook::types::{Liquidity, MarketState, Micros, SelfTrade, Side, Ticks};

use super::RematchViolation;

/// Whether an order's own times allow its turn. From the proto's words: GTD rests until its time, and is
/// dead from that instant on; an order is EXPIRED if it is sequenced later than `sequence_by`.
pub(super) fn in_time(place: &Place, time: Micros) -> bool {
    place.expires.is_none_or(|at| time < at) && place.sequence_by.is_none_or(|by| time <= by)
}

/// What happens between orders of one account: what the one that comes in asks for, else what the rules say.
pub(super) fn prevention(asked: SelfTrade, rules: &Rules) -> Prevention {
    match if asked == SelfTrade::Unspecified { rules.self_trade } else { asked } {
        SelfTrade::Unspecified | SelfTrade::CancelTaker => Prevention::CancelTaker,
        SelfTrade::CancelMaker => Prevention::CancelMaker,
        SelfTrade::CancelBoth => Prevention::CancelBoth,
        SelfTrade::Decrement => Prevention::Decrement,
        SelfTrade::Allow => Prevention::Allow,
    }
}

const DAY: u64 = 24 * 60 * 60 * 1_000_000;

/// All times of the day before a time, of its own and of the next one at which the market changes its state, ascending.
pub(super) fn sessions_about(time: Micros, rules: &Rules) -> Vec<(Micros, MarketState)> {
    let today = time.0 / DAY * DAY;
    let days = [today - DAY, today, today + DAY];
    let mut all: Vec<_> = days
        .into_iter()
        .flat_map(|day| rules.sessions.iter().map(move |session| (Micros(day + session.at.0), session.state)))
        .collect();
    all.sort_by_key(|(at, _)| *at);
    all
}

/// When a DAY order expires: the first time after its turn at which the market is closed, or, if it never is, the first
/// end of a day.
pub(super) fn day_end_after(turn: Micros, rules: &Rules) -> Micros {
    let later = |(at, state): &(Micros, MarketState)| *at > turn && *state == MarketState::Closed;
    let midnight = turn.0 / DAY * DAY + DAY;
    sessions_about(turn, rules).into_iter().find(later).map_or(Micros(midnight), |(at, _)| at)
}

/// A band around a price, its edges inside: so many hundredths of a percent, rounded down.
pub(super) fn band(price: Ticks, bp: u32) -> (Ticks, Ticks) {
    let away = price.0 * u64::from(bp) / 10_000;
    (Ticks(price.0 - away), Ticks(price.0 + away))
}

/// The price of a sliding order: one tick behind the best opposite one if it would reach that; `None` if there is
/// no such price.
pub(super) fn slid(side: Side, limit: Ticks, best: Option<Ticks>) -> Option<Ticks> {
    match (side, best) {
        (Side::Buy, Some(best)) if limit >= best => (best.0 > 1).then(|| Ticks(best.0 - 1)),
        (Side::Sell, Some(best)) if limit <= best => Some(Ticks(best.0 + 1)),
        _ => Some(limit),
    }
}

/// A fill costs its value times the rate of its side, in basis points, rounded up to the fee step. Tick and lot are 1.
pub(super) fn charged(change: &Change, rules: &Rules) -> Result<(), RematchViolation> {
    let Change::Order { order, fill: Some(fill), .. } = change else {
        return Ok(());
    };
    let fees = &rules.fees;
    let rate = match fill.liquidity {
        _ if fill.auction => fees.auction,
        Liquidity::Maker => fees.maker,
        _ => fees.taker,
    };
    let value = Decimal::from(fill.price.0) * Decimal::from(fill.quantity.0);
    // In hundredths of a basis point.
    let unrounded = value * Decimal::new(rate.into(), 6);
    let step = Decimal::from(fees.step) / Decimal::from(100_000_000);
    let expected = (unrounded / step).ceil() * step;
    if fill.fee.to_string().parse() == Ok(expected) {
        return Ok(());
    }
    let (order, at, shown) = (order.id, order.position, fill.fee.to_string());
    Err(RematchViolation::Fee { order, at, shown, naive: expected.normalize().to_string() })
}

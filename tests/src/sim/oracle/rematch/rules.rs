//! The rules of orders, from the proto's words.

use rust_decimal::Decimal;
use xbook::book::Prevention;
use xbook::machine::{Change, Place};
use xbook::types::{Liquidity, Micros, SelfTrade, Side, Ticks};

use super::RematchViolation;
use crate::sim::clock::DAY_END;
use crate::sim::world::FEES;

/// Whether an order's own times allow its turn. From the proto's words: GTD rests until its time, and is
/// dead from that instant on; an order is EXPIRED if it is sequenced later than `sequence_by`.
pub(super) fn in_time(place: &Place, time: Micros) -> bool {
    place.expires.is_none_or(|at| time < at) && place.sequence_by.is_none_or(|by| time <= by)
}

/// What happens between orders of one account: what the one that comes in asks for, else what the rules say,
/// which say nothing and so mean CANCEL_TAKER.
pub(super) fn prevention(asked: SelfTrade) -> Prevention {
    match asked {
        SelfTrade::Unspecified | SelfTrade::CancelTaker => Prevention::CancelTaker,
        SelfTrade::CancelMaker => Prevention::CancelMaker,
        SelfTrade::CancelBoth => Prevention::CancelBoth,
        SelfTrade::Decrement => Prevention::Decrement,
        SelfTrade::Allow => Prevention::Allow,
    }
}

/// When a DAY order expires: the first end of a day after its turn.
pub(super) fn day_end_after(turn: Micros) -> Micros {
    const DAY: u64 = 24 * 60 * 60 * 1_000_000;
    let today = turn.0 / DAY * DAY + DAY_END.0;
    Micros(if today > turn.0 { today } else { today + DAY })
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
pub(super) fn charged(change: &Change) -> Result<(), RematchViolation> {
    let Change::Order { order, fill: Some(fill), .. } = change else {
        return Ok(());
    };
    let rate = match fill.liquidity {
        _ if fill.auction => FEES.auction,
        Liquidity::Maker => FEES.maker,
        _ => FEES.taker,
    };
    let value = Decimal::from(fill.price.0) * Decimal::from(fill.quantity.0);
    // In hundredths of a basis point.
    let unrounded = value * Decimal::new(rate.into(), 6);
    let step = Decimal::from(FEES.step) / Decimal::from(100_000_000);
    let expected = (unrounded / step).ceil() * step;
    if fill.fee.to_string().parse() == Ok(expected) {
        return Ok(());
    }
    let (order, at, shown) = (order.id, order.position, fill.fee.to_string());
    Err(RematchViolation::Fee { order, at, shown, naive: expected.normalize().to_string() })
}

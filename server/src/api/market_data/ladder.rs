//! Price levels put together to steps, and the checksum by which a client proves its book.

use rust_decimal::Decimal;
use xbook_proto::v1::{self, Reason};

use crate::api::admission;
use crate::api::convert::Units;
use crate::api::error::Refusal;
use crate::book::{LevelView, Resting};
use crate::types::{Side, Ticks};

/// Levels of each side that a checksum counts.
pub(in crate::api) const CHECKED_LEVELS: usize = 10;

/// The prices that are told as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::api) struct Step(u64);

/// Levels that are told as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::api) struct Rung {
    pub price: Ticks,
    pub open: u128,
    pub orders: u32,
}

impl Step {
    /// Each price by itself.
    pub const TICK: Self = Self(1);

    /// The step that a client asks for: empty for a tick.
    ///
    /// # Errors
    /// It is no multiple of the tick.
    pub fn asked(text: &str, units: &Units<'_>) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Ok(Self::TICK);
        }
        let step: Decimal = admission::decimal("price_step", text)?;
        let ticks = units.sizes.tick.steps(step).map_err(|error| {
            let reason = match error {
                crate::decimal::GridError::NotPositive => Reason::NotPositive,
                crate::decimal::GridError::OffGrid(_) => Reason::OffTick,
                crate::decimal::GridError::TooLarge(_) => Reason::AboveMaximum,
            };
            Refusal::new(reason, error.to_string()).field("price_step").value(text)
        })?;
        Ok(Self(ticks))
    }

    /// The price under which a price is told: away from the other side.
    pub fn of(self, side: Side, price: Ticks) -> Ticks {
        match side {
            Side::Buy => Ticks(price.0 - price.0 % self.0),
            Side::Sell => Ticks(price.0.div_ceil(self.0).saturating_mul(self.0)),
        }
    }

    /// The lowest and the highest of the prices that are told under a price.
    pub fn span(self, side: Side, told: Ticks) -> (Ticks, Ticks) {
        let below = self.0 - 1;
        match side {
            Side::Buy => (told, Ticks(told.0.saturating_add(below))),
            Side::Sell => (Ticks(told.0.saturating_sub(below)), told),
        }
    }

    /// Puts levels together, which come from the best outwards.
    pub fn rungs(self, side: Side, levels: impl Iterator<Item = LevelView>) -> impl Iterator<Item = Rung> {
        let mut levels = levels.map(move |level| Rung {
            price: self.of(side, level.price),
            open: level.open.0.into(),
            orders: level.orders,
        });
        let mut next = levels.next();
        std::iter::from_fn(move || {
            let mut rung = next.take()?;
            for level in levels.by_ref() {
                if level.price != rung.price {
                    next = Some(level);
                    break;
                }
                rung.open += level.open;
                rung.orders = rung.orders.saturating_add(level.orders);
            }
            Some(rung)
        })
    }
}

impl Rung {
    pub fn told(&self, units: &Units<'_>) -> v1::Level {
        v1::Level {
            price: units.price(self.price),
            quantity: units.sizes.lot.sum_text(self.open),
            order_count: self.orders,
            orders: Vec::new(),
            continued: false,
        }
    }
}

/// The checksum of the best levels of both sides: bids, asks.
pub(in crate::api) fn of_levels(units: &Units<'_>, [bids, asks]: [&[Rung]; 2]) -> u32 {
    let text = |rungs: &[Rung]| {
        let entry =
            |rung: &Rung| format!("{}:{}", units.price(rung.price), units.sizes.lot.sum_text(rung.open));
        rungs.iter().take(CHECKED_LEVELS).map(entry).collect::<Vec<_>>().join(",")
    };
    crc32fast::hash(format!("{}|{}", text(asks), text(bids)).as_bytes())
}

/// The checksum of the orders of the best levels: those of the bids, then of the asks, in time priority.
pub(in crate::api) fn of_orders(units: &Units<'_>, [bids, asks]: [&[Resting]; 2]) -> u32 {
    let text = |orders: &[Resting]| {
        let entry = |order: &Resting| {
            format!("{}:{}:{}", units.price(order.price), order.id, units.quantity(order.open))
        };
        orders.iter().map(entry).collect::<Vec<_>>().join(",")
    };
    crc32fast::hash(format!("{}|{}", text(asks), text(bids)).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Grid;
    use crate::history::Sizes;
    use crate::types::Lots;

    fn units(tick: &str) -> Units<'static> {
        let grid = |text: &str| Grid::new(text.parse().unwrap()).unwrap();
        Units { market: "A/B", sizes: Sizes { tick: grid(tick), lot: grid("1") } }
    }

    fn rungs(levels: &[(u64, u64)]) -> Vec<Rung> {
        levels
            .iter()
            .map(|(price, open)| Rung { price: Ticks(*price), open: (*open).into(), orders: 1 })
            .collect()
    }

    #[test]
    fn checksums_are_those_of_the_trading_rules() {
        let (bids, asks) = (rungs(&[(100, 2), (99, 7)]), rungs(&[(101, 3), (102, 4)]));
        assert_eq!(of_levels(&units("1"), [&bids, &asks]), 3_869_084_381);
        assert_eq!(of_levels(&units("1"), [&[], &[]]), 2_343_686_810);
        let many: Vec<Rung> = rungs(&(1..=30).map(|price| (price, 1)).collect::<Vec<_>>());
        assert_eq!(of_levels(&units("1"), [&[], &many]), of_levels(&units("1"), [&[], &many[..10]]));
    }

    #[test]
    fn levels_are_put_together_away_from_the_other_side() {
        let levels = |prices: &[u64]| {
            prices
                .iter()
                .map(|price| LevelView { price: Ticks(*price), open: Lots(2), orders: 1 })
                .collect::<Vec<_>>()
        };
        let step = Step::asked("0.5", &units("0.1")).unwrap();
        let found = |side, prices: &[u64]| {
            step.rungs(side, levels(prices).into_iter())
                .map(|rung| (rung.price.0, rung.open))
                .collect::<Vec<_>>()
        };
        assert_eq!(found(Side::Buy, &[24, 21, 20, 19, 3]), [(20, 6), (15, 2), (0, 2)]);
        assert_eq!(found(Side::Sell, &[25, 26, 30, 31]), [(25, 2), (30, 4), (35, 2)]);
        for side in [Side::Buy, Side::Sell] {
            for price in 1..40 {
                let (low, high) = step.span(side, step.of(side, Ticks(price)));
                assert!((low.0..=high.0).contains(&price) && high.0 - low.0 == 4, "{side:?} {price}");
            }
        }
        assert_eq!(Step::asked("0.25", &units("0.1")).unwrap_err().reason(), Reason::OffTick);
        assert_eq!(Step::asked("0", &units("0.1")).unwrap_err().reason(), Reason::NotPositive);
        assert_eq!(Step::asked("", &units("0.1")), Ok(Step::TICK));
    }
}

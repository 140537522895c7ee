//! A market's rules: its grids, the bounds of an order's quantity, and what is done about trades of an account with
//! itself.

use rust_decimal::Decimal;
use xbook_proto::record::v1 as record;

use super::FeeRates;
use crate::decimal::{Grid, MAX_STEPS};
use crate::types::{Lots, Micros, SelfTrade};

/// The rules of a market, fixed for a generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// The tick size.
    pub tick: Grid,
    /// The lot size.
    pub lot: Grid,
    /// Smallest quantity of an order.
    pub min_lots: Lots,
    /// Largest quantity of an order.
    pub max_lots: Lots,
    /// What happens between orders of one account, if the one that comes in does not say; never unspecified.
    pub self_trade: SelfTrade,
    /// How far from the best price a market order may trade, in hundredths of a percent; 0 for any price.
    pub protection_bp: u32,
    /// When a day ends, counted from midnight UTC; less than [`DAY`].
    pub day_end: Micros,
    /// What fills cost.
    pub fees: FeeRates,
}

/// A day.
pub const DAY: Micros = Micros(24 * 60 * 60 * 1_000_000);

/// The most of [`Rules::protection_bp`]: a whole price.
pub const MAX_PROTECTION_BP: u32 = 10_000;

impl Rules {
    /// Rules without a minimum (one lot), with the largest possible maximum, by which an order that comes in is
    /// cancelled rather than trade with its own account.
    #[must_use]
    pub fn new(tick: Grid, lot: Grid) -> Self {
        let (min_lots, max_lots) = (Lots(1), Lots(MAX_STEPS));
        let (self_trade, protection_bp, day_end) = (SelfTrade::CancelTaker, 0, Micros(0));
        let fees = FeeRates::default();
        Self { tick, lot, min_lots, max_lots, self_trade, protection_bp, day_end, fees }
    }

    /// The rules as a document keeps them.
    #[must_use]
    pub fn to_record(&self) -> record::Rules {
        record::Rules {
            tick_size: self.tick.to_string(),
            lot_size: self.lot.to_string(),
            min_lots: self.min_lots.0,
            max_lots: self.max_lots.0,
            self_trade: self.self_trade.into(),
            protection_bp: self.protection_bp,
            day_end_us: self.day_end.0,
            maker_fee: self.fees.maker,
            taker_fee: self.fees.taker,
            fee_step: self.fees.step,
            auction_fee: self.fees.auction,
        }
    }

    /// When the day ends in which a time lies: later than that.
    #[must_use]
    pub fn day_end_after(&self, time: Micros) -> Micros {
        let since_the_last = (time.0 % DAY.0 + DAY.0 - self.day_end.0) % DAY.0;
        time.plus(Micros(DAY.0 - since_the_last))
    }

    /// Reads them back; `None` if they are not rules that a node would have written.
    #[must_use]
    pub fn from_record(record: &record::Rules) -> Option<Self> {
        let grid = |text: &str| Grid::new(text.parse::<Decimal>().ok()?).ok();
        let rules = Self {
            tick: grid(&record.tick_size)?,
            lot: grid(&record.lot_size)?,
            min_lots: Lots(record.min_lots),
            max_lots: Lots(record.max_lots),
            self_trade: SelfTrade::try_from(record.self_trade).ok()?,
            protection_bp: record.protection_bp,
            day_end: Micros(record.day_end_us),
            fees: FeeRates {
                maker: record.maker_fee,
                taker: record.taker_fee,
                auction: record.auction_fee,
                step: record.fee_step,
            },
        };
        let bounds = 1..=MAX_STEPS;
        let valid = bounds.contains(&record.min_lots)
            && bounds.contains(&record.max_lots)
            && rules.self_trade != SelfTrade::Unspecified
            && rules.protection_bp <= MAX_PROTECTION_BP
            && rules.day_end < DAY
            && rules.fees.are_valid();
        (valid && rules.min_lots <= rules.max_lots).then_some(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_after_each_time_and_never_at_it() {
        let one = Grid::new("1".parse().unwrap()).unwrap();
        let hours = |hours: u64| Micros(hours * 3_600_000_000);
        let end = |day_end, time| Rules { day_end, ..Rules::new(one, one) }.day_end_after(time);
        for (day_end, time, expected) in [
            (0, 0, 24),
            (0, 23, 24),
            (0, 24, 48),
            (0, 25, 48),
            (22, 0, 22),
            (22, 21, 22),
            (22, 22, 46),
            (22, 24, 46),
            (1, 24 * 20_000, 24 * 20_000 + 1),
        ] {
            assert_eq!(end(hours(day_end), hours(time)), hours(expected), "{day_end} {time}");
        }
        assert_eq!(end(hours(1), Micros(hours(1).0 - 1)), hours(1));
        assert!(end(hours(1), Micros(u64::MAX)) == Micros(u64::MAX), "the end of time");
    }
}

//! A market's rules: its grids, the bounds of an order's quantity, and what is done about trades of an account with
//! itself.

use rust_decimal::Decimal;
use xbook_proto::record::v1 as record;

use crate::decimal::{Grid, MAX_STEPS};
use crate::types::{Lots, SelfTrade};

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
}

impl Rules {
    /// Rules without a minimum (one lot), with the largest possible maximum, by which an order that comes in is
    /// cancelled rather than trade with its own account.
    #[must_use]
    pub fn new(tick: Grid, lot: Grid) -> Self {
        let (min_lots, max_lots) = (Lots(1), Lots(MAX_STEPS));
        Self { tick, lot, min_lots, max_lots, self_trade: SelfTrade::CancelTaker }
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
        }
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
        };
        let bounds = 1..=MAX_STEPS;
        let valid = bounds.contains(&record.min_lots)
            && bounds.contains(&record.max_lots)
            && rules.self_trade != SelfTrade::Unspecified;
        (valid && rules.min_lots <= rules.max_lots).then_some(rules)
    }
}

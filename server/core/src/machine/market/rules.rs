//! A market's rules: its grids and the bounds of an order's quantity.

use rust_decimal::Decimal;
use xbook_proto::record::v1 as record;

use crate::decimal::{Grid, MAX_STEPS};
use crate::types::Lots;

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
}

impl Rules {
    /// Rules without a minimum (one lot) and with the largest possible maximum.
    #[must_use]
    pub fn new(tick: Grid, lot: Grid) -> Self {
        Self { tick, lot, min_lots: Lots(1), max_lots: Lots(MAX_STEPS) }
    }

    /// The rules as a document keeps them.
    #[must_use]
    pub fn to_record(&self) -> record::Rules {
        record::Rules {
            tick_size: self.tick.to_string(),
            lot_size: self.lot.to_string(),
            min_lots: self.min_lots.0,
            max_lots: self.max_lots.0,
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
        };
        let bounds = 1..=MAX_STEPS;
        let valid = bounds.contains(&record.min_lots) && bounds.contains(&record.max_lots);
        (valid && rules.min_lots <= rules.max_lots).then_some(rules)
    }
}

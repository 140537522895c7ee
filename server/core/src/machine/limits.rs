//! Limits that an account sets itself.

use xbook_proto::record::v1 as record;

use super::table::{halves, joined};
use crate::types::Lots;

/// What an order of an account may be, and how many may rest; zero for no limit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Limits {
    /// Most lots of an order.
    pub quantity: Lots,
    /// Most ticks times lots of an order.
    pub notional: u128,
    /// Most orders that rest.
    pub orders: u32,
}

impl Limits {
    /// Whether there is none.
    #[must_use]
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn to_record(self) -> record::SetLimits {
        let (notional_low, notional_high) = halves(self.notional);
        record::SetLimits { quantity: self.quantity.0, notional_low, notional_high, orders: self.orders }
    }

    pub(super) fn from_record(record: record::SetLimits) -> Self {
        let record::SetLimits { quantity, notional_low, notional_high, orders } = record;
        Self { quantity: Lots(quantity), notional: joined(notional_low, notional_high), orders }
    }
}

//! What clients do next.

use xbook_proto::v1::{AnswerWhen, NewOrder, Side, TimeInForce};

use super::Random;

/// A mix of requests, all prices near 1,000. Shares are in percent; what is left over is placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    /// Cancels, as long as something may rest.
    pub cancels: u64,
    /// Amends, as long as something may rest.
    pub amends: u64,
    /// Of the orders that are placed, how many go through the middle and so meet others.
    pub marketable: u64,
    /// Whether orders may also be immediate-or-cancel, and answered on acceptance, and cancels
    /// withdraw.
    pub wild: bool,
}

/// What is done next.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Next {
    /// An order is placed.
    Place(NewOrder, AnswerWhen),
    /// An order gets a new price and a new open quantity.
    Amend {
        /// The price.
        price: String,
        /// The quantity.
        open_quantity: String,
    },
    /// An order is cancelled.
    Cancel {
        /// Also before its turn.
        withdraw: bool,
    },
}

impl Flow {
    /// Everything that there is, half of it meeting others.
    pub const WILD: Self = Self { cancels: 20, amends: 10, marketable: 50, wild: true };
    /// 60 % passive limit orders, 20 % marketable ones, 15 % cancels, 5 % amends.
    pub const MIXED: Self = Self { cancels: 15, amends: 5, marketable: 25, wild: false };
    /// Orders as in the mix, and as many cancels: the book stays as large as it is.
    pub const CANCELLING: Self = Self { cancels: 50, amends: 0, marketable: 25, wild: false };
    /// Orders that rest.
    pub const PASSIVE: Self = Self { cancels: 0, amends: 0, marketable: 0, wild: false };

    /// The next request.
    pub fn next(self, random: &mut Random, something_rests: bool) -> Next {
        let kind = random.below(100);
        if something_rests && kind < self.cancels {
            return Next::Cancel { withdraw: self.wild && random.below(2) == 0 };
        }
        if something_rests && kind < self.cancels + self.amends {
            let (side, quantity) = (*random.pick(&[Side::Buy, Side::Sell]), 1 + random.below(9));
            return Next::Amend { price: passive(random, side), open_quantity: quantity.to_string() };
        }
        let when =
            if self.wild && random.below(2) == 0 { AnswerWhen::Accepted } else { AnswerWhen::Committed };
        Next::Place(self.order(random), when)
    }

    /// The next order.
    pub fn order(self, random: &mut Random) -> NewOrder {
        let side = *random.pick(&[Side::Buy, Side::Sell]);
        let price =
            if random.below(100) < self.marketable { through(random, side) } else { passive(random, side) };
        let time_in_force =
            if self.wild && random.below(4) == 0 { TimeInForce::Ioc } else { TimeInForce::Gtc };
        NewOrder {
            side: side.into(),
            price,
            quantity: (1 + random.below(20)).to_string(),
            time_in_force: time_in_force.into(),
            ..NewOrder::default()
        }
    }
}

/// A price on the order's own side of the middle.
fn passive(random: &mut Random, side: Side) -> String {
    let away = 1 + random.below(20);
    match side {
        Side::Sell => (1_000 + away).to_string(),
        _ => (1_000 - away).to_string(),
    }
}

/// A price a little beyond the middle.
fn through(random: &mut Random, side: Side) -> String {
    let beyond = 1 + random.below(5);
    match side {
        Side::Sell => (1_000 - beyond).to_string(),
        _ => (1_000 + beyond).to_string(),
    }
}

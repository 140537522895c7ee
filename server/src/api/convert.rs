//! The server's words as the proto files say them.

use prost_types::Timestamp;
use xbook_proto::v1;

use crate::history::Sizes;
use crate::machine::{Change, FillOf, Order, Origin, Rules};
use crate::types::{Lots, Micros, Side, Ticks};

/// A market's name and what its prices and quantities count in: what it takes to write its
/// numbers as decimals.
#[derive(Clone, Copy)]
pub struct Units<'a> {
    /// The market's name.
    pub market: &'a str,
    /// Its tick and lot size.
    pub sizes: Sizes,
}

impl<'a> Units<'a> {
    /// The units of a market with these rules.
    #[must_use]
    pub fn new(market: &'a str, rules: &Rules) -> Self {
        Self { market, sizes: Sizes { tick: rules.tick, lot: rules.lot } }
    }

    /// A price.
    #[must_use]
    pub fn price(&self, price: Ticks) -> String {
        self.sizes.tick.text(price.0)
    }

    /// A quantity.
    #[must_use]
    pub fn quantity(&self, quantity: Lots) -> String {
        self.sizes.lot.text(quantity.0)
    }

    /// An order.
    #[must_use]
    pub fn order(&self, order: &Order) -> v1::Order {
        let (request_id, session, command_number) = match &order.origin {
            Origin::Request(id) => (id.to_string(), String::new(), 0),
            Origin::Command { session, number } => (String::new(), session.name.to_string(), *number),
        };
        let kind = if order.limit.is_some() { v1::OrderType::Limit } else { v1::OrderType::Market };
        v1::Order {
            order_id: order.id.to_string(),
            market: self.market.to_owned(),
            account: order.account.to_string(),
            request_id,
            command_number,
            session,
            side: side(order.side).into(),
            r#type: kind.into(),
            time_in_force: order.time_in_force.into(),
            post_only: order.post_only,
            price: order.limit.map(|price| self.price(price)).unwrap_or_default(),
            quantity: self.quantity(order.quantity),
            filled_quantity: self.quantity(order.filled),
            open_quantity: self.quantity(order.open),
            filled_value: self.sizes.tick.product_text(self.sizes.lot, order.value),
            status: order.status.into(),
            reason: order.reason.into(),
            accept_time: Some(timestamp(order.accepted)),
            expire_time: order.expires.map(timestamp),
            update_time: (order.position.0 > 0).then(|| timestamp(order.updated)),
            position: order.position.0,
        }
    }

    /// An order as it is read at a time of this node's clock: one whose own time has come is not told as
    /// open, though only the tape closes it, which stands still without a majority.
    #[must_use]
    pub fn order_at(&self, order: &Order, now: Micros) -> v1::Order {
        let rests = matches!(order.status, v1::OrderStatus::Open | v1::OrderStatus::PartiallyFilled);
        let mut told = self.order(order);
        if rests && order.expires.is_some_and(|at| at <= now) {
            told.set_status(v1::OrderStatus::Expiring);
        }
        told
    }

    /// A fill of an order.
    #[must_use]
    pub fn fill(&self, order: &Order, fill: &FillOf) -> v1::Fill {
        v1::Fill {
            position: order.position.0,
            order_id: order.id.to_string(),
            counter_order_id: fill.counter_order.to_string(),
            side: side(order.side).into(),
            liquidity: fill.liquidity.into(),
            price: self.price(fill.price),
            quantity: self.quantity(fill.quantity),
            time: Some(timestamp(order.updated)),
        }
    }

    /// The trade that a change tells of: the taker's side of a fill.
    #[must_use]
    pub fn trade(&self, change: &Change) -> Option<v1::Trade> {
        let Change::Order { order, fill: Some(fill), .. } = change else {
            return None;
        };
        (fill.liquidity == v1::Liquidity::Taker).then(|| v1::Trade {
            position: order.position.0,
            price: self.price(fill.price),
            quantity: self.quantity(fill.quantity),
            taker_side: side(order.side).into(),
            maker_order_id: fill.counter_order.to_string(),
            taker_order_id: order.id.to_string(),
            time: Some(timestamp(order.updated)),
        })
    }

    /// A price level, without its orders.
    #[must_use]
    pub fn level(&self, price: Ticks, open: Lots, orders: u32) -> v1::Level {
        v1::Level {
            price: self.price(price),
            quantity: self.quantity(open),
            order_count: orders,
            orders: Vec::new(),
            continued: false,
        }
    }
}

/// A market's rules, with every field set.
#[must_use]
pub fn rules(rules: &Rules) -> v1::MarketRules {
    v1::MarketRules {
        tick_size: rules.tick.to_string(),
        lot_size: rules.lot.to_string(),
        min_quantity: rules.lot.text(rules.min_lots.0),
        max_quantity: rules.lot.text(rules.max_lots.0),
    }
}

/// A side.
#[must_use]
pub fn side(side: Side) -> v1::Side {
    match side {
        Side::Buy => v1::Side::Buy,
        Side::Sell => v1::Side::Sell,
    }
}

/// A point in time.
#[must_use]
pub fn timestamp(at: Micros) -> Timestamp {
    const SECOND: u64 = 1_000_000;
    Timestamp {
        seconds: i64::try_from(at.0 / SECOND).unwrap_or(i64::MAX),
        nanos: i32::try_from(at.0 % SECOND * 1_000).unwrap_or(0),
    }
}

/// A point in time that a client sent; `None` before 1970 or after 9999.
#[must_use]
pub fn micros(at: &Timestamp) -> Option<Micros> {
    const LAST_SECOND: u64 = 253_402_300_799;
    let seconds = u64::try_from(at.seconds).ok().filter(|seconds| *seconds <= LAST_SECOND)?;
    let nanos = u64::try_from(at.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Micros(seconds * 1_000_000 + nanos / 1_000))
}

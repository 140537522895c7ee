//! What a client was told, which is true for ever.

use std::collections::BTreeMap;

use xbook_proto::v1::{Fill, Order, OrderStatus, Trade};

use super::Record;

/// What one account was told of one market.
#[derive(Clone, Default, Debug)]
pub struct Promises {
    /// Orders that were accepted, as they were placed: position and outcome left open.
    accepted: BTreeMap<String, Order>,
    /// Orders as of a position.
    orders: BTreeMap<(String, u64), Order>,
    /// Where an order stood as of a position, from sessions: status and open quantity.
    standing: BTreeMap<(String, u64), (OrderStatus, String)>,
    /// Fills, by order and position: the other order, price, quantity.
    fills: BTreeMap<(String, u64), (String, String, String)>,
    /// The highest position that was told.
    position: u64,
}

/// A promise that does not hold, or a record that contradicts itself.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

impl Promises {
    /// An order was told: pending, or as of its position.
    pub fn note_order(&mut self, order: &Order) {
        self.note_position(order.position);
        self.accepted.insert(order.order_id.clone(), identity(order));
        if order.status() != OrderStatus::Pending {
            self.orders.insert((order.order_id.clone(), order.position), order.clone());
        }
    }

    /// A command's order was told as of a position.
    pub fn note_standing(&mut self, order_id: &str, position: u64, status: OrderStatus, open: &str) {
        self.note_position(position);
        self.standing.insert((order_id.to_owned(), position), (status, open.to_owned()));
    }

    /// A fill was told.
    pub fn note_fill(&mut self, order_id: &str, position: u64, counter: &str, price: &str, quantity: &str) {
        self.note_position(position);
        let fill = (counter.to_owned(), price.to_owned(), quantity.to_owned());
        self.fills.insert((order_id.to_owned(), position), fill);
    }

    /// A position was told.
    pub fn note_position(&mut self, position: u64) {
        self.position = self.position.max(position);
    }

    /// How many orders and fills were promised.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.accepted.len().max(self.standing.len()), self.fills.len())
    }

    /// Checks that everything that was told is so.
    ///
    /// # Errors
    /// The first promise that does not hold.
    pub fn hold_in(&self, record: &Record) -> Result<(), Broken> {
        check(record.position >= self.position, || {
            format!("position {} was told, and now it is {}", self.position, record.position)
        })?;
        for (id, told) in &self.accepted {
            let now =
                record.orders.get(id).ok_or_else(|| Broken(format!("{id} was accepted and is gone")))?;
            let mut now = identity(now);
            // A pending order may be told before it is known when it was accepted.
            now.accept_time = told.accept_time.and(now.accept_time);
            check(now == *told || record.was_amended(id), || format!("accepted: {told:?}\nnow: {now:?}"))?;
        }
        for ((id, position), told) in &self.orders {
            let then = record.update(id, *position)?;
            check(then == told, || format!("told: {told:?}\nnow told of then: {then:?}"))?;
        }
        for ((id, position), (status, open)) in &self.standing {
            let then = record.standing(id, *position)?;
            check(then.status() == *status && then.open_quantity == *open, || {
                format!(
                    "told: {id} was {status:?} with {open} open at {position}\nnow told of then: {then:?}"
                )
            })?;
        }
        for ((id, position), told) in &self.fills {
            let fill = record.fill(id, *position)?;
            check(facts(fill) == *told, || format!("told: {told:?}\nnow: {fill:?}"))?;
        }
        Ok(())
    }
}

/// Checks that these trades, which a stream sent up to a position, are exactly those that happened.
///
/// # Errors
/// One is missing, was sent twice, or is another one.
pub(super) fn trades_hold(sent: &[Trade], through: u64, record: &Record) -> Result<(), Broken> {
    let happened: Vec<&Trade> = record.trades.values().filter(|trade| trade.position <= through).collect();
    for (at, (sent, happened)) in sent.iter().zip(&happened).enumerate() {
        check(sent == *happened, || format!("trade {at} of the stream: {sent:?}\nhappened: {happened:?}"))?;
    }
    check(sent.len() == happened.len(), || {
        format!("{} trades were streamed up to {through}, {} happened", sent.len(), happened.len())
    })
}

pub(super) fn check(holds: bool, broken: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(broken())) }
}

fn facts(fill: &Fill) -> (String, String, String) {
    (fill.counter_order_id.clone(), fill.price.clone(), fill.quantity.clone())
}

/// What of an order never changes, unless it is amended.
fn identity(order: &Order) -> Order {
    Order {
        filled_quantity: String::new(),
        open_quantity: String::new(),
        filled_value: String::new(),
        status: 0,
        reason: 0,
        update_time: None,
        position: 0,
        ..order.clone()
    }
}

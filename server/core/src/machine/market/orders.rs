//! The resting orders by their ids.

use std::collections::HashMap;

use super::Order;
use crate::machine::near::BuildNearHasher;
use crate::types::OrderId;

/// Resting orders. An order is large beside its id: so they lie in places that a small index leads to, and
/// while they become more none of them is moved.
#[derive(Clone, Default, Debug)]
pub(super) struct Orders {
    index: HashMap<OrderId, usize, BuildNearHasher>,
    places: Vec<Option<Order>>,
    /// Places without an order; the last one is taken next.
    free: Vec<usize>,
}

impl Orders {
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn get(&self, id: &OrderId) -> Option<&Order> {
        self.places.get(*self.index.get(id)?)?.as_ref()
    }

    pub fn get_mut(&mut self, id: &OrderId) -> Option<&mut Order> {
        self.places.get_mut(*self.index.get(id)?)?.as_mut()
    }

    /// All, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &Order> {
        self.places.iter().flatten()
    }

    /// Adds an order that can't be found before it is filed.
    pub fn push(&mut self, order: Order) {
        self.places.push(Some(order));
    }

    /// Files all orders that were pushed; `false` if two have one id. In the order of their ids, so that
    /// neighbours in the index come one after the other.
    pub fn file(&mut self) -> bool {
        let places = self.places.iter().enumerate();
        let mut ids: Vec<_> = places.filter_map(|(at, order)| Some((order.as_ref()?.id, at))).collect();
        ids.sort_unstable();
        let count = ids.len();
        self.index.clear();
        self.index.extend(ids);
        self.index.len() == count
    }

    /// Adds an order, in place of one with the same id.
    pub fn insert(&mut self, id: OrderId, order: Order) {
        if let Some(same) = self.get_mut(&id) {
            *same = order;
            return;
        }
        let at = self.free.pop().unwrap_or(self.places.len());
        match self.places.get_mut(at) {
            Some(place) => *place = Some(order),
            None => self.places.push(Some(order)),
        }
        self.index.insert(id, at);
    }

    pub fn remove(&mut self, id: &OrderId) -> Option<Order> {
        let at = self.index.remove(id)?;
        self.free.push(at);
        self.places.get_mut(at)?.take()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::machine::{Action, Intent, Origin, Place, Request};
    use crate::types::{Lots, Micros, NodeId, Side, Ticks, TimeInForce};

    fn id(number: u64) -> OrderId {
        OrderId { node: NodeId(number % 3), counter: number / 3 }
    }

    fn order(number: u64, quantity: u64) -> Order {
        let place = Place::new(Side::Buy, Some(Ticks(1)), Lots(quantity), TimeInForce::Gtc);
        let (origin, action) = (Origin::Request("r".into()), Action::Place(place.clone()));
        let request = Request { account: "a".into(), origin, body_hash: 0, action };
        Order::pending(id(number), &Intent { request, based_on: Micros(0), accepted: Micros(0) }, &place)
    }

    #[test]
    fn what_was_added_and_not_removed_is_there() {
        let (mut orders, mut expected) = (Orders::default(), BTreeMap::new());
        for step in 0..20_000_u64 {
            // Numbers come again and again, so that places are left and taken.
            let number = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
            if step % 5 < 3 {
                orders.insert(id(number), order(number, 1 + step));
                expected.insert(id(number), 1 + step);
            } else {
                let removed = orders.remove(&id(number)).map(|order| order.quantity.0);
                assert_eq!(removed, expected.remove(&id(number)));
            }
            assert_eq!(orders.len(), expected.len());
        }
        for number in 0..1_024 {
            let found = orders.get(&id(number)).map(|order| order.quantity.0);
            assert_eq!(found, expected.get(&id(number)).copied());
            assert_eq!(orders.get_mut(&id(number)).map(|order| order.id), found.map(|_| id(number)));
        }
        let mut all: Vec<OrderId> = orders.iter().map(|order| order.id).collect();
        all.sort_unstable();
        assert!(all.iter().eq(expected.keys()), "each once");
    }

    #[test]
    fn orders_that_are_pushed_are_found_once_they_are_filed() {
        let mut orders = Orders::default();
        let numbers = [7, 3, 9, 1];
        numbers.iter().for_each(|number| orders.push(order(*number, *number)));
        assert!(orders.file());
        for number in numbers {
            assert_eq!(orders.get(&id(number)).map(|order| order.quantity), Some(Lots(number)));
        }
        assert_eq!((orders.len(), orders.get(&id(2))), (4, None));
        orders.push(order(3, 5));
        assert!(!orders.file(), "two have one id");
    }
}

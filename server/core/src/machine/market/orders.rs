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

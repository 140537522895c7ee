//! The accounts with resting orders: their orders, and the numbers by which the book tells whose an order is.
//!
//! The numbers follow from what rests and are never written: a node that has the state from parts has others, and
//! means the same accounts by them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use crate::book::Owner;
use crate::machine::intent::Account;
use crate::types::OrderId;

/// The accounts with resting orders, and those that a step has to do with.
#[derive(Clone, Default, Debug)]
pub(super) struct Owners {
    by_account: BTreeMap<Account, Held>,
    /// Accounts that may have no order: looked at when the step is over, so that none changes its number in between.
    idle: Vec<Account>,
    /// Numbers that were given back; the last one is given next.
    free: Vec<u32>,
    /// The highest number that was ever given.
    highest: u32,
}

/// What an account has.
#[derive(Clone, Debug)]
struct Held {
    number: u32,
    orders: BTreeSet<OrderId>,
}

impl Owners {
    /// An account's number, which it keeps for as long as it has orders, and at least until
    /// [`Self::forget_idle`].
    pub fn of(&mut self, account: &Account) -> Owner {
        if let Some(held) = self.by_account.get(account) {
            return Owner::new(held.number);
        }
        self.idle.push(account.clone());
        Owner::new(self.add(account).number)
    }

    fn add(&mut self, account: &Account) -> &mut Held {
        // There are fewer accounts than orders, and fewer of those than numbers.
        let number = self.free.pop().unwrap_or_else(|| {
            self.highest += 1;
            self.highest
        });
        self.by_account.entry(account.clone()).or_insert(Held { number, orders: BTreeSet::new() })
    }

    /// The orders of an account after an id, by id.
    pub fn orders_of(&self, account: &str, after: OrderId) -> impl Iterator<Item = &OrderId> {
        let held = self.by_account.get(account).into_iter();
        held.flat_map(move |held| held.orders.range((Excluded(after), Unbounded)))
    }

    /// How many orders of an account rest.
    pub fn count(&self, account: &str) -> usize {
        self.by_account.get(account).map_or(0, |held| held.orders.len())
    }

    /// An order of an account rests.
    pub fn insert(&mut self, account: &Account, order: OrderId) {
        match self.by_account.get_mut(account) {
            Some(held) => _ = held.orders.insert(order),
            None => _ = self.add(account).orders.insert(order),
        }
    }

    /// An order of an account rests no more.
    pub fn remove(&mut self, account: &Account, order: OrderId) {
        if let Some(held) = self.by_account.get_mut(account) {
            held.orders.remove(&order);
            if held.orders.is_empty() {
                self.idle.push(account.clone());
            }
        }
    }

    /// All orders, each account's together. Whose orders all wait outside the book may have no number yet.
    pub fn fill(&mut self, orders: BTreeMap<&Account, Vec<OrderId>>) {
        for (account, ids) in orders {
            let ids = ids.into_iter().collect();
            match self.by_account.get_mut(account) {
                Some(held) => held.orders = ids,
                None => self.add(account).orders = ids,
            }
        }
    }

    /// Takes the numbers of accounts without orders back.
    #[inline]
    pub fn forget_idle(&mut self) {
        while let Some(account) = self.idle.pop() {
            if let Some(held) = self.by_account.get(&account).filter(|held| held.orders.is_empty()) {
                self.free.push(held.number);
                self.by_account.remove(&account);
            }
        }
    }
}

//! Limits that accounts set themselves, against fat fingers.

use std::collections::BTreeMap;

use super::Market;
use crate::machine::Limits;
use crate::machine::intent::{Account, Place};
use crate::machine::tape::Event;
use crate::types::{Lots, OrderId, Reason, Ticks, may_rest};

/// The limits of the accounts that have any.
#[derive(Clone, Default, Debug)]
pub(super) struct AccountLimits(BTreeMap<Account, Limits>);

impl AccountLimits {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, account: &str) -> Option<Limits> {
        // Asked for each order: mostly there are none.
        if self.0.is_empty() { None } else { self.0.get(account).copied() }
    }

    pub fn set(&mut self, account: &Account, limits: Limits) {
        match limits.are_none() {
            true => _ = self.0.remove(account),
            false => _ = self.0.insert(account.clone(), limits),
        }
    }

    /// All, by account.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Account, &Limits)> {
        self.0.iter()
    }

    /// What tells them from others, for the digest.
    pub fn sum(&self) -> u64 {
        let number = |limits: &Limits| {
            limits.quantity.0.wrapping_add(limits.notional as u64).wrapping_add(limits.orders.into())
        };
        self.0.values().fold(0, |sum, limits| sum.wrapping_mul(31).wrapping_add(number(limits)))
    }
}

impl Market {
    /// The limits of an account; none are zero.
    #[must_use]
    pub fn limits_of(&self, account: &str) -> Limits {
        self.limits.get(account).unwrap_or_default()
    }

    /// Whether an order is within the limits of its account: quantity, notional, then how many rest. It comes in
    /// place of `replaced`, as if that were gone.
    pub(super) fn check_limits(
        &self,
        account: &Account,
        place: &Place,
        replaced: Option<OrderId>,
    ) -> Result<(), Reason> {
        let Some(limits) = self.limits.get(account) else {
            return Ok(());
        };
        let terms = place.terms.as_deref().copied().unwrap_or_default();
        let best = self.best_price(place.side.opposite(), replaced);
        let effective = match place.limit {
            None if !terms.market_to_limit => self.protection(place.side, terms.protection, best).or(best),
            limit => limit.or(best),
        };
        self.check_size(account, effective, place.quantity)?;
        let may_rest = may_rest(place.time_in_force);
        let others = self.owners.count(account) - usize::from(replaced.is_some());
        if may_rest && limits.orders > 0 && others >= limits.orders as usize {
            return Err(Reason::TooMany);
        }
        Ok(())
    }

    /// Whether an order of this size is within the limits of its account.
    pub(super) fn check_size(
        &self,
        account: &Account,
        price: Option<Ticks>,
        quantity: Lots,
    ) -> Result<(), Reason> {
        let Some(limits) = self.limits.get(account) else {
            return Ok(());
        };
        let notional = price.map_or(0, |price| u128::from(price.0) * u128::from(quantity.0));
        if !limits.quantity.is_zero() && quantity > limits.quantity {
            return Err(Reason::AccountQuantity);
        }
        if limits.notional > 0 && notional > limits.notional {
            return Err(Reason::AccountNotional);
        }
        Ok(())
    }

    pub(super) fn decide_limits(
        &self,
        account: &Account,
        limits: &Limits,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        let new = !limits.are_none() && self.limits.get(account).is_none();
        if new && self.limits.len() >= self.most_protected {
            return Err(Reason::TooMany);
        }
        events.push(Event::LimitsSet);
        Ok(())
    }
}

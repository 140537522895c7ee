//! Limits that accounts set themselves, from the proto's words.

use xbook::machine::{Limits, Place, Request};
use xbook::types::{Ticks, may_rest};

use super::Rematch;

impl Rematch {
    pub(super) fn set_limits(&mut self, request: &Request, limits: Limits) -> bool {
        let account = request.account.to_string();
        let (kept, most) = &mut self.limits;
        if limits == Limits::default() {
            kept.remove(&account);
            return true;
        }
        if !kept.contains_key(&account) && kept.len() >= *most {
            return false;
        }
        kept.insert(account, limits);
        true
    }

    /// Whether an account may have an order of this price and quantity.
    pub(super) fn allows(&self, account: &str, price: Ticks, quantity: u64) -> bool {
        let Some(limits) = self.limits.0.get(account) else {
            return true;
        };
        let worth = u128::from(price.0) * u128::from(quantity);
        (limits.quantity.0 == 0 || quantity <= limits.quantity.0)
            && (limits.notional == 0 || worth <= limits.notional)
    }

    /// Whether a new order is within its account's limits. The price is its limit, where its protection ends, or else
    /// the best opposite one; if there is none it is worth nothing. The simulator's market has no protection.
    pub(super) fn is_within(&self, request: &Request, place: &Place) -> bool {
        let best = self.book.orders(place.side.opposite()).next().map(|order| order.price);
        let terms = place.terms.as_deref().copied().unwrap_or_default();
        let price = place.limit.or(terms.protection).or(best).unwrap_or(Ticks(0));
        let resting = self.live.values().filter(|live| live.account == *request.account).count();
        let limits = self.limits.0.get(&*request.account).copied().unwrap_or_default();
        let room = limits.orders == 0 || resting < limits.orders as usize || !may_rest(place.time_in_force);
        room && self.allows(&request.account, price, place.quantity.0)
    }
}

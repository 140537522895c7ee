//! How an order begins: the price that the rules give it, and how the book is to take it.

use super::Market;
use crate::book::{Command, NewOrder, Style};
use crate::decimal::MAX_STEPS;
use crate::machine::intent::{Account, Place};
use crate::machine::tape::Event;
use crate::types::{Lots, Micros, OrderId, Reason, Side, Ticks, TimeInForce};

/// [`super::Rules::protection_bp`] counts in these.
const PRICE_PARTS: u128 = 10_000;

impl Market {
    pub(super) fn place(
        &mut self,
        id: OrderId,
        account: &Account,
        place: &Place,
        time: Micros,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        let terms = place.terms.as_deref().copied().unwrap_or_default();
        let (side, quantity) = (place.side, place.quantity);
        let limit = match place.limit {
            None if terms.market_to_limit => self.best_price(side.opposite()),
            Some(limit) if terms.slide => Some(self.slid(side, limit)?),
            limit => limit,
        };
        let price = limit.filter(|_| limit != place.limit);
        let day = place.time_in_force == TimeInForce::Day;
        let expires = day.then(|| self.rules.day_end_after(time));
        events.push(Event::Accepted { order: id, price, expires });
        if terms.market_to_limit && limit.is_none() {
            events.push(Event::Removed { order: id, open: quantity, reason: Reason::NoLiquidity });
            return Ok(());
        }
        let style = match (place.post_only, place.time_in_force, limit) {
            (true, ..) => Style::PostOnly,
            (_, TimeInForce::Fok, _) => Style::AllOrNothing,
            (_, TimeInForce::Ioc, _) | (.., None) => Style::Cancel,
            _ => Style::Rest,
        };
        let worst = limit.or_else(|| self.protection(side, terms.protection));
        let order = NewOrder {
            minimum: terms.minimum,
            ..NewOrder::new(id, side, worst, quantity, style)
                .of(self.owner(account), self.prevention(place.self_trade))
        };
        self.run(&Command::Place(order), Lots::ZERO, events).map_err(|reason| match reason {
            Reason::NotFillable if style != Style::AllOrNothing => Reason::MinNotFillable,
            reason => reason,
        })?;
        if limit.is_none() && self.best_price(side.opposite()).is_some() {
            self.say_protected(id, events);
        }
        Ok(())
    }

    /// What is left of a market order though somebody is there would have traded beyond its protection.
    fn say_protected(&self, id: OrderId, events: &mut [Event]) {
        match events.last_mut() {
            Some(Event::Removed { order, reason: reason @ Reason::NoLiquidity, .. }) if *order == id => {
                *reason = Reason::Protection;
            }
            _ => {}
        }
    }

    fn best_price(&self, side: Side) -> Option<Ticks> {
        self.book.best(side).map(|level| level.price)
    }

    /// The worst price that a market order accepts: the nearer one of its own and the market's.
    pub(super) fn protection(&self, side: Side, own: Option<Ticks>) -> Option<Ticks> {
        let parts = u128::from(self.rules.protection_bp);
        let by_rule = self.best_price(side.opposite()).filter(|_| parts > 0).map(|best| {
            let away = (u128::from(best.0) * parts / PRICE_PARTS) as u64;
            match side {
                Side::Buy => Ticks(best.0.saturating_add(away)),
                Side::Sell => Ticks(best.0.saturating_sub(away)),
            }
        });
        match (own, by_rule, side) {
            (Some(own), Some(by_rule), Side::Buy) => Some(own.min(by_rule)),
            (Some(own), Some(by_rule), Side::Sell) => Some(own.max(by_rule)),
            (own, by_rule, _) => own.or(by_rule),
        }
    }

    /// The price that a sliding order takes: its limit, or a tick behind the best opposite price if it would
    /// reach that.
    pub(super) fn slid(&self, side: Side, limit: Ticks) -> Result<Ticks, Reason> {
        let Some(best) = self.best_price(side.opposite()) else {
            return Ok(limit);
        };
        let behind = match side {
            Side::Buy if limit >= best => best.0.checked_sub(1),
            Side::Sell if limit <= best => best.0.checked_add(1),
            _ => return Ok(limit),
        };
        behind.filter(|price| (1..=MAX_STEPS).contains(price)).map(Ticks).ok_or(Reason::WouldTake)
    }
}

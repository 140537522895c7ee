//! How an order begins: the price that the rules give it, and how the book is to take it.

use super::Market;
use super::decide::refusal;
use crate::book::{Command, NewOrder, Style};
use crate::decimal::MAX_STEPS;
use crate::machine::intent::{Account, Place};
use crate::machine::tape::Event;
use crate::types::{Lots, Micros, OrderId, Reason, Side, Ticks, TimeInForce, may_rest};

/// [`super::Rules::protection_bp`] counts in these.
const PRICE_PARTS: u128 = 10_000;

/// What an order comes in with.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub limit: Option<Ticks>,
    pub quantity: Lots,
    pub expires: Option<Micros>,
}

impl Market {
    /// An order comes in, in place of another one if there is one to replace, and is judged as if that were gone.
    pub(super) fn place(
        &mut self,
        (id, account): (OrderId, &Account),
        place: &Place,
        replaced: Option<OrderId>,
        time: Micros,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        let terms = place.terms.as_deref().copied().unwrap_or_default();
        let (side, quantity) = (place.side, place.quantity);
        let named = terms.client_id.and_then(|name| self.order_of_client(account, name));
        if named.is_some_and(|order| Some(order.id) != replaced) {
            return Err(Reason::ClientIdInUse);
        }
        if !self.takes(place) {
            return Err(Reason::MarketState);
        }
        self.check_limits(account, place, replaced)?;
        let best = self.best_price(side.opposite(), replaced);
        let limit = match place.limit {
            None if terms.market_to_limit => best,
            Some(limit) if terms.slide => Some(slid(side, limit, best)?),
            limit => limit,
        };
        let price = limit.filter(|_| limit != place.limit);
        let day = place.time_in_force == TimeInForce::Day;
        let expires = day.then(|| self.rules.day_order_ends_after(time));
        let accepted = Event::Accepted { order: id, price, expires };
        if let Some(stop) = terms.stop {
            let entry = Entry { limit, quantity, expires };
            return self.begin_to_wait((id, side, stop), entry, replaced, events);
        }
        self.check_static(limit, place, replaced)?;
        if place.time_in_force == TimeInForce::Auction && limit.is_none() {
            return self.rest_at_market((id, quantity), replaced, events);
        }
        if terms.market_to_limit && limit.is_none() {
            self.take_out_replaced(replaced, events)?;
            events.push(accepted);
            events.push(Event::Removed { order: id, open: quantity, reason: Reason::NoLiquidity });
            return Ok(());
        }
        let style = match (place.post_only, place.time_in_force, limit) {
            (true, ..) => Style::PostOnly,
            (_, TimeInForce::Fok, _) => Style::AllOrNothing,
            (_, TimeInForce::Ioc, _) | (.., None) => Style::Cancel,
            _ => Style::Rest,
        };
        let worst = limit.or_else(|| self.protection(side, terms.protection, best));
        let order = NewOrder {
            minimum: terms.minimum,
            display: terms.display,
            ..NewOrder::new(id, side, worst, quantity, style)
                .of(self.owner(account), self.prevention(place.self_trade))
        };
        let minimum = |reason| match reason {
            Reason::NotFillable if style != Style::AllOrNothing => Reason::MinNotFillable,
            reason => reason,
        };
        if let Some(old) = replaced.filter(|old| !self.is_outside(old)) {
            self.book.check_instead(&order, old).map_err(refusal).map_err(minimum)?;
        }
        self.take_out_replaced(replaced, events)?;
        events.push(accepted);
        let from = events.len();
        self.run(&Command::Place(order), Lots::ZERO, events).map_err(minimum)?;
        if let Some(old) = replaced.filter(|old| self.waits(old)) {
            forget_triggers(events, from, old);
        }
        if limit.is_none() && self.best_price(side.opposite(), None).is_some() {
            self.say_protected(id, events);
        }
        Ok(())
    }

    /// Whether an order with this limit is within the static band, as far as it could trade beyond.
    fn check_static(
        &self,
        limit: Option<Ticks>,
        place: &Place,
        replaced: Option<OrderId>,
    ) -> Result<(), Reason> {
        let Some(limit) = limit.filter(|limit| self.is_outside_static(place.side, *limit)) else {
            return Ok(());
        };
        let full = self.book.is_full() && replaced.is_none() && may_rest(place.time_in_force);
        Err(if full { Reason::TooMany } else { self.refused_by_band(place.side, limit, place.post_only) })
    }

    /// A new order comes in place of another one, which nothing can refuse any more.
    pub(super) fn take_out_replaced(
        &mut self,
        replaced: Option<OrderId>,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        let Some(old) = replaced else {
            return Ok(());
        };
        self.take_out(old, Reason::Replaced, events)
    }

    /// What is left of a market order though somebody is there would have traded beyond its protection.
    pub(super) fn say_protected(&self, id: OrderId, events: &mut [Event]) {
        // Behind it may stand which triggers moved.
        let own = events.iter_mut().rev().find_map(|event| match event {
            Event::Removed { order, reason, .. } if *order == id => Some(reason),
            _ => None,
        });
        if let Some(reason @ Reason::NoLiquidity) = own {
            *reason = Reason::Protection;
        }
    }

    /// The best price of a side, as if an order were gone.
    pub(super) fn best_price(&self, side: Side, gone: Option<OrderId>) -> Option<Ticks> {
        match gone {
            None => self.book.best(side).map(|level| level.price),
            Some(gone) => self.book.best_price_without(side, gone),
        }
    }

    /// The worst price that a market order accepts: the nearer one of its own and the market's.
    pub(super) fn protection(&self, side: Side, own: Option<Ticks>, best: Option<Ticks>) -> Option<Ticks> {
        let parts = u128::from(self.rules.protection_bp);
        let by_rule = best.filter(|_| parts > 0).map(|best| {
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
}

/// The order that goes waited, and still does while the new one is decided: a trade of that triggers it no more.
fn forget_triggers(events: &mut Vec<Event>, from: usize, gone: OrderId) {
    let is_its = |event: &Event| match event {
        Event::Triggered { order, .. } | Event::TriggerMoved { order, .. } => *order == gone,
        _ => false,
    };
    let said: Vec<Event> = events.drain(from..).filter(|event| !is_its(event)).collect();
    events.extend(said);
}

/// The price that a sliding order takes: its limit, or a tick behind the best opposite price if it would reach
/// that.
pub(super) fn slid(side: Side, limit: Ticks, best: Option<Ticks>) -> Result<Ticks, Reason> {
    let Some(best) = best else {
        return Ok(limit);
    };
    let behind = match side {
        Side::Buy if limit >= best => best.0.checked_sub(1),
        Side::Sell if limit <= best => best.0.checked_add(1),
        _ => return Ok(limit),
    };
    behind.filter(|price| (1..=MAX_STEPS).contains(price)).map(Ticks).ok_or(Reason::WouldTake)
}

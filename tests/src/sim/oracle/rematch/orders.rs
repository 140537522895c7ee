//! Orders that come in, are replaced and amended.

use xbook::book::{Command, NewOrder, Style};
use xbook::machine::{Amend, NewSize, Origin, Place, Request, Stop};
use xbook::types::{Lots, Micros, OrderId, Ticks, TimeInForce};

use super::rules::{day_end_after, prevention, slid};
use super::stops::Waits;
use super::{Live, Rematch, Shown};

impl Rematch {
    /// Places an order, in place of another one if it says so: the book is then as if that had been cancelled before,
    /// or, if the new one is refused, as if nothing had been asked.
    pub(super) fn place_instead(
        &mut self,
        id: OrderId,
        request: &Request,
        place: &Place,
        (time, shown): (Micros, Shown),
    ) -> bool {
        let Some(target) = place.replaces.as_deref() else {
            return self.place(id, request, place, time);
        };
        let Some(old) = self.find(request, *target, shown.done) else {
            return false;
        };
        let (book, live, queue) = (self.book.clone(), self.live.clone(), self.queue.clone());
        self.cancel(old);
        self.did.clear();
        let done = self.place(id, request, place, time);
        if !done {
            (self.book, self.live, self.queue) = (book, live, queue);
        }
        done
    }

    fn place(&mut self, id: OrderId, request: &Request, place: &Place, time: Micros) -> bool {
        let terms = place.terms.as_deref().copied().unwrap_or_default();
        if terms.client_id.is_some_and(|name| self.named(&request.account, name).is_some()) {
            return false;
        }
        if !self.trading.takes(place) || !self.is_within(request, place) {
            return false;
        }
        let command = match &request.origin {
            Origin::Command { session, number } => Some((session.id, *number)),
            Origin::Request(_) => None,
        };
        let day = place.time_in_force == TimeInForce::Day;
        let fresh = Live {
            account: request.account.to_string(),
            command,
            name: terms.client_id,
            side: place.side,
            post_only: place.post_only,
            slide: terms.slide,
            self_trade: place.self_trade,
            expires: if day { Some(day_end_after(time, &self.rules)) } else { place.expires },
            day,
            of_auction: place.time_in_force == TimeInForce::Auction,
            filled: 0,
            prevented: 0,
            stop: None,
        };
        if let Some(stop) = terms.stop {
            return self.wait(id, place, stop, fresh);
        }
        if place.time_in_force == TimeInForce::Auction && place.limit.is_none() {
            return self.rest_at_market(id, place, fresh);
        }
        let best = self.book.orders(place.side.opposite()).next().map(|order| order.price);
        let limit = match (place.limit, best) {
            // CANCELLED with NO_LIQUIDITY.
            (None, None) if terms.market_to_limit => return true,
            (None, best) if terms.market_to_limit => best,
            (Some(limit), _) if terms.slide => match slid(place.side, limit, best) {
                Some(price) => Some(price),
                None => return false,
            },
            // The simulator's markets have no protection of their own.
            (limit, _) => limit.or(terms.protection),
        };
        let is_market = place.limit.is_none() && !terms.market_to_limit;
        if limit.is_some_and(|limit| !is_market && self.is_beyond(place.side, limit)) {
            return false;
        }
        let style = match (place.post_only, place.time_in_force) {
            (true, _) => Style::PostOnly,
            (_, TimeInForce::Fok) => Style::AllOrNothing,
            (_, TimeInForce::Ioc) => Style::Cancel,
            _ if is_market => Style::Cancel,
            _ => Style::Rest,
        };
        let order = NewOrder {
            minimum: terms.minimum,
            display: terms.display,
            ..NewOrder::new(id, place.side, limit, place.quantity, style)
                .of(self.owner(&request.account), prevention(place.self_trade, &self.rules))
        };
        let result = self.run(&Command::Place(order));
        let (filled, prevented) = self.settle_makers(id, 0);
        if self.book.get(id).is_some() {
            self.live.insert(id, Live { filled, prevented, ..fresh });
        }
        result.is_ok()
    }

    /// A market order waits for the uncross, if there is a place.
    fn rest_at_market(&mut self, id: OrderId, place: &Place, fresh: Live) -> bool {
        self.book.promise(self.live.values().filter(|live| live.stop.is_some()).count());
        let rests = self.book.rest_at_market(id, place.side, place.quantity.0);
        if rests {
            self.live.insert(id, fresh);
        }
        rests
    }

    /// A new order waits for a trade, if it may.
    fn wait(&mut self, id: OrderId, place: &Place, stop: Stop, fresh: Live) -> bool {
        self.book.promise(self.live.values().filter(|live| live.stop.is_some()).count());
        let Some(trigger) = self.may_wait(place.side, &stop) else {
            return false;
        };
        let (limit, open) = (place.limit, place.quantity.0);
        let since = self.next_wait();
        let (distance, limit_distance) = (stop.distance.0, stop.limit_distance.0);
        let waits = Waits { trigger, distance, limit_distance, limit, open, since, triggered: false };
        self.live.insert(id, Live { stop: Some(waits), ..fresh });
        true
    }

    pub(super) fn amend(&mut self, request: &Request, amend: &Amend, shown_done: bool) -> bool {
        let Some(id) = self.find(request, amend.target, shown_done) else {
            return false;
        };
        if let Some(waits) = self.live.get(&id).and_then(|live| live.stop) {
            let open = match amend.size {
                None => waits.open,
                Some(NewSize::Open(open) | NewSize::Total(open)) => open.0,
            };
            let keeps = amend.price.is_none_or(|price| Some(price) == waits.limit)
                && amend.trigger.is_none()
                && open <= waits.open;
            let price = amend.price.or(waits.limit).unwrap_or(Ticks(0));
            if !self.trading.amends(keeps, false) || !self.allows(&request.account, price, open) {
                return false;
            }
            return self.amend_waiting(id, amend);
        }
        if let Some(open) = self.book.at_market(id) {
            return self.amend_at_market(id, amend, open);
        }
        if amend.trigger.is_some() {
            return false;
        }
        let (Some(live), Some(resting)) = (self.live.get(&id).cloned(), self.book.get(id)) else {
            return false;
        };
        let open = match amend.size {
            None => resting.whole(),
            Some(NewSize::Open(open)) => open,
            Some(NewSize::Total(total)) if total.0 <= live.filled + live.prevented => return false,
            Some(NewSize::Total(total)) => Lots(total.0 - live.filled - live.prevented),
        };
        let mut price = amend.price.unwrap_or(resting.price);
        let keeps = price == resting.price && open <= resting.whole();
        let total = live.filled + live.prevented + open.0;
        if !self.trading.amends(keeps, live.post_only) || !self.allows(&live.account, price, total) {
            return false;
        }
        if live.slide && !keeps {
            let best = self.book.orders(live.side.opposite()).next().map(|order| order.price);
            match slid(live.side, price, best) {
                Some(slid) => price = slid,
                None => return false,
            }
        }
        if !keeps && self.is_beyond(live.side, price) {
            return false;
        }
        let post_only = live.post_only || self.trading.never_takes();
        let prevention = prevention(live.self_trade, &self.rules);
        let result = self.run(&Command::Amend { id, price, open, post_only, prevention });
        let (filled, prevented) = self.settle_makers(id, live.prevented);
        if self.book.get(id).is_none() {
            self.live.remove(&id);
        } else if let Some(live) = self.live.get_mut(&id) {
            live.filled += filled;
            live.prevented += prevented;
        }
        result.is_ok()
    }
}

//! What events make of the orders: one fold, wherever the events came from.
//!
//! Between its first event in a step and the one that rests or closes it, an order is *in hand*. What
//! was filled of it, what is open and how it ends stands in the events; here it is only checked that
//! they fit, and noted for those who are to be told. An iceberg in hand shows what it would show if it rested.

use super::{Fees, Hand, Market, Order, OrderStatus};
use crate::book::{Owner, Prevented, Trade};
use crate::machine::Terms;
use crate::machine::digest::Digest;
use crate::machine::intent::{Action, Intent, Origin, Session};
use crate::machine::journal::{FillOf, Journal};
use crate::machine::switch::Switch;
use crate::machine::tape::{Event, closes_as, ends_as};
use crate::types::{Liquidity, Lots, Micros, OrderId, Reason, Side, Ticks, TimeInForce};

impl Market {
    /// Whose the order is that a step has come to rest, and how much it shows at a time.
    pub(in crate::machine) fn keeps(&mut self, intent: Option<&Intent>, events: &[Event]) -> (Owner, Lots) {
        let rests = events.iter().find_map(|event| match event {
            Event::Rested { order, .. } => Some(order),
            _ => None,
        });
        let nobodys = <(Owner, Lots)>::default();
        let Some(order) = rests else {
            return nobodys;
        };
        let display = |terms: Option<&Terms>| terms.map_or(Lots::ZERO, |terms| terms.display);
        if let Some(order) = self.orders.get(order) {
            let (account, display) = (order.account.clone(), display(order.terms.as_deref()));
            return (self.owner(&account), display);
        }
        match intent.map(|intent| (&intent.request.account, &intent.request.action)) {
            Some((account, Action::Place(place))) => (self.owner(account), display(place.terms.as_deref())),
            _ => nobodys,
        }
    }

    /// Has the book do what an event says, without matching; `None` if it does not fit. `keeps` is whose the
    /// order is that rests, and how much it shows at a time.
    pub(in crate::machine) fn follow(&mut self, event: &Event, keeps: (Owner, Lots)) -> Option<()> {
        // An order that waits is in no book.
        match event {
            Event::Reduced { order, .. } if self.is_outside(order) => return Some(()),
            Event::Removed { order, .. } if self.is_outside(order) => {
                self.begin_to_run();
                return Some(());
            }
            _ => {}
        }
        event.in_book(keeps).map_or(Some(()), |event| self.book.replay(&event).ok())
    }

    /// Takes an event of an intent's step that the book has done; `None` if it does not fit.
    pub(in crate::machine) fn fold(
        &mut self,
        event: &Event,
        (id, intent): (OrderId, &Intent),
        journal: &mut Journal,
    ) -> Option<()> {
        if let Some(used_up) = self.used_up.take() {
            return self.replenish(event, used_up, journal);
        }
        match (event, &intent.request.action) {
            (Event::Accepted { order, price, expires }, Action::Place(place)) if *order == id => {
                let mut order = Order::pending(id, intent, place);
                order.status = OrderStatus::Open;
                order.set_shown(order.first_shown());
                order.limit = made_limit(&order, *price)?;
                order.expires = made_expiry(&order, *expires, journal.block.time)?;
                self.take_in_hand(order, true, journal)
            }
            // There was nothing to replace: no order came of it.
            (
                Event::Refused { reason: Reason::UnknownOrder | Reason::OtherAccount },
                Action::Place(place),
            ) if place.replaces.is_some() => Some(()),
            (Event::Refused { reason }, Action::Place(_)) => {
                self.close_unseen((id, intent), *reason, journal)
            }
            (Event::Withdrawn { order }, Action::Place(_)) if *order == id => {
                self.close_unseen((id, intent), Reason::Requested, journal)
            }
            (Event::Withdrawn { .. }, Action::Withdraw(_)) | (Event::Refused { .. }, _) => Some(()),
            (Event::Lifted { order, price, open, quantity }, Action::Amend(_)) => {
                let mut order = self.leave(*order)?;
                (order.used().0.checked_add(open.0) == Some(quantity.0)).then_some(())?;
                order.limit = Some(*price);
                (order.open, order.quantity) = (*open, *quantity);
                order.status = order.resting_status();
                order.set_shown(order.first_shown());
                self.take_in_hand(order, false, journal)
            }
            (Event::Reduced { order, open }, Action::Amend(_)) => self.reduce(*order, *open, journal),
            (Event::Removed { order, open, reason: Reason::Replaced }, Action::Place(place)) => {
                // The order that takes its place comes next.
                (place.replaces.is_some() && self.hand.is_none()).then_some(())?;
                self.remove(*order, *open, Reason::Replaced, journal)
            }
            (Event::Removed { order, open, reason: reason @ Reason::SessionEnd }, Action::SetState(_)) => {
                self.remove(*order, *open, *reason, journal)
            }
            (Event::Removed { order, open, reason }, _) => {
                (!matches!(reason, Reason::Replaced | Reason::AuctionEnded)).then_some(())?;
                (ends_as(*reason) == Some(OrderStatus::Cancelled)).then_some(())?;
                self.remove(*order, *open, *reason, journal)
            }
            (_, Action::Place(_) | Action::Amend(_)) => {
                let places = matches!(intent.request.action, Action::Place(_));
                self.fold_order(event, places, journal)
            }
            (Event::RulesChanged, Action::SetRules(new)) => self.take_rules(new, journal.block.time),
            _ => self.fold_account(event, (id, intent)),
        }
    }

    /// Takes an event of what an order does that is placed or amended; `None` if it does not fit.
    fn fold_order(&mut self, event: &Event, places: bool, journal: &mut Journal) -> Option<()> {
        match event {
            Event::Traded(trade, fees) => self.trade(trade, *fees, journal),
            Event::Prevented(prevented) => self.prevent(prevented, journal),
            Event::Rested { order, side, price, open, shown } => {
                self.rest((*order, *side, *price, *open), *shown, journal)
            }
            Event::RestedAtMarket { order, open } => {
                (self.hand.is_some() == places).then_some(())?;
                self.wait_at_market(*order, *open, journal)
            }
            Event::Waiting { order, trigger, price, open } => {
                (self.hand.is_some() == places).then_some(())?;
                self.wait((*order, *trigger, *price, *open), journal)
            }
            Event::Triggered { order, trigger } => self.trigger(*order, *trigger, journal),
            Event::TriggerMoved { order, trigger } => self.move_trigger(*order, *trigger, journal),
            Event::StateChanged { state, until } => self.halt_by_band(*state, *until),
            _ => None,
        }
    }

    /// Takes an event of what is said of an account, or of the market; `None` if it does not fit.
    fn fold_account(&mut self, event: &Event, (id, intent): (OrderId, &Intent)) -> Option<()> {
        match (event, &intent.request.action) {
            (Event::LimitsSet, Action::SetLimits(limits)) => {
                self.limits.set(&intent.request.account, *limits);
                Some(())
            }
            (Event::StateChanged { state, until: None }, Action::SetState(asked)) if state == asked => {
                self.enter_state(*state, None)
            }
            (Event::SwitchSet { fires }, Action::Switch(switch)) => {
                self.set_switch((id, intent), switch, *fires)
            }
            (Event::SwitchFired { switch }, Action::Switch(Switch::Stream { session, .. })) => {
                let account = &intent.request.account;
                let of = (account.clone(), Some(Session::new(account, session.clone()).id));
                self.switches.disarm(&of).filter(|armed| armed.set_by == *switch).map(drop)
            }
            (Event::Killed, Action::Kill(on)) => {
                self.killed.set(&intent.request.account, *on);
                Some(())
            }
            _ => None,
        }
    }

    /// A step is over; whether it left nothing half done. Accounts without an order need no number any more.
    pub(in crate::machine) fn end_step(&mut self) -> bool {
        self.owners.forget_idle();
        self.keep_root();
        self.hand.is_none() && self.used_up.is_none()
    }

    fn take_in_hand(&mut self, order: Order, placed: bool, journal: &Journal) -> Option<()> {
        let untold = Some(journal.position);
        self.hand.replace(Hand { order, placed, untold }).is_none().then_some(())
    }

    /// An order that never came as far as the book.
    fn close_unseen(
        &mut self,
        (id, intent): (OrderId, &Intent),
        reason: Reason,
        journal: &mut Journal,
    ) -> Option<()> {
        let Action::Place(place) = &intent.request.action else {
            return None;
        };
        let mut order = Order::pending(id, intent, place);
        order.close(closes_as(reason), reason);
        journal.placed(&mut order);
        Some(())
    }

    pub(super) fn trade(&mut self, trade: &Trade, fees: Fees, journal: &mut Journal) -> Option<()> {
        let Trade { price, quantity, .. } = *trade;
        let mut hand = self.hand.take().filter(|hand| hand.order.id == trade.taker)?;
        hand.tell(journal);
        let taker = &mut hand.order;
        let maker = self.orders.get_mut(&trade.maker)?;
        (maker.side != taker.side && maker.limit == Some(price)).then_some(())?;
        let shown = Lots(maker.shown().0.checked_sub(quantity.0)?);
        maker.fill(price, quantity, trade.maker_open)?;
        maker.set_shown(shown);
        taker.fill(price, quantity, trade.taker_open)?;
        taker.set_shown(taker.first_shown());
        let of = |counter_order, liquidity, fee| {
            Some(FillOf { counter_order, liquidity, price, quantity, fee, auction: false })
        };
        journal.order(maker, of(taker.id, Liquidity::Maker, fees.maker));
        journal.order(taker, of(trade.maker, Liquidity::Taker, fees.taker));
        self.last_price = Some(price);
        if maker.open.is_zero() {
            self.leave(trade.maker)?;
        } else if shown.is_zero() {
            self.used_up = Some(trade.maker);
        }
        if !hand.order.open.is_zero() {
            self.hand = Some(hand);
        }
        Some(())
    }

    /// Two orders of one account lost as much.
    pub(super) fn prevent(&mut self, prevented: &Prevented, journal: &mut Journal) -> Option<()> {
        let Prevented { quantity, .. } = *prevented;
        let mut hand = self.hand.take().filter(|hand| hand.order.id == prevented.taker)?;
        hand.tell(journal);
        let taker = &mut hand.order;
        let maker = self.orders.get_mut(&prevented.maker)?;
        (maker.side != taker.side && maker.account == taker.account).then_some(())?;
        let shown = maker.shown();
        maker.prevent(quantity, prevented.maker_open)?;
        maker.set_shown(shown.min(prevented.maker_open));
        taker.prevent(quantity, prevented.taker_open)?;
        taker.set_shown(taker.first_shown());
        journal.order(maker, None);
        journal.order(taker, None);
        if maker.open.is_zero() {
            self.leave(prevented.maker)?;
        }
        if !hand.order.open.is_zero() {
            self.hand = Some(hand);
        }
        Some(())
    }

    pub(super) fn rest(
        &mut self,
        rests: (OrderId, Side, Ticks, Lots),
        shown: Lots,
        journal: &mut Journal,
    ) -> Option<()> {
        let mut hand = self.hand.take()?;
        let order = &hand.order;
        ((order.id, order.side, order.limit?, order.open) == rests).then_some(())?;
        (order.shown() == shown).then_some(())?;
        if hand.untold.take().is_some() {
            journal.first(&mut hand.order, hand.placed);
        }
        self.enter(hand.order);
        Some(())
    }

    /// The next part of an iceberg is shown.
    pub(super) fn replenish(&mut self, event: &Event, used_up: OrderId, journal: &mut Journal) -> Option<()> {
        let Event::Replenished { order, shown } = *event else {
            return None;
        };
        let iceberg = self.orders.get_mut(&order).filter(|_| order == used_up)?;
        (iceberg.first_shown() == shown).then_some(())?;
        iceberg.set_shown(shown);
        journal.order(iceberg, None);
        Some(())
    }

    fn reduce(&mut self, id: OrderId, open: Lots, journal: &mut Journal) -> Option<()> {
        let order = self.orders.get_mut(&id)?;
        (open <= order.open && !open.is_zero()).then_some(())?;
        order.quantity = Lots(order.used().0.checked_add(open.0)?);
        let lost = Lots(order.open.0 - open.0);
        order.open = open;
        order.set_shown(order.shown().min(open));
        journal.order(order, None);
        if self.unpriced.has(&id) {
            self.unpriced.lose(order.side, lost);
        }
        Some(())
    }

    pub(super) fn remove(
        &mut self,
        id: OrderId,
        open: Lots,
        reason: Reason,
        journal: &mut Journal,
    ) -> Option<()> {
        let mut order = match self.hand.take() {
            Some(mut hand) => {
                hand.tell(journal);
                self.removed_beside(hand, id, reason)?
            }
            None => self.leave(id)?,
        };
        (order.open == open).then_some(())?;
        order.close(ends_as(reason)?, reason);
        journal.order(&mut order, None);
        Some(())
    }

    /// The order that is removed while another may be in hand: that one, or a maker of its account that it would have
    /// traded with.
    fn removed_beside(&mut self, hand: Hand, id: OrderId, reason: Reason) -> Option<Order> {
        if hand.order.id == id {
            return Some(hand.order);
        }
        let maker = self.leave(id)?;
        let own = maker.account == hand.order.account && maker.side != hand.order.side;
        (own && reason == Reason::SelfTrade).then_some(())?;
        self.hand = Some(hand);
        Some(maker)
    }

    /// An order begins to rest, or to wait.
    pub(super) fn enter(&mut self, order: Order) {
        self.file_stop(&order);
        self.file_unpriced(&order);
        if let Some(at) = order.expires {
            self.by_expiry.insert((at, order.id));
        }
        if let Origin::Command { session, number } = &order.origin {
            self.by_command.insert((session.id, *number), order.id);
        }
        if let Some(name) = order.client_id() {
            self.by_client.insert((order.account.clone(), name), order.id);
        }
        self.owners.insert(&order.account, order.id);
        self.orders.insert(order.id, order);
    }

    /// An order rests or waits no more.
    pub(super) fn leave(&mut self, id: OrderId) -> Option<Order> {
        let order = self.orders.remove(&id)?;
        self.unfile_stop(&order);
        self.unfile_unpriced(&order);
        if let Some(at) = order.expires {
            self.by_expiry.remove(&(at, id));
        }
        if let Origin::Command { session, number } = &order.origin {
            self.by_command.remove(&(session.id, *number));
        }
        if let Some(name) = order.client_id() {
            self.by_client.remove(&(order.account.clone(), name));
        }
        self.owners.remove(&order.account, id);
        Some(order)
    }

    /// Puts what a step left behind into the digest, beside the changes of orders.
    pub(in crate::machine) fn digest(&self, digest: &mut Digest) {
        let best = [Side::Buy, Side::Sell].map(|side| self.book.best(side).map_or(0, |level| level.price.0));
        digest.put([best[0], best[1], self.orders.len() as u64]);
    }
}

/// The limit of an order that is accepted at this price, if the rules made it: only for one that leaves it to the
/// book.
fn made_limit(order: &Order, made: Option<Ticks>) -> Option<Option<Ticks>> {
    let Some(price) = made else {
        return Some(order.limit);
    };
    let terms = order.terms.as_deref()?;
    (terms.market_to_limit || terms.slide).then_some(Some(price))
}

/// The same for when it expires: only a DAY order leaves that to the rules, and always; it is still to come.
fn made_expiry(order: &Order, made: Option<Micros>, time: Micros) -> Option<Option<Micros>> {
    match (order.time_in_force, made) {
        (TimeInForce::Day, Some(at)) if at > time => Some(Some(at)),
        (TimeInForce::Day, _) | (_, Some(_)) => None,
        (_, None) => Some(order.expires),
    }
}

impl Hand {
    /// Notes its first event, if that was not done.
    fn tell(&mut self, journal: &mut Journal) {
        if let Some(at) = self.untold.take() {
            journal.first_at(at, &mut self.order, self.placed);
        }
    }
}

//! What events make of the orders: one fold, wherever the events came from.
//!
//! Between its first event in a step and the one that rests or closes it, an order is *in hand*. What
//! was filled of it, what is open and how it ends stands in the events; here it is only checked that
//! they fit, and noted for those who are to be told.

use super::{Fees, Hand, Market, Order, OrderStatus};
use crate::book::{Owner, Prevented, Trade};
use crate::machine::digest::Digest;
use crate::machine::intent::{Action, Intent, Origin, Session};
use crate::machine::journal::{FillOf, Journal};
use crate::machine::switch::Switch;
use crate::machine::tape::{Event, closes_as, ends_as};
use crate::types::{Liquidity, Lots, Micros, OrderId, Reason, Side, Ticks, TimeInForce};

impl Market {
    /// Has the book do what an event says, without matching; `None` if it does not fit. `owner` is that of the
    /// order that the step is about.
    pub(in crate::machine) fn follow(&mut self, event: &Event, owner: Owner) -> Option<()> {
        event.in_book(owner).map_or(Some(()), |event| self.book.replay(&event).ok())
    }

    /// Takes an event of an intent's step that the book has done; `None` if it does not fit.
    pub(in crate::machine) fn fold(
        &mut self,
        event: &Event,
        (id, intent): (OrderId, &Intent),
        journal: &mut Journal,
    ) -> Option<()> {
        match (event, &intent.request.action) {
            (Event::Accepted { order, price, expires }, Action::Place(place)) if *order == id => {
                let mut order = Order::pending(id, intent, place);
                order.status = OrderStatus::Open;
                order.limit = made_limit(&order, *price)?;
                order.expires = made_expiry(&order, *expires, journal.block.time)?;
                self.take_in_hand(order, true, journal)
            }
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
                self.take_in_hand(order, false, journal)
            }
            (Event::Traded(trade, fees), Action::Place(_) | Action::Amend(_)) => {
                self.trade(trade, *fees, journal)
            }
            (Event::Prevented(prevented), Action::Place(_) | Action::Amend(_)) => {
                self.prevent(prevented, journal)
            }
            (Event::Rested { order, side, price, open }, Action::Place(_) | Action::Amend(_)) => {
                self.rest((*order, *side, *price, *open), journal)
            }
            (Event::Reduced { order, open }, Action::Amend(_)) => self.reduce(*order, *open, journal),
            (Event::LimitsSet, Action::SetLimits(limits)) => {
                self.limits.set(&intent.request.account, *limits);
                Some(())
            }
            (Event::StateChanged, Action::SetState(state)) => {
                self.state = *state;
                Some(())
            }
            (Event::Removed { order, open, reason: reason @ Reason::SessionEnd }, Action::SetState(_)) => {
                self.remove(*order, *open, *reason, journal)
            }
            (Event::Removed { order, open, reason }, _) => {
                (ends_as(*reason) == Some(OrderStatus::Cancelled)).then_some(())?;
                self.remove(*order, *open, *reason, journal)
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
        self.hand.is_none()
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

    fn trade(&mut self, trade: &Trade, fees: Fees, journal: &mut Journal) -> Option<()> {
        let Trade { price, quantity, .. } = *trade;
        let mut hand = self.hand.take().filter(|hand| hand.order.id == trade.taker)?;
        hand.tell(journal);
        let taker = &mut hand.order;
        let maker = self.orders.get_mut(&trade.maker)?;
        (maker.side != taker.side && maker.limit == Some(price)).then_some(())?;
        maker.fill(price, quantity, trade.maker_open)?;
        taker.fill(price, quantity, trade.taker_open)?;
        let of =
            |counter_order, liquidity, fee| Some(FillOf { counter_order, liquidity, price, quantity, fee });
        journal.order(maker, of(taker.id, Liquidity::Maker, fees.maker));
        journal.order(taker, of(trade.maker, Liquidity::Taker, fees.taker));
        self.last_price = Some(price);
        if maker.open.is_zero() {
            self.leave(trade.maker)?;
        }
        if !hand.order.open.is_zero() {
            self.hand = Some(hand);
        }
        Some(())
    }

    /// Two orders of one account lost as much.
    fn prevent(&mut self, prevented: &Prevented, journal: &mut Journal) -> Option<()> {
        let Prevented { quantity, .. } = *prevented;
        let mut hand = self.hand.take().filter(|hand| hand.order.id == prevented.taker)?;
        hand.tell(journal);
        let taker = &mut hand.order;
        let maker = self.orders.get_mut(&prevented.maker)?;
        (maker.side != taker.side && maker.account == taker.account).then_some(())?;
        maker.prevent(quantity, prevented.maker_open)?;
        taker.prevent(quantity, prevented.taker_open)?;
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

    fn rest(&mut self, rests: (OrderId, Side, Ticks, Lots), journal: &mut Journal) -> Option<()> {
        let mut hand = self.hand.take()?;
        let order = &hand.order;
        ((order.id, order.side, order.limit?, order.open) == rests).then_some(())?;
        if hand.untold.take().is_some() {
            journal.first(&mut hand.order, hand.placed);
        }
        self.enter(hand.order);
        Some(())
    }

    fn reduce(&mut self, id: OrderId, open: Lots, journal: &mut Journal) -> Option<()> {
        let order = self.orders.get_mut(&id)?;
        (open <= order.open && !open.is_zero()).then_some(())?;
        order.quantity = Lots(order.used().0.checked_add(open.0)?);
        order.open = open;
        journal.order(order, None);
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

    /// An order begins to rest.
    pub(super) fn enter(&mut self, order: Order) {
        if let Some(at) = order.expires {
            self.by_expiry.insert((at, order.id));
        }
        if let Origin::Command { session, number } = &order.origin {
            self.by_command.insert((session.id, *number), order.id);
        }
        self.owners.insert(&order.account, order.id);
        self.orders.insert(order.id, order);
    }

    /// An order rests no more.
    fn leave(&mut self, id: OrderId) -> Option<Order> {
        let order = self.orders.remove(&id)?;
        if let Some(at) = order.expires {
            self.by_expiry.remove(&(at, id));
        }
        if let Origin::Command { session, number } = &order.origin {
            self.by_command.remove(&(session.id, *number));
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

//! What becomes of an intent: the book matches it, and events say what happened. Only whoever holds the
//! lease decides.

use super::entry::slid;
use super::stops::Reached;
use super::{Market, Order};
use crate::book::{self, Command, Prevention, Refusal, Removal};
use crate::machine::Ledger;
use crate::machine::intent::{Action, Amend, Intent, NewSize, Origin, Place, Target};
use crate::machine::tape::Event;
use crate::plant::{Plant, planted};
use crate::types::{Lots, Micros, OrderId, Reason, SelfTrade, Side};

impl Market {
    /// Decides what becomes of an intent. The book has then done what the events say, the orders have not.
    pub(in crate::machine) fn decide(
        &mut self,
        id: OrderId,
        intent: &Intent,
        (ledger, time): (&Ledger, Micros),
        events: &mut Vec<Event>,
    ) {
        let from = events.len();
        self.now = time;
        self.lay_band();
        let decided = match &intent.request.action {
            Action::Place(_) | Action::Amend(_) | Action::SetLimits(_)
                if self.killed.has(&intent.request.account) =>
            {
                Err(Reason::AccountKilled)
            }
            Action::Place(_) if self.has_command_of(intent) => Err(Reason::SessionForgotten),
            Action::Place(place) => self.replaced(intent, place, ledger).and_then(|replaced| {
                self.place((id, &intent.request.account), place, replaced, time, events)
            }),
            Action::Amend(amend) => self.amend(intent, amend, ledger, events),
            Action::Cancel(target) => self.cancel(intent, *target, ledger, events),
            Action::Withdraw(order) => self.cancel(intent, Target::Order(*order), ledger, events),
            Action::CancelAll(side) => self.cancel_all(&intent.request.account, *side, events),
            Action::Switch(switch) => self.decide_switch(intent, switch, time, events),
            Action::SetLimits(limits) => self.decide_limits(&intent.request.account, limits, events),
            Action::SetState(state) => self.decide_state(*state, events),
            Action::SetRules(new) => self.decide_rules(new, events),
            Action::Kill(on) => self.decide_kill(&intent.request.account, *on, events),
            Action::CreateMarket(_)
            | Action::ChangeVoters(_)
            | Action::Announce(_)
            | Action::RemoveNode(_)
            | Action::Invite(_)
            | Action::Invalid => Err(Reason::UnknownValue),
        };
        if let Err(reason) = decided {
            self.promise();
            events.truncate(from);
            events.push(Event::Refused { reason });
        }
    }

    /// Decides what becomes of an intent that cancels an order.
    pub(in crate::machine) fn decide_withdraw(
        &mut self,
        intent: &Intent,
        order: OrderId,
        events: &mut Vec<Event>,
    ) {
        let taken_out = self
            .own_order(intent, order)
            .map(|order| order.id)
            .and_then(|id| self.take_out(id, Reason::Requested, events));
        if let Err(reason) = taken_out {
            events.push(Event::Refused { reason });
        }
    }

    /// Whether an order of the same session and number rests: then the session was forgotten since,
    /// and begins anew.
    fn has_command_of(&self, intent: &Intent) -> bool {
        match &intent.request.origin {
            Origin::Command { session, number } => self.by_command.contains_key(&(session.id, *number)),
            Origin::Request(_) => false,
        }
    }

    /// What happens between orders of one account: what the taker asked for, else what the rules say.
    pub(super) fn prevention(&self, asked: SelfTrade) -> Prevention {
        if planted(Plant::SelfTrade) {
            return Prevention::Allow;
        }
        let by_rule = asked == SelfTrade::Unspecified;
        match if by_rule { self.rules.self_trade } else { asked } {
            SelfTrade::Unspecified | SelfTrade::CancelTaker => Prevention::CancelTaker,
            SelfTrade::CancelMaker => Prevention::CancelMaker,
            SelfTrade::CancelBoth => Prevention::CancelBoth,
            SelfTrade::Decrement => Prevention::Decrement,
            SelfTrade::Allow => Prevention::Allow,
        }
    }

    fn amend(
        &mut self,
        intent: &Intent,
        amend: &Amend,
        ledger: &Ledger,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        let order = self.find(intent, amend.target, ledger)?;
        let (id, used, post_only) = (order.id, order.used(), order.post_only);
        let (prevention, limit) = (self.prevention(order.self_trade), order.limit);
        let waits = order.is_waiting();
        let open = match amend.size {
            None => order.open,
            Some(NewSize::Open(open)) => open,
            Some(NewSize::Total(total)) => match total.0.checked_sub(used.0) {
                None | Some(0) => return Err(Reason::BelowFilled),
                Some(open) => Lots(open),
            },
        };
        let stays = amend.price.is_none_or(|price| Some(price) == order.limit)
            && amend.trigger.is_none()
            && open <= order.open;
        let post_only = self.amends(stays, post_only)?;
        if waits {
            let quantity = Lots(used.0.saturating_add(open.0));
            self.check_size(&order.account, amend.price.or(limit), quantity)?;
            return self.amend_waiting(order, amend, open, events);
        }
        if self.is_unpriced(&id) {
            self.check_size(&order.account, None, Lots(used.0.saturating_add(open.0)))?;
            return self.amend_at_market(order, amend, open, events);
        }
        if amend.trigger.is_some() {
            return Err(Reason::WouldTrigger);
        }
        let (side, slides) = (order.side, order.terms.as_ref().is_some_and(|terms| terms.slide));
        let price = amend.price.or(order.limit).ok_or(Reason::OrderClosed)?;
        let best = self.best_price(side.opposite(), None);
        let price = if slides && !stays { slid(side, price, best)? } else { price };
        if !stays && self.is_outside_static(side, price) {
            return Err(self.refused_by_band(side, price, post_only));
        }
        let parts_fit = order.terms.as_ref().is_none_or(|terms| terms.can_show(open));
        if used.0.saturating_add(open.0) > self.rules.max_lots.0 || !parts_fit {
            return Err(Reason::AboveMaximum);
        }
        self.check_size(&intent.request.account, amend.price.or(limit), Lots(used.0.saturating_add(open.0)))?;
        let command = Command::Amend { id, price, open, post_only, prevention };
        self.run(&command, used, events)
    }

    fn cancel(
        &mut self,
        intent: &Intent,
        target: Target,
        ledger: &Ledger,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        let id = self.find(intent, target, ledger)?.id;
        self.take_out(id, Reason::Requested, events)
    }

    /// An order is taken out of the book, or of what waits.
    pub(super) fn take_out(
        &mut self,
        id: OrderId,
        why: Reason,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        if let Some(order) = self.orders.get(&id).filter(|order| self.is_outside(&order.id)) {
            events.push(Event::Removed { order: id, open: order.open, reason: why });
            self.begin_to_run();
            return Ok(());
        }
        let from = events.len();
        self.run(&Command::Cancel { id }, Lots::ZERO, events)?;
        for event in &mut events[from..] {
            if let Event::Removed { reason, .. } = event {
                *reason = why;
            }
        }
        Ok(())
    }

    fn cancel_all(
        &mut self,
        account: &str,
        side: Option<Side>,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        let orders: Vec<OrderId> = self
            .orders_of(account, OrderId::default())
            .filter(|order| side.is_none_or(|side| side == order.side))
            .map(|order| order.id)
            .collect();
        if orders.is_empty() {
            events.push(Event::Nothing);
        }
        orders.into_iter().try_for_each(|id| self.take_out(id, Reason::Requested, events))
    }

    /// Has the book do a command, and says in the tape's words what it did. `used` is what was filled or prevented
    /// of the order before.
    pub(super) fn run(
        &mut self,
        command: &Command,
        used: Lots,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        self.said.clear();
        self.book.apply(command, &mut self.said).map_err(refusal)?;
        let halts = self.is_halted_by_band().then(|| self.volatility_auction()).flatten();
        let (fees, grids) = (self.rules.fees, (self.rules.tick, self.rules.lot));
        let mut reached = Reached::default();
        let mut trade = None;
        let said = self.said.iter().map(|said| match *said {
            book::Event::Traded(trade) => Event::Traded(trade, fees.of(trade.price, trade.quantity, grids)),
            book::Event::Prevented(prevented) => Event::Prevented(prevented),
            book::Event::Rested { order, side, price, open, display, owner: _ } => {
                let shown = if display.is_zero() { open } else { open.min(display) };
                Event::Rested { order, side, price, open, shown }
            }
            book::Event::Replenished { order, shown } => Event::Replenished { order, shown },
            book::Event::Reduced { order, open } => Event::Reduced { order, open },
            book::Event::Lifted { order, price, open } => {
                let quantity = Lots(used.0.saturating_add(open.0));
                Event::Lifted { order, price, open, quantity }
            }
            book::Event::Removed { order, open, why } => {
                let reason = match why {
                    Removal::Cancelled => Reason::Requested,
                    Removal::Left => Reason::NoLiquidity,
                    Removal::SelfTrade => Reason::SelfTrade,
                    Removal::Band => Reason::PriceBand,
                };
                Event::Removed { order, open, reason }
            }
        });
        if self.stops.is_idle() {
            events.extend(said);
            events.extend(halts);
            return Ok(());
        }
        for event in said {
            // What a trade triggers stands behind what its maker shows next.
            if let Some(price) = trade.take_if(|_| !matches!(event, Event::Replenished { .. })) {
                self.stops.meet(price, &mut reached, events);
            }
            if let Event::Traded(traded, _) = &event {
                trade = Some(traded.price);
            }
            events.push(event);
        }
        if let Some(price) = trade {
            self.stops.meet(price, &mut reached, events);
        }
        events.extend(halts);
        reached.tell_moved(events);
        Ok(())
    }

    /// The order that a new one comes in place of, if it is to do so.
    fn replaced(&self, intent: &Intent, place: &Place, ledger: &Ledger) -> Result<Option<OrderId>, Reason> {
        let target = place.replaces.as_deref();
        target.map(|target| self.find(intent, *target, ledger).map(|order| order.id)).transpose()
    }

    /// The resting order that a request of the same account names.
    fn find(&self, intent: &Intent, target: Target, ledger: &Ledger) -> Result<&Order, Reason> {
        let id = match (target, &intent.request.origin) {
            (Target::Order(id), _) => Some(ledger.first_of(id)),
            (Target::Command(number), Origin::Command { session, .. }) => {
                self.by_command.get(&(session.id, number)).copied()
            }
            (Target::Command(_), Origin::Request(_)) => None,
            (Target::Client(name), _) => self.by_client.get(&(intent.request.account.clone(), name)).copied(),
        };
        self.own_order(intent, id.ok_or(Reason::UnknownOrder)?)
    }

    /// A resting order of the account that asks.
    fn own_order(&self, intent: &Intent, id: OrderId) -> Result<&Order, Reason> {
        let order = self.orders.get(&id).ok_or(Reason::UnknownOrder)?;
        if order.account == intent.request.account { Ok(order) } else { Err(Reason::OtherAccount) }
    }
}

pub(super) fn refusal(refusal: Refusal) -> Reason {
    match refusal {
        Refusal::WouldTake => Reason::WouldTake,
        Refusal::NotFillable => Reason::NotFillable,
        Refusal::LevelOverflow => Reason::LevelFull,
        Refusal::BookFull => Reason::TooMany,
        Refusal::ZeroQuantity => Reason::NotPositive,
        Refusal::NoLimit => Reason::MissingField,
        Refusal::DuplicateId | Refusal::UnknownOrder => Reason::UnknownOrder,
    }
}

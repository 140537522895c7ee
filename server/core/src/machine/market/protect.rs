//! What protects an account from its own orders: switches that fire, and the kill switch; and what else is due
//! without any request.

use super::switches::{Armed, SwitchOf};
use super::{Market, Order};
use crate::machine::digest::Digest;
use crate::machine::intent::{Account, Intent, Origin, Session, SessionId};
use crate::machine::journal::Journal;
use crate::machine::switch::{StreamSwitch, Switch};
use crate::machine::tape::{Cause, Event};
use crate::types::{MarketState, Micros, OrderId, Reason, TimeInForce};

impl Market {
    /// What is due next: at one time, orders that expire come before switches, and both before the market's change of state.
    /// `now` counts only before the first of these.
    pub(in crate::machine) fn next_due(&self, now: Micros) -> Option<Cause> {
        let expiry = self.by_expiry.first().map(|(due, _)| Cause::Expiry { due: *due });
        let switch = self.switches.next().map(|(due, ..)| Cause::Switch { due });
        let change = self.next_change(now).map(|change| Cause::Session { due: change.due });
        // Of those that are due at one time the first one.
        [expiry, switch, change].into_iter().flatten().min_by_key(|cause| cause.due())
    }

    /// Says in events what is due: `most` orders that expire, or the next switch, which fires as a whole.
    pub(in crate::machine) fn say_due(
        &self,
        cause: Cause,
        (now, most): (Micros, usize),
        events: &mut Vec<Event>,
    ) {
        match cause {
            Cause::Expiry { due } => {
                let ids = self.by_expiry.iter().take_while(|(at, _)| *at == due).take(most);
                let orders = ids.filter_map(|(_, id)| self.orders.get(id));
                events.extend(orders.map(|order| removed(order, self.expires_for(order))));
            }
            Cause::Switch { .. } => {
                let Some((_, switch, of)) = self.switches.next() else {
                    return;
                };
                events.push(Event::SwitchFired { switch });
                events.extend(self.orders_of_switch(of).map(|order| removed(order, fired_for(of))));
            }
            Cause::Session { .. } => self.say_change(now, events),
            Cause::Intent(_) | Cause::Trigger(_) | Cause::Uncross => {}
        }
    }

    /// Orders reached their time; `None` if that can't be.
    pub(in crate::machine) fn expire(
        &mut self,
        events: &[Event],
        due: Micros,
        journal: &mut Journal,
    ) -> Option<()> {
        for event in events {
            journal.advance();
            let Event::Removed { order, open, reason } = *event else {
                return None;
            };
            let expires = self.orders.get(&order)?;
            (expires.expires == Some(due) && reason == self.expires_for(expires)).then_some(())?;
            self.remove(order, open, reason, journal)?;
        }
        Some(())
    }

    /// Why an order expires: a DAY order with the session, if the market has any that end.
    fn expires_for(&self, order: &Order) -> Reason {
        let session = self.rules.sessions.iter().any(|session| session.state == MarketState::Closed);
        let day = order.time_in_force == TimeInForce::Day;
        if day && session { Reason::SessionEnd } else { Reason::ExpireTime }
    }

    /// A switch fired; `None` if that can't be.
    pub(in crate::machine) fn fire(
        &mut self,
        events: &[Event],
        due: Micros,
        journal: &mut Journal,
    ) -> Option<()> {
        let (Event::SwitchFired { switch }, rest) = events.split_first()? else {
            return None;
        };
        journal.advance();
        let (fires, set_by, of) = self.switches.next()?;
        ((fires, set_by) == (due, *switch)).then_some(())?;
        let of = of.clone();
        self.switches.disarm(&of);
        for event in rest {
            journal.advance();
            let Event::Removed { order, open, reason } = *event else {
                return None;
            };
            let covered = covers(&of, self.orders.get(&order)?) && reason == fired_for(&of);
            covered.then_some(())?;
            self.remove(order, open, reason, journal)?;
        }
        Some(())
    }

    /// The number of the stream whose switch guards a session, if one is armed.
    #[must_use]
    pub fn guarding_stream(&self, account: &Account, session: SessionId) -> Option<u64> {
        self.switches.get(&(account.clone(), Some(session))).map(|armed| armed.stream)
    }

    pub(super) fn decide_switch(
        &mut self,
        intent: &Intent,
        switch: &Switch,
        time: Micros,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        let of = switch_of(intent, switch);
        let armed = self.switches.get(&of).copied();
        let event = match switch {
            Switch::Account(after) => Event::SwitchSet { fires: after.map(|after| time.plus(after)) },
            Switch::Stream { stream, does, .. } => match (does, armed) {
                (StreamSwitch::Lives { by, .. }, _) if *by < time => Event::Nothing,
                // Whoever goes on with a session is not cancelled by the stream before.
                (_, Some(armed)) if armed.stream > *stream => Event::Nothing,
                (StreamSwitch::Lives { after, .. }, _) => Event::SwitchSet { fires: Some(time.plus(*after)) },
                (_, Some(armed)) if armed.stream < *stream => Event::Nothing,
                (StreamSwitch::Left, Some(_)) => Event::SwitchSet { fires: None },
                (StreamSwitch::Lost, Some(armed)) => Event::SwitchFired { switch: armed.set_by },
                (StreamSwitch::Left | StreamSwitch::Lost, None) => Event::Nothing,
            },
        };
        if let (Event::SwitchSet { fires: Some(_) }, None) = (event, armed)
            && self.switches.len() >= self.most_protected
        {
            return Err(Reason::TooMany);
        }
        events.push(event);
        match event {
            Event::SwitchFired { .. } => {
                let orders: Vec<OrderId> = self.orders_of_switch(&of).map(|order| order.id).collect();
                self.take_all_out(orders, fired_for(&of), events)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn decide_kill(
        &mut self,
        account: &Account,
        on: bool,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        if on && !self.killed.has(account) && self.killed.len() >= self.most_protected {
            return Err(Reason::TooMany);
        }
        events.push(Event::Killed);
        let orders: Vec<OrderId> = match on {
            true => self.orders_of(account, OrderId::default()).map(|order| order.id).collect(),
            false => Vec::new(),
        };
        self.take_all_out(orders, Reason::AccountKilled, events)
    }

    /// Takes orders out of the book, or of what waits.
    pub(super) fn take_all_out(
        &mut self,
        orders: Vec<OrderId>,
        why: Reason,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        orders.into_iter().try_for_each(|id| self.take_out(id, why, events))
    }

    /// A switch is as its intent says; `None` if it can't fire then.
    pub(super) fn set_switch(
        &mut self,
        (id, intent): (OrderId, &Intent),
        switch: &Switch,
        fires: Option<Micros>,
    ) -> Option<()> {
        let of = switch_of(intent, switch);
        let (asked, stream) = match switch {
            Switch::Account(after) => (after.is_some(), 0),
            Switch::Stream { stream, does, .. } => (matches!(does, StreamSwitch::Lives { .. }), *stream),
        };
        match fires {
            Some(fires) if asked => self.switches.arm(of, Armed { fires, set_by: id, stream }),
            None if !asked => {
                self.switches.disarm(&of);
                Some(())
            }
            _ => None,
        }
    }

    /// The orders that a switch cancels, by id.
    fn orders_of_switch<'a>(&'a self, of: &'a SwitchOf) -> impl Iterator<Item = &'a Order> {
        self.orders_of(&of.0, OrderId::default()).filter(|order| covers(of, order))
    }

    /// Puts what a step made of switches into the digest, of killed accounts and of the market's state.
    pub(in crate::machine) fn digest_protection(&self, events: &[Event], digest: &mut Digest) {
        match events.first() {
            Some(Event::SwitchSet { .. } | Event::SwitchFired { .. } | Event::Killed) => {
                let next = self.switches.next().map_or(0, |(fires, ..)| fires.0);
                digest.put([self.switches.len() as u64, next, self.killed.len() as u64]);
            }
            Some(Event::RulesChanged) => {
                let [low, high] = self.rules.numbers();
                digest.put([low, high, self.uncrossed_price.map_or(0, |price| price.0)]);
            }
            Some(Event::LimitsSet) => digest.put([self.limits.len() as u64, self.limits.sum()]),
            Some(Event::StateChanged { .. } | Event::Nothing) => {
                let ends = self.ends.map_or(0, |at| at.0);
                digest.put([self.state as u64, ends, self.scheduled.0, u64::from(self.extended)]);
            }
            _ => {}
        }
    }

    /// Forgets all switches, as a mistake would.
    pub(in crate::machine) fn forget_switches(&mut self) {
        self.switches = super::Switches::default();
    }
}

/// Whose orders a switch is about.
fn switch_of(intent: &Intent, switch: &Switch) -> SwitchOf {
    let account = &intent.request.account;
    let session = match switch {
        Switch::Account(_) => None,
        Switch::Stream { session, .. } => Some(Session::new(account, session.clone()).id),
    };
    (account.clone(), session)
}

fn covers((account, session): &SwitchOf, order: &Order) -> bool {
    let of_session = |of| matches!(&order.origin, Origin::Command { session, .. } if session.id == of);
    order.account == *account && session.is_none_or(of_session)
}

fn fired_for(of: &SwitchOf) -> Reason {
    if of.1.is_some() { Reason::Disconnected } else { Reason::DeadMan }
}

fn removed(order: &Order, reason: Reason) -> Event {
    Event::Removed { order: order.id, open: order.open, reason }
}

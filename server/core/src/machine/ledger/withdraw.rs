//! Cancels that do not wait for their turn.
//!
//! Whoever holds the lease sees a *withdraw* in the document before it is consumed, and then
//! consumes the order that it names as cancelled. The two are consumed in either order, each once;
//! in between the ledger marks the order, so that the second knows of the first, under whatever
//! holder. The mark also names the order's request: if that has another intent, which has its turn
//! first, it is the one that must not trade.

use std::collections::{BTreeMap, BTreeSet};

use super::requests::{RequestKey, request_key};
use super::{Known, Ledger};
use crate::machine::intent::{Account, Action, Intent, Origin, key};
use crate::machine::tape::{Event, is_withdrawn};
use crate::types::{NodeId, OrderId, Reason};

/// Intents in a document that are not consumed.
pub trait Unconsumed {
    /// An intent.
    fn intent(&self, id: OrderId) -> Option<&Intent>;

    /// The intents that would withdraw an order.
    fn withdraws(&self, order: OrderId) -> &[OrderId];
}

/// Nothing waits.
impl Unconsumed for () {
    fn intent(&self, _: OrderId) -> Option<&Intent> {
        None
    }

    fn withdraws(&self, _: OrderId) -> &[OrderId] {
        &[]
    }
}

/// Orders of which either the place or a withdraw is consumed, but not both.
#[derive(Clone, Default, Debug)]
pub(super) struct Marks {
    by_order: BTreeMap<OrderId, Mark>,
    /// The marked orders whose place is still to come, by what their request is told by.
    by_request: BTreeSet<(RequestKey, OrderId)>,
}

/// A mark: whose order it is, and what its request is told by if the place is still to come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::machine) struct Mark {
    pub account: Account,
    pub request: Option<RequestKey>,
}

impl Marks {
    pub fn len(&self) -> usize {
        self.by_order.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&OrderId, &Mark)> {
        self.by_order.iter()
    }

    /// The last one by order.
    pub fn last(&self) -> Option<OrderId> {
        self.by_order.last_key_value().map(|(order, _)| *order)
    }

    pub fn insert(&mut self, order: OrderId, mark: Mark) {
        self.by_request.extend(mark.request.map(|request| (request, order)));
        self.by_order.insert(order, mark);
    }

    fn get(&self, order: &OrderId) -> Option<&Account> {
        self.by_order.get(order).map(|mark| &mark.account)
    }

    fn remove(&mut self, order: &OrderId) -> bool {
        let Some(mark) = self.by_order.remove(order) else {
            return false;
        };
        if let Some(request) = mark.request {
            self.by_request.remove(&(request, *order));
        }
        true
    }

    /// Whether an intent of the same request is withdrawn.
    fn has_request_of(&self, intent: &Intent) -> bool {
        if self.by_request.is_empty() {
            return false;
        }
        let request = key_of(intent);
        let last = OrderId { node: NodeId(u64::MAX), counter: u64::MAX };
        self.by_request.range((request, OrderId::default())..=(request, last)).next().is_some()
    }
}

/// What an intent's request is told by.
fn key_of(intent: &Intent) -> RequestKey {
    match &intent.request.origin {
        Origin::Request(id) => request_key(&intent.request.account, id),
        Origin::Command { session, number } => key(&[b"command", &session.id.0, &number.to_le_bytes()]),
    }
}

impl Ledger {
    /// Whether a placed order, just consumed, is to be cancelled instead: what becomes of it then.
    pub(in crate::machine) fn withdrawn(
        &self,
        id: OrderId,
        intent: &Intent,
        others: &impl Unconsumed,
    ) -> Option<Event> {
        let account = &intent.request.account;
        let asked = |withdraw: &OrderId| {
            let intent = others.intent(*withdraw).filter(|_| !self.has_consumed(*withdraw));
            intent.is_some_and(|other| other.request.account == *account && !self.knows(other))
        };
        let withdrawn = self.marks.get(&id) == Some(account)
            || self.marks.has_request_of(intent)
            || self.marks.len() < self.caps.withdrawn && others.withdraws(id).iter().any(asked);
        withdrawn.then_some(Event::Withdrawn { order: id })
    }

    /// Whether an intent would be a repeat.
    fn knows(&self, intent: &Intent) -> bool {
        let reused = [Reason::RequestIdReused, Reason::CommandReused];
        match self.know(intent) {
            Known::New => false,
            Known::Repeat(_) => true,
            Known::Refused(reason) => reused.contains(&reason),
        }
    }

    /// The order that a withdraw is about: the one that it names, or the first one of its request, also
    /// if the named one still waits for its turn and will be a repeat then.
    pub(in crate::machine) fn withdraw_target(&self, order: OrderId, others: &impl Unconsumed) -> OrderId {
        let waits = others.intent(order).filter(|_| !self.has_consumed(order));
        match waits.map(|intent| self.know(intent)) {
            Some(Known::Repeat(Some(first))) => first.intent,
            _ => self.first_of(order),
        }
    }

    /// What becomes of a withdraw of an order that does not rest.
    pub(in crate::machine) fn withdraw(
        &self,
        order: OrderId,
        intent: &Intent,
        others: &impl Unconsumed,
    ) -> Event {
        let pending = others.intent(order).filter(|_| !self.has_consumed(order));
        // A repeat has no order of its own, and that of the first does not rest.
        let placed =
            pending.filter(|other| matches!(other.request.action, Action::Place(_)) && !self.knows(other));
        let waits = placed.map(|other| &other.request.account);
        match self.marks.get(&order).or(waits) {
            None => Event::Refused { reason: Reason::UnknownOrder },
            Some(account) if *account != intent.request.account => {
                Event::Refused { reason: Reason::OtherAccount }
            }
            Some(_) if self.marks.len() >= self.caps.withdrawn && self.marks.get(&order).is_none() => {
                Event::Refused { reason: Reason::TooMany }
            }
            Some(_) => Event::Withdrawn { order },
        }
    }

    /// Whether a withdraw may have had a recorded outcome.
    pub(in crate::machine) fn may_withdraw(&self, order: OrderId) -> bool {
        self.marks.get(&order).is_some() || !self.has_consumed(order)
    }

    /// Marks the order of a consumed intent, or takes its mark away. `target` is the intent that it
    /// withdrew before its turn.
    pub(super) fn mark(&mut self, id: OrderId, intent: &Intent, events: &[Event], target: Option<&Intent>) {
        let account = &intent.request.account;
        let withdrawn = is_withdrawn(events);
        match intent.request.action {
            Action::Place(_) => {
                let marked = self.marks.remove(&id);
                // Its withdraw is still to come, unless it was that of another intent of the request.
                if withdrawn && !marked && !self.marks.has_request_of(intent) {
                    self.marks.insert(id, Mark { account: account.clone(), request: None });
                }
            }
            Action::Withdraw(order)
                if self.has_consumed(order) && self.marks.get(&order) == Some(account) =>
            {
                self.marks.remove(&order);
            }
            Action::Withdraw(order) if withdrawn && !self.has_consumed(order) => {
                let mark = Mark { account: account.clone(), request: target.map(key_of) };
                self.marks.insert(order, mark);
            }
            _ => {}
        }
    }
}

//! Cancels that do not wait for their turn.
//!
//! Whoever holds the lease sees a *withdraw* in the document before it is consumed, and then
//! consumes the order that it names as cancelled. The two are consumed in either order, each once;
//! in between the ledger marks the order, so that the second knows of the first, under whatever
//! holder.

use std::collections::BTreeMap;

use xbook_proto::record::v1::Outcome;
use xbook_proto::v1::Reason;

use super::Ledger;
use crate::machine::intent::{Account, Action, Intent, Origin};
use crate::machine::step::Step;
use crate::types::OrderId;

/// Most orders that are marked. There is one for each withdraw or withdrawn order that waits for
/// its turn; beyond this no order is stopped before its own.
pub(super) const MAX_WITHDRAWN: usize = 65_536;

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

/// Orders of which either the place or a withdraw is consumed, but not both, with the account.
pub(super) type Marks = BTreeMap<OrderId, Account>;

impl Ledger {
    /// Whether a placed order, just consumed, is to be cancelled instead: what becomes of it then.
    pub(in crate::machine) fn withdrawn(
        &self,
        id: OrderId,
        intent: &Intent,
        others: &impl Unconsumed,
    ) -> Option<Step> {
        let account = &intent.request.account;
        let asked = |withdraw: &OrderId| {
            let intent = others.intent(*withdraw).filter(|_| !self.has_consumed(*withdraw));
            intent.is_some_and(|other| other.request.account == *account && !self.knows(other))
        };
        let withdrawn = self.marks.get(&id) == Some(account)
            || self.marks.len() < MAX_WITHDRAWN && others.withdraws(id).iter().any(asked);
        withdrawn.then(|| Step::plain(Outcome::Withdrawn, Reason::Requested))
    }

    /// Whether an intent would be a repeat.
    fn knows(&self, intent: &Intent) -> bool {
        match &intent.request.origin {
            Origin::Request(id) => self.request(&intent.request.account, id).is_some(),
            Origin::Command { session, number } => *number <= self.last_command(session),
        }
    }

    /// What becomes of a withdraw of an order that does not rest.
    pub(in crate::machine) fn withdraw(
        &self,
        order: OrderId,
        intent: &Intent,
        others: &impl Unconsumed,
    ) -> Step {
        let pending = others.intent(order).filter(|_| !self.has_consumed(order));
        let placed = pending.filter(|other| matches!(other.request.action, Action::Place(_)));
        let waits = placed.map(|other| &other.request.account);
        match self.marks.get(&order).or(waits) {
            None => Step::refused(Reason::UnknownOrder),
            Some(account) if *account != intent.request.account => Step::refused(Reason::OtherAccount),
            Some(_) if self.marks.len() >= MAX_WITHDRAWN && !self.marks.contains_key(&order) => {
                Step::refused(Reason::TooMany)
            }
            Some(_) => Step { orders: vec![order], ..Step::plain(Outcome::Withdrawn, Reason::Requested) },
        }
    }

    /// Whether a withdraw may have had a recorded outcome.
    pub(in crate::machine) fn may_withdraw(&self, order: OrderId) -> bool {
        self.marks.contains_key(&order) || !self.has_consumed(order)
    }

    /// Marks the order of a consumed intent, or takes its mark away.
    pub(in crate::machine) fn mark(&mut self, id: OrderId, intent: &Intent, step: &Step) {
        let account = &intent.request.account;
        let withdrawn = step.outcome == Outcome::Withdrawn;
        match intent.request.action {
            Action::Place(_) => {
                let marked = self.marks.remove(&id).is_some();
                if withdrawn && !marked {
                    self.marks.insert(id, account.clone());
                }
            }
            Action::Withdraw(order) if self.has_consumed(order) => {
                let own = self.marks.get(&order) == Some(account);
                if own {
                    self.marks.remove(&order);
                }
            }
            Action::Withdraw(order) if withdrawn => {
                self.marks.insert(order, account.clone());
            }
            _ => {}
        }
    }
}

//! What is due without any request, and what protects accounts, from the words of the proto: an order expires at
//! its time; a switch cancels all orders of its account, or of its session, by id, unless it was set again before;
//! of one time orders expire first.

use std::collections::{BTreeMap, BTreeSet};

use xbook::machine::{Block, Change, Request, Session, SessionId, StreamSwitch, Switch};
use xbook::types::{MarketState, Micros, OrderId, OrderStatus, Reason};

use super::{Live, Rematch, RematchViolation};

/// Whose orders a switch cancels.
type Whose = (String, Option<SessionId>);

/// What is due.
enum Due {
    Expiry,
    Switch(Whose),
    Change((Micros, MarketState, bool)),
}

/// Switches and killed accounts, as the requests say.
#[derive(Debug)]
pub(super) struct Protection {
    most: usize,
    armed: BTreeMap<Whose, Armed>,
    killed: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    fires: Micros,
    by: OrderId,
    stream: u64,
}

impl Protection {
    /// So many of each at most.
    pub fn new(most: usize) -> Self {
        Self { most, armed: BTreeMap::new(), killed: BTreeSet::new() }
    }

    pub fn is_killed(&self, request: &Request) -> bool {
        self.killed.contains(&*request.account)
    }
}

fn is_of((account, session): &Whose, live: &Live) -> bool {
    live.account == *account
        && session.is_none_or(|session| live.command.is_some_and(|(of, _)| of == session))
}

fn why(whose: &Whose) -> Reason {
    if whose.1.is_some() { Reason::Disconnected } else { Reason::DeadMan }
}

impl Rematch {
    /// What is due happens before the first intent: each in its turn, and all of it, unless nothing else happens.
    /// Returns how many events that is.
    pub(super) fn fall_due(&mut self, block: &Block) -> Result<usize, RematchViolation> {
        let mut fell = 0;
        let mut shown = shown_due(block);
        shown.reverse();
        while fell < self.most_expired
            && let Some((due, first)) = self.next_due(block.time).filter(|(due, _)| *due <= block.time)
        {
            let last = shown.last().copied();
            let first = match first {
                Due::Expiry => None,
                Due::Switch(whose) => Some(whose),
                Due::Change(change) => {
                    let naive = self.change(change);
                    let mut next = shown.split_off(shown.len().saturating_sub(naive.len()));
                    next.reverse();
                    if next != naive {
                        return Err(due_violation(block, next, naive));
                    }
                    self.keep_root();
                    fell += 1 + naive.len();
                    continue;
                }
            };
            let Some(whose) = first else {
                let next = self.next_expiry().map_or_else(OrderId::default, |(_, id)| id);
                if last.is_none() && !block.answers.is_empty() {
                    let (order, at, time) = (next, block.first, block.time);
                    return Err(RematchViolation::Late { order, at, expires: due, time });
                }
                if last.is_none() {
                    return Ok(fell);
                }
                let day = self.live.get(&next).is_some_and(|live| live.day);
                let closes = self.rules.sessions.iter().any(|session| session.state == MarketState::Closed);
                let reason = if day && closes { Reason::SessionEnd } else { Reason::ExpireTime };
                if last != Some((next, reason)) {
                    return Err(due_violation(block, shown, vec![(next, reason)]));
                }
                shown.pop();
                self.cancel(next);
                self.keep_root();
                fell += 1;
                continue;
            };
            let orders = self.orders_of(&whose);
            if last.is_none() && !orders.is_empty() {
                let silent = RematchViolation::Silent { due, time: block.time, at: block.first };
                return if block.answers.is_empty() { Ok(fell) } else { Err(silent) };
            }
            let naive: Vec<_> = orders.into_iter().map(|id| (id, why(&whose))).collect();
            let mut next = shown.split_off(shown.len().saturating_sub(naive.len()));
            next.reverse();
            if next != naive {
                return Err(due_violation(block, next, naive));
            }
            naive.iter().for_each(|(id, _)| _ = self.cancel(*id));
            self.protection.armed.remove(&whose);
            self.keep_root();
            fell += 1 + naive.len();
        }
        if let Some((order, Reason::ExpireTime | Reason::SessionEnd)) = shown.last() {
            return Err(RematchViolation::Early { order: *order, at: block.first });
        }
        if shown.is_empty() { Ok(fell) } else { Err(due_violation(block, shown, Vec::new())) }
    }

    fn next_expiry(&self) -> Option<(Micros, OrderId)> {
        self.live.iter().filter_map(|(id, live)| Some((live.expires?, *id))).min()
    }

    /// What is due next and when: of one time orders that expire come first, then switches, then the market's own change
    /// of state.
    fn next_due(&self, now: Micros) -> Option<(Micros, Due)> {
        let switch = self.protection.armed.iter().min_by_key(|(_, armed)| (armed.fires, armed.by));
        let all = [
            self.next_expiry().map(|(due, _)| (due, Due::Expiry)),
            switch.map(|(whose, armed)| (armed.fires, Due::Switch(whose.clone()))),
            self.next_change(now).map(|change| (change.0, Due::Change(change))),
        ];
        let first = all.iter().flatten().map(|(due, _)| *due).min()?;
        all.into_iter().flatten().find(|(due, _)| *due == first)
    }

    fn orders_of(&self, whose: &Whose) -> Vec<OrderId> {
        self.live.iter().filter(|(_, live)| is_of(whose, live)).map(|(id, _)| *id).collect()
    }

    fn cancel_to_protect(&mut self, whose: &Whose, reason: Reason) {
        for id in self.orders_of(whose) {
            self.cancel(id);
            self.cancelled.push((id, reason));
        }
    }

    pub(super) fn switch(
        &mut self,
        (id, request): (OrderId, &Request),
        switch: &Switch,
        time: Micros,
    ) -> bool {
        let account = request.account.to_string();
        let (whose, stream) = match switch {
            Switch::Account(_) => ((account, None), 0),
            Switch::Stream { session, stream, .. } => {
                let session = Session::new(&account, session.clone()).id;
                ((account, Some(session)), *stream)
            }
        };
        let known = self.protection.armed.get(&whose).copied();
        let after = match switch {
            Switch::Account(None) => {
                self.protection.armed.remove(&whose);
                return true;
            }
            Switch::Account(Some(after)) => *after,
            // A later stream of the session goes on with its orders, and a word that is late says nothing.
            Switch::Stream { does: StreamSwitch::Lives { after, by }, .. } => {
                if time > *by || known.is_some_and(|known| known.stream > stream) {
                    return true;
                }
                *after
            }
            Switch::Stream { does, .. } => {
                if known.is_some_and(|known| known.stream == stream) {
                    self.protection.armed.remove(&whose);
                    if *does == StreamSwitch::Lost {
                        self.cancel_to_protect(&whose, Reason::Disconnected);
                    }
                }
                return true;
            }
        };
        if known.is_none() && self.protection.armed.len() >= self.protection.most {
            return false;
        }
        self.protection.armed.insert(whose, Armed { fires: time.plus(after), by: id, stream });
        true
    }

    pub(super) fn kill(&mut self, request: &Request, on: bool) -> bool {
        let account = request.account.to_string();
        if !on {
            self.protection.killed.remove(&account);
            return true;
        }
        let room = self.protection.killed.len() < self.protection.most;
        if !room && !self.protection.killed.contains(&account) {
            return false;
        }
        self.protection.killed.insert(account.clone());
        self.cancel_to_protect(&(account, None), Reason::AccountKilled);
        true
    }

    /// What an intent cancelled to protect its account.
    pub(super) fn compare_cancelled(
        &self,
        block: &Block,
        answer: &xbook::machine::Answer,
    ) -> Result<(), RematchViolation> {
        let protects = [
            Reason::DeadMan,
            Reason::Disconnected,
            Reason::AccountKilled,
            Reason::SessionEnd,
            Reason::Delisted,
        ];
        let orders = block.changes_of(answer).iter().filter_map(Change::order);
        // A place that is refused for such a reason is REJECTED.
        let ended = |status| matches!(status, OrderStatus::Cancelled | OrderStatus::Expired);
        let shown: Vec<(OrderId, Reason)> = orders
            .filter(|order| ended(order.status))
            .filter(|order| protects.contains(&order.reason))
            .map(|order| (order.id, order.reason))
            .collect();
        if shown == self.cancelled {
            return Ok(());
        }
        let naive = self.cancelled.clone();
        Err(RematchViolation::Protected { intent: answer.intent, at: answer.position, shown, naive })
    }
}

/// The orders that a block closes before its first intent because of their time, their account's switch or the session.
fn shown_due(block: &Block) -> Vec<(OrderId, Reason)> {
    let of_intents = block.answers.first().map_or(block.changes.len(), |answer| answer.changes.start);
    block.changes[..of_intents]
        .iter()
        .filter_map(Change::order)
        // Between and after that an uncross may trade, and what was triggered runs.
        .filter_map(|order| match (order.status, order.reason) {
            (OrderStatus::Expired, reason) => Some((order.id, reason)),
            (OrderStatus::Cancelled, Reason::DeadMan | Reason::Disconnected) => {
                Some((order.id, order.reason))
            }
            _ => None,
        })
        .collect()
}

fn due_violation(
    block: &Block,
    shown: Vec<(OrderId, Reason)>,
    naive: Vec<(OrderId, Reason)>,
) -> RematchViolation {
    RematchViolation::Due { at: block.last, shown, naive }
}

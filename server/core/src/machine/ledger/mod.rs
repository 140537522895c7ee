//! What a tape keeps beside its book: how far each node's intents are consumed, and which requests
//! were seen, so that a repeat has no second effect wherever it was accepted.
//!
//! Requests are remembered down to a *floor* of tape time; how many is bounded. Below the floor a
//! repeat can't be told from a first, so an intent that was accepted on a view at or below it has
//! no effect.
//!
//! A request that was repeated through another node has several intents, of which one wins. The id of
//! each other one was told too, so it finds the first's order for as long as the request is remembered.

mod parts;
mod requests;
mod sessions;
mod withdraw;

use std::collections::BTreeMap;

use super::caps::Caps;
use super::intent::{Action, Intent, Origin, Session, SessionId};
use super::journal::Repeated;
use super::tape::{Event, is_repeated, refused};
use crate::plant::{Plant, planted};
use crate::types::{Micros, NodeId, OrderId, Position, Reason};

pub(in crate::machine) use requests::Kept;
use requests::Requests;
pub(in crate::machine) use sessions::Command;
use sessions::Sessions;
pub(in crate::machine) use withdraw::Mark;
pub use withdraw::Unconsumed;

/// Consumed counters and remembered requests.
#[derive(Clone, Default, Debug)]
pub struct Ledger {
    caps: Caps,
    consumed: BTreeMap<NodeId, u64>,
    requests: Requests,
    sessions: Sessions,
    floor: Option<Micros>,
    marks: withdraw::Marks,
}

/// What is known of a request before its turn.
enum Known {
    /// Nothing: it is a first one.
    New,
    /// It repeats this one; `None` if it is not remembered which.
    Repeat(Option<Repeated>),
    /// It is refused.
    Refused(Reason),
}

impl Ledger {
    pub(super) fn set_caps(&mut self, caps: Caps) {
        self.caps = caps;
    }

    /// Counter of the last intent of a node that was consumed; zero if none was.
    #[must_use]
    pub fn consumed(&self, node: NodeId) -> u64 {
        self.consumed.get(&node).copied().unwrap_or(0)
    }

    /// Each node's last intent that was consumed, by node.
    pub fn counters(&self) -> impl Iterator<Item = (NodeId, u64)> {
        self.consumed.iter().map(|(node, counter)| (*node, *counter))
    }

    /// Number of the last command of a session that was consumed; zero if none was.
    #[must_use]
    pub fn last_command(&self, session: &SessionId) -> u64 {
        self.sessions.last_number(session)
    }

    /// Whether a session was ever forgotten.
    #[must_use]
    pub fn forgot_session(&self) -> bool {
        self.sessions.forgot
    }

    /// The first request with this account and id, with the hash of its content.
    #[must_use]
    pub fn request(&self, account: &str, request_id: &str) -> Option<(u64, Repeated)> {
        self.requests.get(account, request_id)
    }

    /// The first command of a session with this number, if it is remembered.
    #[must_use]
    pub fn command(&self, session: &SessionId, number: u64) -> Option<Repeated> {
        self.sessions.command(session, number).map(|(_, first)| first)
    }

    /// The intent that an id stands for: itself, or the first one that it repeated.
    #[must_use]
    pub fn first_of(&self, id: OrderId) -> OrderId {
        self.requests.first_of(id).unwrap_or(id)
    }

    /// Notes that a node's next intent is consumed; `false` if it is not the next.
    pub(super) fn consume(&mut self, id: OrderId) -> bool {
        let last = self.consumed.entry(id.node).or_insert(0);
        let next =
            id.counter.checked_sub(1) == Some(*last) || (planted(Plant::OutOfOrder) && id.counter > *last);
        if next {
            *last = id.counter;
        }
        next
    }

    /// What becomes of an intent before its machine is asked; `None` if the machine decides.
    /// Repeats come first, then age.
    pub(super) fn screen(&self, intent: &Intent, time: Micros) -> Option<Event> {
        match self.know(intent) {
            Known::Refused(reason) => Some(Event::Refused { reason }),
            Known::Repeat(first) => Some(Event::Repeated { first: first.map(|first| first.intent) }),
            Known::New => self.screen_age(intent, time),
        }
    }

    fn know(&self, intent: &Intent) -> Known {
        match &intent.request.origin {
            Origin::Request(_) if intent.request.is_of_stream() => Known::New,
            Origin::Request(id) => match self.request(&intent.request.account, id) {
                None => Known::New,
                Some((hash, _)) if hash != intent.request.body_hash => {
                    Known::Refused(Reason::RequestIdReused)
                }
                Some((_, first)) => Known::Repeat(Some(first)),
            },
            Origin::Command { session, number } => {
                self.sessions.know(session, *number, &intent.request.action)
            }
        }
    }

    /// Whether an order's own times let it have its turn at a tape time: GTD is dead from its time on,
    /// that instant included, and `sequence_by` is the last instant at which it may be sequenced.
    fn screen_age(&self, intent: &Intent, time: Micros) -> Option<Event> {
        let forgotten = self.floor.is_some_and(|floor| intent.based_on <= floor);
        let expired = |reason| Some(Event::Refused { reason });
        match &intent.request.action {
            Action::Place(_)
            | Action::Amend(_)
            | Action::CancelAll(_)
            | Action::Switch(_)
            | Action::Kill(_)
            | Action::SetState(_)
            | Action::SetRules(_)
            | Action::SetLimits(_)
            | Action::ChangeVoters(_)
            | Action::RemoveNode(_)
            | Action::Invite(_)
                if forgotten =>
            {
                expired(Reason::Forgotten)
            }
            Action::Place(place) if place.sequence_by.is_some_and(|by| by < time) => {
                expired(Reason::SequenceBy)
            }
            Action::Place(place)
                if place.expires.is_some_and(|at| at <= time) && !planted(Plant::LateOrder) =>
            {
                expired(Reason::ExpireTime)
            }
            Action::Invalid => Some(Event::Nothing),
            _ => None,
        }
    }

    /// The first request that a repeat repeats.
    pub(super) fn repeated(&self, intent: &Intent, events: &[Event]) -> Option<Repeated> {
        if !is_repeated(events) {
            return None;
        }
        match self.know(intent) {
            Known::Repeat(Some(first)) => Some(first),
            // Which intent was the first is not kept any more.
            _ => Some(Repeated { intent: OrderId::default(), position: Position(0) }),
        }
    }

    /// Remembers a consumed intent and what happened. `target` is the intent that it withdrew before its
    /// turn.
    pub(super) fn remember(
        &mut self,
        (id, intent): (OrderId, &Intent),
        events: &[Event],
        (time, position): (Micros, Position),
        target: Option<&Intent>,
    ) {
        self.mark(id, intent, events, target);
        if is_repeated(events) {
            if let Known::Repeat(Some(first)) = self.know(intent) {
                self.requests.repeated(id, first, time);
            }
        } else {
            let first = Repeated { intent: id, position };
            match &intent.request.origin {
                Origin::Command { session, number } => {
                    self.sessions.remember(session.id, *number, &intent.request.action, first, time);
                }
                Origin::Request(_) if refused(events) == Reason::RequestIdReused => {}
                Origin::Request(_) if intent.request.is_of_stream() => {}
                Origin::Request(request_id) => {
                    let Intent { request, .. } = intent;
                    self.requests.remember(&request.account, request_id, request.body_hash, first, time);
                }
            }
        }
        let forgotten = self.requests.forget(self.caps.requests).max(self.sessions.forget(&self.caps));
        self.floor = self.floor.max(forgotten);
    }
}

#[cfg(test)]
mod tests;

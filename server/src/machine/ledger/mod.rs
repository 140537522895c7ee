//! What a tape keeps beside its book: how far each node's intents are consumed, and which requests
//! were seen, so that a repeat has no second effect wherever it was accepted.
//!
//! Requests are remembered down to a *floor* of tape time; how many is bounded. Below the floor a
//! repeat can't be told from a first, so an intent that was accepted on a view at or below it has
//! no effect.

mod parts;
mod withdraw;

use std::collections::{BTreeMap, HashMap, VecDeque};

use rustc_hash::FxBuildHasher;
use xbook_proto::record::v1::Outcome;
use xbook_proto::v1::Reason;

use super::intent::{Action, Intent, Origin, SessionId, key};
use super::journal::Repeated;
use super::step::Step;
use crate::plant::{Plant, planted};
use crate::types::{Micros, NodeId, OrderId, Position};

pub use withdraw::Unconsumed;

/// Requests with an id that are remembered.
const REMEMBERED_REQUESTS: usize = 262_144;

/// Sessions that are remembered.
const REMEMBERED_SESSIONS: usize = 16_384;

type RequestKey = [u8; 16];

/// Consumed counters and remembered requests.
#[derive(Clone, Default, Debug)]
pub struct Ledger {
    consumed: BTreeMap<NodeId, u64>,
    requests: HashMap<RequestKey, Remembered, FxBuildHasher>,
    by_age: VecDeque<(Micros, RequestKey)>,
    sessions: HashMap<SessionId, Session, FxBuildHasher>,
    sessions_by_use: BTreeMap<(Micros, SessionId), ()>,
    floor: Option<Micros>,
    marks: withdraw::Marks,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    body_hash: u64,
    first: Repeated,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    last_number: u64,
    last_use: Micros,
}

impl Ledger {
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
        self.sessions.get(session).map_or(0, |session| session.last_number)
    }

    /// The first request with this account and id, with the hash of its content.
    #[must_use]
    pub fn request(&self, account: &str, request_id: &str) -> Option<(u64, Repeated)> {
        let remembered = self.requests.get(&request_key(account, request_id))?;
        Some((remembered.body_hash, remembered.first))
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
    pub(super) fn screen(&self, intent: &Intent, time: Micros) -> Option<Step> {
        let screened = match &intent.request.origin {
            Origin::Request(id) => self.screen_request(&intent.request.account, id, intent.request.body_hash),
            Origin::Command { session, number } => self.screen_command(session, *number),
        };
        screened.or_else(|| self.screen_age(intent, time))
    }

    fn screen_request(&self, account: &str, id: &str, body_hash: u64) -> Option<Step> {
        let (known_hash, first) = self.request(account, id)?;
        if known_hash != body_hash {
            return Some(Step::refused(Reason::RequestIdReused));
        }
        let mut step = Step::plain(Outcome::Repeated, Reason::Unspecified);
        step.orders.push(first.intent);
        Some(step)
    }

    fn screen_command(&self, session: &SessionId, number: u64) -> Option<Step> {
        let next = self.last_command(session) + 1;
        match number.cmp(&next) {
            std::cmp::Ordering::Less => Some(Step::plain(Outcome::Repeated, Reason::Unspecified)),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(Step::refused(Reason::SessionGap)),
        }
    }

    fn screen_age(&self, intent: &Intent, time: Micros) -> Option<Step> {
        let forgotten = self.floor.is_some_and(|floor| intent.based_on <= floor);
        let late = match &intent.request.action {
            Action::Place(place) => place.sequence_by.is_some_and(|by| by < time),
            _ => false,
        };
        match &intent.request.action {
            Action::Place(_) | Action::Amend(_) | Action::ChangeVoters(_) | Action::RemoveNode(_)
                if forgotten =>
            {
                Some(Step::plain(Outcome::Expired, Reason::Forgotten))
            }
            Action::Invalid => Some(Step::plain(Outcome::Refused, Reason::Unspecified)),
            _ if late => Some(Step::plain(Outcome::Expired, Reason::SequenceBy)),
            _ => None,
        }
    }

    /// The first request that a repeat repeats.
    pub(super) fn repeated(&self, intent: &Intent, step: &Step) -> Option<Repeated> {
        (step.outcome == Outcome::Repeated).then(|| match &intent.request.origin {
            Origin::Request(id) => self.request(&intent.request.account, id).map(|(_, first)| first),
            // Which intent was the first is not kept.
            Origin::Command { .. } => Some(Repeated { intent: OrderId::default(), position: Position(0) }),
        })?
    }

    /// Remembers a consumed intent and its outcome.
    pub(super) fn remember(
        &mut self,
        id: OrderId,
        intent: &Intent,
        step: &Step,
        time: Micros,
        position: Position,
    ) {
        self.mark(id, intent, step);
        match &intent.request.origin {
            Origin::Command { session, number } => self.remember_command(*session, *number, time),
            Origin::Request(request_id) => {
                let reused = step.outcome == Outcome::Refused && step.reason == Reason::RequestIdReused;
                if step.outcome != Outcome::Repeated && !reused {
                    let first = Repeated { intent: id, position };
                    let remembered = Remembered { body_hash: intent.request.body_hash, first };
                    self.remember_request(request_key(&intent.request.account, request_id), remembered, time);
                }
            }
        }
    }

    fn remember_request(&mut self, key: RequestKey, remembered: Remembered, time: Micros) {
        self.requests.insert(key, remembered);
        self.by_age.push_back((time, key));
        if self.by_age.len() > REMEMBERED_REQUESTS
            && let Some((time, key)) = self.by_age.pop_front()
        {
            self.requests.remove(&key);
            self.floor = self.floor.max(Some(time));
        }
    }

    fn remember_command(&mut self, id: SessionId, number: u64, time: Micros) {
        let known = self.sessions.get(&id).copied();
        let last_number = known.map_or(0, |session| session.last_number);
        if last_number + 1 != number {
            return;
        }
        if known.is_none_or(|session| session.last_use != time) {
            if let Some(session) = known {
                self.sessions_by_use.remove(&(session.last_use, id));
            }
            self.sessions_by_use.insert((time, id), ());
        }
        self.sessions.insert(id, Session { last_number: number, last_use: time });
        if self.sessions.len() > REMEMBERED_SESSIONS
            && let Some(((time, oldest), ())) = self.sessions_by_use.pop_first()
        {
            self.sessions.remove(&oldest);
            self.floor = self.floor.max(Some(time));
        }
    }
}

fn request_key(account: &str, request_id: &str) -> RequestKey {
    key(&[b"request", account.as_bytes(), request_id.as_bytes()])
}

#[cfg(test)]
mod tests;

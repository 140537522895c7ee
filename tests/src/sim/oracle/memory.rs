//! Which requests must be told as repeats. The promise is in counts: a market remembers its last so
//! many requests, sessions and commands. What is older may be remembered or not.

use std::collections::BTreeMap;

use xbook::machine::{Action, Answer, Caps, Origin, Request, SessionId};
use xbook::types::{OrderId, Reason};

/// All requests that ever had their turn.
#[derive(Debug)]
pub struct Memory {
    caps: Caps,
    requests: BTreeMap<(String, String), Remembered>,
    sessions: BTreeMap<SessionId, Session>,
    commands: BTreeMap<(SessionId, u64), Remembered>,
    /// Intents that were told as repeats: their first, and how many came before the repeat, if the first
    /// was sure to be remembered then.
    repeats: BTreeMap<OrderId, (OrderId, Option<u64>)>,
    /// How many requests and repeats, and how many commands, had their turn.
    kept: u64,
    commanded: u64,
}

#[derive(Clone, Debug)]
struct Remembered {
    body_hash: u64,
    action: Action,
    first: OrderId,
    /// How many came before it.
    at: u64,
}

#[derive(Default, Debug)]
struct Session {
    last: u64,
    /// How many commands came before its last.
    at: u64,
}

impl Session {
    /// Whether so many commands came after its last, of so many at all, that other sessions may have taken
    /// its place.
    fn is_forgettable(&self, commanded: u64, caps: &Caps) -> bool {
        commanded - self.at > caps.sessions as u64
    }
}

/// What must be made of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recall {
    /// It takes effect.
    New,
    /// It has none: it repeats another one.
    Repeat,
    /// It has none, and is refused.
    Refused,
}

impl Memory {
    /// Of a market with these caps.
    #[must_use]
    pub fn new(caps: Caps) -> Self {
        Self {
            caps,
            requests: BTreeMap::new(),
            sessions: BTreeMap::new(),
            commands: BTreeMap::new(),
            repeats: BTreeMap::new(),
            kept: 0,
            commanded: 0,
        }
    }

    /// A request has its turn; `answer` decides where both are right.
    pub fn recall(&mut self, id: OrderId, request: &Request, answer: &Answer) -> Recall {
        let recall = match &request.origin {
            // A node says it each time as if it were the first.
            Origin::Request(_) if request.is_of_stream() => return Recall::New,
            Origin::Request(text) => {
                let key = (request.account.to_string(), text.to_string());
                self.recall_request(key, id, request, answer)
            }
            Origin::Command { session, number } => {
                self.recall_command((session.id, *number), id, request, answer)
            }
        };
        if let (Recall::Repeat, Some((first, sure))) = (recall, self.known(request)) {
            self.repeats.insert(id, (first, sure.then_some(self.kept)));
        }
        self.kept += 1;
        recall
    }

    fn recall_request(
        &mut self,
        key: (String, String),
        id: OrderId,
        request: &Request,
        answer: &Answer,
    ) -> Recall {
        if let Some(known) = self.requests.get(&key) {
            let sure = self.kept - known.at < self.caps.requests as u64;
            let told = answer.repeats.is_some() || answer.refused == Reason::RequestIdReused;
            if sure || told {
                let same = known.body_hash == request.body_hash;
                return if same { Recall::Repeat } else { Recall::Refused };
            }
        }
        self.requests.insert(key, remembered(id, request, self.kept));
        Recall::New
    }

    fn recall_command(
        &mut self,
        (session, number): (SessionId, u64),
        id: OrderId,
        request: &Request,
        answer: &Answer,
    ) -> Recall {
        let known = self.sessions.entry(session).or_default();
        let forgettable = known.is_forgettable(self.commanded, &self.caps);
        if answer.refused == Reason::SessionForgotten && known.last > 0 && forgettable {
            return Recall::Refused;
        }
        let begins_anew = number == 1 && forgettable && answer.repeats.is_none();
        if number <= known.last && !begins_anew {
            let first = self.commands.get(&(session, number));
            let other = first.is_some_and(|first| !same(&first.action, &request.action));
            let sure = first.is_some_and(|first| self.commanded - first.at < self.caps.commands as u64);
            let told = answer.refused == Reason::CommandReused;
            return if other && (sure || told) { Recall::Refused } else { Recall::Repeat };
        }
        if number > known.last + 1 {
            return Recall::Refused;
        }
        (known.last, known.at) = (number, self.commanded);
        self.commands.insert((session, number), remembered(id, request, self.commanded));
        self.commanded += 1;
        Recall::New
    }

    fn first(&self, origin: &Origin, request: &Request) -> Option<Remembered> {
        match origin {
            Origin::Request(text) => {
                self.requests.get(&(request.account.to_string(), text.to_string())).cloned()
            }
            Origin::Command { session, number } => self.commands.get(&(session.id, *number)).cloned(),
        }
    }

    /// The order that an id stands for, and whether that must still be known.
    #[must_use]
    pub fn first_of(&self, id: OrderId) -> (OrderId, bool) {
        match self.repeats.get(&id) {
            Some((first, at)) => (*first, at.is_some_and(|at| self.kept - at < self.caps.requests as u64)),
            None => (id, true),
        }
    }

    /// The order of the first request like this one, if there was one, and whether that must still be
    /// known.
    #[must_use]
    pub fn known(&self, request: &Request) -> Option<(OrderId, bool)> {
        let first = self.first(&request.origin, request)?;
        let sure = match &request.origin {
            Origin::Request(_) => self.kept - first.at < self.caps.requests as u64,
            Origin::Command { session, .. } => {
                // With its session, a command is forgotten sooner.
                let known = self.sessions.get(&session.id);
                let stays = known.is_some_and(|known| !known.is_forgettable(self.commanded, &self.caps));
                stays && self.commanded - first.at < self.caps.commands as u64
            }
        };
        Some((first.first, sure))
    }
}

fn remembered(first: OrderId, request: &Request, at: u64) -> Remembered {
    Remembered { body_hash: request.body_hash, action: request.action.clone(), first, at }
}

/// Whether two commands ask for the same. Until when they may be sequenced their nodes may have chosen.
fn same(one: &Action, other: &Action) -> bool {
    match (one, other) {
        (Action::Place(one), Action::Place(other)) => {
            let mut other = other.clone();
            other.sequence_by = one.sequence_by;
            *one == other
        }
        (Action::Invalid, _) | (_, Action::Invalid) => true,
        (one, other) => one == other,
    }
}

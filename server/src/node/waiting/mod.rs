//! Who waits for which of this node's intents.
//!
//! Requests get their counters in the order in which they are submitted, and outcomes come in the
//! order of counters, so waiting is a queue.

mod call;
mod outcome;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use crate::machine::{Account, Block, Intent, Origin, Repeated, Request};
use crate::types::{NodeId, OrderId};
pub use call::{Asked, CallNews, Caller, SubmitError, call};
pub use outcome::{Outcome, SessionNews};

/// The waiters of one replica.
pub(super) struct Waiting {
    node: NodeId,
    /// Counter of the first request that somebody waits for.
    next: u64,
    queue: VecDeque<Waiters>,
    /// The calls in the queue, and how many of them are accepted.
    calls: VecDeque<Call>,
    accepted: usize,
    /// The calls' requests with an id whose outcome is not committed yet: the first one with each. The tape
    /// decides about repeats, whichever node they reach; this only lets one that is answered before that be
    /// told the first one's order. As all here, no more than intents may wait.
    on_their_way: HashMap<Key, First>,
    /// Those of them that an earlier process accepted, by counter. Nobody waits for them any more.
    earlier: BTreeMap<u64, Key>,
}

/// An account and the id of a request of its own.
type Key = (Account, Arc<str>);

/// The first of the requests with an id.
#[derive(Clone, Copy)]
struct First {
    /// Hash of its content.
    body_hash: u64,
    intent: OrderId,
}

/// Consecutive requests of one submission.
enum Waiters {
    /// The first of the calls.
    Call,
    Session {
        left: usize,
        told: UnboundedSender<SessionNews>,
    },
}

/// A call whose outcome is not committed yet.
struct Call {
    counter: u64,
    key: Option<Key>,
    /// Hash of its content.
    body_hash: u64,
    /// The intent that it is told: its own, or that of the first with its id.
    first: OrderId,
    /// None if it wanted no more than to be accepted.
    caller: Option<Caller>,
}

/// An outcome and who is to be told.
pub(super) enum Notice {
    Call(Caller, Outcome),
    Session(UnboundedSender<SessionNews>, Vec<Outcome>),
}

impl Waiting {
    /// Nobody waits yet; the first submitted request will get this counter. `earlier` is what an earlier process of
    /// this node accepted, and nothing has consumed.
    pub fn from<'a>(node: NodeId, next: u64, earlier: impl Iterator<Item = (OrderId, &'a Intent)>) -> Self {
        let mut waiting = Self {
            node,
            next,
            queue: VecDeque::new(),
            calls: VecDeque::new(),
            accepted: 0,
            on_their_way: HashMap::new(),
            earlier: BTreeMap::new(),
        };
        for (intent, Intent { request, .. }) in earlier {
            if let Some(key) = key(request) {
                let first = First { body_hash: request.body_hash, intent };
                waiting.on_their_way.entry(key.clone()).or_insert(first);
                waiting.earlier.insert(intent.counter, key);
            }
        }
        waiting
    }

    /// A session waits for so many requests.
    pub fn add_session(&mut self, requests: usize, told: UnboundedSender<SessionNews>) {
        self.queue.push_back(Waiters::Session { left: requests, told });
    }

    /// A call waits for a request, which gets this counter.
    pub fn add_call(&mut self, counter: u64, request: &Request, caller: Caller) {
        let me = First { body_hash: request.body_hash, intent: OrderId { node: self.node, counter } };
        let key = key(request);
        let first = key.as_ref().map_or(me, |key| *self.on_their_way.entry(key.clone()).or_insert(me));
        let body_hash = request.body_hash;
        self.calls.push_back(Call { counter, key, body_hash, first: first.intent, caller: Some(caller) });
        self.queue.push_back(Waiters::Call);
    }

    /// Whether a request on its way has the same account and id, and is another one.
    pub fn is_reused(&self, request: &Request) -> bool {
        let first = key(request).and_then(|key| self.on_their_way.get(&key));
        first.is_some_and(|first| first.body_hash != request.body_hash)
    }

    /// Requests up to a counter are on the disk. `known` tells of an account's request id which committed request
    /// had it first, and the hash of its content: one of another node may have been faster.
    pub fn accept(&mut self, through: u64, known: impl Fn(&Account, &str) -> Option<(u64, Repeated)>) {
        while let Some(call) = self.calls.get_mut(self.accepted).filter(|call| call.counter <= through) {
            let Call { key, body_hash, first, caller, .. } = call;
            let committed = key.as_ref().and_then(|(account, id)| known(account, id));
            let instead =
                committed.filter(|(_, repeated)| repeated.intent != *first).map(|(hash, repeated)| {
                    if hash == *body_hash { CallNews::Known(repeated) } else { CallNews::Reused }
                });
            *caller = caller.take().and_then(|caller| caller.accept(*first, instead));
            self.accepted += 1;
        }
    }

    /// The first request with a key is not on its way any more, if that is this intent.
    fn arrived(&mut self, key: &Key, intent: OrderId) {
        if self.on_their_way.get(key).is_some_and(|first| first.intent == intent) {
            self.on_their_way.remove(key);
        }
    }

    /// The first of the calls is not on its way any more; returns it if it still waits.
    fn end_call(&mut self) -> Option<Caller> {
        self.accepted = self.accepted.saturating_sub(1);
        let Call { counter, key, caller, .. } = self.calls.pop_front()?;
        if let Some(key) = key {
            self.arrived(&key, OrderId { node: self.node, counter });
        }
        caller
    }

    /// Requests up to a counter were committed while this node was away: their outcomes are not
    /// known here. A session is told so, a call finds its channel ended.
    pub fn skip(&mut self, through: u64) {
        let later = self.earlier.split_off(&through.saturating_add(1));
        for (counter, key) in std::mem::replace(&mut self.earlier, later) {
            self.arrived(&key, OrderId { node: self.node, counter });
        }
        while self.next <= through {
            match self.queue.front_mut() {
                None => {
                    self.next = through + 1;
                    break;
                }
                Some(Waiters::Session { left, told }) => {
                    let most = usize::try_from(through + 1 - self.next).unwrap_or(usize::MAX);
                    let skipped = (*left).min(most);
                    *left -= skipped;
                    self.next += skipped as u64;
                    // A session that has gone needs no word.
                    let _ = told.send(SessionNews::Away);
                    if *left == 0 {
                        self.queue.pop_front();
                    }
                }
                Some(Waiters::Call) => {
                    self.next += 1;
                    self.queue.pop_front();
                    drop(self.end_call());
                }
            }
        }
    }

    /// Who is to be told of a committed block.
    pub fn settle(&mut self, block: &Arc<Block>) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut session: Vec<Outcome> = Vec::new();
        for (at, answer) in block.answers.iter().enumerate() {
            if answer.intent.node != self.node {
                continue;
            }
            if let Some(key) = self.earlier.remove(&answer.intent.counter) {
                self.arrived(&key, answer.intent);
            }
            if answer.intent.counter < self.next {
                continue;
            }
            self.next = answer.intent.counter + 1;
            let outcome = Outcome::new(Arc::clone(block), at);
            match self.queue.front_mut() {
                None => {}
                Some(Waiters::Session { left, told }) => {
                    *left = left.saturating_sub(1);
                    session.push(outcome);
                    if *left == 0 {
                        notices.push(Notice::Session(told.clone(), std::mem::take(&mut session)));
                        self.queue.pop_front();
                    }
                }
                Some(Waiters::Call) => {
                    self.queue.pop_front();
                    notices.extend(self.end_call().map(|caller| Notice::Call(caller, outcome)));
                }
            }
        }
        if let (false, Some(Waiters::Session { told, .. })) = (session.is_empty(), self.queue.front()) {
            notices.push(Notice::Session(told.clone(), session));
        }
        notices
    }
}

impl Notice {
    /// Tells whoever waits; one that has gone needs no word.
    pub fn tell(self) {
        match self {
            Self::Call(caller, outcome) => caller.tell(CallNews::Committed(outcome)),
            Self::Session(told, outcomes) => _ = told.send(SessionNews::Outcomes(outcomes)),
        }
    }
}

fn key(request: &Request) -> Option<Key> {
    match &request.origin {
        Origin::Request(id) => Some((Account::clone(&request.account), Arc::clone(id))),
        Origin::Command { .. } => None,
    }
}

#[cfg(test)]
mod tests;

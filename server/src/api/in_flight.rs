//! Requests with an id that this node has accepted and whose outcome is not committed yet.
//!
//! The tape decides about repeats, whichever node they reach. This table only lets a repeat that
//! is answered before its outcome is committed be told the first one's order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::machine::{Account, Origin, Request};
use crate::node::{CallWaiter, Outcome};
use crate::types::OrderId;

type Key = (Arc<str>, Account, Arc<str>);

/// The table; shared by all calls.
#[derive(Default)]
pub(super) struct InFlight {
    requests: Mutex<HashMap<Key, First>>,
}

/// The first of the requests with an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct First {
    /// Hash of its content.
    pub body_hash: u64,
    /// Its intent.
    pub intent: OrderId,
}

/// The two moments of a submitted request.
pub(super) struct Submitted {
    /// Told once it is on this node's disk: itself, or the first one if it is a repeat.
    pub accepted: oneshot::Receiver<First>,
    /// Told once its outcome is committed.
    pub committed: oneshot::Receiver<Outcome>,
}

impl InFlight {
    /// The first request with the same account and id that is still on its way.
    pub fn first(&self, document: &Arc<str>, request: &Request) -> Option<First> {
        let key = key(document, request)?;
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    /// A waiter for a request that is about to be submitted. The request is in the table from when
    /// it is accepted until its outcome is committed, whether or not its caller stays so long.
    pub fn follow(self: &Arc<Self>, document: &Arc<str>, request: &Request) -> (CallWaiter, Submitted) {
        let (on_disk, accepted_by_node) = oneshot::channel();
        let (done, committed_by_node) = oneshot::channel();
        let (tell_accepted, accepted) = oneshot::channel();
        let (tell_committed, committed) = oneshot::channel();
        let (table, key, body_hash) = (Arc::clone(self), key(document, request), request.body_hash);
        tokio::spawn(async move {
            let Ok(intent) = accepted_by_node.await else {
                return;
            };
            let first = table.enter(key.clone(), First { body_hash, intent });
            // A caller that has gone needs no word.
            let _ = tell_accepted.send(first);
            let outcome = committed_by_node.await;
            table.leave(key, intent);
            if let Ok(outcome) = outcome {
                let _ = tell_committed.send(outcome);
            }
        });
        (CallWaiter { accepted: on_disk, committed: done }, Submitted { accepted, committed })
    }

    fn enter(&self, key: Option<Key>, request: First) -> First {
        match key {
            None => request,
            Some(key) => {
                let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
                *requests.entry(key).or_insert(request)
            }
        }
    }

    fn leave(&self, key: Option<Key>, intent: OrderId) {
        if let Some(key) = key {
            let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            if requests.get(&key).is_some_and(|first| first.intent == intent) {
                requests.remove(&key);
            }
        }
    }
}

fn key(document: &Arc<str>, request: &Request) -> Option<Key> {
    match &request.origin {
        Origin::Request(id) => Some((Arc::clone(document), request.account.clone(), id.clone())),
        Origin::Command { .. } => None,
    }
}

//! A call with one request, as it waits for its word.

use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;

use super::outcome::Outcome;
use crate::machine::Repeated;
use crate::node::quarantine::Closed;
use crate::types::OrderId;

/// The one word that a call with one request waits for. A replica wakes a call once.
pub enum CallNews {
    /// It was not taken.
    Refused(SubmitError),
    /// It was not taken: another request of its account has its id.
    Reused,
    /// It was not taken: it repeats this request, whose outcome is committed.
    Known(Repeated),
    /// It is on this node's disk. This is its intent, or that of the first one that it repeats, if that is
    /// still on its way. Only told to whoever [wants](call) no more than that.
    Accepted(OrderId),
    /// Its outcome is committed.
    Committed(Outcome),
}

/// A call, as its replica has it.
pub struct Caller {
    news: oneshot::Sender<CallNews>,
    /// Set when the request is accepted, which wakes nobody.
    accepted: Arc<OnceLock<OrderId>>,
    on_acceptance: bool,
}

/// A call's request on its way.
pub struct Asked {
    news: oneshot::Receiver<CallNews>,
    accepted: Arc<OnceLock<OrderId>>,
}

/// A call that waits for a word: that its request is accepted, or that its outcome is committed.
#[must_use]
pub fn call(on_acceptance: bool) -> (Caller, Asked) {
    let (sender, news) = oneshot::channel();
    let accepted = Arc::<OnceLock<OrderId>>::default();
    (Caller { news: sender, accepted: Arc::clone(&accepted), on_acceptance }, Asked { news, accepted })
}

impl Caller {
    /// Whether nobody waits for the word any more.
    pub(in crate::node) fn is_gone(&self) -> bool {
        self.news.is_closed()
    }

    /// Tells the word; one that has gone needs none.
    pub(in crate::node) fn tell(self, news: CallNews) {
        let _ = self.news.send(news);
    }

    /// The request is accepted; returns the call if it waits for more than that. `instead` is what there is to tell if
    /// another one with its id is committed.
    pub(in crate::node) fn accept(self, intent: OrderId, instead: Option<CallNews>) -> Option<Self> {
        // It is accepted once.
        let _ = self.accepted.set(intent);
        if self.on_acceptance {
            self.tell(instead.unwrap_or(CallNews::Accepted(intent)));
            return None;
        }
        Some(self)
    }
}

impl Asked {
    /// The word; nothing if the replica has ended, or the outcome was committed while this node was away.
    pub async fn news(&mut self) -> Option<CallNews> {
        (&mut self.news).await.ok()
    }

    /// The request's intent, or that of the first one that it repeats, if it is on this node's disk.
    #[must_use]
    pub fn accepted(&self) -> Option<OrderId> {
        self.accepted.get().copied()
    }
}

/// Why requests were not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubmitError {
    /// Too many requests wait; none of these was taken.
    #[error("too many requests wait to be sequenced")]
    Overloaded,
    /// The replica has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
}

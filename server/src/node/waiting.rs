//! Who waits for which of this node's intents.
//!
//! Requests get their counters in the order in which they are submitted, and outcomes come in the
//! order of counters, so waiting is a queue.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::handle::{Outcome, SessionNews, Waiter};
use crate::machine::Block;
use crate::types::{NodeId, OrderId};

/// The waiters of one replica.
pub(super) struct Waiting {
    node: NodeId,
    /// Counter of the first request that somebody waits for.
    next: u64,
    queue: VecDeque<Waiters>,
    accepted: VecDeque<(u64, oneshot::Sender<OrderId>)>,
}

/// Consecutive requests of one submission.
struct Waiters {
    left: usize,
    waiter: Told,
}

enum Told {
    Call(oneshot::Sender<Outcome>),
    Session(UnboundedSender<SessionNews>),
}

/// An outcome and who is to be told.
pub(super) enum Notice {
    Call(oneshot::Sender<Outcome>, Outcome),
    Session(UnboundedSender<SessionNews>, Vec<Outcome>),
}

impl Waiting {
    /// Nobody waits yet; the first submitted request will get this counter.
    pub fn from(node: NodeId, next: u64) -> Self {
        Self { node, next, queue: VecDeque::new(), accepted: VecDeque::new() }
    }

    /// Someone waits for requests whose counters begin at `first`.
    pub fn add(&mut self, first: u64, requests: usize, waiter: Waiter) {
        let waiter = match waiter {
            Waiter::Call(call) => {
                self.accepted.push_back((first, call.accepted));
                Told::Call(call.committed)
            }
            Waiter::Session(session) => Told::Session(session),
        };
        self.queue.push_back(Waiters { left: requests, waiter });
    }

    /// Requests up to a counter are on the disk.
    pub fn accept(&mut self, through: u64) {
        while let Some((counter, _)) = self.accepted.front().filter(|(counter, _)| *counter <= through) {
            let id = OrderId { node: self.node, counter: *counter };
            if let Some((_, told)) = self.accepted.pop_front() {
                // A caller that has gone needs no word.
                let _ = told.send(id);
            }
        }
    }

    /// Requests up to a counter were committed while this node was away: their outcomes are not
    /// known here. A session is told so, a call finds its channel ended.
    pub fn skip(&mut self, through: u64) {
        while self.next <= through {
            let Some(front) = self.queue.front_mut() else {
                self.next = through + 1;
                return;
            };
            let skipped = front.left.min(usize::try_from(through + 1 - self.next).unwrap_or(usize::MAX));
            front.left -= skipped;
            self.next += skipped as u64;
            if let Told::Session(told) = &front.waiter {
                // A session that has gone needs no word.
                let _ = told.send(SessionNews::Away);
            }
            if front.left == 0 {
                self.queue.pop_front();
            }
        }
        self.accepted.retain(|(counter, _)| *counter > through);
    }

    /// Who is to be told of a committed block.
    pub fn settle(&mut self, block: &Arc<Block>) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut session: Vec<Outcome> = Vec::new();
        for (at, answer) in block.answers.iter().enumerate() {
            if answer.intent.node != self.node || answer.intent.counter < self.next {
                continue;
            }
            self.next = answer.intent.counter + 1;
            let outcome = Outcome::new(Arc::clone(block), at);
            let Some(front) = self.queue.front_mut() else {
                continue;
            };
            front.left = front.left.saturating_sub(1);
            let done = front.left == 0;
            match &front.waiter {
                Told::Session(told) => {
                    session.push(outcome);
                    if done {
                        notices.push(Notice::Session(told.clone(), std::mem::take(&mut session)));
                        self.queue.pop_front();
                    }
                }
                Told::Call(_) => {
                    if let Some(Waiters { waiter: Told::Call(told), .. }) = self.queue.pop_front() {
                        notices.push(Notice::Call(told, outcome));
                    }
                }
            }
        }
        if let (false, Some(Waiters { waiter: Told::Session(told), .. })) =
            (session.is_empty(), self.queue.front())
        {
            notices.push(Notice::Session(told.clone(), session));
        }
        notices
    }
}

impl Notice {
    /// Tells whoever waits; one that has gone needs no word.
    pub fn tell(self) {
        match self {
            Self::Call(told, outcome) => _ = told.send(outcome),
            Self::Session(told, outcomes) => _ = told.send(SessionNews::Outcomes(outcomes)),
        }
    }
}

//! What a client was told stays true: an accepted request is found again and is consumed once, by
//! the sequence that everyone sees.

use std::collections::{BTreeMap, BTreeSet};

use xbook::machine::{Account, Action, Block, Request};
use xbook::replica::Replica;
use xbook::types::{NodeId, OrderId, Position};

/// A promise to a client is broken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PromiseViolation {
    /// Accepted, then gone.
    #[error("node {node} accepted its intents up to {accepted} and has only {found} after a restart")]
    Forgotten {
        /// The node.
        node: NodeId,
        /// What it accepted.
        accepted: u64,
        /// What it has.
        found: u64,
    },
    /// Shown, then not shown any more.
    #[error("node {node} showed everything up to position {before} and shows {shows} after a restart")]
    TakenBack {
        /// The node.
        node: NodeId,
        /// What it showed.
        before: Position,
        /// What it shows.
        shows: Position,
    },
    /// Nobody asked for it.
    #[error("intent {intent} is consumed, and no client sent it")]
    Invented {
        /// The intent.
        intent: OrderId,
    },
    /// Consumed twice.
    #[error("intent {intent} is consumed twice")]
    Twice {
        /// The intent.
        intent: OrderId,
    },
    /// Accepted and never consumed, though all is well again.
    #[error("intent {intent} was accepted and never consumed")]
    Unanswered {
        /// The intent.
        intent: OrderId,
    },
    /// Not in its node's order.
    #[error("intent {intent} is consumed after {last} of the same node")]
    OutOfOrder {
        /// The intent.
        intent: OrderId,
        /// The last one before it.
        last: u64,
    },
}

/// What was promised.
#[derive(Default, Debug)]
pub struct Promises {
    intents: BTreeMap<OrderId, Request>,
    accepted: BTreeMap<NodeId, u64>,
    consumed: BTreeSet<OrderId>,
    last: BTreeMap<NodeId, u64>,
    /// Orders that an account asked to withdraw.
    withdraws: BTreeSet<(OrderId, Account)>,
}

impl Promises {
    /// A request was handed to a node. If the node forgets it unaccepted, its number is free again.
    pub fn submitted(&mut self, id: OrderId, request: Request) {
        if let Action::Withdraw(order) = request.action {
            self.withdraws.insert((order, request.account.clone()));
        }
        self.intents.insert(id, request);
    }

    /// Whether an account asked to withdraw an order.
    #[must_use]
    pub fn is_withdrawn(&self, order: OrderId, account: &Account) -> bool {
        self.withdraws.contains(&(order, account.clone()))
    }

    /// The request behind an intent.
    #[must_use]
    pub fn request(&self, id: OrderId) -> Option<&Request> {
        self.intents.get(&id)
    }

    /// A node told its clients that their requests are on its disk.
    pub fn accepted(&mut self, node: NodeId, through: u64) {
        let accepted = self.accepted.entry(node).or_insert(0);
        *accepted = through.max(*accepted);
    }

    /// A node lost its disk for good, and with it what nobody else had.
    pub fn lost(&mut self, node: NodeId) {
        self.accepted.remove(&node);
    }

    /// How far a node accepted.
    #[must_use]
    pub fn accepted_by(&self, node: NodeId) -> u64 {
        self.accepted.get(&node).copied().unwrap_or(0)
    }

    /// Whether a change of voters is asked for that may still be consumed.
    #[must_use]
    pub fn changes_voters(&self) -> bool {
        let waits = |(id, request): (&OrderId, &Request)| {
            matches!(request.action, Action::ChangeVoters(_)) && !self.consumed.contains(id)
        };
        self.intents.iter().any(waits)
    }

    /// A node came back.
    ///
    /// # Errors
    /// It does not have what it accepted.
    pub fn restarted(&mut self, replica: &Replica) -> Result<(), PromiseViolation> {
        let (node, found) = (replica.node(), replica.next_counter() - 1);
        // What it forgot was never sent to anyone.
        let forgotten = OrderId { node, counter: found + 1 }..=OrderId { node, counter: u64::MAX };
        let forgotten: Vec<OrderId> = self.intents.range(forgotten).map(|(id, _)| *id).collect();
        for id in forgotten.iter().filter(|id| !self.consumed.contains(id)) {
            self.intents.remove(id);
        }
        let accepted = self.accepted_by(node);
        if found < accepted { Err(PromiseViolation::Forgotten { node, accepted, found }) } else { Ok(()) }
    }

    /// A node that has just started is read from.
    ///
    /// # Errors
    /// It shows less than it did before.
    pub fn shows(&self, replica: &Replica, before: Position) -> Result<(), PromiseViolation> {
        let (node, shows) = (replica.node(), replica.view().position());
        if shows < before { Err(PromiseViolation::TakenBack { node, before, shows }) } else { Ok(()) }
    }

    /// The sequence goes on.
    ///
    /// # Errors
    /// It consumes what it must not.
    pub fn consumed(&mut self, block: &Block) -> Result<(), PromiseViolation> {
        for answer in &block.answers {
            let intent = answer.intent;
            if !self.intents.contains_key(&intent) {
                return Err(PromiseViolation::Invented { intent });
            }
            if !self.consumed.insert(intent) {
                return Err(PromiseViolation::Twice { intent });
            }
            let last = self.last.entry(intent.node).or_insert(0);
            if *last + 1 != intent.counter {
                return Err(PromiseViolation::OutOfOrder { intent, last: *last });
            }
            *last = intent.counter;
        }
        Ok(())
    }

    /// All is well again.
    ///
    /// # Errors
    /// Something that was accepted is not consumed.
    pub fn settled(&self) -> Result<(), PromiseViolation> {
        for (node, accepted) in &self.accepted {
            let last = self.last.get(node).copied().unwrap_or(0);
            if last < *accepted {
                let intent = OrderId { node: *node, counter: last + 1 };
                return Err(PromiseViolation::Unanswered { intent });
            }
        }
        Ok(())
    }

    /// How many intents were consumed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.consumed.len()
    }
}

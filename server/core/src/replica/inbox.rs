//! The intents that the document has and the view has not consumed yet, of each node.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use crate::machine::{Action, Intent, Unconsumed};
use crate::types::{NodeId, OrderId};

/// Unconsumed intents by node, each node's without gaps.
#[derive(Default, Debug)]
pub(super) struct Inbox {
    queues: BTreeMap<NodeId, Queue>,
    /// The kept intents that would withdraw an order, by that order.
    withdraws: BTreeMap<OrderId, Vec<OrderId>>,
}

#[derive(Default, Debug)]
struct Queue {
    /// Counter before the first intent that is kept.
    released: u64,
    intents: VecDeque<Intent>,
    /// Counter after the last intent that a tape of this document consumed, applied here or not.
    sequenced: u64,
}

impl Inbox {
    /// An inbox that goes on after the intents that were consumed.
    pub fn after(counters: impl Iterator<Item = (NodeId, u64)>) -> Self {
        let queue = |(node, released)| (node, Queue { released, ..Queue::default() });
        Self { queues: counters.map(queue).collect(), withdraws: BTreeMap::new() }
    }

    /// Takes a node's next intents; `false` if they are not its next.
    #[must_use]
    pub fn add(&mut self, node: NodeId, first_counter: u64, intents: Vec<Intent>) -> bool {
        let queue = self.queues.entry(node).or_default();
        let next = queue.last() + 1 == first_counter;
        if next {
            for (intent, counter) in intents.iter().zip(first_counter..) {
                if let Action::Withdraw(order) = intent.request.action {
                    self.withdraws.entry(order).or_default().push(OrderId { node, counter });
                }
            }
            queue.intents.extend(intents);
        }
        next
    }

    /// Counter of the last intent of a node; zero before the first.
    pub fn last(&self, node: NodeId) -> u64 {
        self.queues.get(&node).map_or(0, Queue::last)
    }

    /// A tape of the document consumed a node's intents before this counter.
    pub fn sequenced(&mut self, node: NodeId, before: u64) {
        let queue = self.queues.entry(node).or_default();
        queue.sequenced = queue.sequenced.max(before);
    }

    /// Counter of the last intent of a node that a tape of the document consumed.
    pub fn settled(&self, node: NodeId) -> u64 {
        self.queues.get(&node).map_or(0, |queue| queue.released.max(queue.sequenced.saturating_sub(1)))
    }

    /// An intent that is still kept.
    pub fn get(&self, id: OrderId) -> Option<&Intent> {
        let queue = self.queues.get(&id.node)?;
        let at = id.counter.checked_sub(queue.released)?.checked_sub(1)?;
        queue.intents.get(usize::try_from(at).ok()?)
    }

    /// Whether a node's intents up to a counter have an order whose withdraw is behind them.
    pub fn parts_withdraw(&self, node: NodeId, through: u64) -> bool {
        let mut orders = self.withdraws.range(..=OrderId { node, counter: through }).rev();
        let behind = |id: &OrderId| id.node == node && id.counter > through;
        orders.by_ref().take_while(|(order, _)| order.node == node).any(|(_, by)| by.iter().any(behind))
    }

    /// The nodes that ever sent an intent.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.queues.keys().copied()
    }

    /// Lets go of a node's intents up to a counter: the view has consumed them.
    pub fn release(&mut self, node: NodeId, through: u64) {
        if let Some(queue) = self.queues.get_mut(&node) {
            while queue.released < through
                && let Some(intent) = queue.intents.pop_front()
            {
                queue.released += 1;
                if let Action::Withdraw(order) = intent.request.action
                    && let Entry::Occupied(mut withdraws) = self.withdraws.entry(order)
                {
                    withdraws.get_mut().retain(|id| *id != OrderId { node, counter: queue.released });
                    if withdraws.get().is_empty() {
                        withdraws.remove();
                    }
                }
            }
        }
    }

    /// A node's kept intents.
    pub fn of(&self, node: NodeId) -> impl Iterator<Item = (OrderId, &Intent)> {
        self.queues.get(&node).into_iter().flat_map(move |queue| {
            let ids = (queue.released + 1..).map(move |counter| OrderId { node, counter });
            ids.zip(&queue.intents)
        })
    }

    /// How many intents of a node are kept.
    pub fn len_of(&self, node: NodeId) -> usize {
        self.queues.get(&node).map_or(0, |queue| queue.intents.len())
    }
}

impl Unconsumed for Inbox {
    fn intent(&self, id: OrderId) -> Option<&Intent> {
        self.get(id)
    }

    fn withdraws(&self, order: OrderId) -> &[OrderId] {
        self.withdraws.get(&order).map_or(&[], Vec::as_slice)
    }
}

impl Queue {
    fn last(&self) -> u64 {
        self.released + self.intents.len() as u64
    }
}

//! The gate for restored directories.
//!
//! A data directory that was copied from another place may be an old copy, and whoever could tell may
//! be away. Its node promises, acknowledges and stands for nothing before it has heard a majority of the
//! *other* voters and has on its disk what they had: whatever was committed with its own word was also
//! on the disk of one of them. Before it has heard them it takes no requests and sends no changes. A single
//! voter has nobody to ask.

use std::collections::BTreeMap;

use super::message::Ack;
use super::{Effect, Replica};
use crate::document::Vector;
use crate::types::{GenerationNumber, Micros, NodeId};

/// Closed, with what was heard so far.
#[derive(Default, Debug)]
pub(super) struct Gate {
    heard: BTreeMap<NodeId, Heard>,
}

/// What was heard of a peer.
#[derive(Debug)]
struct Heard {
    generation: GenerationNumber,
    /// What its disk had of it.
    vector: Vector,
}

impl Replica {
    /// Whether this node may promise, acknowledge and stand: the gate lets it, and nobody claims that its
    /// disk is an old copy.
    #[must_use]
    pub fn may_vote(&self) -> bool {
        self.gate.is_none() && !self.claims.hold()
    }

    /// Whether this node is a voter and may vote.
    pub(super) fn votes(&self) -> bool {
        self.may_vote() && self.current.tape.voters().contains(&self.node)
    }

    /// Whether the gate lets this node take requests and send changes.
    pub(super) fn is_heard(&self) -> bool {
        self.gate.as_ref().is_none_or(|gate| self.are_enough(|voter| gate.heard.contains_key(voter)))
    }

    /// A peer said what its disk has, and nothing against this node's.
    pub(super) fn pass_by(&mut self, peer: NodeId, generation: GenerationNumber, ack: &Ack) {
        if let Some(gate) = &mut self.gate {
            gate.heard.entry(peer).or_insert_with(|| Heard { generation, vector: ack.vector.clone() });
        }
    }

    /// Opens the gate once enough was heard and stored.
    pub(super) fn tend_gate(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let Some(gate) = &self.gate else { return };
        let mine = (self.generation(), self.current.log.ack());
        let has = |voter: &NodeId| {
            gate.heard.get(voter).is_some_and(|Heard { generation, vector }| {
                let theirs = Ack { vector: vector.clone(), ..Ack::default() };
                *generation < mine.0 || *generation == mine.0 && mine.1.covers(&theirs)
            })
        };
        if self.are_enough(has) {
            self.gate = None;
            self.current.lease.wait(now);
            effects.push(Effect::GateOpened);
        }
    }

    /// Whether these are a majority of the other voters.
    fn are_enough(&self, which: impl Fn(&NodeId) -> bool) -> bool {
        let others = self.current.tape.voters().iter().filter(|voter| **voter != self.node);
        let (all, fit) = others.fold((0, 0), |(all, fit), voter| (all + 1, fit + usize::from(which(voter))));
        all == 0 || fit > all / 2
    }
}

//! At most one valid activation a term. That believed leases do not overlap is only counted: clocks
//! keep the peace and decide nothing.

use std::collections::BTreeMap;

use xbook::document::Actor;
use xbook::replica::Replica;
use xbook::types::NodeId;

/// Two valid activations of a term.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the document of node {node} has a valid lease of term {term} by {actor}; another one has {other}'s")]
pub struct LeaseViolation {
    node: NodeId,
    term: u64,
    actor: Actor,
    other: Actor,
}

/// Who held each term.
#[derive(Default, Debug)]
pub struct Leases {
    holders: BTreeMap<u64, Actor>,
    /// How often two live processes believed in their leases at one moment.
    pub overlaps: u64,
}

impl Leases {
    /// Looks at a node's document.
    ///
    /// # Errors
    /// A term has two holders.
    pub fn check(&mut self, replica: &Replica) -> Result<(), LeaseViolation> {
        for (term, actor) in replica.leases() {
            let other = *self.holders.entry(term).or_insert(actor);
            if other != actor {
                return Err(LeaseViolation { node: replica.node(), term, actor, other });
            }
        }
        Ok(())
    }

    /// How many terms had a holder.
    #[must_use]
    pub fn terms(&self) -> usize {
        self.holders.len()
    }
}

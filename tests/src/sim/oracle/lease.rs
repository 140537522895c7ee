//! At most one valid activation a term. That believed leases do not overlap is only counted: clocks
//! keep the peace and decide nothing.

use std::collections::BTreeMap;

use xbook::document::{Actor, LeaseId};
use xbook::replica::Replica;
use xbook::types::{GenerationNumber, NodeId, Term};

/// Two valid activations of a term.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the document of node {node} has a valid lease of term {term} of generation {generation} by {actor}; another \
     one has {other}'s"
)]
pub struct LeaseViolation {
    node: NodeId,
    generation: GenerationNumber,
    term: Term,
    actor: Actor,
    other: Actor,
}

/// Who held each term.
#[derive(Default, Debug)]
pub struct Leases {
    /// By generation and term.
    holders: BTreeMap<(GenerationNumber, Term), Actor>,
    /// How often two live processes believed in their leases at one moment.
    pub overlaps: u64,
}

impl Leases {
    /// Looks at a node's document.
    ///
    /// # Errors
    /// A term has two holders.
    pub fn check(&mut self, replica: &Replica) -> Result<(), LeaseViolation> {
        let generation = replica.generation();
        // A sole voter needs nobody's promise, so it may have a lease that its disk does not have
        // yet; a crash takes back what nobody else has seen.
        let alone = replica.status().voters == [replica.node()];
        let others = |lease: &LeaseId| !alone || lease.holder.node() != replica.node();
        for LeaseId { term, holder: actor } in replica.leases().filter(others) {
            let other = *self.holders.entry((generation, term)).or_insert(actor);
            if other != actor {
                return Err(LeaseViolation { node: replica.node(), generation, term, actor, other });
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

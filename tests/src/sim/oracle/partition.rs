//! During a clean partition the minority commits nothing and still accepts orders; the majority
//! goes on within the lease's duration and a stated bound.

use std::collections::{BTreeMap, BTreeSet};

use xbook::types::{NodeId, Position};

/// From the cut on, the minority may still show what was on its way to its own disk.
pub const GRACE: u64 = 150_000;

/// The majority goes on within this many leases: a voter that heard the holder just before the cut
/// waits for one, then for up to one more at random; if two of them collide, a second try.
pub const RESUME_LEASES: u64 = 5;

/// And this for disks and links.
pub const RESUME_EXTRA: u64 = 250_000;

/// Orders are accepted within this time.
pub const ACCEPT: u64 = 1_000_000;

/// The wrong side goes on, or the right one does not.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PartitionViolation {
    /// The minority committed something.
    #[error("node {node} is cut off with a minority and shows position {first} before anyone else")]
    MinorityCommits {
        /// The node.
        node: NodeId,
        /// The position.
        first: Position,
    },
    /// A node of the minority refuses orders.
    #[error("node {node} is cut off with a minority and did not accept an order within {} s", ACCEPT / 1_000_000)]
    MinorityRefuses {
        /// The node.
        node: NodeId,
    },
    /// The majority stands still.
    #[error("the majority has no lease within {RESUME_LEASES} leases of the cut")]
    MajorityStands,
}

/// A clean partition.
#[derive(Debug)]
pub struct Cut {
    /// Who is with the minority.
    pub minority: BTreeSet<NodeId>,
    /// When it began.
    pub since: u64,
    /// Until when the majority must have gone on.
    pub until: u64,
    /// How long it took the majority to go on: to commit, or to hold the lease if nobody asks.
    pub resumed: Option<u64>,
    /// Since when a node has orders that it has not accepted.
    pub asked: BTreeMap<NodeId, u64>,
}

impl Cut {
    /// A node shows a block that nobody showed before.
    ///
    /// # Errors
    /// It is in the minority.
    pub fn shown(&mut self, node: NodeId, first: Position, time: u64) -> Result<(), PartitionViolation> {
        if time < self.since + GRACE {
            return Ok(());
        }
        if self.minority.contains(&node) {
            return Err(PartitionViolation::MinorityCommits { node, first });
        }
        self.resumed.get_or_insert(time - self.since);
        Ok(())
    }

    /// A node is found to hold the lease.
    pub fn holds(&mut self, node: NodeId, time: u64) {
        if !self.minority.contains(&node) && time > self.since + GRACE {
            self.resumed.get_or_insert(time - self.since);
        }
    }

    /// Checks what must have happened by now.
    ///
    /// # Errors
    /// It has not.
    pub fn check(&self, time: u64) -> Result<(), PartitionViolation> {
        if self.resumed.is_none() && time > self.until {
            return Err(PartitionViolation::MajorityStands);
        }
        let late = |(node, at): &(&NodeId, &u64)| self.minority.contains(node) && time > **at + ACCEPT;
        match self.asked.iter().find(late) {
            Some((node, _)) => Err(PartitionViolation::MinorityRefuses { node: *node }),
            None => Ok(()),
        }
    }
}

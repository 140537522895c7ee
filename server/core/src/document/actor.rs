//! Who writes: a fresh actor at each start of a process and for each generation.

use std::fmt;

use crate::types::{Micros, NodeId};

/// A writer of a document: start time (48 bits of milliseconds), node, 16 random bits.
///
/// Later actors sort after earlier ones, which is cheap for Automerge. A lease holder is an actor,
/// not a node: a restarted node may have lost what it wrote last, and must not write it again
/// under the same term.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor(pub [u8; 16]);

impl Actor {
    /// An actor of a node that starts now.
    #[must_use]
    pub fn new(start: Micros, node: NodeId, random: u16) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&(start.0 / 1_000).to_be_bytes()[2..]);
        bytes[6..14].copy_from_slice(&node.0.to_be_bytes());
        bytes[14..].copy_from_slice(&random.to_be_bytes());
        Self(bytes)
    }

    /// The node that it belongs to.
    #[must_use]
    pub fn node(&self) -> NodeId {
        let mut node = [0; 8];
        node.copy_from_slice(&self.0[6..14]);
        NodeId(u64::from_be_bytes(node))
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

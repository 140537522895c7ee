//! What any node shows is a prefix of one sequence: nothing committed is lost, changed or reordered.

use std::collections::BTreeMap;
use std::sync::Arc;

use xbook::machine::Block;
use xbook::types::{NodeId, Position};

/// A node shows something else than another one did.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommittedViolation {
    /// Another block at the same place.
    #[error(
        "node {node} shows positions {first} to {last} as batch {batch}, node {other} showed {theirs:?} there"
    )]
    Differs {
        /// The node.
        node: NodeId,
        /// The node that showed the batch first.
        other: NodeId,
        /// The number of the batch.
        batch: u64,
        /// First position.
        first: Position,
        /// Last position.
        last: Position,
        /// The other's first and last position.
        theirs: (Position, Position),
    },
    /// Another digest after the same batches.
    #[error("node {node} has another digest after {batches} batches than node {other}")]
    Digest {
        /// The node.
        node: NodeId,
        /// The node whose digest was seen first.
        other: NodeId,
        /// How many batches.
        batches: u64,
    },
    /// A majority's disks do not hold what was shown.
    #[error("the disks of a majority fold to {have} batches, {shown} were shown")]
    Lost {
        /// What they hold.
        have: u64,
        /// What was shown.
        shown: u64,
    },
}

/// The one sequence.
#[derive(Default, Debug)]
pub struct Committed {
    blocks: Vec<(NodeId, Arc<Block>)>,
    digests: BTreeMap<u64, (NodeId, [u8; 32])>,
}

impl Committed {
    /// A node shows its next block; `true` if nobody showed it before.
    ///
    /// # Errors
    /// It is another one than was shown before.
    pub fn shown(
        &mut self,
        node: NodeId,
        batch: u64,
        block: &Arc<Block>,
    ) -> Result<bool, CommittedViolation> {
        let at = usize::try_from(batch).unwrap_or(usize::MAX);
        match self.blocks.get(at) {
            None => {
                self.blocks.push((node, block.clone()));
                Ok(true)
            }
            Some((_, known)) if known == block => Ok(false),
            Some((other, known)) => Err(CommittedViolation::Differs {
                node,
                other: *other,
                batch,
                first: block.first,
                last: block.last,
                theirs: (known.first, known.last),
            }),
        }
    }

    /// A node has a digest after some batches.
    ///
    /// # Errors
    /// Another node had another one.
    pub fn digest(&mut self, node: NodeId, batches: u64, digest: [u8; 32]) -> Result<(), CommittedViolation> {
        let (other, known) = *self.digests.entry(batches).or_insert((node, digest));
        if known == digest { Ok(()) } else { Err(CommittedViolation::Digest { node, other, batches }) }
    }

    /// How many blocks were shown.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// Whether none was shown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The blocks.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().map(|(_, block)| &**block)
    }
}

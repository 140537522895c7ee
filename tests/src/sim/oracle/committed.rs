//! What any node shows is a part of one sequence, across all generations: nothing committed is lost,
//! changed or reordered, and a node that was away leaves out whole generations and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use xbook::machine::Block;
use xbook::types::{GenerationNumber, NodeId, Position};

/// A node shows something else than another one did.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommittedViolation {
    /// Another block at the same place.
    #[error(
        "node {node} shows positions {first} to {last} in generation {generation}, node {other} showed {theirs:?} there"
    )]
    Differs {
        /// The node.
        node: NodeId,
        /// The node that showed the place first.
        other: NodeId,
        /// The generation.
        generation: GenerationNumber,
        /// First position.
        first: Position,
        /// Last position.
        last: Position,
        /// The other's first and last position.
        theirs: (Position, Position),
    },
    /// Not what follows.
    #[error("node {node} is at position {at} and shows position {first} next")]
    Gap {
        /// The node.
        node: NodeId,
        /// Where it was.
        at: Position,
        /// What it shows.
        first: Position,
    },
    /// Another digest at the same position.
    #[error("node {node} has another digest at position {at} of generation {generation} than node {other}")]
    Digest {
        /// The node.
        node: NodeId,
        /// The node whose digest was seen first.
        other: NodeId,
        /// The generation.
        generation: GenerationNumber,
        /// The position.
        at: Position,
    },
    /// A majority's disks do not hold what was shown.
    #[error("the disks of a majority fold to {have} batches of generation {generation}, {shown} were shown")]
    Lost {
        /// The generation.
        generation: GenerationNumber,
        /// What they hold.
        have: u64,
        /// What was shown.
        shown: u64,
    },
}

/// The one sequence.
#[derive(Default, Debug)]
pub struct Committed {
    blocks: Vec<Shown>,
    digests: BTreeMap<(GenerationNumber, Position), (NodeId, [u8; 32])>,
}

#[derive(Debug)]
struct Shown {
    node: NodeId,
    generation: GenerationNumber,
    block: Arc<Block>,
}

impl Committed {
    /// A node that is at a position shows its next block; `true` if nobody showed it before.
    ///
    /// # Errors
    /// It is another one than was shown before, or does not follow.
    pub fn shown(
        &mut self,
        node: NodeId,
        (generation, at): (GenerationNumber, Position),
        block: &Arc<Block>,
    ) -> Result<bool, CommittedViolation> {
        if block.first != at.next() || block.first > self.end().next() {
            return Err(CommittedViolation::Gap { node, at, first: block.first });
        }
        let goes_back = self.blocks.last().is_some_and(|last| last.generation > generation);
        if block.first == self.end().next() && !goes_back {
            self.blocks.push(Shown { node, generation, block: Arc::clone(block) });
            return Ok(true);
        }
        let after = self.blocks.partition_point(|shown| shown.block.first <= block.first);
        match after.checked_sub(1).and_then(|at| self.blocks.get(at)) {
            Some(known) if known.block == *block && known.generation == generation => Ok(false),
            known => Err(CommittedViolation::Differs {
                node,
                other: known.map_or(node, |known| known.node),
                generation,
                first: block.first,
                last: block.last,
                theirs: known.map_or_else(Default::default, |known| (known.block.first, known.block.last)),
            }),
        }
    }

    /// A node has a digest at a position of a generation.
    ///
    /// # Errors
    /// Another node had another one.
    pub fn digest(
        &mut self,
        node: NodeId,
        (generation, at): (GenerationNumber, Position),
        digest: [u8; 32],
    ) -> Result<(), CommittedViolation> {
        let (other, known) = *self.digests.entry((generation, at)).or_insert((node, digest));
        if known == digest { Ok(()) } else { Err(CommittedViolation::Digest { node, other, generation, at }) }
    }

    /// The last position that was shown.
    #[must_use]
    pub fn end(&self) -> Position {
        self.blocks.last().map_or(Position(0), |last| last.block.last)
    }

    /// Whether a block of a generation ends at a position.
    #[must_use]
    pub fn ends_at(&self, generation: GenerationNumber, at: Position) -> bool {
        let found = self.blocks.binary_search_by_key(&at, |shown| shown.block.last);
        found.is_ok_and(|found| self.blocks[found].generation == generation)
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

    /// The blocks of a generation.
    pub fn of(&self, generation: GenerationNumber) -> impl Iterator<Item = &Block> {
        let of = move |shown: &&Shown| shown.generation == generation;
        self.blocks.iter().filter(of).map(|shown| &*shown.block)
    }
}

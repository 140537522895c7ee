//! The blocks that were committed last, in memory: most questions are about them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::machine::Block;
use crate::types::Position;

/// Most changes and answers of the blocks that are kept, of all markets together: some 5 MiB.
const MOST: usize = 16_384;

/// A node's newest blocks.
#[derive(Default)]
pub(super) struct Recent {
    blocks: Mutex<Blocks>,
}

#[derive(Default)]
struct Blocks {
    /// With their markets, in the order in which they came.
    kept: VecDeque<(Arc<str>, Arc<Block>)>,
    size: usize,
}

impl Recent {
    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a block, as long as there are not too many newer ones.
    pub fn keep(&self, market: &Arc<str>, block: Arc<Block>) {
        let mut blocks = self.blocks();
        blocks.size += size(&block);
        blocks.kept.push_back((Arc::clone(market), block));
        while blocks.size > MOST
            && let Some((_, oldest)) = blocks.kept.pop_front()
        {
            blocks.size -= size(&oldest);
        }
    }

    /// The block of a market that contains a position, if it is kept.
    pub fn block_at(&self, market: &str, position: Position) -> Option<Arc<Block>> {
        let blocks = self.blocks();
        let contains = |block: &Block| (block.first..=block.last).contains(&position);
        let mut newest = blocks.kept.iter().rev();
        newest.find(|(of, block)| contains(block) && &**of == market).map(|(_, block)| Arc::clone(block))
    }
}

fn size(block: &Block) -> usize {
    block.changes.len() + block.answers.len()
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Answer, Block};

    /// A block of a thousand answers at a position of its own.
    fn block(at: u64) -> Arc<Block> {
        let position = Position(at);
        let answer = Answer {
            intent: Default::default(),
            refused: Default::default(),
            repeats: None,
            position,
            changes: 0..0,
        };
        Arc::new(Block { first: position, last: position, answers: vec![answer; 1_000], ..Block::default() })
    }

    #[test]
    fn the_newest_are_kept_and_no_more_than_so_many_of_all_markets() {
        let recent = Recent::default();
        let markets: [Arc<str>; 2] = ["A/B".into(), "C/D".into()];
        for at in 1..=100 {
            recent.keep(&markets[usize::try_from(at % 2).unwrap()], block(at));
        }
        for at in 1..=100 {
            let of = |market: u64| recent.block_at(&markets[usize::try_from(market).unwrap()], Position(at));
            assert_eq!(of(at % 2).map(|block| block.first), (at > 84).then_some(Position(at)));
            assert_eq!(of((at + 1) % 2), None, "of another market");
        }
    }

    #[test]
    fn a_block_that_is_too_large_is_not_kept() {
        let recent = Recent::default();
        let mut large = Block::clone(&block(2));
        large.answers = vec![large.answers[0].clone(); 20_000];
        recent.keep(&"A/B".into(), block(1));
        recent.keep(&"A/B".into(), Arc::new(large));
        assert_eq!(recent.block_at("A/B", Position(2)), None);
        recent.keep(&"A/B".into(), block(3));
        assert!(recent.block_at("A/B", Position(3)).is_some());
    }
}

//! What a history lacks, and how it gets that from another node.
//!
//! A gap is filled from its end: the head of the chain after it is known, from the block that follows or
//! from the genesis, so the last block proves itself, and with it the head before it, and so on. A
//! block may be larger than a message; then it comes in pieces.

use bytes::Bytes;

use super::{History, HistoryError, Reach, Result, StoredBlock, record};
use crate::machine::{Block, ChainHead, chain_start};
use crate::types::Position;

/// Bytes of blocks after which no more are handed over at a time, and of a piece.
const PIECE_BYTES: usize = 512 * 1024;

/// Most gaps that are looked at in a row.
const MAX_MISSING: usize = 64;

/// Most bytes of a block: one batch can fill as many orders as a book holds.
pub const MAX_BLOCK_BYTES: u64 = 256 * 1024 * 1024;

/// A gap, and the head of the chain after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
    /// The first position that is missing.
    pub first: Position,
    /// The last one.
    pub last: Position,
    head: ChainHead,
}

/// Some of what was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Whole records, the last block first; none if there is none.
    Blocks(Vec<Bytes>),
    /// A part of the last block's record.
    Part {
        /// Length of the record.
        bytes: u64,
        /// From its given offset on.
        content: Bytes,
    },
}

/// Why a block from elsewhere is not taken.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The store's own.
    #[error(transparent)]
    Store(#[from] HistoryError),
    /// It does not end where the gap ends, or begins before it.
    #[error("the block {first} to {last} is not the one that is missing before {next}")]
    Misfit {
        /// The block's first position.
        first: Position,
        /// The block's last position.
        last: Position,
        /// The first position after the gap.
        next: Position,
    },
    /// It is not a block of this market.
    #[error("the block before {0} can't be read")]
    Unreadable(Position),
    /// The chain does not lead from it to the known head.
    #[error("the block {first} to {last} is not what happened: the chain of hashes does not lead through it")]
    Chain {
        /// The block's first position.
        first: Position,
        /// The block's last position.
        last: Position,
    },
}

impl History {
    /// What is missing and can be asked for, the newest first; not more than a few at a time.
    ///
    /// # Errors
    /// The store's own.
    pub fn missing(&self) -> Result<Vec<Missing>> {
        let mut missing = Vec::new();
        for (first, last) in self.gaps().into_iter().rev().take(MAX_MISSING) {
            if let Some(head) = self.head_after(last)? {
                missing.push(Missing { first, last, head });
            }
        }
        Ok(missing)
    }

    /// The head of the chain after a position that is not stored, if it is known.
    fn head_after(&self, last: Position) -> Result<Option<ChainHead>> {
        let Reach { last: end, head, start } = *self.reach();
        if last == start.0 {
            return Ok(Some(start.1));
        }
        if last == end {
            return Ok(head);
        }
        Ok(self.stored_at(last.next())?.map(|block| block.before))
    }

    /// A piece of what another node lacks: the block that ends at a position and those before it down to
    /// another one, from an offset within the first of them on.
    ///
    /// # Errors
    /// The store's own.
    pub fn piece(&self, first: Position, last: Position, offset: u64) -> Result<Piece> {
        let (mut blocks, mut bytes, mut end) = (Vec::new(), 0, last);
        while end >= first && end > Position(0) {
            let Some((begin, record)) = self.record_ending_at(end)?.filter(|(begin, _)| *begin >= first)
            else {
                break;
            };
            let record = Bytes::from(record);
            bytes += record.len();
            if blocks.is_empty() && (bytes > PIECE_BYTES || offset > 0) {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes);
                let content = record.slice(from..bytes.min(from.saturating_add(PIECE_BYTES)));
                return Ok(Piece::Part { bytes: bytes as u64, content });
            }
            if bytes > PIECE_BYTES {
                break;
            }
            blocks.push(record);
            end = Position(begin.0.saturating_sub(1));
        }
        Ok(Piece::Blocks(blocks))
    }

    /// The record of a block, as another node would hand it over.
    #[must_use]
    pub fn record_of(&self, block: &Block) -> Vec<u8> {
        record::encode(&self.market, block, self.sizes)
    }

    /// Takes a block that ends where a gap ends; returns what is still missing of the gap.
    ///
    /// # Errors
    /// It is not the block that is missing; then it is not taken. Or the store's own.
    pub fn fill(&self, gap: Missing, content: &[u8]) -> std::result::Result<Option<Missing>, FillError> {
        let decoded = record::decode(content).filter(|(market, _)| **market == *self.market);
        let (_, stored) = decoded.ok_or(FillError::Unreadable(gap.last.next()))?;
        let (first, last) = (stored.block.first, stored.block.last);
        if last != gap.last || first < gap.first {
            return Err(FillError::Misfit { first, last, next: gap.last.next() });
        }
        if stored.after() != gap.head || (first == Position(1) && stored.before != chain_start(&self.market))
        {
            return Err(FillError::Chain { first, last });
        }
        self.store_filled(&stored)?;
        if first > gap.first {
            return Ok(Some(Missing { last: Position(first.0 - 1), head: stored.before, ..gap }));
        }
        self.check_filled(first, &stored.before)?;
        Ok(None)
    }

    fn store_filled(&self, stored: &StoredBlock) -> Result<()> {
        let (first, last) = (stored.block.first, stored.block.last);
        // The replay of the document may have been faster.
        if self.has(first, last)? {
            return Ok(());
        }
        self.store(&stored.block, &record::encode_stored(&self.market, stored))
    }

    /// What was stored before a gap has to lead to what filled it.
    fn check_filled(&self, first: Position, before: &ChainHead) -> Result<()> {
        match Position(first.0 - 1) {
            Position(0) => Ok(()),
            last => self.check_head(last, before),
        }
    }
}

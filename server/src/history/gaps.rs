//! What a history lacks because its node was away, and how it gets that from another node.
//!
//! Blocks are the same on each node, byte for byte, so they are handed over as they are stored.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::keys::Keys;
use super::{Damage, History, HistoryError, Result, record};
use crate::types::Position;

/// Bytes of blocks after which no more are handed over at a time.
const PAGE_BYTES: usize = 512 * 1024;

/// A block as it is stored: position of its first event, and its bytes.
pub type HistoryEntry = (Position, Bytes);

/// Why blocks from elsewhere are not taken.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The store's own.
    #[error(transparent)]
    Store(#[from] HistoryError),
    /// They are not what comes next in the gap.
    #[error("the block at position {0} is not the next one that is missing")]
    Misfit(Position),
    /// One is not a block.
    #[error("the block at position {first} can't be read: {what}")]
    Unreadable {
        /// Position of its first event.
        first: Position,
        /// What is wrong.
        what: Damage,
    },
}

impl History {
    /// Goes on after a position whose past is not known here; does nothing if it is.
    ///
    /// # Errors
    /// The store's own.
    pub fn skip_to(&self, position: Position) -> Result<()> {
        let stored = self.last();
        if position > stored {
            self.store.log.insert(self.keys.gap(stored.next()), position.0.to_be_bytes())?;
            self.last.store(position.0, Ordering::Release);
            self.gap.notify_one();
        }
        Ok(())
    }

    /// What is not known here: first and last positions, ascending.
    ///
    /// # Errors
    /// The store's own, or a damaged entry.
    pub fn gaps(&self) -> Result<Vec<(Position, Position)>> {
        let mut gaps = Vec::new();
        for entry in self.store.log.prefix(self.keys.gaps()) {
            let (key, value) = entry.into_inner()?;
            let first = Keys::position(&key).ok_or_else(|| self.damaged(Position(0), Damage::Key))?;
            let last = value.as_ref().try_into().map(u64::from_be_bytes);
            gaps.push((first, Position(last.map_err(|_| self.damaged(first, Damage::Record))?)));
        }
        Ok(gaps)
    }

    /// Waits until there is a gap that was not there before.
    pub async fn gap_appears(&self) {
        self.gap.notified().await;
    }

    /// Whether something after a position is not known here.
    ///
    /// # Errors
    /// The store's own, or a damaged entry.
    pub fn lacks_after(&self, after: Position) -> Result<bool> {
        Ok(self.gaps()?.iter().any(|(_, last)| *last > after))
    }

    /// The blocks from one that begins at a position, as many as go into one message; none if there
    /// is no such block here.
    ///
    /// # Errors
    /// The store's own, or a damaged key.
    pub fn entries_from(&self, first: Position, last: Position) -> Result<Vec<HistoryEntry>> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        for entry in self.store.log.range(self.keys.block(first)..self.keys.block(last.next())) {
            let (key, value) = entry.into_inner()?;
            let at = Keys::position(&key).ok_or_else(|| self.damaged(Position(0), Damage::Key))?;
            if entries.is_empty() && at != first {
                break;
            }
            bytes += value.len();
            entries.push((at, Bytes::copy_from_slice(&value)));
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(entries)
    }

    /// Takes blocks that come next in the first gap; returns whether there still is a gap.
    ///
    /// # Errors
    /// They are not those that are missing; then none is taken. Or the store's own.
    pub fn fill(&self, entries: &[HistoryEntry]) -> std::result::Result<bool, FillError> {
        let gaps = self.gaps()?;
        let Some((mut next, last)) = gaps.first().copied() else {
            return Ok(false);
        };
        let (gap, mut batch) = (self.keys.gap(next), self.store.database.batch());
        for (first, value) in entries {
            let stored = record::decode(&self.keys.block(*first), value)
                .map_err(|what| FillError::Unreadable { first: *first, what })?;
            let block = stored.block;
            if *first != next || block.first != next || block.last > last || block.last < block.first {
                return Err(FillError::Misfit(*first));
            }
            self.insert(&mut batch, &block, value.to_vec());
            next = block.last.next();
        }
        batch.remove(&self.store.log, gap);
        if next <= last {
            batch.insert(&self.store.log, self.keys.gap(next), &last.0.to_be_bytes()[..]);
        }
        batch.commit().map_err(HistoryError::from)?;
        Ok(next <= last || gaps.len() > 1)
    }
}

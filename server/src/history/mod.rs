//! The history log: what committed blocks did, for lists, late answers and streams that resume.
//!
//! ```text
//! committed block ──> append ──> one batch: the block, its accounts, its closed orders
//!                                    │
//! lists, GetOrder, resumed streams <─┴── read by position, account, order or outcome
//! ```
//!
//! The log is made from committed blocks alone and can be made again from the document, so it is
//! not synced to disk by itself: after a power loss it ends earlier than the document, and the
//! replay of the document appends what is missing. Blocks that are already stored are skipped.
//!
//! All markets and indexes share one keyspace, told apart by the key. A keyspace is flushed to
//! disk as a whole, so what survives a power loss is a prefix of what was appended: never a block
//! without its index entries, nor the other way round. It also keeps a thousand markets from
//! costing a thousand write buffers.

mod gaps;
mod keys;
mod outcome;
mod record;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, OwnedWriteBatch, PersistMode, UserValue,
};

use rustc_hash::FxHashSet;
use tokio::sync::Notify;

pub use gaps::{FillError, HistoryEntry};
pub use outcome::{RequestOutcome, StoredOutcome};
pub use record::{Sizes, StoredBlock};

use crate::machine::{Block, Change, Order, Origin, Rules, SessionId};
use crate::types::{OrderId, Position};
use keys::Keys;

/// The history of all markets of a node: a database of its own.
#[derive(Clone)]
pub struct HistoryStore {
    database: Database,
    log: Keyspace,
}

/// The history log of one market.
///
/// Reads block on the disk: call them where that is allowed.
pub struct History {
    store: HistoryStore,
    market: Arc<str>,
    keys: Keys,
    sizes: Sizes,
    last: AtomicU64,
    /// There is a gap that was not there before.
    gap: Notify,
}

/// Why the history could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The database failed.
    #[error("the history's database failed: {0}")]
    Store(#[from] fjall::Error),
    /// A stored block or index entry is not what was written.
    #[error("the history of {market} is damaged at position {position}: {what}")]
    Damaged {
        /// The market.
        market: Arc<str>,
        /// The first position of the block, or the position of what was looked for.
        position: Position,
        /// What is wrong.
        what: Damage,
    },
    /// A block that does not follow the last stored one.
    #[error("the block {first} to {last} does not follow position {stored} in the history of {market}")]
    OutOfOrder {
        /// The market.
        market: Arc<str>,
        /// The block's first position.
        first: Position,
        /// The block's last position.
        last: Position,
        /// The last stored position.
        stored: Position,
    },
}

/// What is wrong with a stored entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Damage {
    /// The checksum does not match.
    #[error("checksum mismatch")]
    Checksum,
    /// The checksum matches, but the record can't be read.
    #[error("malformed record")]
    Record,
    /// The key of an index entry has not the form that it was written in.
    #[error("malformed key")]
    Key,
    /// An index entry points to something that is not there.
    #[error("an index entry without its block")]
    Missing,
}

/// Bytes that wait in memory before they are flushed to tables.
const MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;

/// Bytes in journals beyond which what waits in memory is flushed; the least there is.
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of tables that are kept in memory.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;

type Result<T> = std::result::Result<T, HistoryError>;

impl HistoryStore {
    /// Opens the database in a directory, or makes it.
    ///
    /// # Errors
    /// The database's own.
    pub fn open(directory: &Path) -> std::result::Result<Self, fjall::Error> {
        let database =
            Database::builder(directory).max_journaling_size(JOURNAL_BYTES).cache_size(CACHE_BYTES).open()?;
        // Blocks are large and written once: kept apart from the keys they need not be rewritten.
        let options = || {
            KeyspaceCreateOptions::default()
                .with_kv_separation(Some(KvSeparationOptions::default()))
                .max_memtable_size(MEMTABLE_BYTES)
        };
        let log = database.keyspace("history", options)?;
        Ok(Self { database, log })
    }

    /// The history of a market.
    ///
    /// # Errors
    /// As [`History::open`].
    pub fn market(&self, name: &str, rules: &Rules) -> Result<History> {
        History::open(self, name, rules)
    }
}

impl History {
    /// The history of a market in a store.
    ///
    /// # Errors
    /// The store's own, or a damaged last key.
    pub fn open(store: &HistoryStore, market: &str, rules: &Rules) -> Result<Self> {
        let history = Self {
            store: store.clone(),
            market: market.into(),
            keys: Keys::new(market),
            sizes: Sizes { tick: rules.tick, lot: rules.lot },
            last: AtomicU64::new(0),
            gap: Notify::new(),
        };
        if let Some(entry) = store.log.prefix(history.keys.blocks()).next_back() {
            let (key, value) = entry.into_inner()?;
            let block = history.decode(&key, &value)?;
            history.last.store(block.block.last.0, Ordering::Release);
        }
        Ok(history)
    }

    /// The market's name.
    #[must_use]
    pub fn market(&self) -> &Arc<str> {
        &self.market
    }

    /// Position of the last stored event; zero if there is none.
    #[must_use]
    pub fn last(&self) -> Position {
        Position(self.last.load(Ordering::Acquire))
    }

    /// Stores a committed block, atomically. One that is stored already, or in which nothing
    /// happened, is skipped. Not synced: see the module's text.
    ///
    /// One caller at a time: the publisher of the market's replica.
    ///
    /// # Errors
    /// The store's own, and [`HistoryError::OutOfOrder`].
    pub fn append(&self, block: &Block) -> Result<()> {
        let stored = self.last();
        if block.last <= stored || block.last < block.first {
            return Ok(());
        }
        if block.first != stored.next() {
            let (market, first, last) = (self.market.clone(), block.first, block.last);
            return Err(HistoryError::OutOfOrder { market, first, last, stored });
        }
        let mut batch = self.store.database.batch();
        let key = self.keys.block(block.first);
        let value = record::encode(block, self.sizes, &key);
        self.insert(&mut batch, block, value);
        batch.commit()?;
        self.last.store(block.last.0, Ordering::Release);
        Ok(())
    }

    /// Puts a block and its index entries into a batch.
    fn insert(&self, batch: &mut OwnedWriteBatch, block: &Block, value: impl Into<UserValue>) {
        let log = &self.store.log;
        let mut accounts: FxHashSet<&str> = FxHashSet::default();
        let mut sessions: FxHashSet<SessionId> = FxHashSet::default();
        for change in &block.changes {
            if let Change::Order { order, placed: true, .. } = change
                && let Origin::Command { session, number } = &order.origin
                && sessions.insert(session.id)
            {
                let key = self.keys.session(session.id, *number);
                batch.insert(log, key, &block.first.0.to_be_bytes()[..]);
            }
        }
        for order in block.changes.iter().filter_map(Change::order) {
            if accounts.insert(&order.account) {
                batch.insert(log, self.keys.account_block(&order.account, block.first), &[][..]);
            }
            if !order.is_live() {
                batch.insert(log, self.keys.closed(order.id), &order.position.0.to_be_bytes()[..]);
            }
        }
        batch.insert(log, self.keys.block(block.first), value);
    }

    /// Puts all that was stored on the disk.
    ///
    /// # Errors
    /// The store's own.
    pub fn sync(&self) -> Result<()> {
        Ok(self.store.database.persist(PersistMode::SyncAll)?)
    }

    /// The block that contains a position; `None` if it is not stored.
    ///
    /// # Errors
    /// The store's own, or a damaged block.
    pub fn block_at(&self, position: Position) -> Result<Option<StoredBlock>> {
        let found = self.blocks_before(position.next()).next().transpose()?;
        Ok(found.filter(|block| block.block.last >= position))
    }

    /// The blocks with events after a position, in order, read one by one.
    pub fn blocks_after(&self, after: Position) -> impl Iterator<Item = Result<StoredBlock>> + '_ {
        // The block that contains the next position may begin before it.
        let containing = self.block_at(after.next()).transpose();
        let from = match &containing {
            Some(Ok(block)) => block.block.last.next(),
            _ => after.next(),
        };
        let entries = self.store.log.range(self.keys.block(from)..self.keys.blocks_end());
        let failed = matches!(containing, Some(Err(_)));
        let later = entries.map(|entry| self.read(entry)).take_while(move |_| !failed);
        containing.into_iter().chain(later)
    }

    /// The blocks with events before a position, the last first, read one by one.
    pub fn blocks_before(&self, before: Position) -> impl Iterator<Item = Result<StoredBlock>> + '_ {
        let entries = self.store.log.range(self.keys.block(Position(0))..self.keys.block(before));
        entries.rev().map(|entry| self.read(entry))
    }

    /// The blocks with events of an account after a position, in order, read one by one.
    pub fn account_blocks_after(
        &self,
        account: &str,
        after: Position,
    ) -> impl Iterator<Item = Result<StoredBlock>> + '_ {
        let first = self.keys.account_block(account, Position(0));
        let pivot = self.keys.account_block(account, after.next());
        // The last block that begins at or before `after` may reach beyond it.
        let containing =
            self.store.log.range(first..pivot.clone()).next_back().map(|entry| self.follow(entry));
        let containing =
            containing.filter(|read| read.as_ref().map_or(true, |block| block.block.last > after));
        let later = self.store.log.range(pivot..self.keys.account_end(account));
        containing.into_iter().chain(later.map(|entry| self.follow(entry)))
    }

    /// The blocks with events of an account before a position, the last first, read one by one.
    pub fn account_blocks_before(
        &self,
        account: &str,
        before: Position,
    ) -> impl Iterator<Item = Result<StoredBlock>> + '_ {
        let first = self.keys.account_block(account, Position(0));
        let entries = self.store.log.range(first..self.keys.account_block(account, before));
        entries.rev().map(|entry| self.follow(entry))
    }

    /// A closed order, with the sizes that it counts in.
    ///
    /// # Errors
    /// The store's own, or a damaged block.
    pub fn closed_order(&self, id: OrderId) -> Result<Option<(Order, Sizes)>> {
        let Some(position) = self.store.log.get(self.keys.closed(id))? else {
            return Ok(None);
        };
        let position = <[u8; 8]>::try_from(position.as_ref()).map(u64::from_be_bytes).map(Position);
        let position = position.map_err(|_| self.damaged(Position(0), Damage::Key))?;
        let missing = || self.damaged(position, Damage::Missing);
        let block = self.block_at(position)?.ok_or_else(missing)?;
        let order = block.block.changes.iter().rev().filter_map(Change::order).find(|order| order.id == id);
        Ok(Some((order.ok_or_else(missing)?.clone(), block.sizes)))
    }

    /// The order that a command of a session placed; `None` if it placed none, or is not known here.
    ///
    /// # Errors
    /// The store's own, or a damaged block.
    pub fn order_of_command(&self, session: SessionId, number: u64) -> Result<Option<OrderId>> {
        let range = self.keys.session(session, 0)..=self.keys.session(session, number);
        let Some(entry) = self.store.log.range(range).next_back() else {
            return Ok(None);
        };
        let (_, value) = entry.into_inner()?;
        let first = value.as_ref().try_into().map(u64::from_be_bytes).map(Position);
        let first = first.map_err(|_| self.damaged(Position(0), Damage::Key))?;
        let block = self.block_at(first)?.ok_or_else(|| self.damaged(first, Damage::Missing))?;
        let placed = block.block.changes.iter().find_map(|change| match change {
            Change::Order { order, placed: true, .. } => match &order.origin {
                Origin::Command { session: of, number: at } if of.id == session && *at == number => {
                    Some(order.id)
                }
                _ => None,
            },
            _ => None,
        });
        Ok(placed)
    }

    /// Whether a session ever placed an order, as far as it is known here.
    ///
    /// # Errors
    /// The store's own.
    pub fn knows_session(&self, session: SessionId) -> Result<bool> {
        let range = self.keys.session(session, 0)..=self.keys.session(session, u64::MAX);
        match self.store.log.range(range).next() {
            None => Ok(false),
            Some(entry) => Ok(entry.key().map(|_| true)?),
        }
    }

    fn read(&self, entry: fjall::Guard) -> Result<StoredBlock> {
        let (key, value) = entry.into_inner()?;
        self.decode(&key, &value)
    }

    /// Reads the block that an account's index entry points to.
    fn follow(&self, entry: fjall::Guard) -> Result<StoredBlock> {
        let key = entry.key()?;
        let first = Keys::position(&key).ok_or_else(|| self.damaged(Position(0), Damage::Key))?;
        let key = self.keys.block(first);
        let value = self.store.log.get(&key)?.ok_or_else(|| self.damaged(first, Damage::Missing))?;
        self.decode(&key, &value)
    }

    fn decode(&self, key: &[u8], value: &[u8]) -> Result<StoredBlock> {
        let first = Keys::position(key).ok_or_else(|| self.damaged(Position(0), Damage::Key))?;
        let block = record::decode(key, value).map_err(|damage| self.damaged(first, damage))?;
        if block.block.first == first { Ok(block) } else { Err(self.damaged(first, Damage::Record)) }
    }

    fn damaged(&self, position: Position, what: Damage) -> HistoryError {
        HistoryError::Damaged { market: self.market.clone(), position, what }
    }
}

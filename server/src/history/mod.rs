//! The history: what committed blocks did, for lists, late answers and streams that resume.
//!
//! ```text
//! committed block ──> append ──> the log, and its index: by position, account, session, closed order
//!                                    │
//! lists, GetOrder, resumed streams <─┴── read by position, account, order or outcome; AWAY at a gap
//! ```
//!
//! The newest blocks are also kept in memory (`recent`). Candles are derived from all of them (`series`).
//!
//! A market's history reaches from position 1 to what is shown, and its document says how far that has
//! to be at least: to where its generation begins. What is not in the `log` between is a *gap*, whatever
//! made it: this node was away, a file was lost, a record can't be read. A reader that would touch a
//! gap is told so ([`HistoryError::Away`]) and never gets less instead. A gap is filled with the blocks of another
//! node (`fill`); in the current generation the replay of the document fills it at the start.
//!
//! What is in the log follows from documents, so it is synced only before a document is given up.
//!
//! Blocks form a hash chain, whose head the tape itself carries ([`crate::machine::Content`]). A block from a peer
//! is taken only if the chain leads from it to a head that is known.

mod fill;
mod index;
mod keys;
mod log;
mod lookup;
mod outcome;
mod read;
mod recent;
mod record;
mod series;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

pub use fill::{FillError, MAX_BLOCK_BYTES, Missing, Piece};
pub use lookup::Lookup;
pub use outcome::StoredOutcome;
pub use record::{Sizes, StoredBlock};
pub use series::{Candle, CandlePage, CandlesWanted, DayTraded, Turnover};

use crate::machine::{Block, ChainHead, Rules, chain_start};
use crate::types::Position;
use keys::Keys;
use log::{Append, FORMAT, Log};
use recent::Recent;
use series::Series;

/// Bytes after which a segment of the log is full. Its index is in memory until then.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// The history of all markets of a node.
#[derive(Clone)]
pub struct HistoryStore {
    log: Arc<Log>,
    recent: Arc<Recent>,
    directory: Arc<Path>,
}

/// The history of one market.
///
/// Reads block on the disk: call them where that is allowed.
pub struct History {
    log: Arc<Log>,
    recent: Arc<Recent>,
    market: Arc<str>,
    keys: Keys,
    sizes: Sizes,
    reach: Mutex<Reach>,
    series: Series,
    /// There is a gap that was not there before.
    gap: Notify,
}

/// How far a history goes.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// The last position, stored or to be filled.
    last: Position,
    /// Head of the chain there, once it is known.
    head: Option<ChainHead>,
    /// Where the current generation begins, and the head of the chain there.
    start: (Position, ChainHead),
}

/// Why the history could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// From the file system.
    #[error("the history in {path} failed: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        error: std::io::Error,
    },
    /// Written by a program that lays it out in another way.
    #[error(
        "the history in {path} has format {format}, and this program reads format {FORMAT}: start a newer one"
    )]
    Format {
        /// Where.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// What is asked for is not here, since this node was away or its copy is damaged.
    #[error("this node does not have what happened in {market} from position {first} to {last}")]
    Away {
        /// The market.
        market: Arc<str>,
        /// The first position that it does not have.
        first: Position,
        /// The last one in a row.
        last: Position,
    },
    /// A block that does not fit into what is stored.
    #[error(
        "the block {first} to {last} of {market} does not follow position {stored} in its history, and the document \
         is right: with the history's directory removed this node fetches it anew"
    )]
    Misfit {
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

type Result<T> = std::result::Result<T, HistoryError>;

impl HistoryStore {
    /// Opens the history in a directory, or makes it. Its segments are no larger than `most`.
    ///
    /// # Errors
    /// The file system's own, or the history was written in another format. Damage is no error: see the
    /// module's text.
    pub fn open(directory: &Path, most: u64) -> Result<Self> {
        let log = Log::open(directory, SEGMENT_BYTES.min(most))?;
        Ok(Self { log: Arc::new(log), recent: Arc::default(), directory: directory.into() })
    }

    /// The history of a market.
    #[must_use]
    pub fn market(&self, name: &str, rules: &Rules) -> History {
        let last = self.log.last(name);
        let market: Arc<str> = name.into();
        History {
            log: Arc::clone(&self.log),
            recent: Arc::clone(&self.recent),
            series: Series::new(&self.directory, &market),
            market,
            keys: Keys::new(name),
            sizes: Sizes { tick: rules.tick, lot: rules.lot },
            reach: Mutex::new(Reach { last, head: None, start: (Position(0), chain_start(name)) }),
            gap: Notify::new(),
        }
    }
}

impl History {
    /// The market's name.
    #[must_use]
    pub fn market(&self) -> &Arc<str> {
        &self.market
    }

    /// The last position that it reaches, stored or to be filled; zero if there is none.
    #[must_use]
    pub fn last(&self) -> Position {
        self.reach().last
    }

    fn reach(&self) -> MutexGuard<'_, Reach> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A generation begins after a position: the history has to reach it, and the chain to have this head
    /// there. What does not lead there is not believed.
    ///
    /// # Errors
    /// The store's own.
    pub fn reach_to(&self, position: Position, head: ChainHead) -> Result<()> {
        let stored = {
            let mut reach = self.reach();
            reach.start = (position, head);
            if position >= reach.last {
                (reach.last, reach.head) = (position, Some(head));
            }
            self.log.last(&self.market)
        };
        if position > Position(0) && position <= stored {
            self.check_head(position, &head)?;
        }
        self.gap.notify_one();
        Ok(())
    }

    /// Forgets the run up to a position if the chain has another head there.
    fn check_head(&self, position: Position, head: &ChainHead) -> Result<()> {
        let Some(block) = self.stored_at(position)? else {
            return Ok(());
        };
        if block.block.last != position || block.after() != *head {
            tracing::error!(
                market = %self.market, position = position.0,
                "the history is not what the document says; another copy of it is looked for"
            );
            self.lose_through(position)?;
        }
        Ok(())
    }

    /// Stores a committed block. One that is stored already, or in which nothing happened, is skipped.
    /// Not synced: see the module's text.
    ///
    /// One caller at a time: the publisher of the market's replica.
    ///
    /// # Errors
    /// The store's own, and [`HistoryError::Misfit`].
    pub fn append(&self, block: &Block) -> Result<()> {
        let (first, last) = (block.first, block.last);
        if last < first {
            return Ok(());
        }
        let Reach { last: stored, head, .. } = *self.reach();
        let follows = first == stored.next() && head.is_none_or(|head| head == block.chain.0);
        // A gap may begin before what the document can tell: that part comes from elsewhere. It is asked for before
        // the block is looked for: what is filled in between is found then.
        let fits = follows || self.gaps().iter().any(|gap| gap.0 <= first && gap.1 >= last);
        if self.has(first, last)? {
            return if last == stored { self.agree(block) } else { Ok(()) };
        }
        if !fits {
            return Err(self.misfit(block, stored));
        }
        self.store(block, &record::encode(&self.market, block, self.sizes))?;
        let mut reach = self.reach();
        if last >= reach.last {
            (reach.last, reach.head) = (last, Some(block.chain.1));
        }
        drop(reach);
        self.follow_candles(block)
    }

    /// Keeps a committed block that was appended in memory for a while, for questions about it.
    pub fn keep(&self, block: Arc<Block>) {
        self.recent.keep(&self.market, block);
    }

    /// The last stored block is replayed: with it the chain, and so all before it, has to be the same.
    fn agree(&self, block: &Block) -> Result<()> {
        match self.stored_at(block.last)? {
            Some(stored) if stored.after() != block.chain.1 => Err(self.misfit(block, block.last)),
            _ => {
                self.reach().head = Some(block.chain.1);
                Ok(())
            }
        }
    }

    fn misfit(&self, block: &Block, stored: Position) -> HistoryError {
        HistoryError::Misfit { market: self.market.clone(), first: block.first, last: block.last, stored }
    }

    /// Whether a block is stored.
    fn has(&self, first: Position, last: Position) -> Result<bool> {
        let one = |_| log::Range { from: self.keys.block(first), to: self.keys.block(first.next()) };
        let found = self.log.stretch(&self.market, first, (log::Order::Ascending, 1), one)?;
        Ok(found.is_ok_and(|(run, entries)| run.last >= last && !entries.is_empty()))
    }

    fn store(&self, block: &Block, record: &[u8]) -> Result<()> {
        self.log.append(Append {
            market: &self.market,
            first: block.first,
            last: block.last,
            record,
            entries: index::entries(&self.keys, block),
            key: self.keys.block(block.first),
        })
    }

    /// Puts all that was stored on the disk.
    ///
    /// # Errors
    /// The store's own.
    pub fn sync(&self) -> Result<()> {
        self.log.sync()
    }

    /// What is not here: first and last positions, ascending.
    #[must_use]
    pub fn gaps(&self) -> Vec<(Position, Position)> {
        self.log.gaps(&self.market, self.last())
    }

    /// Waits until there is a gap that was not there before.
    pub async fn gap_appears(&self) {
        self.gap.notified().await;
    }
}

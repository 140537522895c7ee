//! Candles of a market, and what they are summed up to: derived from the history, and made again from it
//! whenever they are lost.
//!
//! ```text
//! appended block ──> follow ──> the open candle of each base interval ──full──> closed ones ──> a file each
//!                       ^── what was missed, from the history                        and a mark: how far it goes
//! ```
//!
//! Four *base intervals* are stored: a second, a minute, an hour, a day; the others are sums of these. A file
//! has the closed candles of one, in the order of time, each with a checksum that is good at its own place
//! only. The *mark* says how many count, how far the history was taken, and the head of its chain there:
//! so candles of another past are noticed at the next block. It is written last and in one step. Nothing
//! is synced. What is missing, damaged or of another past costs a reading of the history, and nothing else.

mod candle;
mod file;
mod page;
mod turnover;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

pub use candle::Candle;
use candle::traded;
use file::Base;
pub use page::{CandlePage, CandlesWanted, DayTraded};
pub use turnover::Turnover;

use super::{History, HistoryError, Result, Sizes, StoredBlock};
use crate::machine::{Block, ChainHead, chain_start};
use crate::types::{Micros, Position};

/// Seconds of the base intervals.
pub(super) const BASES: [u64; 4] = [1, 60, 3_600, 86_400];

/// Blocks and closed candles after which the files are written: few in tests, which look at the files.
const MOST_UNWRITTEN: u64 = if cfg!(test) { 64 } else { 4_096 };

/// Blocks that are read from the history in one go, while nobody else can use the candles.
const CATCH_UP_BLOCKS: usize = 64;

/// Blocks that are read from the history beside an appended one, if some were missed. More than one, so that
/// it ends.
const CATCH_UP_BESIDE: usize = 2;

/// How far the candles go.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Reached {
    /// The last position in them.
    position: Position,
    /// Head of the history's chain there.
    head: ChainHead,
    /// Tape time there.
    time: Micros,
}

/// A market's candles.
pub(super) struct Series {
    state: Mutex<State>,
}

struct State {
    market: Arc<str>,
    directory: PathBuf,
    /// What was loaded; `false` until the first use.
    opened: bool,
    reached: Reached,
    bases: [Base; BASES.len()],
    unwritten: u64,
    /// How often they were begun anew.
    begun: u64,
}

/// Why candles can't be read.
#[derive(Debug)]
enum SeriesError {
    Io(std::io::Error),
    /// They are not what was written, or of another past: they are made again.
    Damaged,
}

impl From<std::io::Error> for SeriesError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl Series {
    /// The candles of a market, under the history's directory.
    pub fn new(directory: &Path, market: &Arc<str>) -> Self {
        // A market's name has one slash and no dash.
        let directory = directory.join("series").join(market.replace('/', "-"));
        let state = State {
            market: Arc::clone(market),
            directory,
            opened: false,
            reached: Reached::start(market),
            bases: BASES.map(Base::new),
            unwritten: 0,
            begun: 0,
        };
        Self { state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, unless somebody reads it.
    fn try_lock(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Reached {
    fn start(market: &str) -> Self {
        Self { position: Position(0), head: chain_start(market), time: Micros(0) }
    }
}

impl State {
    fn io(&self, error: std::io::Error) -> HistoryError {
        HistoryError::Io { path: self.directory.clone(), error }
    }

    /// Loads what is stored, once.
    fn open(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.opened, true) {
            return Ok(());
        }
        match self.load() {
            Err(SeriesError::Damaged) => self.begin_anew(),
            loaded => self.told(loaded),
        }
    }

    /// Forgets all: it is made again.
    fn begin_anew(&mut self) -> Result<()> {
        tracing::warn!(market = %self.market, "candles are damaged or of another past, and are made again");
        self.reached = Reached::start(&self.market);
        self.bases = BASES.map(Base::new);
        self.unwritten = 0;
        self.begun += 1;
        match std::fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.io(error)),
            _ => Ok(()),
        }
    }

    fn told<T: Default>(&mut self, result: std::result::Result<T, SeriesError>) -> Result<T> {
        match result {
            Ok(found) => Ok(found),
            Err(SeriesError::Io(error)) => Err(self.io(error)),
            Err(SeriesError::Damaged) => self.begin_anew().map(|()| T::default()),
        }
    }

    /// Takes the next block. One that does not follow is of another past.
    fn take(&mut self, block: &Block, sizes: Sizes, (before, after): (ChainHead, ChainHead)) -> Result<()> {
        if before != self.reached.head {
            return self.begin_anew();
        }
        let second = block.time.0 / 1_000_000;
        for trade in block.changes.iter().filter_map(traded) {
            self.unwritten += self.bases.iter_mut().map(|base| base.add(trade, second, sizes)).sum::<u64>();
        }
        self.reached = Reached { position: block.last, head: after, time: block.time };
        self.unwritten += 1;
        if self.unwritten >= MOST_UNWRITTEN {
            let written = self.write();
            return self.told(written);
        }
        Ok(())
    }

    /// Reads the next blocks from the history; `false` if it has no more.
    fn catch_up(&mut self, history: &History, most: usize) -> Result<bool> {
        let blocks = history.blocks_after(self.reached.position);
        let mut more = false;
        for stored in blocks.take(most) {
            let stored = stored?;
            let heads = (stored.before, stored.after());
            let StoredBlock { block, sizes, .. } = stored;
            if block.first != self.reached.position.next() {
                self.begin_anew()?;
                return Ok(true);
            }
            self.take(&block, sizes, heads)?;
            more = true;
        }
        Ok(more)
    }
}

impl History {
    /// Takes an appended block into the candles, if nothing is missing before it. If something is, or
    /// somebody reads them, they follow later.
    pub(super) fn follow_candles(&self, block: &Block) -> Result<()> {
        let Some(mut state) = self.series.try_lock() else { return Ok(()) };
        state.open()?;
        if block.first == state.reached.position.next() {
            state.take(block, self.sizes, block.chain)
        } else if block.last > state.reached.position {
            match state.catch_up(self, CATCH_UP_BESIDE) {
                // Who reads them is told.
                Err(HistoryError::Away { .. }) | Ok(_) => Ok(()),
                Err(error) => Err(error),
            }
        } else {
            Ok(())
        }
    }

    /// Reads from the candles once they have all up to a position. Others may use them between two pieces
    /// of what they missed.
    fn with_candles<T: Default>(
        &self,
        at_least: Position,
        mut read: impl FnMut(&State) -> std::result::Result<T, SeriesError>,
    ) -> Result<T> {
        let begun = self.series.lock().begun;
        loop {
            let mut state = self.series.lock();
            state.open()?;
            // Once is damage of the candles. Twice, the history does not lead from block to block.
            if state.begun > begun + 1 {
                return Err(self.away_after(state.reached.position, at_least));
            }
            if state.reached.position < at_least {
                if !state.catch_up(self, CATCH_UP_BLOCKS)? && state.reached.position < at_least {
                    return Err(self.away_after(state.reached.position, at_least));
                }
                continue;
            }
            match read(&state) {
                Err(SeriesError::Damaged) => state.begin_anew()?,
                found => return state.told(found),
            }
        }
    }

    fn away_after(&self, position: Position, last: Position) -> HistoryError {
        HistoryError::Away { market: Arc::clone(&self.market), first: position.next(), last }
    }
}

#[cfg(test)]
mod tests;

//! One append-only log for the histories of all markets of a node.
//!
//! ```text
//! append ──> the open segment (its index in memory) ──full──> sealed: an index beside it
//!                 │                                              │
//! stretch, find, read <──── runs: which positions are where ─────┘ derived, made again from the segments
//! ```
//!
//! Blocks lie in the log in the order in which they came: a gap that is filled later comes after what it
//! precedes. So the log knows no order; *runs* say which positions it has, and what lies between them is a
//! gap. Whatever happens to a file, a block is in a run and found by every index, or it is in a gap.
//!
//! - An index that is missing or damaged is made again from its segment.
//! - A record that can't be read leaves its run: at the start if its segment has to be scanned, else when it is
//!   first touched.
//! - What is behind the last whole record of the last segment was being written when the process ended, and
//!   is cut off. If something that had been synced is gone with it, that is a gap like any other, because the
//!   document says how far the history has to reach.

mod runs;
mod segment;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(super) use runs::Run;
use runs::Runs;
pub(super) use segment::FORMAT;
use segment::Segment;
use table::TableError;

use super::{HistoryError, Result};
use crate::frames;
use crate::types::Position;

/// An entry of an index.
pub(super) type Entry = (Box<[u8]>, u64);

/// Keys of an index: from one up to another.
pub(super) struct Range {
    pub from: Vec<u8>,
    pub to: Vec<u8>,
}

/// Which entries of a range come first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    Ascending,
    Descending,
}

/// Positions that are not in the log; without an end if nothing later is.
pub(super) type Gap = (Position, Option<Position>);

/// What is to be appended.
pub(super) struct Append<'a> {
    pub market: &'a str,
    pub first: Position,
    pub last: Position,
    pub record: &'a [u8],
    /// Entries that lead to the block.
    pub entries: Vec<(Vec<u8>, u64)>,
    /// The key of the block itself.
    pub key: Vec<u8>,
}

/// The log.
pub(super) struct Log {
    directory: PathBuf,
    segment_bytes: u64,
    state: RwLock<State>,
}

struct State {
    segments: BTreeMap<u64, Segment>,
    markets: BTreeMap<Arc<str>, Runs>,
    unsynced: BTreeSet<u64>,
}

impl Log {
    /// Opens the log in a directory, or makes it.
    pub fn open(directory: &Path, segment_bytes: u64) -> Result<Self> {
        let io = |error| HistoryError::Io { path: directory.to_owned(), error };
        std::fs::create_dir_all(directory).map_err(io)?;
        let numbers = segment::numbers(directory).map_err(io)?;
        let mut state =
            State { segments: BTreeMap::new(), markets: BTreeMap::new(), unsynced: BTreeSet::new() };
        for number in &numbers {
            segment::check_format(directory, *number)?;
        }
        let newest = numbers.last().copied();
        // What is there twice is taken from where it was written last.
        for number in numbers.into_iter().rev() {
            let (segment, runs) = Segment::open(directory, number, Some(number) == newest).map_err(io)?;
            runs.into_iter().for_each(|(market, run)| state.runs(&market).add(run));
            state.unsynced.insert(number);
            state.segments.insert(number, segment);
        }
        if state.segments.values().next_back().is_none_or(Segment::is_sealed) {
            state.begin(directory).map_err(io)?;
        }
        Ok(Self { directory: directory.to_owned(), segment_bytes, state: RwLock::new(state) })
    }

    fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn io(&self, error: std::io::Error) -> HistoryError {
        HistoryError::Io { path: self.directory.clone(), error }
    }

    /// Appends a block that is not there. Not synced.
    pub fn append(&self, append: Append<'_>) -> Result<()> {
        let Append { market, first, last, record, entries, key } = append;
        let mut state = self.write_state();
        let Some((&number, segment)) = state.segments.iter_mut().next_back() else {
            return Ok(());
        };
        let appended = segment.append(record, entries, key);
        let full = segment.bytes() >= self.segment_bytes;
        appended.map_err(|error| self.io(error))?;
        state.runs(market).add(Run { first, last, segment: number });
        state.unsynced.insert(number);
        if full {
            state.seal(number, &self.directory).map_err(|error| self.io(error))?;
            state.begin(&self.directory).map_err(|error| self.io(error))?;
        }
        Ok(())
    }

    /// Puts all that was appended on the disk.
    pub fn sync(&self) -> Result<()> {
        let mut state = self.write_state();
        let numbers = std::mem::take(&mut state.unsynced);
        let files: Vec<Arc<File>> =
            numbers.iter().filter_map(|number| state.segments.get(number)).map(Segment::file).collect();
        drop(state);
        let synced = files.iter().try_for_each(|file| file.sync_data());
        synced.and_then(|()| File::open(&self.directory)?.sync_all()).map_err(|error| self.io(error))
    }

    /// The last position of a market that is in the log.
    pub fn last(&self, market: &str) -> Position {
        self.read_state().markets.get(market).map_or(Position(0), Runs::last)
    }

    /// The positions of a market up to one that are not in the log, ascending.
    pub fn gaps(&self, market: &str, through: Position) -> Vec<(Position, Position)> {
        let state = self.read_state();
        state.markets.get(market).map_or_else(|| Runs::default().gaps(through), |runs| runs.gaps(through))
    }

    /// The run that contains a position, and those of its index entries that `range` asks for, at most so
    /// many.
    pub fn stretch(
        &self,
        market: &str,
        at: Position,
        (order, limit): (Order, usize),
        range: impl Fn(Run) -> Range,
    ) -> Result<std::result::Result<(Run, Vec<Entry>), Gap>> {
        self.query(|state| {
            let run = match state.markets.get(market).map_or(Err((Position(1), None)), |runs| runs.at(at)) {
                Ok(run) => run,
                Err(gap) => return Ok(Err(gap)),
            };
            Ok(Ok((run, state.entries(run.segment, &range(run), order, limit)?)))
        })
    }

    /// The last entry in a range in each segment that has something of a market, the newest first and at most
    /// so many.
    pub fn find_last(&self, market: &str, range: &Range, most: usize) -> Result<Vec<Entry>> {
        self.query(|state| {
            let Some(runs) = state.markets.get(market) else {
                return Ok(Vec::new());
            };
            let segments: BTreeSet<u64> = runs.iter().map(|run| run.segment).collect();
            let mut found = Vec::new();
            for number in segments.into_iter().rev() {
                found.extend(state.entries(number, range, Order::Descending, 1)?);
                if found.len() >= most {
                    break;
                }
            }
            Ok(found)
        })
    }

    /// The record at a place in a segment; `None` if it can't be read.
    pub fn read(&self, segment: u64, at: u64) -> Result<Option<Vec<u8>>> {
        let file = self.read_state().segments.get(&segment).map(Segment::file);
        let record = file.map(|file| frames::read(&file, at)).transpose();
        record.map(Option::flatten).map_err(|error| self.io(error))
    }

    /// A block of a run can't be read: it is a gap from now on.
    pub fn lose(&self, market: &str, run: Run, first: Position, last: Position) {
        tracing::error!(
            %market, segment = run.segment, first = first.0, last = last.0,
            "a block of the history can't be read; another copy of it is looked for"
        );
        self.write_state().runs(market).remove(first, last, run.segment);
    }

    /// Runs a query; an index that turns out to be damaged is made again.
    fn query<T>(&self, query: impl Fn(&State) -> std::result::Result<T, (u64, TableError)>) -> Result<T> {
        loop {
            // The guard must be gone when the index is made again.
            let done = query(&self.read_state());
            match done {
                Ok(found) => return Ok(found),
                Err((_, TableError::Io(error))) => return Err(self.io(error)),
                Err((number, TableError::Damaged)) => self.index_again(number)?,
            }
        }
    }

    fn index_again(&self, number: u64) -> Result<()> {
        tracing::warn!(segment = number, "an index of the history is damaged and is made again");
        let mut state = self.write_state();
        let Some(segment) = state.segments.get_mut(&number) else {
            return Ok(());
        };
        let runs = segment.index_again(&self.directory).map_err(|error| self.io(error))?;
        state.markets.values_mut().for_each(|market| market.remove_segment(number));
        runs.into_iter().for_each(|(market, run)| state.runs(&market).add(run));
        Ok(())
    }
}

impl State {
    fn runs(&mut self, market: &str) -> &mut Runs {
        if !self.markets.contains_key(market) {
            self.markets.insert(market.into(), Runs::default());
        }
        self.markets.entry(market.into()).or_default()
    }

    fn entries(
        &self,
        number: u64,
        range: &Range,
        order: Order,
        limit: usize,
    ) -> std::result::Result<Vec<Entry>, (u64, TableError)> {
        let Some(segment) = self.segments.get(&number) else {
            return Ok(Vec::new());
        };
        segment.entries(range, order, limit).map_err(|error| (number, error))
    }

    /// A segment is full.
    fn seal(&mut self, number: u64, directory: &Path) -> std::io::Result<()> {
        let runs = self.markets.iter().flat_map(|(market, runs)| runs.iter().map(move |run| (market, run)));
        let own = runs.filter(|(_, run)| run.segment == number);
        let runs: Vec<(Arc<str>, Run)> = own.map(|(market, run)| (Arc::clone(market), run)).collect();
        match self.segments.get_mut(&number) {
            Some(segment) => segment.seal(directory, &runs),
            None => Ok(()),
        }
    }

    /// Begins a segment after the last one.
    fn begin(&mut self, directory: &Path) -> std::io::Result<()> {
        let number = self.segments.last_key_value().map_or(0, |(last, _)| last + 1);
        self.segments.insert(number, Segment::create(directory, number)?);
        self.unsynced.insert(number);
        Ok(())
    }
}

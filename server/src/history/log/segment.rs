//! One file of the log, and its index.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xbook_proto::record::v1 as record;

use super::runs::Runs;
use super::table::{Table, TableError};
use super::{Entry, Order, Range, Run};
use crate::frames::{self, Title};
use crate::history::{HistoryError, index};
use crate::types::Position;

/// The format of the log: how its records are framed and indexed. Each block in it is a record, which says by
/// its fields what it has.
pub(in crate::history) const FORMAT: u32 = 1;

/// What a segment begins with.
const TITLE: Title = Title { words: "xbook history", format: FORMAT };

/// A file of the log.
pub(super) struct Segment {
    number: u64,
    file: Arc<File>,
    bytes: u64,
    /// End of the last record that was found in a scan.
    end: u64,
    index: Index,
}

enum Index {
    /// Of the segment that is appended to.
    Open(BTreeMap<Box<[u8]>, u64>),
    Sealed(Table),
}

/// What a segment has of which market.
type MarketRuns = Vec<(Arc<str>, Run)>;

fn log_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:08}.log"))
}

fn index_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:08}.index"))
}

/// The numbers of the segments in a directory, ascending. An index without its segment is removed: a
/// segment of the same number may come.
pub(super) fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let (mut logs, mut indexes) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let number =
            path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        let extension = path.extension().and_then(|extension| extension.to_str());
        match (number, extension) {
            (Some(number), Some("log")) if path == log_path(directory, number) => logs.push(number),
            (Some(number), Some("index")) => indexes.push((number, path)),
            _ => {}
        }
    }
    for (_, path) in indexes.iter().filter(|(number, _)| !logs.contains(number)) {
        std::fs::remove_file(path)?;
    }
    logs.sort_unstable();
    let missing = logs.last().map_or(0, |last| last + 1) - logs.len() as u64;
    if missing > 0 {
        tracing::error!(
            missing,
            "segments of the history are missing; what was in them is looked for elsewhere"
        );
    }
    Ok(logs)
}

/// Whether a segment is laid out as this program knows, or is too damaged to tell.
pub(super) fn check_format(directory: &Path, number: u64) -> Result<(), HistoryError> {
    let path = log_path(directory, number);
    match File::open(&path).and_then(|file| TITLE.other_format(&file)) {
        Ok(None) => Ok(()),
        Ok(Some(format)) => Err(HistoryError::Format { path, format }),
        Err(error) => Err(HistoryError::Io { path, error }),
    }
}

impl Segment {
    /// Makes a new one, in place of what has no name of its own.
    pub fn create(directory: &Path, number: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(log_path(directory, number))?;
        let title = TITLE.line();
        file.write_all_at(&title, 0)?;
        let bytes = title.len() as u64;
        Ok(Self { number, file: Arc::new(file), bytes, end: bytes, index: Index::Open(BTreeMap::new()) })
    }

    /// Opens one, with what it has. The last one is appended to, if it was not full.
    pub fn open(directory: &Path, number: u64, is_last: bool) -> io::Result<(Self, MarketRuns)> {
        let file = OpenOptions::new().read(true).write(true).open(log_path(directory, number))?;
        let bytes = file.metadata()?.len();
        let table = Table::open(&index_path(directory, number))?.filter(|table| table.log_bytes() == bytes);
        let (file, index) = (Arc::new(file), Index::Open(BTreeMap::new()));
        let mut segment = Self { number, file, bytes, end: bytes, index };
        let runs = match table {
            Some(table) => {
                let runs = table.runs().iter().map(|run| of_record(run, number)).collect();
                segment.index = Index::Sealed(table);
                runs
            }
            None if is_last => {
                let runs = segment.scan()?;
                segment.cut_tail()?;
                // It was of what is not there any more.
                remove(&index_path(directory, number))?;
                runs
            }
            None => segment.index_again(directory)?,
        };
        Ok((segment, runs))
    }

    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn is_sealed(&self) -> bool {
        matches!(self.index, Index::Sealed(_))
    }

    /// Appends a record.
    pub fn append(&mut self, record: &[u8], entries: Vec<(Vec<u8>, u64)>, key: Vec<u8>) -> io::Result<()> {
        let framed = frames::close(record);
        self.file.write_all_at(&framed, self.bytes)?;
        if let Index::Open(index) = &mut self.index {
            index.extend(entries.into_iter().map(|(key, value)| (key.into_boxed_slice(), value)));
            index.insert(key.into_boxed_slice(), self.bytes);
        }
        self.bytes += framed.len() as u64;
        Ok(())
    }

    /// Writes its index, which is then read from there.
    pub fn seal(&mut self, directory: &Path, runs: &[(Arc<str>, Run)]) -> io::Result<()> {
        if let Index::Open(index) = &self.index {
            let entries = index.iter().map(|(key, value)| (&**key, *value));
            let runs = runs.iter().map(|(market, run)| to_record(market, *run)).collect();
            let table = Table::write(&index_path(directory, self.number), entries, runs, self.bytes)?;
            self.index = Index::Sealed(table);
        }
        Ok(())
    }

    /// Makes the index of a full segment again, and says what the segment has.
    pub fn index_again(&mut self, directory: &Path) -> io::Result<MarketRuns> {
        let runs = self.scan()?;
        self.seal(directory, &runs)?;
        tracing::info!(segment = self.number, bytes = self.bytes, "an index of the history was made again");
        Ok(runs)
    }

    /// Reads all records into an index in memory.
    fn scan(&mut self) -> io::Result<MarketRuns> {
        let mut bytes = vec![0; usize::try_from(self.file.metadata()?.len()).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, 0)?;
        let scan = frames::scan(&TITLE, &bytes);
        let (mut index, mut runs, mut damaged) =
            (BTreeMap::new(), BTreeMap::<Arc<str>, Runs>::new(), scan.damaged);
        for (at, record) in &scan.records {
            let Some(found) = index::of_record(&bytes[record.clone()]) else {
                damaged = true;
                continue;
            };
            index.extend(found.entries.into_iter().map(|(key, value)| (key.into_boxed_slice(), value)));
            index.insert(found.key.into_boxed_slice(), *at);
            let run = Run { first: found.first, last: found.last, segment: self.number };
            runs.entry(found.market.into()).or_default().add(run);
        }
        if damaged {
            tracing::error!(
                segment = self.number,
                "a segment of the history is damaged; what was in it is looked for elsewhere"
            );
        }
        let title = TITLE.line();
        self.end = scan.end.max(title.len()) as u64;
        self.bytes = self.end.max(bytes.len() as u64);
        // Half a title is none.
        self.file.write_all_at(&title, 0)?;
        self.index = Index::Open(index);
        let of = |(market, runs): (&Arc<str>, &Runs)| {
            runs.iter().map(|run| (Arc::clone(market), run)).collect::<Vec<_>>()
        };
        Ok(runs.iter().flat_map(of).collect())
    }

    /// Cuts off what follows the last record.
    fn cut_tail(&mut self) -> io::Result<()> {
        if self.end < self.bytes {
            tracing::warn!(
                segment = self.number,
                bytes = self.bytes - self.end,
                "the end of a segment of the history can't be read and is cut off"
            );
            self.file.set_len(self.end)?;
            self.bytes = self.end;
        }
        Ok(())
    }

    /// Entries of the index.
    pub fn entries(&self, range: &Range, order: Order, limit: usize) -> Result<Vec<Entry>, TableError> {
        let index = match &self.index {
            Index::Sealed(table) => return table.range(range, order, limit),
            Index::Open(index) => index,
        };
        if range.from >= range.to {
            return Ok(Vec::new());
        }
        let within = (Bound::Included(&*range.from), Bound::Excluded(&*range.to));
        let within = index.range::<[u8], _>(within).map(|(key, value)| (key.clone(), *value));
        Ok(match order {
            Order::Ascending => within.take(limit).collect(),
            Order::Descending => within.rev().take(limit).collect(),
        })
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn to_record(market: &str, run: Run) -> record::HistoryRun {
    record::HistoryRun { market: market.to_owned(), first_position: run.first.0, last_position: run.last.0 }
}

fn of_record(run: &record::HistoryRun, segment: u64) -> (Arc<str>, Run) {
    let (first, last) = (Position(run.first_position), Position(run.last_position));
    (run.market.as_str().into(), Run { first, last, segment })
}

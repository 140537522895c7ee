//! The candles of one base interval, and the files.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::candle::{Candle, RECORD_BYTES, Seal, Traded};
use super::{BASES, Reached, SeriesError, State};
use crate::history::Sizes;
use crate::types::{Micros, Position};

type Result<T> = std::result::Result<T, SeriesError>;

/// How many candles of a base interval are stored, and the open one.
type Kept = (u64, Option<Candle>);

/// What a mark begins with: the number is its format, and that of the files beside it.
const TITLE: &[u8; 16] = b"xbook candles 1\n";

/// Position, head and time.
const REACHED_BYTES: usize = 8 + 32 + 8;

/// How many candles are closed, whether one is open, and that.
const BASE_BYTES: usize = 8 + 1 + RECORD_BYTES;

const MARK_BYTES: usize = TITLE.len() + REACHED_BYTES + BASES.len() * BASE_BYTES + 4;

/// The index that an open candle is sealed with: it has no place in a file.
const OPEN: u64 = u64::MAX;

/// The candles of a base interval, in the order of time.
pub(super) struct Base {
    pub seconds: u64,
    /// Closed ones in the file, and that once it is needed.
    stored: u64,
    file: Option<File>,
    /// Closed ones that are not written yet.
    closed: Vec<Candle>,
    open: Option<Candle>,
}

impl Base {
    pub fn new(seconds: u64) -> Self {
        Self { seconds, stored: 0, file: None, closed: Vec::new(), open: None }
    }

    /// Takes the next trade; returns how many candles it closed.
    pub fn add(&mut self, trade: Traded, second: u64, sizes: Sizes) -> u64 {
        let start = second - second % self.seconds;
        let fresh = Candle::of(trade, start, sizes);
        match &mut self.open {
            Some(open) if open.start == start => {
                open.join(&fresh);
                0
            }
            open => match open.replace(fresh) {
                Some(closed) => {
                    self.closed.push(closed);
                    1
                }
                None => 0,
            },
        }
    }

    /// How many there are, the open one included.
    pub fn len(&self) -> u64 {
        self.stored + self.closed.len() as u64 + u64::from(self.open.is_some())
    }

    /// The one at an index.
    pub fn get(&self, market: &str, index: u64) -> Result<Candle> {
        self.range(market, index, index + 1)?.pop().ok_or(SeriesError::Damaged)
    }

    /// Those from an index up to another.
    pub fn range(&self, market: &str, from: u64, to: u64) -> Result<Vec<Candle>> {
        let mut found = Vec::new();
        let stored = from.min(self.stored)..to.min(self.stored);
        if !stored.is_empty() {
            let count = usize::try_from(stored.end - stored.start).unwrap_or(usize::MAX);
            let mut bytes = vec![0; count.saturating_mul(RECORD_BYTES)];
            let file = self.file.as_ref().ok_or(SeriesError::Damaged)?;
            match file.read_exact_at(&mut bytes, stored.start * RECORD_BYTES as u64) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(SeriesError::Damaged);
                }
                read => read?,
            }
            for (index, record) in stored.zip(bytes.chunks_exact(RECORD_BYTES)) {
                let seal = Seal { market, seconds: self.seconds, index };
                found.push(Candle::of_record(record, &seal).ok_or(SeriesError::Damaged)?);
            }
        }
        let later = self.closed.iter().chain(&self.open).zip(self.stored..);
        found.extend(later.filter(|(_, at)| (from..to).contains(at)).map(|(candle, _)| candle.clone()));
        Ok(found)
    }

    /// Index of the first that begins at a second or later.
    pub fn at(&self, market: &str, second: u64) -> Result<u64> {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from + (to - from) / 2;
            if self.get(market, middle)?.start < second {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        Ok(from)
    }

    fn path(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}s", self.seconds))
    }

    /// Writes the closed ones behind those that are stored.
    fn write(&mut self, market: &str, directory: &Path) -> io::Result<()> {
        let path = self.path(directory);
        if self.closed.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open(&path)?),
        };
        let mut bytes = Vec::with_capacity(self.closed.len() * RECORD_BYTES);
        for (candle, index) in self.closed.iter().zip(self.stored..) {
            bytes.extend_from_slice(&candle.record(&Seal { market, seconds: self.seconds, index }));
        }
        file.write_all_at(&bytes, self.stored * RECORD_BYTES as u64)?;
        self.stored += self.closed.len() as u64;
        self.closed.clear();
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

impl State {
    /// Writes what is not written yet: the candles, and then how far they go.
    pub(super) fn write(&mut self) -> Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        for base in &mut self.bases {
            base.write(&self.market, &self.directory)?;
        }
        let mut mark = TITLE.to_vec();
        mark.extend_from_slice(&self.reached.position.0.to_le_bytes());
        mark.extend_from_slice(&self.reached.head);
        mark.extend_from_slice(&self.reached.time.0.to_le_bytes());
        for base in &self.bases {
            let seal = Seal { market: &self.market, seconds: base.seconds, index: OPEN };
            mark.extend_from_slice(&base.stored.to_le_bytes());
            mark.push(base.open.is_some().into());
            let open = base.open.as_ref().map_or([0; RECORD_BYTES], |open| open.record(&seal));
            mark.extend_from_slice(&open);
        }
        mark.extend_from_slice(&crc32fast::hash(&mark).to_le_bytes());
        let fresh = self.directory.join("mark.new");
        std::fs::write(&fresh, &mark)?;
        std::fs::rename(&fresh, self.directory.join("mark"))?;
        self.unwritten = 0;
        Ok(())
    }

    /// Loads what is written; nothing if there is nothing.
    pub(super) fn load(&mut self) -> Result<()> {
        let mark = match std::fs::read(self.directory.join("mark")) {
            Ok(mark) => mark,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let (reached, counts) = self.read_mark(&mark).ok_or(SeriesError::Damaged)?;
        for (base, (stored, open_candle)) in self.bases.iter_mut().zip(counts) {
            let file = open(&base.path(&self.directory))?;
            if file.metadata()?.len() / (RECORD_BYTES as u64) < stored {
                return Err(SeriesError::Damaged);
            }
            (base.stored, base.file, base.open) = (stored, Some(file), open_candle);
        }
        self.reached = reached;
        Ok(())
    }

    fn read_mark(&self, mark: &[u8]) -> Option<(Reached, Vec<Kept>)> {
        (mark.len() == MARK_BYTES && mark.starts_with(TITLE)).then_some(())?;
        let (content, checksum) = mark.split_at(MARK_BYTES - 4);
        (crc32fast::hash(content).to_le_bytes() == *checksum).then_some(())?;
        let (reached, bases) = content[TITLE.len()..].split_at(REACHED_BYTES);
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
        let reached = Reached {
            position: Position(number(&reached[..8])?),
            head: reached[8..40].try_into().ok()?,
            time: Micros(number(&reached[40..])?),
        };
        let counts = bases.chunks_exact(BASE_BYTES).zip(&self.bases).map(|(bytes, base)| {
            let seal = Seal { market: &self.market, seconds: base.seconds, index: OPEN };
            let open = match bytes[8] {
                0 => None,
                _ => Some(Candle::of_record(&bytes[9..], &seal)?),
            };
            Some((number(&bytes[..8])?, open))
        });
        Some((reached, counts.collect::<Option<_>>()?))
    }
}

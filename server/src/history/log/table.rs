//! The index of a full segment as a file: sorted entries in pages, then what pages and runs there are.
//!
//! Everything in it has a checksum, and all of it can be made again from the segment.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use prost::Message;
use xbook_proto::record::v1 as record;

use super::{Entry, Order, Range};
use crate::frames::read_whole;

/// Bytes after which a page ends.
const PAGE_BYTES: usize = 16 * 1024;

const MARK: [u8; 8] = *b"xbindex1";
/// Length of the directory, its checksum, the mark.
const TRAILER_BYTES: usize = 16;

/// An index on the disk, and its directory in memory.
pub(super) struct Table {
    file: File,
    directory: record::SegmentIndex,
}

/// Why a table can't be read.
#[derive(Debug)]
pub(super) enum TableError {
    Io(io::Error),
    Damaged,
}

impl From<io::Error> for TableError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Table {
    /// Writes a table in place of the one at a path. Not synced: a torn one is noticed and made again.
    pub fn write<'a>(
        path: &Path,
        entries: impl Iterator<Item = (&'a [u8], u64)>,
        runs: Vec<record::HistoryRun>,
        log_bytes: u64,
    ) -> io::Result<Self> {
        let fresh = path.with_extension("new");
        let mut file = io::BufWriter::new(File::create(&fresh)?);
        let mut directory = record::SegmentIndex { log_bytes, pages: Vec::new(), runs };
        let (mut page, mut first, mut offset) = (Vec::with_capacity(PAGE_BYTES + 512), Vec::new(), 0);
        for (key, value) in entries {
            if page.is_empty() {
                first = key.to_vec();
            }
            // Keys are made of names, which are short.
            page.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
            page.extend_from_slice(key);
            page.extend_from_slice(&value.to_be_bytes());
            if page.len() >= PAGE_BYTES {
                file.write_all(&page)?;
                close(&mut directory, std::mem::take(&mut first), &mut offset, &mut page);
            }
        }
        if !page.is_empty() {
            file.write_all(&page)?;
            close(&mut directory, first, &mut offset, &mut page);
        }
        let encoded = directory.encode_to_vec();
        file.write_all(&encoded)?;
        file.write_all(&u32::try_from(encoded.len()).unwrap_or(u32::MAX).to_be_bytes())?;
        file.write_all(&crc32fast::hash(&encoded).to_be_bytes())?;
        file.write_all(&MARK)?;
        file.flush()?;
        drop(file);
        std::fs::rename(&fresh, path)?;
        Ok(Self { file: File::open(path)?, directory })
    }

    /// Opens a table; `None` if there is none that can be read.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let directory = read_directory(&file)?;
        Ok(directory.map(|directory| Self { file, directory }))
    }

    /// Length of the segment that it was made of.
    pub fn log_bytes(&self) -> u64 {
        self.directory.log_bytes
    }

    /// What the segment holds of each market.
    pub fn runs(&self) -> &[record::HistoryRun] {
        &self.directory.runs
    }

    /// Entries in a range, at most so many.
    pub fn range(&self, range: &Range, order: Order, limit: usize) -> Result<Vec<Entry>, TableError> {
        let pages = &self.directory.pages;
        // The page before the first that begins in the range may have some of it too.
        let begin = pages.partition_point(|page| *page.first_key <= *range.from).saturating_sub(1);
        let end = pages.partition_point(|page| *page.first_key < *range.to);
        let (mut found, mut bytes) = (Vec::new(), Vec::new());
        let mut take = |page: &record::IndexPage| {
            self.read_page(page, &mut bytes)?;
            let mut within = entries(&bytes)?;
            within.retain(|(key, _)| *key >= &*range.from && *key < &*range.to);
            if order == Order::Descending {
                within.reverse();
            }
            let within = within.into_iter().take(limit - found.len());
            found.extend(within.map(|(key, value)| (Box::from(key), value)));
            Ok::<_, TableError>(found.len() >= limit)
        };
        let pages = &pages[begin.min(end)..end];
        match order {
            Order::Ascending => {
                pages.iter().try_fold(limit == 0, |full, page| if full { Ok(true) } else { take(page) })?
            }
            Order::Descending => pages
                .iter()
                .rev()
                .try_fold(limit == 0, |full, page| if full { Ok(true) } else { take(page) })?,
        };
        Ok(found)
    }

    fn read_page(&self, page: &record::IndexPage, bytes: &mut Vec<u8>) -> Result<(), TableError> {
        bytes.resize(page.bytes as usize, 0);
        if !read_whole(&self.file, bytes, page.offset)? || crc32fast::hash(bytes) != page.checksum {
            return Err(TableError::Damaged);
        }
        Ok(())
    }
}

/// An entry as it lies in a page: its key, and what that leads to.
type Slot<'a> = (&'a [u8], u64);

/// The entries of a page.
fn entries(mut page: &[u8]) -> Result<Vec<Slot<'_>>, TableError> {
    let mut entries = Vec::new();
    while !page.is_empty() {
        let (entry, after) = entry(page).ok_or(TableError::Damaged)?;
        entries.push(entry);
        page = after;
    }
    Ok(entries)
}

fn close(directory: &mut record::SegmentIndex, first: Vec<u8>, offset: &mut u64, page: &mut Vec<u8>) {
    let (bytes, checksum) = (u32::try_from(page.len()).unwrap_or(u32::MAX), crc32fast::hash(page));
    directory.pages.push(record::IndexPage { first_key: first.into(), offset: *offset, bytes, checksum });
    *offset += u64::from(bytes);
    page.clear();
}

fn entry(bytes: &[u8]) -> Option<(Slot<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (value, rest) = rest.split_first_chunk::<8>()?;
    Some(((key, u64::from_be_bytes(*value)), rest))
}

fn read_directory(file: &File) -> io::Result<Option<record::SegmentIndex>> {
    let length = file.metadata()?.len();
    let Some(trailer_at) = length.checked_sub(TRAILER_BYTES as u64) else {
        return Ok(None);
    };
    let mut trailer = [0; TRAILER_BYTES];
    if !read_whole(file, &mut trailer, trailer_at)? || !trailer.ends_with(&MARK) {
        return Ok(None);
    }
    let number =
        |at: usize| u32::from_be_bytes([trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]]);
    let Some(begin) = trailer_at.checked_sub(u64::from(number(0))) else {
        return Ok(None);
    };
    let mut encoded = vec![0; number(0) as usize];
    if !read_whole(file, &mut encoded, begin)? || crc32fast::hash(&encoded) != number(4) {
        return Ok(None);
    }
    Ok(record::SegmentIndex::decode(encoded.as_slice()).ok())
}

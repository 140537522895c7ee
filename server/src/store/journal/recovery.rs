//! What a journal holds when a node starts.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;

use super::segment::{self, ALIGNMENT};
use super::{HEADER_BYTES, StoreError};
use crate::frames;
use crate::store::error::io_at;

/// What was recovered.
#[derive(Debug)]
pub(in crate::store) struct Recovered {
    /// The entries of each block that may not be in files, in the order of writing.
    pub blocks: Vec<Bytes>,
    /// Number of the next block.
    pub next: u64,
    /// Where the last one is.
    pub(super) last: Option<Place>,
}

/// Where a block is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub segment: u64,
    /// Where the next one begins.
    pub end: u64,
}

/// A block as it was found.
struct Block {
    floor: u64,
    entries: Bytes,
    place: Place,
}

/// Reads a journal.
pub(in crate::store) fn recover(directory: &Path, stamp: u64) -> Result<Recovered, StoreError> {
    let mut blocks = BTreeMap::new();
    for number in segment::numbers(directory).map_err(io_at(directory))? {
        let path = segment::path_of(directory, number);
        let bytes = std::fs::read(&path).map_err(io_at(&path))?;
        find(&Bytes::from(bytes), (number, stamp), &mut blocks);
    }
    let Some((&number, Block { floor, place, .. })) = blocks.last_key_value() else {
        return Ok(Recovered { blocks: Vec::new(), next: 1, last: None });
    };
    let (floor, last) = (*floor, Some(*place));
    let needed = blocks.split_off(&floor);
    if let Some(block) = (floor..=number).find(|number| !needed.contains_key(number)) {
        return Err(StoreError::Journal { path: directory.to_owned(), block });
    }
    let blocks = needed.into_values().map(|block| block.entries).collect();
    Ok(Recovered { blocks, next: number + 1, last })
}

/// Finds the blocks of a segment, also those of its use before this one.
fn find(bytes: &Bytes, (segment, stamp): (u64, u64), blocks: &mut BTreeMap<u64, Block>) {
    let mut at = 0;
    while at < bytes.len() {
        let found = frames::record_at(bytes, at).and_then(|record| {
            let (number, floor) = header(bytes.get(record.clone())?, stamp)?;
            let entries = bytes.slice(record.start + HEADER_BYTES..record.end);
            let end = record.end.next_multiple_of(ALIGNMENT);
            let place = Place { segment, end: end as u64 };
            blocks.insert(number, Block { floor, entries, place });
            Some(end)
        });
        at = found.unwrap_or(at + ALIGNMENT);
    }
}

/// Number and floor of a block of this journal.
fn header(record: &[u8], stamp: u64) -> Option<(u64, u64)> {
    let (of, rest) = record.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let floor = u64::from_be_bytes(*rest.first_chunk()?);
    let number = u64::from_be_bytes(*number);
    (u64::from_be_bytes(*of) == stamp && floor <= number).then_some((number, floor))
}

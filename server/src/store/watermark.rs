//! How many records were synced, beside the database, so that a lost one is noticed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::StoreError;

/// A file with one number in two places, each with a checksum, written in turn: a torn write leaves the other
/// one. It is written after each sync and not synced itself: after a power cut it may say too little, never too
/// much.
pub(super) struct Watermark {
    file: File,
    synced: AtomicU64,
    writes: AtomicU64,
}

/// Why the watermark can't be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WatermarkDamage {
    /// There is none.
    #[error("is missing")]
    Missing,
    /// It is too short or too long.
    #[error("has the wrong length")]
    Length,
    /// No number in it has the right checksum.
    #[error("is damaged")]
    Checksum,
}

/// A checksum and a number.
const PLACE_BYTES: usize = 12;
const PLACES: u64 = 2;
const BYTES: usize = PLACE_BYTES * PLACES as usize;

impl Watermark {
    /// Opens the watermark of a store; makes it if the store is new.
    pub fn open(path: &Path, is_new: bool) -> Result<Self, StoreError> {
        let failed = |error| StoreError::Io { path: path.to_owned(), error };
        let damaged = |what| StoreError::Watermark { path: path.to_owned(), what };
        let made = |file, synced| Self { file, synced: AtomicU64::new(synced), writes: AtomicU64::new(0) };
        let opened = OpenOptions::new().read(true).write(true).create(is_new).truncate(false).open(path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(WatermarkDamage::Missing));
            }
            opened => opened.map_err(failed)?,
        };
        let length = file.metadata().map_err(failed)?.len();
        if is_new && length == 0 {
            let fresh = made(file, 0);
            (0..PLACES).try_for_each(|_| fresh.write(0)).map_err(failed)?;
            return Ok(fresh);
        }
        let mut bytes = [0; BYTES];
        if length != BYTES as u64 {
            return Err(damaged(WatermarkDamage::Length));
        }
        file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        let places = bytes.chunks_exact(PLACE_BYTES).filter_map(open_place);
        let synced = places.max().ok_or_else(|| damaged(WatermarkDamage::Checksum))?;
        let opened = made(file, synced);
        // Whatever is damaged or torn in one place is right again in both.
        (0..PLACES).try_for_each(|_| opened.write(synced)).map_err(failed)?;
        Ok(opened)
    }

    /// Compares with what is stored, and goes on from there.
    pub fn check(&self, found: u64) -> Result<(), StoreError> {
        let synced = self.synced.swap(found, Ordering::Relaxed);
        if found < synced {
            return Err(StoreError::Lost { synced, found });
        }
        Ok(())
    }

    /// Notes that more records were synced.
    pub fn advance(&self, records: u64) -> Result<(), io::Error> {
        self.write(self.synced.fetch_add(records, Ordering::Relaxed) + records)
    }

    fn write(&self, synced: u64) -> Result<(), io::Error> {
        let place = self.writes.fetch_add(1, Ordering::Relaxed) % PLACES;
        self.file.write_all_at(&close_place(synced), place * PLACE_BYTES as u64)
    }
}

/// A number with its checksum before it.
fn close_place(number: u64) -> [u8; PLACE_BYTES] {
    let (mut place, number) = ([0; PLACE_BYTES], number.to_be_bytes());
    place[..4].copy_from_slice(&crc32fast::hash(&number).to_be_bytes());
    place[4..].copy_from_slice(&number);
    place
}

/// The number in a place; `None` if its checksum is wrong.
fn open_place(place: &[u8]) -> Option<u64> {
    let (checksum, number) = place.split_first_chunk::<4>()?;
    let is_right = crc32fast::hash(number).to_be_bytes() == *checksum;
    number.try_into().ok().filter(|_| is_right).map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, is_new: bool) -> Result<u64, StoreError> {
        Watermark::open(path, is_new).map(|watermark| watermark.synced.load(Ordering::Relaxed))
    }

    fn damage(result: Result<u64, StoreError>) -> WatermarkDamage {
        match result {
            Err(StoreError::Watermark { what, .. }) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_is_made_for_a_new_store_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watermark");
        assert_eq!(damage(open(&path, false)), WatermarkDamage::Missing);
        assert_eq!(open(&path, true).unwrap(), 0);
        let watermark = Watermark::open(&path, false).unwrap();
        for records in 1..=5 {
            watermark.advance(records).unwrap();
        }
        assert_eq!(open(&path, false).unwrap(), 15);
        // A store that was lost is no new one.
        assert_eq!(open(&path, true).unwrap(), 15);
    }

    #[test]
    fn no_damage_makes_it_say_less() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watermark");
        Watermark::open(&path, true).unwrap().advance(1_000).unwrap();
        open(&path, false).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(open(&path, false).unwrap(), 1_000, "bit {bit}");
        }
        for length in (0..whole.len()).chain([whole.len() + 1]) {
            let mut bytes = whole.clone();
            bytes.resize(length, 0);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(damage(open(&path, false)), WatermarkDamage::Length, "{length}");
        }
        std::fs::write(&path, vec![0; whole.len()]).unwrap();
        assert_eq!(damage(open(&path, false)), WatermarkDamage::Checksum);
    }
}

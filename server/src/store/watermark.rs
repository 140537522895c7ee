//! How many records were synced, beside the database, so that a lost one is noticed.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::StoreError;

/// A file with one number. It is written after each sync and not synced itself: after a power cut
/// it may say too little, never too much.
pub(super) struct Watermark {
    file: File,
    path: PathBuf,
    synced: AtomicU64,
}

impl Watermark {
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error| StoreError::Io { path: path.to_owned(), error };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        let mut bytes = [0; 8];
        let synced = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => u64::from_be_bytes(bytes),
            // A new file, or one whose only write was cut off.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { file, path: path.to_owned(), synced: AtomicU64::new(synced) })
    }

    pub fn path(&self) -> &Path {
        &self.path
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
    pub fn advance(&self, records: u64) -> Result<(), std::io::Error> {
        let synced = self.synced.fetch_add(records, Ordering::Relaxed) + records;
        self.file.write_all_at(&synced.to_be_bytes(), 0)
    }
}

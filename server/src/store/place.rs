//! Whether a data directory is where it was, or was copied from another place, and whether it is known
//! to be an old copy.
//!
//! A file keeps its inode and the time of its birth for as long as it lives, and a copy of it has others.
//! That does not see a copy that was written into the same files, or that of a whole disk: such an old
//! copy is found if a peer remembers what its node acknowledged.

use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use super::{Store, StoreError};

/// An empty file that only says where the directory is.
const FILE: &str = "place";

/// Where a data directory is.
pub(super) struct Place {
    /// Inode and birth of its file.
    now: [u8; 24],
    /// How many documents have not heard yet that this directory is no old copy.
    waiting: AtomicUsize,
}

impl Place {
    pub fn of(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let failed = |error| StoreError::Io { path: path.clone(), error };
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        // Not every file system knows when a file was born.
        let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let mut now = [0; 24];
        now[..8].copy_from_slice(&metadata.ino().to_be_bytes());
        now[8..].copy_from_slice(&born.map_or(0, |born| born.as_nanos()).to_be_bytes());
        Ok(Self { now, waiting: AtomicUsize::new(0) })
    }
}

impl Store {
    /// Whether the directory was copied from another place since its node last voted.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.meta.read(|meta| meta.place != self.place.now.as_slice())
    }

    /// Notes, durably, that the directory belongs where it is.
    ///
    /// # Errors
    /// It can't be written.
    pub fn settle(&self) -> Result<(), StoreError> {
        let now = self.place.now.to_vec();
        self.meta.change(|meta| meta.place = now.into())
    }

    /// One more waits to hear whether the directory is an old copy.
    pub fn wait_for_gate(&self) {
        self.place.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// One of those has heard that it is none; after the last the directory belongs where it is.
    ///
    /// # Errors
    /// That can't be written.
    pub fn gate_opened(&self) -> Result<(), StoreError> {
        if self.place.waiting.fetch_sub(1, Ordering::Relaxed) == 1 { self.settle() } else { Ok(()) }
    }

    /// Notes, durably, that the directory is an old copy: it is not opened again.
    ///
    /// # Errors
    /// It can't be written.
    pub fn condemn(&self, reason: &str) -> Result<(), StoreError> {
        self.meta.change(|meta| meta.outdated = Some(reason.to_owned()))
    }

    /// Refuses a directory that was found to be an old copy.
    pub(super) fn check_outdated(&self) -> Result<(), StoreError> {
        let outdated = self.meta.read(|meta| meta.outdated.clone());
        outdated.map_or(Ok(()), |reason| Err(StoreError::Outdated { reason }))
    }
}

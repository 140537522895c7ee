//! One process a directory.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::StoreError;
use super::error::io_at;

/// How long whoever held the directory may take to let go of it: the last threads of a node that has ended may
/// still read.
const LET_GO: Duration = Duration::from_millis(500);
const LET_GO_STEP: Duration = Duration::from_millis(10);

/// Holds the directory for this process.
pub(super) fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("lock");
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(io_at(&path))?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if waited < LET_GO => {
                std::thread::sleep(LET_GO_STEP);
                waited += LET_GO_STEP;
            }
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path: directory.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(io_at(&path)(error)),
        }
    }
}

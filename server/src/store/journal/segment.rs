//! One file of the journal. All of it was written before it is used, so that a write changes nothing but the
//! bytes themselves: it goes past the system's buffers, and is on the disk when it returns.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What writes begin at and are a multiple of. No disk in use has larger sectors.
pub(super) const ALIGNMENT: usize = 4_096;

const EXTENSION: &str = "journal";

/// A file of the journal.
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Whether writes go past the system's buffers. Not every file system has that.
    is_direct: bool,
}

/// The numbers of the segments in a directory, ascending.
pub(super) fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let number = stem.and_then(|stem| stem.parse().ok());
        numbers.extend(number.filter(|number| path == path_of(directory, *number)));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:08}.{EXTENSION}"))
}

impl Segment {
    /// Makes one, durably.
    pub fn create(directory: &Path, number: u64, bytes: u64) -> io::Result<Self> {
        let path = path_of(directory, number);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        let zeros = vec![0; 256 * 1_024];
        let mut left = bytes;
        while left > 0 {
            let part = left.min(zeros.len() as u64);
            // No longer than the zeros.
            file.write_all(&zeros[..usize::try_from(part).unwrap_or(zeros.len())])?;
            left -= part;
        }
        file.sync_all()?;
        File::open(directory)?.sync_all()?;
        Self::open(directory, number)
    }

    pub fn open(directory: &Path, number: u64) -> io::Result<Self> {
        let path = path_of(directory, number);
        let (file, is_direct) = match open_direct(&path) {
            Ok(file) => (file, true),
            Err(_) => (open_plain(&path)?, false),
        };
        // One that was cut ends between two places for blocks.
        let bytes = file.metadata()?.len() / ALIGNMENT as u64 * ALIGNMENT as u64;
        Ok(Self { path, file, bytes, is_direct })
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it is.
    #[cfg(test)]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes durably.
    pub fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        if self.is_direct {
            match self.file.write_all_at(bytes, at) {
                // It can be opened for direct writes, but not written.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    (self.file, self.is_direct) = (open_plain(&self.path)?, false);
                }
                written => return written,
            }
        }
        self.file.write_all_at(bytes, at)?;
        self.file.sync_data()
    }

    /// Deletes it.
    pub fn delete(self) -> io::Result<()> {
        std::fs::remove_file(self.path)
    }
}

fn open_plain(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::OFlags;

    let flags = (OFlags::DIRECT | OFlags::DSYNC).bits().cast_signed();
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_path: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Bytes in memory that begin and end where direct writes have to.
#[derive(Default)]
pub(super) struct Aligned {
    bytes: Vec<u8>,
}

/// Most memory that is kept for the next write.
const KEPT_BYTES: usize = 1_024 * 1_024;

impl Aligned {
    /// A copy of a record, with zeros behind it.
    pub fn copy(&mut self, record: &[u8]) -> &[u8] {
        let length = record.len().next_multiple_of(ALIGNMENT);
        if self.bytes.len() > KEPT_BYTES && length < KEPT_BYTES {
            self.bytes = Vec::new();
        }
        if self.bytes.len() < length + ALIGNMENT {
            self.bytes.resize(length + ALIGNMENT, 0);
        }
        let start = self.bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let aligned = &mut self.bytes[start..start + length];
        aligned[..record.len()].copy_from_slice(record);
        aligned[record.len()..].fill(0);
        aligned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_begins_and_ends_at_the_alignment_and_has_nothing_of_the_one_before() {
        let mut aligned = Aligned::default();
        for length in [9_000, 1, 4_096, 4_097, 2 * KEPT_BYTES, 3] {
            let copy = aligned.copy(&vec![7; length]);
            assert_eq!(copy.as_ptr().align_offset(ALIGNMENT), 0);
            assert_eq!(copy.len(), length.next_multiple_of(ALIGNMENT));
            assert!(
                copy[..length].iter().all(|byte| *byte == 7) && copy[length..].iter().all(|byte| *byte == 0)
            );
        }
    }
}

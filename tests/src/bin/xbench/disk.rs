//! Bare writes to the disk.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;

use anyhow::{Context, Result};

const BLOCK: [u8; 4_096] = [7; 4_096];

/// A file that blocks are written to, one after the other.
pub struct Blocks(File);

impl Blocks {
    /// A new file in a directory that has so many blocks already; they are written over.
    ///
    /// # Errors
    /// The disk fails.
    pub fn new(directory: &Path, blocks: u64) -> Result<Self> {
        let path = directory.join(format!("floor-{blocks}"));
        let mut file = File::create(&path).with_context(|| format!("can't create {}", path.display()))?;
        for _ in 0..blocks {
            file.write_all(&BLOCK)?;
        }
        file.sync_all()?;
        file.rewind()?;
        Ok(Self(file))
    }

    /// Writes one more and syncs it.
    ///
    /// # Errors
    /// The disk fails.
    pub fn write_one(&mut self) -> Result<()> {
        self.0.write_all(&BLOCK)?;
        Ok(self.0.sync_data()?)
    }
}

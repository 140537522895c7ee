//! The journal: what was written last for all documents, in the order of writing, durable at each write.
//!
//! ```text
//! write ──> a block in the current segment: on the disk ──> the files of generations: in the system's buffers
//!                          │ full                                       │
//!                          └──> checkpoint: those files are synced ─────┴──> the segment is free again
//! ```
//!
//! A block is a batch of entries: all of it or nothing. Blocks are numbered, and each names the *floor*: all before
//! that one is synced in files. So what a start has to write into files again is what lies between the last
//! block's floor and the last block, and what is missing there was lost: a torn write is what would have been the
//! last block, and nothing follows it.

mod checkpoint;
mod recovery;
mod segment;

use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::error::io_at;
use super::files::{Files, OpenFiles};
use crate::frames;
use checkpoint::{Checkpoints, Cleared, Task};
pub(super) use recovery::{Recovered, recover};
use segment::{ALIGNMENT, Aligned, Segment};

/// Segments that are used in turn.
const SEGMENTS: usize = 3;

/// Length of each, and of the first one, which a node with little to do never leaves.
const SEGMENT_BYTES: u64 = 8 * 1_024 * 1_024;
const FIRST_SEGMENT_BYTES: u64 = 1_024 * 1_024;

/// Room at the end of each segment for a block without entries.
const RESERVED_BYTES: u64 = ALIGNMENT as u64;

/// Stamp, number and floor.
const HEADER_BYTES: usize = 24;

/// Most memory that is kept for the next block.
const KEPT_BYTES: usize = 1_024 * 1_024;

/// The journal of a node.
pub(super) struct Journal {
    directory: PathBuf,
    /// What tells its blocks from whatever else a segment may hold.
    stamp: u64,
    /// Number of the next block.
    next: u64,
    /// The first block that may not be in files.
    floor: u64,
    current: Segment,
    /// Where the next block begins.
    at: u64,
    free: Vec<Segment>,
    /// What they have is in files, but the last block's floor does not say so yet: if they were written now and the
    /// write was torn, blocks would be missing. After the next block they are free, or deleted.
    spent: Vec<Segment>,
    /// How many segments there are of those that are used in turn.
    in_turn: usize,
    /// Whether one more is being made.
    making: bool,
    next_segment: u64,
    block: Vec<u8>,
    aligned: Aligned,
    /// The files that entries went to since the current segment began.
    open: OpenFiles,
    checkpoints: Checkpoints,
}

impl Journal {
    /// Goes on after what was recovered from a directory, which is in files by now.
    pub fn resume(
        directory: &Path,
        stamp: u64,
        recovered: &Recovered,
        files: Files,
    ) -> Result<Self, StoreError> {
        Self::try_resume(directory, stamp, recovered, files).map_err(io_at(directory))
    }

    fn try_resume(directory: &Path, stamp: u64, recovered: &Recovered, files: Files) -> io::Result<Self> {
        let (mut spent, mut current) = (Vec::new(), None);
        let numbers = segment::numbers(directory)?;
        for &number in &numbers {
            let segment = Segment::open(directory, number)?;
            // Behind the last block nothing is lost if the next one is torn.
            match recovered.last.filter(|last| last.segment == number && last.end < segment.bytes()) {
                Some(last) => current = Some((segment, last.end)),
                None => spent.push(segment),
            }
        }
        let mut next_segment = numbers.last().map_or(0, |last| last + 1);
        let (current, at) = match current {
            Some(found) => found,
            None => {
                next_segment += 1;
                (Segment::create(directory, next_segment - 1, FIRST_SEGMENT_BYTES)?, 0)
            }
        };
        let in_turn = spent.iter().chain([&current]).filter(|segment| is_in_turn(segment)).count();
        Ok(Self {
            directory: directory.to_owned(),
            stamp,
            next: recovered.next,
            floor: recovered.next,
            current,
            at,
            free: Vec::new(),
            spent,
            in_turn,
            making: false,
            next_segment,
            block: Vec::new(),
            aligned: Aligned::default(),
            open: OpenFiles::new(files),
            checkpoints: Checkpoints::start(directory)?,
        })
    }

    /// Writes a block of entries, durably. They are to be written to [files](Self::files) before the next block.
    pub fn write(&mut self, entries: &[u8]) -> Result<(), StoreError> {
        self.try_write(entries).map_err(io_at(&self.directory))
    }

    /// Where entries are written to.
    pub fn files(&mut self) -> &mut OpenFiles {
        &mut self.open
    }

    fn try_write(&mut self, entries: &[u8]) -> io::Result<()> {
        while let Some(cleared) = self.checkpoints.cleared() {
            self.take_back(cleared?);
        }
        self.make_spare();
        let length = block_bytes(entries);
        if self.at + length > self.current.bytes().saturating_sub(RESERVED_BYTES) || self.open.is_full() {
            self.change_segment(length)?;
        }
        self.write_block(entries)
    }

    /// Writes a block where there is room for it.
    fn write_block(&mut self, entries: &[u8]) -> io::Result<()> {
        let (stamp, number, floor) = (self.stamp, self.next, self.floor);
        self.block.clear();
        frames::append(&mut self.block, |block| {
            [stamp, number, floor].iter().for_each(|number| block.extend_from_slice(&number.to_be_bytes()));
            block.extend_from_slice(entries);
        });
        self.current.write(self.aligned.copy(&self.block), self.at)?;
        self.at += block_bytes(entries);
        self.next += 1;
        self.block.shrink_to(KEPT_BYTES);
        for segment in std::mem::take(&mut self.spent) {
            if is_in_turn(&segment) { self.free.push(segment) } else { segment.delete()? }
        }
        Ok(())
    }

    /// Goes on in another segment; what the full one has of entries is synced in files meanwhile.
    fn change_segment(&mut self, length: u64) -> io::Result<()> {
        let whole = length + RESERVED_BYTES;
        let next = if whole > SEGMENT_BYTES { self.create(whole)? } else { self.next_free()? };
        let segment = std::mem::replace(&mut self.current, next);
        self.at = 0;
        let files = self.open.take();
        self.checkpoints.begin(Task::Clear { segment, through: self.next - 1, files })
    }

    fn create(&mut self, bytes: u64) -> io::Result<Segment> {
        let number = self.next_segment;
        self.next_segment += 1;
        Segment::create(&self.directory, number, bytes)
    }

    /// A free segment of the usual length. If there is none it waits: the disk does not keep up.
    fn next_free(&mut self) -> io::Result<Segment> {
        loop {
            if let Some(segment) = self.free.pop() {
                return Ok(segment);
            }
            if self.spent.iter().any(is_in_turn) {
                // In the reserved place, and only once: after it one is free.
                self.write_block(&[])?;
            } else if self.in_turn < SEGMENTS && !self.making {
                self.in_turn += 1;
                return self.create(SEGMENT_BYTES);
            } else {
                let cleared = self.checkpoints.wait()?;
                self.take_back(cleared);
            }
        }
    }

    /// Has one more made beforehand if the current one is half full and none is free.
    fn make_spare(&mut self) {
        let is_due = self.at > self.current.bytes() / 2 && self.free.is_empty();
        if is_due && !self.making && self.in_turn < SEGMENTS {
            self.making = true;
            self.in_turn += 1;
            let number = self.next_segment;
            self.next_segment += 1;
            // If that thread has ended, whoever needs the segment is told why.
            let _ = self.checkpoints.begin(Task::Make { number, bytes: SEGMENT_BYTES });
        }
    }

    fn take_back(&mut self, Cleared { segment, through }: Cleared) {
        match through {
            Some(through) => {
                self.floor = through + 1;
                self.spent.push(segment);
            }
            None => {
                self.making = false;
                self.free.push(segment);
            }
        }
    }
}

fn is_in_turn(segment: &Segment) -> bool {
    segment.bytes() == SEGMENT_BYTES
}

fn block_bytes(entries: &[u8]) -> u64 {
    frames::framed_bytes(HEADER_BYTES + entries.len()).next_multiple_of(ALIGNMENT) as u64
}

#[cfg(test)]
mod tests;

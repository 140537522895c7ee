//! Writing what is in the journal into the files of generations again.
//!
//! That is done also where a file has it: after a sync that failed the system may show what is not on the disk, and
//! would not write it again by itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use xbook_proto::record::v1::{self as record, stored_entry::What};

use super::error::{damaged, io_at};
use super::files::{Contents, OpenFiles};
use super::journal::{self, Journal};
use super::{KEPT_GENERATIONS, Store, StoreError, writer};
use crate::frames;

/// What a journal has of a generation.
#[derive(Default)]
struct Tail {
    /// Whether it has what the generation begins with.
    begins: bool,
    /// Index of the first change.
    first: u64,
    /// The changes.
    changes: Vec<Bytes>,
    /// All records, each in its frame.
    records: Vec<u8>,
}

/// By document and generation.
type Tails = BTreeMap<(Arc<str>, u64), Tail>;

impl Store {
    /// Writes what a process had in its journal that may not be in files into them, durably. Whoever reads a file
    /// acknowledges what is in it, so it is synced first.
    pub(super) fn recover(&self, directory: &Path) -> Result<Journal, StoreError> {
        let stamp = self.meta.stamp();
        let recovered = journal::recover(directory, stamp)?;
        let mut open = OpenFiles::new(self.files.clone());
        for ((document, generation), tail) in gather(&recovered.blocks) {
            if self.keeps(&document, generation, tail.begins)? {
                self.append_tail(&document, generation, &tail, &mut open)?;
            }
            if tail.begins {
                writer::forget_oldest(self, &document, generation)?;
            }
            if open.is_full() {
                sync(&mut open, &self.directory)?;
            }
        }
        sync(&mut open, &self.directory)?;
        Journal::resume(directory, stamp, &recovered, self.files.clone())
    }

    /// Whether a generation is not too old: entries of such may be left in the journal.
    fn keeps(&self, document: &str, generation: u64, begins: bool) -> Result<bool, StoreError> {
        let newest = self.files.newest(document)?;
        Ok(begins || newest.is_some_and(|newest| generation + KEPT_GENERATIONS >= newest))
    }

    /// Brings the file of a generation to where the journal is.
    fn append_tail(
        &self,
        document: &Arc<str>,
        generation: u64,
        tail: &Tail,
        open: &mut OpenFiles,
    ) -> Result<(), StoreError> {
        let contents = self.files.read(document, generation)?;
        let had = contents.as_ref().map_or(0, |contents| contents.changes.len() as u64);
        if had > tail.first + tail.changes.len() as u64 {
            // The journal's last block is damaged, and the file has what was in it.
            return Ok(());
        }
        if tail.begins {
            return open.begin(document, generation, &tail.records);
        }
        match contents.filter(|contents| contents.genesis.is_some() && had >= tail.first) {
            Some(contents) => {
                open.cut(document, generation, tail.begin_in(document, &contents)?)?;
                open.append(document, generation, &tail.records)
            }
            // Something before it is missing, as whoever loads it is told.
            None => Ok(()),
        }
    }
}

impl Tail {
    fn add(&mut self, what: What, framed: &[u8]) {
        match what {
            What::Genesis(_) => *self = Self { begins: true, ..Self::default() },
            What::Change(change) => {
                if !self.begins && self.changes.is_empty() {
                    self.first = change.index;
                }
                self.changes.push(change.bytes);
            }
            // It comes after the change that it was written with.
            What::Remembered(_) if self.records.is_empty() => return,
            What::Remembered(_) => {}
        }
        self.records.extend_from_slice(framed);
    }

    /// Where it begins in a file, which must have the same up to its end.
    fn begin_in(&self, document: &str, contents: &Contents) -> Result<u64, StoreError> {
        let first = usize::try_from(self.first).unwrap_or(usize::MAX);
        let had = contents.changes.iter().skip(first);
        let other = had.zip(&self.changes).position(|(had, change)| had != change);
        match other {
            // Of another directory, or of another time of this one.
            Some(at) => Err(damaged(document, format!("record {}", first + at))),
            None => Ok(contents.places.get(first).copied().unwrap_or(contents.end)),
        }
    }
}

/// What the blocks of a journal have of each generation.
fn gather(blocks: &[Bytes]) -> Tails {
    let mut tails = Tails::new();
    for entries in blocks {
        let mut at = 0;
        while let Some(place) = frames::record_at(entries, at) {
            let framed = &entries[at..place.end];
            at = place.end;
            if let Ok(record::StoredEntry { document, generation, what: Some(what) }) =
                record::StoredEntry::decode(entries.slice(place))
            {
                tails.entry((document.into(), generation)).or_default().add(what, framed);
            }
        }
    }
    tails
}

fn sync(open: &mut OpenFiles, directory: &Path) -> Result<(), StoreError> {
    open.take().iter().try_for_each(|file| file.sync_all()).map_err(io_at(directory))
}

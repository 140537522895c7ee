//! What one sync covers: entries for the journal, which are also the records of generations' files.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use xbook_proto::record::v1::{self as record, stored_entry::What};

use super::files::OpenFiles;
use super::{Changes, StoreError};
use crate::document::Genesis;
use crate::frames;

/// Entries, each in its frame, and where they go.
#[derive(Default)]
pub(super) struct Batch {
    entries: Vec<u8>,
    parts: Vec<Part>,
    changes: u64,
}

/// Neighbouring entries of one generation.
struct Part {
    document: Arc<str>,
    generation: u64,
    /// Whether the generation begins with them.
    begins: bool,
    entries: Range<usize>,
}

impl Batch {
    /// The entries.
    pub fn entries(&self) -> &[u8] {
        &self.entries
    }

    pub fn bytes(&self) -> usize {
        self.entries.len()
    }

    /// How many changes are among them.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    pub fn change(&mut self, to: &Changes, index: u64, bytes: Bytes) {
        self.changes += 1;
        self.add(to, What::Change(record::StoredChange { index, bytes }));
    }

    pub fn genesis(&mut self, to: &Changes, genesis: &Genesis) {
        self.add(to, What::Genesis(stored_genesis(genesis, to.before)));
    }

    pub fn remembered(&mut self, to: &Changes, remembered: record::Remembered) {
        self.add(to, What::Remembered(remembered));
    }

    fn add(&mut self, to: &Changes, what: What) {
        let (document, generation) = (Arc::clone(&to.document), to.generation);
        let begin = self.entries.len();
        let begins = matches!(what, What::Genesis(_));
        let entry = record::StoredEntry { document: document.to_string(), generation, what: Some(what) };
        frames::append(&mut self.entries, |entries| entries.extend_from_slice(&entry.encode_to_vec()));
        let end = self.entries.len();
        match self.parts.last_mut() {
            Some(last) if last.document == document && last.generation == generation && !begins => {
                last.entries.end = end;
            }
            _ => self.parts.push(Part { document, generation, begins, entries: begin..end }),
        }
    }

    /// Writes the entries to the files of their generations.
    pub fn write_to(&self, open: &mut OpenFiles) -> Result<(), StoreError> {
        self.parts.iter().try_for_each(|Part { document, generation, begins, entries }| {
            let entries = &self.entries[entries.clone()];
            let write = if *begins { OpenFiles::begin } else { OpenFiles::append };
            write(open, document, *generation, entries)
        })
    }
}

/// A genesis as it is kept, with how many changes were stored in the generations before.
pub(super) fn stored_genesis(genesis: &Genesis, changes_before: u64) -> record::StoredGenesis {
    let (genesis, parts) = (Some(genesis.record().clone()), genesis.parts().to_vec());
    record::StoredGenesis { genesis, parts, changes_before }
}

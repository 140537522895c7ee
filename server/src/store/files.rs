//! The files of generations: what a generation begins with, then its changes in the order of storing.
//!
//! A file is written through the system's buffers, after what goes into it is in the journal, and synced at a
//! checkpoint. So a torn end of a file is in the journal again; whatever else can't be read is damage.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use xbook_proto::record::v1::{self as record, stored_entry::What};

use super::error::{StoreError, io_at};
use crate::frames::{self, Title};

/// What a file begins with.
const TITLE: Title = Title { words: "xbook document", format: super::FORMAT };

const EXTENSION: &str = "document";

/// Most files that are open for writing at a time.
const MAX_OPEN: usize = 512;

/// Where the files of all generations are.
#[derive(Clone)]
pub(super) struct Files {
    root: PathBuf,
}

/// What a file holds.
pub(super) struct Contents {
    /// What the generation begins with; `None` if it can't be read.
    pub genesis: Option<record::StoredGenesis>,
    /// The changes before whatever can't be read.
    pub changes: Vec<Vec<u8>>,
    /// Where each of them is, in its frame.
    pub places: Vec<u64>,
    /// What was remembered last of the others' acknowledgements.
    pub remembered: record::Remembered,
    /// End of what can be read from the beginning on.
    pub end: u64,
    /// What is behind that.
    pub rest: Rest,
    /// How many changes are there, whole or damaged.
    pub stored: u64,
}

/// What is behind the part of a file that can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rest {
    Nothing,
    /// The beginning of one record: it is being written, or its write was torn.
    Torn,
    Damaged,
}

impl Files {
    pub fn open(root: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    fn directory(&self, document: &str) -> PathBuf {
        self.root.join(encode_name(document))
    }

    pub fn path(&self, document: &str, generation: u64) -> PathBuf {
        self.directory(document).join(format!("{generation:010}.{EXTENSION}"))
    }

    /// The documents that have a generation, by name.
    pub fn documents(&self) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(io_at(&self.root))? {
            let entry = entry.map_err(io_at(&self.root))?;
            let name = entry.file_name().to_str().and_then(decode_name);
            names.extend(name.filter(|name| self.directory(name) == entry.path()));
        }
        names.sort_unstable();
        let mut found = Vec::new();
        for name in names {
            found.extend(self.newest(&name)?.map(|_| name));
        }
        Ok(found)
    }

    /// The generations of a document that are kept, ascending.
    pub fn generations(&self, document: &str) -> Result<Vec<u64>, StoreError> {
        let directory = self.directory(document);
        let failed = |error| io_at(&directory)(error);
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut generations = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            generations.extend(number.filter(|number| path == self.path(document, *number)));
        }
        generations.sort_unstable();
        Ok(generations)
    }

    /// The newest generation of a document.
    pub fn newest(&self, document: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.generations(document)?.pop())
    }

    /// Makes the file of a generation with what it begins with, durably: all of it or nothing.
    pub fn create(&self, document: &str, generation: u64, records: &[u8]) -> Result<(), StoreError> {
        let (directory, path) = (self.directory(document), self.path(document, generation));
        let create = || {
            std::fs::create_dir_all(&directory)?;
            let unfinished = path.with_extension("new");
            let mut file = File::create(&unfinished)?;
            file.write_all(&TITLE.line())?;
            file.write_all(records)?;
            file.sync_all()?;
            std::fs::rename(unfinished, &path)?;
            File::open(&directory)?.sync_all()?;
            File::open(&self.root)?.sync_all()
        };
        create().map_err(io_at(&path))
    }

    /// Deletes the generations of a document up to one.
    pub fn delete_through(&self, document: &str, last: u64) -> Result<(), StoreError> {
        for generation in self.generations(document)?.into_iter().filter(|generation| *generation <= last) {
            let path = self.path(document, generation);
            std::fs::remove_file(&path).map_err(io_at(&path))?;
        }
        Ok(())
    }

    /// What a generation begins with; `None` if that is not there or can't be read.
    pub fn genesis(
        &self,
        document: &str,
        generation: u64,
    ) -> Result<Option<record::StoredGenesis>, StoreError> {
        let path = self.path(document, generation);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(io_at(&path))?,
        };
        let first = frames::read(&file, TITLE.line().len() as u64).map_err(io_at(&path))?;
        let entry = first.and_then(|first| record::StoredEntry::decode(Bytes::from(first)).ok());
        Ok(match entry.and_then(|entry| entry.what) {
            Some(What::Genesis(genesis)) => Some(genesis),
            _ => None,
        })
    }

    /// What a file holds; `None` if there is none.
    pub fn read(&self, document: &str, generation: u64) -> Result<Option<Contents>, StoreError> {
        let path = self.path(document, generation);
        match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read
                .map(|bytes| Some(Contents::of(document, generation, &bytes.into())))
                .map_err(io_at(&path)),
        }
    }
}

impl Contents {
    fn of(document: &str, generation: u64, bytes: &Bytes) -> Self {
        let begin = TITLE.line().len();
        let mut contents = Self {
            genesis: None,
            changes: Vec::new(),
            remembered: record::Remembered::default(),
            places: Vec::new(),
            end: begin.min(bytes.len()) as u64,
            rest: Rest::Nothing,
            stored: 0,
        };
        let mut follows = bytes.starts_with(&TITLE.line());
        for (at, place) in frames::scan(&TITLE, bytes).records {
            let entry = record::StoredEntry::decode(bytes.slice(place.clone())).ok();
            let is_its =
                |entry: &record::StoredEntry| entry.document == document && entry.generation == generation;
            let Some(what) = entry.filter(is_its).and_then(|entry| entry.what) else {
                follows = false;
                continue;
            };
            follows = follows && at == contents.end && contents.is_next(&what);
            if let What::Change(change) = &what {
                contents.stored = contents.stored.max(change.index + 1);
            }
            if follows {
                contents.end = place.end as u64;
                if matches!(what, What::Change(_)) {
                    contents.places.push(at);
                }
                contents.take(what);
            }
        }
        contents.judge_rest(bytes, follows);
        contents
    }

    /// Whether something is what comes next.
    fn is_next(&self, what: &What) -> bool {
        match what {
            What::Genesis(_) => self.genesis.is_none(),
            What::Change(change) => self.genesis.is_some() && change.index == self.changes.len() as u64,
            What::Remembered(_) => self.genesis.is_some(),
        }
    }

    fn take(&mut self, what: What) {
        match what {
            What::Genesis(genesis) => self.genesis = Some(genesis),
            What::Change(change) => self.changes.push(change.bytes.to_vec()),
            What::Remembered(remembered) => self.remembered = remembered,
        }
    }

    fn judge_rest(&mut self, bytes: &[u8], follows: bool) {
        // What is shorter than a file can be has no whole number of records.
        let end = usize::try_from(self.end).unwrap_or(usize::MAX);
        let is_shaped = frames::is_shaped_at(bytes, end);
        self.rest = match bytes.get(end..) {
            _ if !follows => Rest::Damaged,
            Some([]) if self.genesis.is_some() => Rest::Nothing,
            // All of it is there, and it is not what was written.
            Some(_) if is_shaped => Rest::Damaged,
            _ => Rest::Torn,
        };
        // Its number can't be read, but it is there.
        let is_last = self.stored == self.changes.len() as u64;
        if self.rest == Rest::Damaged && self.genesis.is_some() && is_shaped && is_last {
            self.stored += 1;
        }
    }
}

/// The files that entries are written to.
pub(super) struct OpenFiles {
    files: Files,
    open: BTreeMap<(Arc<str>, u64), Arc<File>>,
    /// The directories of files that were made.
    made: Vec<Arc<File>>,
}

impl OpenFiles {
    pub fn new(files: Files) -> Self {
        Self { files, open: BTreeMap::new(), made: Vec::new() }
    }

    /// Whether no more can be open before these are synced.
    pub fn is_full(&self) -> bool {
        self.open.len() + self.made.len() >= MAX_OPEN
    }

    /// All that were written to, to be synced.
    pub fn take(&mut self) -> Vec<Arc<File>> {
        let mut files: Vec<_> = std::mem::take(&mut self.open).into_values().collect();
        files.append(&mut self.made);
        files
    }

    /// Appends records to a generation's file. Not synced.
    pub fn append(&mut self, document: &Arc<str>, generation: u64, records: &[u8]) -> Result<(), StoreError> {
        let path = self.files.path(document, generation);
        let key = (Arc::clone(document), generation);
        let file = match self.open.get(&key) {
            Some(file) => Arc::clone(file),
            None => {
                let file = OpenOptions::new().append(true).open(&path).map_err(io_at(&path))?;
                Arc::clone(self.open.entry(key).or_insert_with(|| Arc::new(file)))
            }
        };
        (&*file).write_all(records).map_err(io_at(&path))
    }

    /// Begins a generation's file with records, in place of what is there of it. Not synced.
    pub fn begin(&mut self, document: &Arc<str>, generation: u64, records: &[u8]) -> Result<(), StoreError> {
        let path = self.files.path(document, generation);
        self.try_begin(document, generation, records).map_err(io_at(&path))
    }

    fn try_begin(&mut self, document: &Arc<str>, generation: u64, records: &[u8]) -> io::Result<()> {
        let directory = self.files.directory(document);
        std::fs::create_dir_all(&directory)?;
        let path = self.files.path(document, generation);
        File::create(&path)?;
        let mut file = OpenOptions::new().append(true).open(path)?;
        file.write_all(&TITLE.line())?;
        file.write_all(records)?;
        self.open.insert((Arc::clone(document), generation), Arc::new(file));
        for directory in [&directory, &self.files.root] {
            self.made.push(Arc::new(File::open(directory)?));
        }
        Ok(())
    }

    /// Cuts a generation's file off. Not synced.
    pub fn cut(&mut self, document: &Arc<str>, generation: u64, end: u64) -> Result<(), StoreError> {
        let path = self.files.path(document, generation);
        let file = OpenOptions::new().append(true).open(&path).map_err(io_at(&path))?;
        file.set_len(end).map_err(io_at(&path))?;
        self.open.insert((Arc::clone(document), generation), Arc::new(file));
        Ok(())
    }
}

/// A document's name as that of a directory: what is neither letter, digit, `-`, `_` nor a point within the name is
/// written in hexadecimal digits.
fn encode_name(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(byte.into()),
            b'.' if at > 0 => encoded.push('.'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The name that was encoded so; `None` if that is none.
fn decode_name(encoded: &str) -> Option<String> {
    let (mut bytes, mut name) = (encoded.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_directory_of_its_own() {
        for name in ["BTC/USDT", "directory", ".", "..", "a.b", "%2F", "ü", "a b", "btc/usdt"] {
            let encoded = encode_name(name);
            assert!(!encoded.contains('/') && !encoded.starts_with('.'), "{encoded}");
            assert_eq!(decode_name(&encoded).as_deref(), Some(name));
        }
        assert_eq!([decode_name("%"), decode_name("%G0"), decode_name("%FF")], [None, None, None]);
    }
}

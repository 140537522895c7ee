//! What a node must not forget: its id, the genesis of each document, and the changes of each.
//!
//! ```text
//! documents/lock        held by the process
//!           meta        who the node is
//!           journal/    what was written last, for all documents
//!           files/      a file a generation
//! watermark             how many changes were synced
//! ```
//!
//! The [`writer`](Writer) is the one thread that writes changes for all replicas of the node: it takes all that
//! wait, writes them as one block of the journal (`journal`), and only then says so. Then they go into the
//! file of their generation (`files`); a start writes what is only in the journal into files again. An I/O error is
//! final: nothing is retried, the writer ends, and so does every replica that wanted to write.
//!
//! When a generation begins its genesis and first changes are in one block, so a node is
//! either in the old one or in the new one. The last [`KEPT_GENERATIONS`] old ones stay as an archive.
//!
//! A torn write is cut off: it was never synced. To tell that from a lost record that was, a *watermark* file
//! counts the changes that were synced; finding fewer is an error ([`StoreError::Lost`]), and so is a store
//! without its watermark.

mod batch;
mod error;
mod files;
mod journal;
mod lock;
mod meta;
mod place;
mod recovery;
mod watermark;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message;
use xbook_proto::record::v1 as record;

pub use error::StoreError;
pub use watermark::WatermarkDamage;
pub use writer::{What, Write, Writer, Written};

use crate::document::Genesis;
use crate::format::Formats;
use crate::frames;
use crate::types::{GenerationNumber, NodeId, Position};
use error::{damaged, io_at};
use files::{Contents, Files, Rest};
use journal::Journal;
use lock::lock;
use meta::Meta;
use place::Place;
use watermark::Watermark;

/// A node's store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    directory: Arc<Path>,
    files: Files,
    meta: Arc<Meta>,
    watermark: Arc<Watermark>,
    place: Arc<Place>,
    /// The formats of documents that the node can read.
    formats: Formats,
    /// What was remembered last of each document's acknowledgements.
    remembered: Arc<Mutex<BTreeMap<Arc<str>, record::Remembered>>>,
    /// The journal, while no writer has it.
    journal: Arc<Mutex<Option<Journal>>>,
    /// Held by the writer while what it has said is durable is in the journal alone.
    filing: Arc<Mutex<()>>,
    /// Held for as long as the store is open.
    _lock: Arc<File>,
}

/// Where the changes of one generation of a document go.
#[derive(Clone)]
pub struct Changes {
    document: Arc<str>,
    generation: u64,
    /// How many changes were stored in the generations before.
    before: u64,
}

/// Who a node is. It is made with its data directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub node: NodeId,
    /// What it marks its acknowledgements with, so that it knows them again.
    pub secret: [u8; 32],
}

/// How many old generations of a document stay on the disk.
pub const KEPT_GENERATIONS: u64 = 2;

/// A document as it was stored.
pub struct Stored {
    /// Its genesis.
    pub genesis: Genesis,
    /// Where further changes go.
    pub changes: Changes,
    /// How many changes are stored.
    pub count: u64,
    /// The changes, in the order in which they were stored.
    pub loaded: Vec<Vec<u8>>,
    /// What the node remembered of the others' acknowledgements.
    pub remembered: record::Remembered,
}

/// What was found of a document.
pub struct Loaded {
    /// "directory", or the market's name.
    pub name: String,
    /// All of it, or why it can't be read.
    pub stored: Result<Stored, StoreError>,
}

/// The layout of the store: which files there are and how records are framed. The records themselves have the format
/// of their generation.
const FORMAT: u32 = 1;

impl Store {
    /// Opens or makes the store in a directory, for a node that reads documents of these formats.
    ///
    /// # Errors
    /// The directory can't be used, is used by another process, is damaged, was found to be an old copy, or
    /// was made by a program that lays it out in another way.
    pub fn open(directory: &Path, formats: Formats) -> Result<Self, StoreError> {
        let path = directory.join("documents");
        std::fs::create_dir_all(&path).map_err(io_at(&path))?;
        let lock = lock(&path)?;
        let place = Place::of(directory)?;
        // Nothing else is made before the node has an id, so whatever else there is was made by one that had.
        let (watermark, journal) = (directory.join("watermark"), path.join("journal"));
        let meta = Meta::open(&path.join("meta"), !watermark.exists() && !journal.exists())?;
        let is_new = meta.identity()?.is_none();
        let watermark = Watermark::open(&watermark, is_new)?;
        std::fs::create_dir_all(&journal).map_err(io_at(&journal))?;
        let files = Files::open(path.join("files")).map_err(io_at(&path))?;
        let store = Self {
            directory: path.into(),
            files,
            meta: Arc::new(meta),
            watermark: Arc::new(watermark),
            place: Arc::new(place),
            formats,
            remembered: Arc::default(),
            journal: Arc::default(),
            filing: Arc::default(),
            _lock: Arc::new(lock),
        };
        store.check_outdated()?;
        let journal = store.recover(&journal)?;
        store.give_back(journal);
        Ok(store)
    }

    /// The formats of documents that the node can read.
    #[must_use]
    pub fn formats(&self) -> Formats {
        self.formats
    }

    /// Who the node is; it becomes `fresh` if the directory is new.
    ///
    /// # Errors
    /// That can't be read or written.
    pub fn identity(&self, fresh: Identity) -> Result<Identity, StoreError> {
        if let Some(known) = self.meta.identity()? {
            return Ok(known);
        }
        self.meta
            .change(|meta| (meta.node, meta.secret) = (Some(fresh.node.0), fresh.secret.to_vec().into()))?;
        self.settle()?;
        Ok(fresh)
    }

    /// The genesis of generation 0 of the cluster's directory, which names the cluster; `None` if
    /// the node has none yet.
    ///
    /// # Errors
    /// It can't be read.
    pub fn cluster(&self) -> Result<Option<Genesis>, StoreError> {
        let stored = self.meta.read(|meta| meta.cluster.clone());
        let cluster = stored.map(|stored| decode_genesis(stored, "the cluster", self.formats)).transpose()?;
        Ok(cluster.map(|(genesis, _)| genesis))
    }

    /// Begins the directory of a cluster, durably.
    ///
    /// # Errors
    /// It can't be written, or read.
    pub fn enter(&self, cluster: &Genesis) -> Result<Stored, StoreError> {
        self.meta.change(|meta| meta.cluster = Some(batch::stored_genesis(cluster, 0)))?;
        self.create(cluster)
    }

    /// Makes the place of a new document with its genesis, durably.
    ///
    /// # Errors
    /// It can't be written, or read.
    pub fn create(&self, genesis: &Genesis) -> Result<Stored, StoreError> {
        let (name, generation) = (genesis.name(), genesis.generation());
        if self.files.newest(name)?.is_none() {
            let what = record::stored_entry::What::Genesis(batch::stored_genesis(genesis, 0));
            let entry =
                record::StoredEntry { document: name.to_owned(), generation: generation.0, what: Some(what) };
            self.files.create(name, generation.0, &frames::close(&entry.encode_to_vec()))?;
        }
        self.read(name, generation.0)?.ok_or_else(|| damaged(name, "the genesis"))
    }

    /// The place of a document's next generation, of which there is nothing before the generation's
    /// [beginning](What::Roll) is written. `stored` is how many changes the one before has.
    #[must_use]
    pub fn next_generation(&self, old: &Changes, stored: u64, genesis: &Genesis) -> Changes {
        let document = Arc::clone(&old.document);
        Changes { document, generation: genesis.generation().0, before: old.before + stored }
    }

    /// The number of a document's newest generation; `None` if there is no such document.
    ///
    /// # Errors
    /// It can't be read.
    pub fn newest_generation(&self, document: &str) -> Result<Option<u64>, StoreError> {
        self.files.newest(document)
    }

    /// Position after which a kept generation of a document begins; `None` if it is not kept.
    ///
    /// # Errors
    /// It can't be read.
    pub fn starts_after(&self, document: &str, generation: u64) -> Result<Option<Position>, StoreError> {
        let genesis = self.files.genesis(document, generation)?;
        let genesis = genesis.map(|genesis| decode_genesis(genesis, document, self.formats)).transpose()?;
        Ok(genesis.map(|(genesis, _)| genesis.position()))
    }

    /// Reads a generation of a document as it is stored now, the newest or one of the archive; `None` if
    /// it is not kept.
    ///
    /// # Errors
    /// It is damaged.
    pub fn read(&self, document: &str, generation: u64) -> Result<Option<Stored>, StoreError> {
        // What was said to be durable before this call is in its file then.
        drop(self.filing());
        let Some(contents) = self.files.read(document, generation)? else { return Ok(None) };
        let is_written_to = || Ok::<_, StoreError>(self.files.newest(document)? == Some(generation));
        if contents.rest == Rest::Damaged || (contents.rest == Rest::Torn && !is_written_to()?) {
            return Err(first_damage(document, &contents));
        }
        self.stored(document, generation, contents).map(Some)
    }

    /// Loads all documents, each or what is wrong with it, and checks that nothing that was synced is
    /// missing. While a document's changes can't even be counted, what is missing can't be told.
    ///
    /// # Errors
    /// The disk failed, or something is missing.
    pub fn load(&self) -> Result<Vec<Loaded>, StoreError> {
        let (mut documents, mut found) = (Vec::new(), Some(0));
        for name in self.files.documents()? {
            let count = self.count(&name)?;
            found = found.zip(count).map(|(found, count)| found + count);
            let stored = self.load_newest(&name);
            if let Err(error) = &stored
                && !error.of_document()
            {
                return stored.map(|_| Vec::new());
            }
            documents.push(Loaded { name, stored });
        }
        if let Some(found) = found {
            self.watermark.check(found)?;
        }
        Ok(documents)
    }

    fn load_newest(&self, document: &str) -> Result<Stored, StoreError> {
        let generation = self.files.newest(document)?.unwrap_or(0);
        match self.files.read(document, generation)? {
            Some(contents) if contents.rest == Rest::Nothing => self.stored(document, generation, contents),
            Some(contents) => Err(first_damage(document, &contents)),
            None => Err(damaged(document, "the genesis")),
        }
    }

    fn stored(&self, document: &str, generation: u64, contents: Contents) -> Result<Stored, StoreError> {
        let Contents { genesis, changes: loaded, remembered, .. } = contents;
        let genesis = genesis.ok_or_else(|| damaged(document, "the genesis"))?;
        let (genesis, before) = decode_genesis(genesis, document, self.formats)?;
        if (genesis.name(), genesis.generation()) != (document, GenerationNumber(generation)) {
            return Err(damaged(document, "the genesis"));
        }
        let document: Arc<str> = document.into();
        if self.files.newest(&document)? == Some(generation) {
            self.remembered().entry(Arc::clone(&document)).or_insert_with(|| remembered.clone());
        }
        let changes = Changes { document, generation, before };
        Ok(Stored { genesis, changes, count: loaded.len() as u64, loaded, remembered })
    }

    /// How many changes of a document were stored, whole or damaged. Where a genesis can't be read, the generation
    /// before has what it knew; `None` if there is none.
    fn count(&self, document: &str) -> Result<Option<u64>, StoreError> {
        let mut count = 0;
        for generation in self.files.generations(document)?.into_iter().rev() {
            let contents = self.files.read(document, generation)?;
            count += contents.as_ref().map_or(0, |contents| contents.stored);
            match contents.and_then(|contents| contents.genesis) {
                Some(genesis) => return Ok(Some(count + genesis.changes_before)),
                None if generation == 0 => return Ok(Some(count)),
                None => {}
            }
        }
        Ok(None)
    }

    fn remembered(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, record::Remembered>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_remembered(&self, document: &str) -> Option<record::Remembered> {
        self.remembered().get(document).cloned()
    }

    fn remember(&self, document: &Arc<str>, remembered: record::Remembered) {
        self.remembered().insert(Arc::clone(document), remembered);
    }

    fn journal(&self) -> MutexGuard<'_, Option<Journal>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn filing(&self) -> MutexGuard<'_, ()> {
        self.filing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_journal(&self) -> Result<Journal, StoreError> {
        self.journal().take().ok_or_else(|| StoreError::InUse { path: self.directory.to_path_buf() })
    }

    fn give_back(&self, journal: Journal) {
        *self.journal() = Some(journal);
    }
}

impl Changes {
    /// The generation that they belong to.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// The first record of a file that can't be read.
fn first_damage(document: &str, contents: &Contents) -> StoreError {
    match contents.genesis {
        None => damaged(document, "the genesis"),
        Some(_) => damaged(document, format!("record {}", contents.changes.len())),
    }
}

fn decode_genesis(
    stored: record::StoredGenesis,
    document: &str,
    formats: Formats,
) -> Result<(Genesis, u64), StoreError> {
    let record::StoredGenesis { genesis, parts, changes_before } = stored;
    let genesis = genesis.ok_or_else(|| damaged(document, "the genesis"))?;
    Ok((Genesis::from_record(genesis, parts, formats)?, changes_before))
}

#[cfg(test)]
mod crash;
#[cfg(test)]
mod tests;

//! What a node must not forget: its id, the genesis of each document, and the changes of each.
//!
//! One fjall database, one keyspace a generation, records keyed by the order in which they were
//! stored and framed with a checksum. The [`writer`](Writer) is the one thread that writes changes
//! for all replicas of the node: it takes all that wait, commits them as one batch, syncs once, and
//! only then says so. An I/O error is final: nothing is retried, the writer ends, and so does every
//! replica that wanted to write.
//!
//! When a generation begins its genesis and first changes are written as one batch, so a node is
//! either in the old one or in the new one. The last [`KEPT_GENERATIONS`] old ones stay as an archive.
//!
//! fjall cuts a torn tail off silently, which is right for what was never synced. To tell that
//! from a lost record that was, a *watermark* file counts the records that were synced; finding
//! fewer is an error ([`StoreError::Lost`]), and so is a store without its watermark.

mod frame;
mod place;
mod watermark;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use prost::Message;
use xbook_proto::record::v1 as record;

pub use watermark::WatermarkDamage;
pub use writer::{What, Write, Writer, Written};

use crate::document::{Genesis, GenesisError};
use crate::format::Formats;
use crate::types::{NodeId, Position};
use place::Place;
use watermark::Watermark;

/// A node's store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Database,
    meta: Keyspace,
    watermark: Arc<Watermark>,
    place: Arc<Place>,
    /// The formats of documents that the node can read.
    formats: Formats,
}

/// Where the changes of one generation of a document go.
#[derive(Clone)]
pub struct Changes {
    keyspace: Keyspace,
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

/// Why the store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{path} is used by another process")]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// From fjall.
    #[error("the database in {path} failed: {}", words(error))]
    Database {
        /// Where.
        path: PathBuf,
        /// What.
        error: fjall::Error,
    },
    /// From the file system.
    #[error("{path} failed: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        error: std::io::Error,
    },
    /// The journal of the database makes no sense.
    #[error("the database in {path} is damaged: its journal can't be read")]
    Unreadable {
        /// Where.
        path: PathBuf,
    },
    /// A record whose checksum is wrong.
    #[error("record {record} of {document} is damaged: its checksum is wrong")]
    Damaged {
        /// The document, or "meta".
        document: String,
        /// The record.
        record: String,
    },
    /// Records that had been synced are gone.
    #[error(
        "{found} records are stored, but {synced} had been synced: this data directory is damaged or an old \
         copy. A node that lost records has forgotten what it promised: start a new node with an empty directory"
    )]
    Lost {
        /// How many were synced.
        synced: u64,
        /// How many are there.
        found: u64,
    },
    /// A peer has proved that the directory is an old copy.
    #[error("this data directory was refused before: {reason}")]
    Outdated {
        /// What the peer said.
        reason: String,
    },
    /// How much had been synced can't be told.
    #[error(
        "{path} {what}: this data directory is damaged or an incomplete copy. A node that can't tell what it had \
         synced may have forgotten what it promised: start a new node with an empty directory"
    )]
    Watermark {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: WatermarkDamage,
    },
    /// A genesis in a format that can't be read.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The store itself is laid out as this program does not know.
    #[error(
        "the database in {path} has format {format}, and this program reads format {FORMAT}: start a newer one"
    )]
    Format {
        /// Where.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
}

/// Bytes of a generation that wait in memory before they are flushed to tables: they are on the disk
/// already, in the journal.
const MEMTABLE_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes in journals beyond which what waits in memory of any generation is flushed; the least there is.
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of tables that are kept in memory.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

/// The format of the database: which keyspaces there are, their keys, and how records are framed. The records
/// themselves have the format of their generation.
const FORMAT: u32 = 1;

const FORMAT_KEY: &str = "format";
const NODE_KEY: &str = "node";
const CLUSTER_KEY: &str = "cluster";
const GENESIS_PREFIX: &str = "genesis/";

impl Store {
    /// Opens or makes the store in a directory, for a node that reads documents of these formats.
    ///
    /// # Errors
    /// The directory can't be used, is used by another process, is damaged, was found to be an old copy, or
    /// was made by a program that lays it out in another way.
    pub fn open(directory: &Path, formats: Formats) -> Result<Self, StoreError> {
        let path = directory.join("documents");
        std::fs::create_dir_all(&path).map_err(|error| StoreError::Io { path: path.clone(), error })?;
        let failed = |error| match error {
            fjall::Error::Locked => StoreError::InUse { path: path.clone() },
            error => StoreError::Database { path: path.clone(), error },
        };
        // The database panics on some damages of its journal.
        let open = || {
            let builder = Database::builder(&path).manual_journal_persist(true);
            builder.max_journaling_size(JOURNAL_BYTES).cache_size(CACHE_BYTES).open()
        };
        let opened = catch_unwind(AssertUnwindSafe(open));
        let database = opened.map_err(|_| StoreError::Unreadable { path: path.clone() })?.map_err(failed)?;
        let meta = database.keyspace("meta", KeyspaceCreateOptions::default).map_err(failed)?;
        // Before anything else is written it is made, so a store with an id has had one.
        let is_new = !meta.contains_key(NODE_KEY).map_err(failed)?;
        check_format(&meta, is_new, &path)?;
        let watermark = Watermark::open(&directory.join("watermark"), is_new)?;
        let place = Place::of(directory)?;
        let store = Self { database, meta, watermark: Arc::new(watermark), place: Arc::new(place), formats };
        store.check_outdated()?;
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
        let failed = |error| self.failed(error);
        if let Some(framed) = self.meta.get(NODE_KEY).map_err(failed)? {
            let stored = frame::open(&framed).and_then(|bytes| bytes.split_first_chunk());
            let stored = stored.and_then(|(node, secret)| Some((node, secret.try_into().ok()?)));
            let (node, secret) = stored.ok_or_else(|| damaged("meta", NODE_KEY))?;
            return Ok(Identity { node: NodeId(u64::from_be_bytes(*node)), secret });
        }
        let record = [fresh.node.0.to_be_bytes().as_slice(), &fresh.secret].concat();
        self.meta.insert(NODE_KEY, frame::close(&record)).map_err(failed)?;
        self.settle()?;
        Ok(fresh)
    }

    /// The genesis of generation 0 of the cluster's directory, which names the cluster; `None` if
    /// the node has none yet.
    ///
    /// # Errors
    /// It can't be read.
    pub fn cluster(&self) -> Result<Option<Genesis>, StoreError> {
        let Some(framed) = self.meta.get(CLUSTER_KEY).map_err(|error| self.failed(error))? else {
            return Ok(None);
        };
        Ok(Some(decode_genesis(&framed, CLUSTER_KEY, self.formats)?.0))
    }

    /// Begins the directory of a cluster, durably.
    ///
    /// # Errors
    /// It can't be written, or read.
    pub fn enter(&self, cluster: &Genesis) -> Result<Stored, StoreError> {
        let framed = encode_genesis(cluster, 0);
        self.meta.insert(CLUSTER_KEY, framed).map_err(|error| self.failed(error))?;
        self.create(cluster)
    }

    /// Makes the place of a new document with its genesis, durably.
    ///
    /// # Errors
    /// It can't be written, or read.
    pub fn create(&self, genesis: &Genesis) -> Result<Stored, StoreError> {
        let failed = |error| self.failed(error);
        let key = genesis_key(genesis.name());
        if !self.meta.contains_key(&key).map_err(failed)? {
            self.keyspace(genesis.name(), genesis.generation())?;
            self.meta.insert(key, encode_genesis(genesis, 0)).map_err(failed)?;
            self.database.persist(PersistMode::SyncAll).map_err(failed)?;
        }
        self.load_document(genesis.clone(), 0)
    }

    /// The place of a document's next generation. It stays empty until the generation's
    /// [beginning](What::Roll) is written. `stored` is how many changes the one before has.
    ///
    /// # Errors
    /// It can't be made.
    pub fn next_generation(
        &self,
        old: &Changes,
        stored: u64,
        genesis: &Genesis,
    ) -> Result<Changes, StoreError> {
        let generation = genesis.generation();
        let keyspace = self.keyspace(genesis.name(), generation)?;
        Ok(Changes { keyspace, generation, before: old.before + stored })
    }

    /// The number of a document's newest generation; `None` if there is no such document.
    ///
    /// # Errors
    /// It can't be read.
    pub fn newest_generation(&self, document: &str) -> Result<Option<u64>, StoreError> {
        let found = self.genesis(&genesis_key(document))?;
        Ok(found.map(|(genesis, _)| genesis.generation()))
    }

    /// Position after which a kept generation of a document begins; `None` if it is not kept.
    ///
    /// # Errors
    /// It can't be read.
    pub fn starts_after(&self, document: &str, generation: u64) -> Result<Option<Position>, StoreError> {
        let newest = self.genesis(&genesis_key(document))?;
        let found = match newest.filter(|(genesis, _)| genesis.generation() == generation) {
            None => self.genesis(&archive_key(document, generation))?,
            newest => newest,
        };
        Ok(found.map(|(genesis, _)| genesis.position()))
    }

    /// Reads a generation of a document as it is stored now, the newest or one of the archive; `None` if
    /// it is not kept.
    ///
    /// # Errors
    /// It is damaged.
    pub fn read(&self, document: &str, generation: u64) -> Result<Option<Stored>, StoreError> {
        let (newest, archive) = (genesis_key(document), archive_key(document, generation));
        let is_it = |found: &(Genesis, u64)| found.0.generation() == generation;
        let found = match self.genesis(&newest)?.filter(is_it) {
            None => self.genesis(&archive)?,
            newest => newest,
        };
        let Some((genesis, before)) = found else { return Ok(None) };
        let stored = self.load_document(genesis, before)?;
        // It may have been given up meanwhile, and then not all of it was read.
        let kept = self.genesis(&newest)?.is_some_and(|found| is_it(&found)) || self.has(&archive)?;
        Ok(kept.then_some(stored))
    }

    /// A stored genesis, and how many changes were stored before it.
    fn genesis(&self, key: &str) -> Result<Option<(Genesis, u64)>, StoreError> {
        let framed = self.meta.get(key).map_err(|error| self.failed(error))?;
        framed.map(|framed| decode_genesis(&framed, key, self.formats)).transpose()
    }

    fn has(&self, key: &str) -> Result<bool, StoreError> {
        self.meta.contains_key(key).map_err(|error| self.failed(error))
    }

    /// Loads all documents, each or what is wrong with it, and checks that nothing that was synced is
    /// missing. While a document's records can't even be counted, what is missing can't be told.
    ///
    /// # Errors
    /// The disk failed, or something is missing.
    pub fn load(&self) -> Result<Vec<Loaded>, StoreError> {
        let (mut documents, mut found) = (Vec::new(), Some(0));
        for item in self.meta.prefix(GENESIS_PREFIX) {
            let (key, framed) = item.into_inner().map_err(|error| self.failed(error))?;
            let key = String::from_utf8_lossy(&key);
            let name = key.strip_prefix(GENESIS_PREFIX).unwrap_or(&key);
            let (count, stored) = match decode_genesis(&framed, &key, self.formats) {
                Ok((genesis, before)) => match self.load_document(genesis.clone(), before) {
                    Ok(stored) => (Some(before + stored.count), Ok(stored)),
                    Err(error) => (self.count(&genesis).ok().map(|count| before + count), Err(error)),
                },
                Err(error) => (self.count_without_genesis(name).ok(), Err(error)),
            };
            found = found.zip(count).map(|(found, count)| found + count);
            let name = name.to_owned();
            documents.push(Loaded { name, stored });
        }
        if let Some(found) = found {
            self.watermark.check(found)?;
        }
        // A killed process may have left records in the system's buffers. Whoever reads them will
        // acknowledge them, so they are synced first.
        self.database.persist(PersistMode::SyncAll).map_err(|error| self.failed(error))?;
        Ok(documents)
    }

    fn load_document(&self, genesis: Genesis, before: u64) -> Result<Stored, StoreError> {
        let keyspace = self.keyspace(genesis.name(), genesis.generation())?;
        let mut loaded = Vec::new();
        for item in keyspace.iter() {
            let (key, framed) = item.into_inner().map_err(|error| self.failed(error))?;
            let at = loaded.len() as u64;
            let bytes = frame::open(&framed).filter(|_| key.as_ref() == at.to_be_bytes());
            loaded.push(bytes.ok_or_else(|| damaged(genesis.name(), &at.to_string()))?.to_vec());
        }
        let changes = Changes { keyspace, generation: genesis.generation(), before };
        let remembered = self.remembered(genesis.name())?;
        Ok(Stored { genesis, changes, count: loaded.len() as u64, loaded, remembered })
    }

    fn remembered(&self, document: &str) -> Result<record::Remembered, StoreError> {
        let key = heard_key(document);
        let Some(framed) = self.meta.get(&key).map_err(|error| self.failed(error))? else {
            return Ok(record::Remembered::default());
        };
        let stored = frame::open(&framed).and_then(|bytes| record::Remembered::decode(bytes).ok());
        stored.ok_or_else(|| damaged("meta", &key))
    }

    /// How many changes of a generation are stored, whole or damaged.
    fn count(&self, genesis: &Genesis) -> Result<u64, StoreError> {
        let keyspace = self.keyspace(genesis.name(), genesis.generation())?;
        let mut count = 0;
        for item in keyspace.iter() {
            item.key().map_err(|error| self.failed(error))?;
            count += 1;
        }
        Ok(count)
    }

    /// How many changes of a document were stored, whose genesis can't be read: the generation before has
    /// what it knew.
    fn count_without_genesis(&self, name: &str) -> Result<u64, StoreError> {
        let first = changes_name(name, 0);
        let prefix = first.trim_end_matches('0');
        let names = self.database.list_keyspace_names();
        let mut generations: Vec<u64> =
            names.iter().filter_map(|of| of.strip_prefix(prefix)?.parse().ok()).collect();
        generations.sort_unstable();
        let mut count = 0;
        for generation in generations.into_iter().rev() {
            count += self.keyspace(name, generation)?.len().map_err(|error| self.failed(error))? as u64;
            let key = archive_key(name, generation);
            if let Some(framed) = self.meta.get(&key).map_err(|error| self.failed(error))? {
                return Ok(decode_genesis(&framed, &key, self.formats)?.1 + count);
            }
            if generation == 0 {
                return Ok(count);
            }
        }
        Err(damaged("meta", &genesis_key(name)))
    }

    fn keyspace(&self, name: &str, generation: u64) -> Result<Keyspace, StoreError> {
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let made = self.database.keyspace(&changes_name(name, generation), options);
        made.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: fjall::Error) -> StoreError {
        StoreError::Database { path: self.database_path(), error }
    }

    fn database_path(&self) -> PathBuf {
        self.watermark.path().with_file_name("documents")
    }
}

impl Changes {
    /// The generation that they belong to.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// Whether a store is laid out as this program knows; a new one will be.
fn check_format(meta: &Keyspace, is_new: bool, path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::Database { path: path.to_owned(), error };
    if is_new {
        return meta.insert(FORMAT_KEY, frame::close(&FORMAT.to_be_bytes())).map_err(failed);
    }
    let framed = meta.get(FORMAT_KEY).map_err(failed)?;
    let stored = framed.as_deref().and_then(frame::open).and_then(|bytes| bytes.try_into().ok());
    match stored.map(u32::from_be_bytes).ok_or_else(|| damaged("meta", FORMAT_KEY))? {
        FORMAT => Ok(()),
        format => Err(StoreError::Format { path: path.to_owned(), format }),
    }
}

fn changes_name(document: &str, generation: u64) -> String {
    format!("changes/{document}/{generation}")
}

fn genesis_key(document: &str) -> String {
    format!("{GENESIS_PREFIX}{document}")
}

fn heard_key(document: &str) -> String {
    format!("heard/{document}")
}

fn archive_key(document: &str, generation: u64) -> String {
    format!("archive/{document}/{generation}")
}

fn encode_genesis(genesis: &Genesis, changes_before: u64) -> Vec<u8> {
    let (genesis, parts) = (Some(genesis.record().clone()), genesis.parts().to_vec());
    frame::close(&record::StoredGenesis { genesis, parts, changes_before }.encode_to_vec())
}

fn decode_genesis(framed: &[u8], key: &str, formats: Formats) -> Result<(Genesis, u64), StoreError> {
    let stored = frame::open(framed).and_then(|bytes| record::StoredGenesis::decode(bytes).ok());
    let record::StoredGenesis { genesis, parts, changes_before } =
        stored.ok_or_else(|| damaged("meta", key))?;
    let genesis = genesis.ok_or_else(|| damaged("meta", key))?;
    Ok((Genesis::from_record(genesis, parts, formats)?, changes_before))
}

/// What is wrong with a database, and what to do where that is known.
pub(crate) fn words(error: &fjall::Error) -> String {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    match kind {
        Some(std::io::ErrorKind::FileTooLarge) => {
            format!("{cause}: a file would grow beyond this process' limit on its size; raise it (ulimit -f)")
        }
        Some(std::io::ErrorKind::StorageFull) => format!("{cause}: make room on the disk"),
        Some(_) => cause.to_string(),
        None => error.to_string(),
    }
}

fn damaged(document: &str, record: &str) -> StoreError {
    StoreError::Damaged { document: document.to_owned(), record: record.to_owned() }
}

#[cfg(test)]
mod tests;

//! What a node must not forget: its id, the genesis of each document, and the changes of each.
//!
//! One fjall database, one keyspace a generation, records keyed by the order in which they were
//! stored and framed with a checksum. The [`writer`](Writer) is the one thread that writes changes
//! for all replicas of the node: it takes all that wait, commits them as one batch, syncs once, and
//! only then says so. An I/O error is final: nothing is retried, the writer ends, and so does every
//! replica that wanted to write.
//!
//! fjall cuts a torn tail off silently, which is right for what was never synced. To tell that
//! from a lost record that was, a *watermark* file counts the records that were synced; finding
//! fewer is an error ([`StoreError::Lost`]).

mod frame;
mod watermark;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use prost::Message;
use xbook_proto::record::v1 as record;

pub use writer::{Write, Writer, Written};

use crate::document::{Genesis, GenesisError};
use crate::types::NodeId;
use watermark::Watermark;

/// A node's store.
pub struct Store {
    database: Database,
    meta: Keyspace,
    watermark: Arc<Watermark>,
}

/// Where a replica's changes go.
#[derive(Clone)]
pub struct Changes {
    keyspace: Keyspace,
}

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
    #[error("the database in {path} failed: {error}")]
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
    /// A genesis of another version.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
}

const NODE_KEY: &str = "node";
const GENESIS_PREFIX: &str = "genesis/";

impl Store {
    /// Opens or makes the store in a directory.
    ///
    /// # Errors
    /// The directory can't be used, is used by another process, or is damaged.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("documents");
        std::fs::create_dir_all(&path).map_err(|error| StoreError::Io { path: path.clone(), error })?;
        let failed = |error| match error {
            fjall::Error::Locked => StoreError::InUse { path: path.clone() },
            error => StoreError::Database { path: path.clone(), error },
        };
        let database = Database::builder(&path).manual_journal_persist(true).open().map_err(failed)?;
        let meta = database.keyspace("meta", KeyspaceCreateOptions::default).map_err(failed)?;
        let watermark = Watermark::open(&directory.join("watermark"))?;
        Ok(Self { database, meta, watermark: Arc::new(watermark) })
    }

    /// The node's id; `fresh` becomes it if the directory is new.
    ///
    /// # Errors
    /// The id can't be read or written.
    pub fn node_id(&self, fresh: NodeId) -> Result<NodeId, StoreError> {
        let failed = |error| self.failed(error);
        if let Some(framed) = self.meta.get(NODE_KEY).map_err(failed)? {
            let bytes = frame::open(&framed).and_then(|bytes| bytes.try_into().ok());
            return Ok(NodeId(u64::from_be_bytes(bytes.ok_or_else(|| damaged("meta", NODE_KEY))?)));
        }
        self.meta.insert(NODE_KEY, frame::close(&fresh.0.to_be_bytes())).map_err(failed)?;
        self.database.persist(PersistMode::SyncAll).map_err(failed)?;
        Ok(fresh)
    }

    /// Makes a document's place with its genesis, durably; does nothing if it is there.
    ///
    /// # Errors
    /// It can't be written.
    pub fn create(&self, genesis: &Genesis) -> Result<(), StoreError> {
        let failed = |error| self.failed(error);
        let key = format!("{GENESIS_PREFIX}{}", genesis.name());
        if !self.meta.contains_key(&key).map_err(failed)? {
            self.keyspace(genesis)?;
            self.meta.insert(key, frame::close(&genesis.record().encode_to_vec())).map_err(failed)?;
            self.database.persist(PersistMode::SyncAll).map_err(failed)?;
        }
        Ok(())
    }

    /// Makes the place of a new document.
    ///
    /// # Errors
    /// It can't be written, or read.
    pub fn create_new(&self, genesis: &Genesis) -> Result<Stored, StoreError> {
        self.create(genesis)?;
        self.load_document(genesis.clone())
    }

    /// Loads all documents, and checks that nothing that was synced is missing.
    ///
    /// # Errors
    /// Something is damaged or missing.
    pub fn load(&self) -> Result<Vec<Stored>, StoreError> {
        let mut documents = Vec::new();
        for item in self.meta.prefix(GENESIS_PREFIX) {
            let (key, framed) = item.into_inner().map_err(|error| self.failed(error))?;
            let name = String::from_utf8_lossy(&key).into_owned();
            let record = frame::open(&framed).and_then(|bytes| record::Genesis::decode(bytes).ok());
            documents.push(
                self.load_document(Genesis::from_record(record.ok_or_else(|| damaged("meta", &name))?)?)?,
            );
        }
        let found = documents.iter().map(|document| document.count).sum();
        self.watermark.check(found)?;
        // A killed process may have left records in the system's buffers. Whoever reads them will
        // acknowledge them, so they are synced first.
        self.database.persist(PersistMode::SyncAll).map_err(|error| self.failed(error))?;
        Ok(documents)
    }

    fn load_document(&self, genesis: Genesis) -> Result<Stored, StoreError> {
        let keyspace = self.keyspace(&genesis)?;
        let mut loaded = Vec::new();
        for item in keyspace.iter() {
            let (key, framed) = item.into_inner().map_err(|error| self.failed(error))?;
            let at = loaded.len() as u64;
            let bytes = frame::open(&framed).filter(|_| key.as_ref() == at.to_be_bytes());
            loaded.push(bytes.ok_or_else(|| damaged(genesis.name(), &at.to_string()))?.to_vec());
        }
        Ok(Stored { genesis, changes: Changes { keyspace }, count: loaded.len() as u64, loaded })
    }

    fn keyspace(&self, genesis: &Genesis) -> Result<Keyspace, StoreError> {
        let name = format!("changes/{}/{}", genesis.name(), genesis.generation());
        self.database.keyspace(&name, KeyspaceCreateOptions::default).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: fjall::Error) -> StoreError {
        StoreError::Database { path: self.database_path(), error }
    }

    fn database_path(&self) -> PathBuf {
        self.watermark.path().with_file_name("documents")
    }
}

fn damaged(document: &str, record: &str) -> StoreError {
    StoreError::Damaged { document: document.to_owned(), record: record.to_owned() }
}

#[cfg(test)]
mod tests;

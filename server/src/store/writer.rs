//! The thread that writes changes for all replicas of a node, with one sync for all that wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use prost::Message;
use tokio::sync::watch;
use xbook_proto::record::v1 as record;

use super::watermark::Watermark;
use super::{Changes, KEPT_GENERATIONS, Store, StoreError, frame};
use crate::document::Genesis;

/// Most writes that wait. Each replica has only a few changes in flight.
const MAX_WAITING: usize = 4_096;

/// Most bytes that one sync covers.
const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Something to be made durable.
pub struct Write {
    /// What.
    pub what: What,
    /// What its document's node remembers of the others' acknowledgements by now, if that is new.
    pub remembered: Option<(Arc<str>, record::Remembered)>,
    /// Called once it is on the disk; dropped without a call if it will never be.
    pub done: Box<dyn FnOnce() + Send>,
}

/// What is written.
pub enum What {
    /// A change.
    Change {
        /// Its generation.
        to: Changes,
        /// Its number in the order of storing, from 0.
        index: u64,
        /// Its bytes.
        bytes: Bytes,
    },
    /// The beginning of a generation: all of it or nothing.
    Roll {
        /// The generation that it follows, which goes to the archive.
        from: u64,
        /// The generation.
        to: Changes,
        /// What it begins with.
        genesis: Arc<Genesis>,
        /// Its first changes.
        changes: Vec<Bytes>,
    },
}

/// The writing thread. It ends when every sender is gone, or at the first error.
pub struct Writer {
    sender: SyncSender<Write>,
    progress: watch::Receiver<Written>,
    thread: JoinHandle<Result<Written, StoreError>>,
}

/// What a writer did since its start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Written {
    /// Changes made durable.
    pub changes: u64,
    /// Syncs that it took.
    pub syncs: u64,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(store: &Store) -> Result<Self, StoreError> {
        let (sender, receiver) = sync_channel(MAX_WAITING);
        let (written, progress) = watch::channel(Written::default());
        let (database, meta) = (store.database.clone(), store.meta.clone());
        let watermark = Arc::clone(&store.watermark);
        let path = store.database_path();
        let spawned = std::thread::Builder::new().name("store".to_owned()).spawn({
            let path = path.clone();
            move || {
                let written = run(&database, &meta, &watermark, &receiver, &written);
                if let Err(error) = &written {
                    tracing::error!(%error, "the disk failed: this node takes no more requests until it is restarted");
                }
                written.map_err(|error| StoreError::Database { path, error })
            }
        });
        let thread = spawned.map_err(|error| StoreError::Io { path, error })?;
        Ok(Self { sender, progress, thread })
    }

    /// What it did so far.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Written> {
        self.progress.clone()
    }

    /// Where writes go in.
    #[must_use]
    pub fn sender(&self) -> SyncSender<Write> {
        self.sender.clone()
    }

    /// Waits until all senders are gone and everything is written.
    ///
    /// # Errors
    /// The error that ended it.
    pub fn finish(self) -> Result<Written, StoreError> {
        drop(self.sender);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn run(
    database: &Database,
    meta: &Keyspace,
    watermark: &Watermark,
    receiver: &Receiver<Write>,
    progress: &watch::Sender<Written>,
) -> Result<Written, fjall::Error> {
    let mut written = Written::default();
    while let Ok(first) = receiver.recv() {
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        let (mut done, mut rolled, mut bytes, mut changes) = (Vec::new(), Vec::new(), 0, 0);
        // The newest one of each document.
        let mut heard = BTreeMap::new();
        let mut next = Some(first);
        while let Some(Write { what, remembered, done: call }) = next {
            done.push(call);
            heard.extend(remembered);
            match what {
                What::Change { to, index, bytes: change } => {
                    bytes += change.len();
                    changes += 1;
                    batch.insert(&to.keyspace, index.to_be_bytes(), frame::close(&change));
                }
                What::Roll { from, to, genesis, changes: first } => {
                    let (name, stored) = (genesis.name(), super::encode_genesis(&genesis, to.before));
                    bytes += stored.len();
                    if let Some(old) = meta.get(super::genesis_key(name))? {
                        batch.insert(meta, super::archive_key(name, from), old);
                    }
                    batch.insert(meta, super::genesis_key(name), stored);
                    for (index, change) in first.iter().enumerate() {
                        bytes += change.len();
                        changes += 1;
                        batch.insert(&to.keyspace, (index as u64).to_be_bytes(), frame::close(change));
                    }
                    rolled.push(genesis);
                }
            }
            next = if bytes < MAX_BATCH_BYTES { receiver.try_recv().ok() } else { None };
        }
        for (document, remembered) in heard {
            batch.insert(meta, super::heard_key(&document), frame::close(&remembered.encode_to_vec()));
        }
        batch.commit()?;
        watermark.advance(changes)?;
        written.changes += changes;
        written.syncs += 1;
        progress.send_replace(written);
        for done in done {
            done();
        }
        for genesis in rolled {
            forget_oldest(database, meta, &genesis)?;
        }
    }
    Ok(written)
}

/// Deletes the generations that the archive has no place for any more: all of them, since a node that
/// skipped some has older ones left.
fn forget_oldest(database: &Database, meta: &Keyspace, genesis: &Genesis) -> Result<(), fjall::Error> {
    let Some(oldest) = genesis.generation().checked_sub(KEPT_GENERATIONS + 1) else {
        return Ok(());
    };
    let first = super::changes_name(genesis.name(), 0);
    let prefix = first.trim_end_matches('0');
    for name in database.list_keyspace_names() {
        let generation = name.strip_prefix(prefix).and_then(|number| number.parse::<u64>().ok());
        if let Some(generation) = generation.filter(|generation| *generation <= oldest) {
            database.delete_keyspace(database.keyspace(&name, KeyspaceCreateOptions::default)?)?;
            meta.remove(super::archive_key(genesis.name(), generation))?;
        }
    }
    Ok(())
}

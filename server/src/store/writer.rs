//! The thread that writes changes for all replicas of a node, with one sync for all that wait.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use fjall::{Database, PersistMode};

use super::watermark::Watermark;
use super::{Changes, Store, StoreError, frame};

/// Most writes that wait. Each replica has only a few changes in flight.
const MAX_WAITING: usize = 4_096;

/// Most bytes that one sync covers.
const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// A change to be made durable.
pub struct Write {
    /// Its document.
    pub changes: Changes,
    /// Its number in the order of storing, from 0.
    pub index: u64,
    /// Its bytes.
    pub bytes: Bytes,
    /// Called once it is on the disk; dropped without a call if it will never be.
    pub done: Box<dyn FnOnce() + Send>,
}

/// The writing thread. It ends when every sender is gone, or at the first error.
pub struct Writer {
    sender: SyncSender<Write>,
    thread: JoinHandle<Result<Written, StoreError>>,
}

/// What a writer did.
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
        let (database, watermark) = (store.database.clone(), Arc::clone(&store.watermark));
        let path = store.database_path();
        let spawned = std::thread::Builder::new().name("store".to_owned()).spawn({
            let path = path.clone();
            move || {
                let written = run(&database, &watermark, &receiver);
                if let Err(error) = &written {
                    tracing::error!(%error, "the disk failed: this node takes no more requests until it is restarted");
                }
                written.map_err(|error| StoreError::Database { path, error })
            }
        });
        let thread = spawned.map_err(|error| StoreError::Io { path, error })?;
        Ok(Self { sender, thread })
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
    watermark: &Watermark,
    receiver: &Receiver<Write>,
) -> Result<Written, fjall::Error> {
    let mut written = Written::default();
    while let Ok(first) = receiver.recv() {
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        let mut done = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(write) = next {
            bytes += write.bytes.len();
            batch.insert(&write.changes.keyspace, write.index.to_be_bytes(), frame::close(&write.bytes));
            done.push(write.done);
            next = if bytes < MAX_BATCH_BYTES { receiver.try_recv().ok() } else { None };
        }
        batch.commit()?;
        watermark.advance(done.len() as u64)?;
        written.changes += done.len() as u64;
        written.syncs += 1;
        for done in done {
            done();
        }
    }
    Ok(written)
}

//! The thread that writes changes for all replicas of a node, with one sync for all that wait.
//!
//! ```text
//! all that wait ──> one block of the journal, durable ──> `done` ──> the files of generations
//! ```

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::watch;
use xbook_proto::record::v1 as record;

use super::batch::Batch;
use super::error::io_at;
use super::journal::Journal;
use super::{Changes, KEPT_GENERATIONS, Store, StoreError};
use crate::document::Genesis;

/// Most writes that wait. Each replica has only a few changes in flight.
const MAX_UNWRITTEN: usize = 4_096;

/// Most bytes that one sync covers.
const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Something to be made durable.
pub struct Write {
    /// What.
    pub what: What,
    /// What the node remembers of the others' acknowledgements of the document by now, if that is new.
    pub remembered: Option<record::Remembered>,
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
    /// The system has no thread to give, or the store has a writer.
    pub fn start(store: &Store) -> Result<Self, StoreError> {
        let (sender, receiver) = sync_channel(MAX_UNWRITTEN);
        let (written, progress) = watch::channel(Written::default());
        let journal = store.take_journal()?;
        let thread = std::thread::Builder::new().name("store".to_owned());
        let spawned = thread.spawn({
            let store = store.clone();
            move || {
                let mut writing = Writing { store, journal, written: Written::default() };
                let ended = writing.run(&receiver, &written);
                let Writing { store, journal, written } = writing;
                match ended {
                    Ok(()) => store.give_back(journal),
                    Err(error) => {
                        tracing::error!(%error, "the disk failed: this node takes no more requests until it is restarted");
                        return Err(error);
                    }
                }
                Ok(written)
            }
        });
        let thread = spawned.map_err(io_at(&store.directory))?;
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

/// What the thread works with.
struct Writing {
    store: Store,
    journal: Journal,
    written: Written,
}

impl Writing {
    fn run(
        &mut self,
        receiver: &Receiver<Write>,
        progress: &watch::Sender<Written>,
    ) -> Result<(), StoreError> {
        while let Ok(first) = receiver.recv() {
            let (mut batch, mut done, mut rolled) = (Batch::default(), Vec::new(), Vec::new());
            let mut next = Some(first);
            while let Some(Write { what, remembered, done: call }) = next {
                done.push(call);
                self.add(&mut batch, what, remembered, &mut rolled);
                let room = batch.bytes() < MAX_BATCH_BYTES;
                next = if room { receiver.try_recv().ok() } else { None };
            }
            self.journal.write(batch.entries())?;
            self.store.watermark.advance(batch.changes()).map_err(io_at(&self.store.directory))?;
            self.written.changes += batch.changes();
            self.written.syncs += 1;
            progress.send_replace(self.written);
            let filing = self.store.filing();
            done.into_iter().for_each(|done| done());
            batch.write_to(self.journal.files())?;
            drop(filing);
            for (document, generation) in rolled {
                forget_oldest(&self.store, &document, generation)?;
            }
        }
        Ok(())
    }

    /// Adds what is to be written to a batch.
    fn add(
        &self,
        batch: &mut Batch,
        what: What,
        remembered: Option<record::Remembered>,
        rolled: &mut Vec<(Arc<str>, u64)>,
    ) {
        let to = match what {
            What::Change { to, index, bytes } => {
                batch.change(&to, index, bytes);
                to
            }
            What::Roll { to, genesis, changes } => {
                batch.genesis(&to, &genesis);
                // What was heard before is not written again for each generation.
                if let Some(known) = self.store.last_remembered(&to.document) {
                    batch.remembered(&to, known);
                }
                changes.into_iter().zip(0..).for_each(|(change, index)| batch.change(&to, index, change));
                rolled.push((Arc::clone(&to.document), to.generation));
                to
            }
        };
        if let Some(remembered) = remembered {
            self.store.remember(&to.document, remembered.clone());
            batch.remembered(&to, remembered);
        }
    }
}

/// Deletes the generations that the archive has no place for any more: all of them, since a node that
/// skipped some has older ones left.
pub(super) fn forget_oldest(store: &Store, document: &str, generation: u64) -> Result<(), StoreError> {
    let oldest = generation.checked_sub(KEPT_GENERATIONS + 1);
    oldest.map_or(Ok(()), |oldest| store.files.delete_through(document, oldest))
}

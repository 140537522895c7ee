//! One replica's way to the store's writer, and back the word of what is on the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use bytes::Bytes;
use tokio::sync::oneshot;
use xbook_proto::record::v1 as record;

use super::quarantine::NodeFault;
use crate::document::Genesis;
use crate::replica::Remembered;
use crate::store::{Changes, Store, What, Write};
use crate::types::GenerationNumber;

/// The place of a change in the order of storing.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredAt {
    pub generation: GenerationNumber,
    /// Within the generation, from 0.
    pub index: u64,
}

/// Where a replica's changes go.
pub(super) struct Disk {
    changes: Changes,
    /// How many changes of this generation were written.
    written: u64,
    store: Store,
    /// What the next write takes along.
    remembered: Option<record::Remembered>,
    writer: SyncSender<Write>,
    /// Changes on their way to the disk.
    writes: VecDeque<(StoredAt, oneshot::Receiver<()>)>,
    /// The beginning of a generation on its way to the disk.
    beginning: Option<oneshot::Receiver<()>>,
}

impl Disk {
    /// The place of a generation that has so many changes.
    pub fn new((changes, written): (Changes, u64), store: Store, writer: SyncSender<Write>) -> Self {
        let (writes, beginning, remembered) = (VecDeque::new(), None, None);
        Self { changes, written, store, remembered, writer, writes, beginning }
    }

    /// Remembers the others' acknowledgements. That is stored with the next write.
    pub fn remember(&mut self, remembered: &Remembered) {
        self.remembered = Some(remembered.to_record());
    }

    /// The document's replica votes from now on, also after a restart.
    pub fn gate_opened(&self) -> Result<(), NodeFault> {
        Ok(self.store.gate_opened()?)
    }

    /// The directory is an old copy, and is not to be opened again.
    pub fn condemn(&self, reason: &str) {
        if let Err(error) = self.store.condemn(reason) {
            tracing::error!(%error, "that this directory is an old copy could not be noted in it");
        }
    }

    /// Writes a change.
    pub fn write(&mut self, generation: GenerationNumber, index: u64, bytes: Bytes) -> Result<(), NodeFault> {
        let to = self.changes.clone();
        self.written = index + 1;
        self.send(What::Change { to, index, bytes }, Some(StoredAt { generation, index })).map(drop)
    }

    /// Writes the beginning of a generation, where everything goes from now on.
    pub fn begin_generation(&mut self, genesis: Arc<Genesis>, changes: Vec<Bytes>) -> Result<(), NodeFault> {
        let to = self.store.next_generation(&self.changes, self.written, &genesis);
        self.changes = to.clone();
        self.written = changes.len() as u64;
        let last = changes
            .len()
            .checked_sub(1)
            .map(|last| StoredAt { generation: genesis.generation(), index: last as u64 });
        self.beginning = Some(self.send(What::Roll { to, genesis, changes }, last)?);
        Ok(())
    }

    /// Waits until the beginning of this generation is on the disk.
    pub async fn begun(&mut self) -> Result<(), NodeFault> {
        match self.beginning.take() {
            Some(begun) => begun.await.map_err(|_| NodeFault::Disk),
            None => Ok(()),
        }
    }

    /// Sends a write, whose last change is waited for; returns the word that it is done.
    fn send(&mut self, what: What, last: Option<StoredAt>) -> Result<oneshot::Receiver<()>, NodeFault> {
        let ((done, stored), (whole, written)) = (oneshot::channel(), oneshot::channel());
        // Who does not wait for a word needs none.
        let done = Box::new(move || _ = (done.send(()), whole.send(())));
        let remembered = self.remembered.take();
        self.writer.send(Write { what, remembered, done }).map_err(|_| NodeFault::Disk)?;
        self.writes.extend(last.map(|last| (last, stored)));
        Ok(written)
    }

    /// Waits until the oldest change is on the disk, and returns the last one that is.
    pub async fn first_stored(&mut self) -> Result<StoredAt, NodeFault> {
        let Some((change, stored)) = self.writes.front_mut() else {
            return std::future::pending().await;
        };
        let mut last = *change;
        stored.await.map_err(|_| NodeFault::Disk)?;
        self.writes.pop_front();
        // One sync covers many changes; one acknowledgement says so.
        while let Some((change, stored)) = self.writes.front_mut()
            && stored.try_recv().is_ok()
        {
            last = *change;
            self.writes.pop_front();
        }
        Ok(last)
    }
}

//! A node's disk: writes wait for a sync, and a crash loses what was not synced, except perhaps a
//! beginning of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use xbook::document::Genesis;
use xbook::replica::Remembered;

use super::random::Random;
use xbook::types::GenerationNumber;

/// A disk.
#[derive(Debug)]
pub struct Disk {
    /// The newest generation on it, and its changes.
    genesis: Arc<Genesis>,
    durable: Vec<Bytes>,
    /// The changes of the generations before, as far as it went through them, by generation.
    old: BTreeMap<GenerationNumber, Vec<Bytes>>,
    /// DiskWrite and not synced.
    waiting: VecDeque<Write>,
    /// What its node remembers of others' acknowledgements, and what the next write takes along.
    remembered: Remembered,
    unwritten: Option<Remembered>,
    /// How many of those the running sync covers; zero if none runs.
    syncing: usize,
    /// Reported as synced although they are not; only a planted lie does so.
    lied: usize,
    /// Each sync takes this many times as long.
    pub slowness: u64,
}

/// Something on its way to the disk, and what it takes along.
#[derive(Debug)]
struct Write {
    written: DiskWrite,
    remembered: Option<Remembered>,
}

/// Something written.
#[derive(Clone, Debug)]
pub enum DiskWrite {
    /// A change of a generation.
    Change {
        /// The generation.
        generation: GenerationNumber,
        /// Its index.
        index: u64,
        /// Its bytes.
        bytes: Bytes,
    },
    /// A generation begins, with these changes.
    Roll {
        /// Its genesis.
        genesis: Arc<Genesis>,
        /// Its first changes.
        changes: Vec<Bytes>,
    },
}

impl DiskWrite {
    /// The change, if it is one.
    pub fn change(&self) -> Option<&Bytes> {
        match self {
            Self::Change { bytes, .. } => Some(bytes),
            Self::Roll { .. } => None,
        }
    }

    /// Generation and index of its last change.
    fn last(&self) -> Option<(GenerationNumber, u64)> {
        match self {
            Self::Change { generation, index, .. } => Some((*generation, *index)),
            Self::Roll { genesis, changes } => {
                Some((genesis.generation(), (changes.len() as u64).checked_sub(1)?))
            }
        }
    }
}

impl Disk {
    /// A disk with nothing but a genesis.
    pub fn new(genesis: Arc<Genesis>) -> Self {
        Self {
            genesis,
            durable: Vec::new(),
            old: BTreeMap::new(),
            waiting: VecDeque::new(),
            remembered: Remembered::default(),
            unwritten: None,
            syncing: 0,
            lied: 0,
            slowness: 0,
        }
    }

    /// Takes a write. A sync is to be started if none runs.
    pub fn write(&mut self, written: DiskWrite) {
        let remembered = self.unwritten.take();
        self.waiting.push_back(Write { written, remembered });
    }

    /// Remembers others' acknowledgements with the next write.
    pub fn remember(&mut self, remembered: Remembered) {
        self.unwritten = Some(remembered);
    }

    /// Starts a sync of all that waits, if there is anything and none runs: how long it takes.
    pub fn start_sync(&mut self, random: &mut Random) -> Option<u64> {
        if self.syncing > 0 || self.waiting.is_empty() {
            return None;
        }
        self.syncing = self.waiting.len();
        let usual =
            if random.percent(5) { random.between(2_000, 20_000) } else { random.between(100, 1_500) };
        Some(usual * self.slowness.max(1))
    }

    /// The sync is done: generation and index of the last change that is durable now.
    pub fn end_sync(&mut self) -> Option<(GenerationNumber, u64)> {
        let synced: Vec<Write> = self.waiting.drain(..self.syncing).collect();
        self.syncing = 0;
        self.lied = self.lied.saturating_sub(synced.len());
        let last = synced.iter().rev().find_map(|write| write.written.last());
        synced.into_iter().for_each(|write| self.keep(write));
        last
    }

    fn keep(&mut self, Write { written, remembered }: Write) {
        if let Some(remembered) = remembered {
            self.remembered = remembered;
        }
        match written {
            DiskWrite::Change { bytes, .. } => self.durable.push(bytes),
            DiskWrite::Roll { genesis, changes } => {
                let old = std::mem::replace(&mut self.durable, changes);
                self.old.insert(self.genesis.generation(), old);
                self.genesis = genesis;
            }
        }
    }

    /// Whether all that was written is synced.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Planted: says that everything is synced, the sync still running: the last change.
    pub fn lie(&mut self) -> Option<(GenerationNumber, u64)> {
        if self.lied == self.waiting.len() {
            return None;
        }
        self.lied = self.waiting.len();
        self.waiting.iter().rev().find_map(|write| write.written.last())
    }

    /// The power is gone. Some of the unsynced writes may have made it, in their order.
    pub fn crash(&mut self, random: &mut Random) {
        let kept = random.index(self.waiting.len() + 1).min(random.index(self.waiting.len() + 1));
        let kept: Vec<Write> = self.waiting.drain(..kept).collect();
        kept.into_iter().for_each(|write| self.keep(write));
        *self = self.copy();
    }

    /// A copy of what is durable on it.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            durable: self.durable.clone(),
            old: self.old.clone(),
            remembered: self.remembered.clone(),
            ..Self::new(Arc::clone(&self.genesis))
        }
    }

    /// What its node remembers of others' acknowledgements.
    #[must_use]
    pub fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// The genesis of the newest generation on it.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The changes of that generation on it.
    #[must_use]
    pub fn durable(&self) -> &[Bytes] {
        &self.durable
    }

    /// The changes of a generation that are, or were, on it; `None` if it never was in it.
    #[must_use]
    pub fn of(&self, generation: GenerationNumber) -> Option<&[Bytes]> {
        if generation == self.genesis.generation() {
            return Some(&self.durable);
        }
        self.old.get(&generation).map(Vec::as_slice)
    }

    /// What was written and is not synced.
    pub fn unsynced(&self) -> impl Iterator<Item = &DiskWrite> {
        self.waiting.iter().map(|write| &write.written)
    }
}

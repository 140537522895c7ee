//! A node's disk: writes wait for a sync, and a crash loses what was not synced, except perhaps a
//! beginning of it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::random::Random;

/// A disk.
#[derive(Default, Debug)]
pub struct Disk {
    durable: Vec<Bytes>,
    /// Written and not synced, with their index.
    waiting: VecDeque<(u64, Bytes)>,
    /// How many of those the running sync covers; zero if none runs.
    syncing: usize,
    /// Reported as synced although they are not; only a planted lie does so.
    lied: usize,
    /// Each sync takes this many times as long.
    pub slowness: u64,
}

impl Disk {
    /// Takes a write. A sync is to be started if none runs.
    pub fn write(&mut self, index: u64, bytes: Bytes) {
        self.waiting.push_back((index, bytes));
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

    /// The sync is done: the index of the last write that is durable now.
    pub fn end_sync(&mut self) -> Option<u64> {
        let synced: Vec<(u64, Bytes)> = self.waiting.drain(..self.syncing).collect();
        self.syncing = 0;
        self.lied = self.lied.saturating_sub(synced.len());
        let last = synced.last().map(|(index, _)| *index);
        self.durable.extend(synced.into_iter().map(|(_, bytes)| bytes));
        last
    }

    /// Planted: says that everything is synced, the sync still running: the last index.
    pub fn lie(&mut self) -> Option<u64> {
        if self.lied == self.waiting.len() {
            return None;
        }
        self.lied = self.waiting.len();
        self.waiting.back().map(|(index, _)| *index)
    }

    /// The power is gone. Some of the unsynced writes may have made it, in their order.
    pub fn crash(&mut self, random: &mut Random) {
        let kept = random.index(self.waiting.len() + 1).min(random.index(self.waiting.len() + 1));
        self.durable.extend(self.waiting.drain(..kept).map(|(_, bytes)| bytes));
        *self = Self { durable: std::mem::take(&mut self.durable), ..Self::default() };
    }

    /// What is on it.
    #[must_use]
    pub fn durable(&self) -> &[Bytes] {
        &self.durable
    }

    /// What was written and is not synced.
    pub fn unsynced(&self) -> impl Iterator<Item = &Bytes> {
        self.waiting.iter().map(|(_, bytes)| bytes)
    }
}

//! Documents that fault on one node: it stops there, the process lives, and the others trade on.
//!
//! The state of a replica is damaged in memory, which the digest of the next batch shows. Its node sets
//! the document aside: links stay, and nobody answers. It stays so until the process is started again, from
//! what is on the disk: nothing that the node acknowledged is lost.

use std::collections::BTreeMap;

use xbook::machine::FoldError;
use xbook::replica::ReplicaError;

use super::World;
use super::machine::Health;
use super::oracle::Violation;
use super::oracle::partition::{Cut, RESUME_EXTRA, RESUME_LEASES};

/// A fault shows within this time where clients trade, in simulated microseconds.
const SHOWS_WITHIN: u64 = 3_000_000;

/// Whether a damaged state was found.
pub(super) fn is_found(handled: &Result<(), ReplicaError>) -> bool {
    matches!(handled, Err(ReplicaError::Fold(FoldError::Digest { .. })))
}

impl World {
    /// The state of a machine's replica is damaged in memory.
    pub(super) fn damage(&mut self, at: usize) {
        if let Some(process) = &mut self.machines[at].process
            && process.health == Health::Sound
        {
            process.health = Health::Damaged;
            self.note(|| format!("damage the state of {}", at + 1));
        }
    }

    /// A machine has found that, and has set its document aside.
    pub(super) fn quarantine(&mut self, at: usize) {
        self.note(|| format!("{} sets its document aside", at + 1));
        self.quarantines += 1;
        if let Some(process) = &mut self.machines[at].process {
            process.health = Health::Quarantined;
            process.waiting.clear();
        }
    }

    /// Starts the processes again whose documents are set aside or damaged.
    pub(super) fn restart_quarantined(&mut self) {
        for at in 0..self.machines.len() {
            let process = self.machines[at].process.as_ref();
            if process.is_some_and(|process| process.health != Health::Sound) {
                self.crash(at, 1_000);
            }
        }
    }

    /// A voter's document faults while all else is whole, and the others trade on.
    ///
    /// # Errors
    /// They don't, or the fault does not show.
    pub(super) fn fault_alone(&mut self) -> Result<(), Violation> {
        self.fresh = true;
        self.run_until(self.time + 500_000)?;
        let mut voters: Vec<usize> =
            self.generations.voters().iter().filter_map(|voter| self.find(*voter)).collect();
        if voters.len() < 3 {
            // Nobody goes on without one of two.
            return Ok(());
        }
        self.faulty.shuffle(&mut voters);
        if let Some(holder) = self.holders().first().copied().filter(|_| self.faulty.percent(50)) {
            voters.sort_by_key(|at| *at != holder);
        }
        let at = voters[0];
        let node = self.machines[at].id;
        self.damage(at);
        let until = self.time + SHOWS_WITHIN;
        while !self.machines[at].is_quarantined() {
            if self.time > until {
                return Err(Violation::Unnoticed { node });
            }
            self.run_until(self.time + 20_000)?;
        }
        let since = self.time;
        let until = since + RESUME_LEASES * self.lease.0 + RESUME_EXTRA;
        let (minority, asked) = ([node].into(), BTreeMap::new());
        self.cut = Some(Cut { minority, since, until, resumed: None, asked });
        self.run_until(until + 200_000)?;
        self.cut = None;
        Ok(())
    }
}

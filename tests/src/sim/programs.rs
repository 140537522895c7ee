//! Nodes of two programs: the newer one reads a newer format, too. In some seeds programs are replaced
//! one by one while clients trade, and holders are told to go on in the newer format, whether all voters
//! can read it by then or not.
//!
//! What programs do is drawn from a source of chance of its own, so the other seeds are as they would be
//! without this.

use xbook::document::{Genesis, GenesisError};
use xbook::format::{Format, Formats};
use xbook::replica::{Input, ReplicaError};

use super::World;
use super::oracle::Violation;
use super::oracle::generation::GenerationViolation;
use super::plant::Bug;
use super::random::Random;
use super::world::Event;
use xbook::types::GenerationNumber;

/// What the older program reads.
pub const OLDER: Formats = Formats::KNOWN;

/// What the newer program reads.
pub const NEWER: Formats = Formats { oldest: Format::FIRST, newest: Format(2) };

/// Longest time between two things that happen to programs: all voters are seldom connected at once, so
/// whoever wants the newer format asks often.
const PACE: u64 = 400_000;

/// What became of the programs.
#[derive(Debug)]
pub struct Programs {
    random: Random,
    /// Whether the seed has two programs.
    pub mixed: bool,
    /// Whether any node was told to go on in the newer format.
    told: bool,
    /// How many nodes stopped at a generation that they could not read.
    pub stopped: u64,
}

impl Programs {
    /// Draws whether a seed has two programs; with a planted bug it is only that one's.
    pub fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Random::new(seed ^ 0xF0_4A75);
        let mixed = bug.map_or(random.percent(40), |bug| bug == Bug::FormatsOverstated);
        Self { random, mixed, told: false, stopped: 0 }
    }
}

impl World {
    /// Something happens to the programs.
    pub(super) fn work_on_programs(&mut self) -> Result<(), Violation> {
        let again = self.time + self.programs.random.between(50_000, PACE);
        self.plan(again, Event::Programs);
        let voters = self.generations.voters();
        let older = (0..self.machines.len()).filter(|at| self.is_older(*at));
        let (voting, other): (Vec<usize>, Vec<usize>) =
            older.partition(|at| voters.contains(&self.machines[*at].id));
        if !self.chaos && !voting.is_empty() {
            voting.into_iter().for_each(|at| self.replace_program(at));
            return Ok(());
        }
        if self.programs.random.percent(12) {
            // Those that nobody waits for often come last.
            let among = if voting.is_empty() || self.programs.random.percent(10) { other } else { voting };
            if let Some(at) = self.programs.random.pick(&among).copied().filter(|_| self.chaos) {
                self.replace_program(at);
            }
            return Ok(());
        }
        let at = self.programs.random.index(self.machines.len());
        if self.machines[at].running().is_none() {
            return Ok(());
        }
        self.programs.told = true;
        self.input(at, Input::Upgrade(NEWER.newest))
    }

    fn is_older(&self, at: usize) -> bool {
        self.machines[at].formats == OLDER
    }

    /// The node's process ends, and the next one is of the newer program.
    fn replace_program(&mut self, at: usize) {
        self.note(|| format!("{} gets the newer program", at + 1));
        self.machines[at].formats = NEWER;
        let span = self.programs.random.between(1_000, 300_000);
        self.crash(at, span);
    }

    /// Whether a node of the older program may have met what it can't read.
    pub(super) fn can_not_read(&self, at: usize, error: &ReplicaError) -> bool {
        let format = matches!(error, ReplicaError::Genesis(GenesisError::Format { .. }));
        format && self.programs.told && self.is_older(at)
    }

    /// It serves nothing more until it has the newer program, however often it is started.
    pub(super) fn stopped_reading(&mut self, at: usize) {
        self.programs.stopped += 1;
        // With the older one it never comes to the same as the others.
        if !self.chaos || self.programs.random.percent(50) {
            return self.replace_program(at);
        }
        let span = self.programs.random.between(10_000, 1_000_000);
        self.crash(at, span);
    }

    /// A node begins a generation: its program can read that. If it is the first in a newer format, that
    /// was told, and all voters could read it.
    pub(super) fn check_format(&self, at: usize, genesis: &Genesis) -> Result<(), GenerationViolation> {
        let (generation, format) = (genesis.generation(), genesis.format());
        let machine = &self.machines[at];
        if !machine.formats.contains(format) {
            return Err(GenerationViolation::Unreadable { node: machine.id, generation, format });
        }
        let before =
            generation.0.checked_sub(1).and_then(|before| self.generations.get(GenerationNumber(before)));
        let Some(before) = before.filter(|before| before.format() != format) else {
            return Ok(());
        };
        if !self.programs.told || format < before.format() {
            return Err(GenerationViolation::Untold { generation, format });
        }
        let voters = before.voters().into_iter().chain(genesis.voters());
        let machines = voters.filter_map(|voter| Some(&self.machines[self.find(voter)?]));
        match machines.into_iter().find(|voter| !voter.formats.contains(format)) {
            Some(voter) => Err(GenerationViolation::Unready { voter: voter.id, generation, format }),
            None => Ok(()),
        }
    }
}

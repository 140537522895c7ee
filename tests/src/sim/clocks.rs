//! Clocks that are wrong by seconds to hours, and are set right again. A node reads its clock at its start,
//! so both take a restart.

use super::World;
use super::clock::Clock;
use super::world::Event;

/// How long after a clock was set right another one may go wrong, in leases: till then what it said last
/// counts.
const APART: u64 = 3;

impl World {
    /// One clock goes wrong, or all of them.
    pub(super) fn turn_clocks(&mut self, all: bool) {
        let wrong = self.machines.iter().any(|machine| machine.is_wrong);
        if wrong || self.time < self.clocks_right + APART * self.lease.0 {
            return;
        }
        let one = self.random.index(self.machines.len());
        let turned = (0..self.machines.len()).filter(|at| all || *at == one);
        for at in turned.collect::<Vec<_>>() {
            self.machines[at].is_wrong = true;
            self.machines[at].clock = Clock::wrong(&mut self.random);
            let span = self.random.between(10_000, 500_000);
            self.crash(at, span);
        }
        self.note(|| format!("a clock is wrong: {one}, all: {all}"));
        let span = self.random.between(500_000, 5_000_000);
        self.plan(self.time + span, Event::SetRight);
    }

    /// All clocks are right again.
    pub(super) fn set_clocks_right(&mut self) {
        let wrong: Vec<usize> = (0..self.machines.len()).filter(|at| self.machines[*at].is_wrong).collect();
        self.excuse_clocks();
        for at in wrong {
            self.clocks_right = self.time;
            let span = self.random.between(10_000, 500_000);
            self.crash(at, span);
            self.machines[at].is_wrong = false;
            self.machines[at].clock = Clock::new(&mut self.random);
        }
    }

    /// Where more than one clock is wrong, or a sole voter's may be, they may decide.
    pub(super) fn excuse_clocks(&mut self) {
        let alone = self.generations.had_sole_voter();
        let wrong: Vec<Clock> =
            self.machines.iter().filter(|machine| machine.is_wrong).map(|machine| machine.clock).collect();
        if wrong.len() > 1 || alone {
            wrong.iter().for_each(|clock| self.times.excuse(clock.at(self.time)));
        }
    }
}

//! What goes wrong: each seed draws which faults it likes, and how often they strike.

use super::World;
use super::machine::Machine;
use super::network::{Direction, pair};
use super::oracle::Violation;
use super::random::Random;
use super::world::Event;
use xbook::replica::Input;

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// kill -9 of any process, with the loss of what its disk had not synced.
    Crash,
    /// The same of the lease holder.
    CrashHolder,
    /// Several processes are killed and come back one by one.
    Storm,
    /// A process stands still, perhaps for longer than its lease.
    Pause,
    /// The holder does.
    PauseHolder,
    /// The network falls into two parts.
    Halves,
    /// One direction of one link stops.
    OneWay,
    /// Two parts that only one machine reaches both of.
    Bridge,
    /// Some links stop, and come back in another order.
    Links,
    /// The holder loses its links.
    IsolateHolder,
    /// A connection breaks and is made again.
    Reset,
    /// A link becomes slow.
    Spike,
    /// A disk becomes slow.
    SlowDisk,
    /// A sync fails: the node stops at once.
    FailDisk,
    /// The holder is asked to hand its lease over.
    HandOver,
    /// A clock is wrong.
    WrongClock,
    /// All clocks are.
    WrongClocks,
}

const FAULTS: [Fault; 17] = [
    Fault::Crash,
    Fault::CrashHolder,
    Fault::Storm,
    Fault::Pause,
    Fault::PauseHolder,
    Fault::Halves,
    Fault::OneWay,
    Fault::Bridge,
    Fault::Links,
    Fault::IsolateHolder,
    Fault::Reset,
    Fault::Spike,
    Fault::SlowDisk,
    Fault::FailDisk,
    Fault::HandOver,
    Fault::WrongClock,
    Fault::WrongClocks,
];

/// What a seed likes.
#[derive(Debug)]
pub struct Nemesis {
    liked: Vec<Fault>,
    /// Longest time between two faults.
    pace: u64,
    /// How often in a hundred a new holder is struck at once.
    jealousy: u64,
    /// Whether a struck holder changes places with whoever was cut off before.
    swaps: bool,
    random: Random,
}

impl Nemesis {
    /// Draws a seed's taste.
    pub fn new(mut random: Random) -> Self {
        let mut liked: Vec<Fault> = FAULTS.to_vec();
        random.shuffle(&mut liked);
        liked.truncate(random.between(3, FAULTS.len() as u64) as usize);
        let pace = [300_000, 900_000, 2_500_000][random.index(3)];
        let jealousy = [0, 40, 90][random.index(3)];
        let swaps = jealousy > 0 && random.percent(50);
        Self { liked, pace, jealousy, swaps, random }
    }
}

impl World {
    /// Something goes wrong.
    pub(super) fn fault(&mut self) -> Result<(), Violation> {
        let again = self.time + self.nemesis.random.between(20_000, self.nemesis.pace);
        self.plan(again, Event::Fault);
        if !self.chaos {
            return Ok(());
        }
        let Some(fault) = self.nemesis.random.pick(&self.nemesis.liked.clone()).copied() else {
            return Ok(());
        };
        let machine = self.random.index(self.machines.len());
        let holder = self.holders().first().copied();
        let long = if self.random.percent(30) { 4_000_000 } else { 800_000 };
        let span = self.random.between(10_000, long);
        match fault {
            Fault::Crash | Fault::FailDisk => self.crash(machine, span),
            Fault::CrashHolder => holder.into_iter().for_each(|holder| self.crash(holder, span)),
            Fault::Storm => self.storm(),
            Fault::Pause => self.pause(machine, span),
            Fault::PauseHolder => holder.into_iter().for_each(|holder| self.pause(holder, span)),
            Fault::Halves | Fault::OneWay | Fault::Bridge | Fault::Links | Fault::IsolateHolder => {
                self.partition(fault, holder, span);
            }
            Fault::Reset => {
                let other = self.random.index(self.machines.len());
                self.reset(machine, other);
            }
            Fault::Spike => self.spike(machine, span),
            Fault::SlowDisk => {
                self.machines[machine].disk.slowness = self.random.between(10, 300);
                self.plan(self.time + span, Event::Hasten(machine));
            }
            Fault::WrongClock => self.turn_clocks(false),
            // What expires early is matched by nobody: not too often.
            Fault::WrongClocks => {
                if self.random.percent(10) {
                    self.turn_clocks(true);
                }
            }
            Fault::HandOver => {
                let voters = self.generations.voters();
                if let (Some(holder), Some(to)) = (holder, self.random.pick(&voters).copied()) {
                    return self.input(holder, Input::HandOver(to));
                }
            }
        }
        Ok(())
    }

    /// A machine has become the holder: seeds that are jealous strike it soon.
    pub(super) fn envy(&mut self, machine: usize) {
        if self.chaos && self.nemesis.random.percent(self.nemesis.jealousy) {
            let soon = [500, 3_000, 30_000, 400_000][self.random.index(4)];
            let at = self.time + self.random.below(soon);
            self.plan(at, Event::Strike(machine));
        }
    }

    /// Strikes a machine that has just become the holder.
    pub(super) fn strike(&mut self, machine: usize) -> Result<(), Violation> {
        if self.nemesis.swaps && self.nemesis.random.percent(85) {
            return self.swap(machine);
        }
        let span = self.random.between(self.lease.0 / 2, self.lease.0 * 5);
        let other = self.random.index(self.machines.len());
        let links = match self.random.below(7) {
            0 => {
                self.crash(machine, span);
                return Ok(());
            }
            1 => {
                self.pause(machine, span);
                return Ok(());
            }
            2 => self.links_where(|from, to| from == machine && to != other),
            3 => self.links_where(|from, to| to == machine && from != other),
            4 => self.links_where(|from, _| from == machine),
            _ => self.links_where(|from, to| from == machine || to == machine),
        };
        let patience = if self.random.percent(60) { 1 } else { self.random.below(span) };
        self.block(&links, patience);
        self.plan(self.time + span, Event::Open(links));
        if self.random.percent(30) {
            let at = self.time + self.random.below(span);
            self.plan(at, Event::Kill(machine));
        }
        Ok(())
    }

    /// Cuts the new holder off, and brings everyone else together again: what each of them knows
    /// alone is what the next leases have to sort out.
    fn swap(&mut self, machine: usize) -> Result<(), Violation> {
        self.forget_faults();
        let links = self.links_where(|from, to| from == machine || to == machine);
        self.block(&links, 1);
        let others = self.links_where(|from, to| from != machine && to != machine);
        self.open(&others)?;
        for other in (0..self.machines.len()).filter(|other| *other != machine) {
            if self.random.percent(25) {
                let soon = self.random.below(3_000);
                self.plan(self.time + soon, Event::Kill(other));
            }
        }
        let span = self.random.between(self.lease.0 * 2, self.lease.0 * 8);
        self.plan(self.time + span, Event::Open(links));
        Ok(())
    }

    fn storm(&mut self) {
        for machine in 0..self.machines.len() {
            if self.random.percent(70) {
                let span = self.random.between(10_000, 1_500_000);
                self.crash(machine, span);
            }
        }
    }

    fn spike(&mut self, machine: usize, span: u64) {
        let delay = self.random.between(5_000, 1_500_000);
        let links = self.links_where(|from, _| from == machine);
        links.iter().for_each(|link| self.network.spike(*link, delay));
        self.plan(self.time + span, Event::Calm(links));
    }

    fn partition(&mut self, fault: Fault, holder: Option<usize>, span: u64) {
        let count = self.machines.len();
        let mut order: Vec<usize> = (0..count).collect();
        self.random.shuffle(&mut order);
        let size = self.random.between(1, count as u64 - 1) as usize;
        let (left, right) = order.split_at(size);
        let parts = |a: usize, b: usize| left.contains(&a) != left.contains(&b);
        let links = match fault {
            Fault::Halves => self.links_where(parts),
            Fault::Bridge => {
                let bridge = right[0];
                self.links_where(|a, b| parts(a, b) && a != bridge && b != bridge)
            }
            Fault::OneWay => self.links_where(|a, b| (a, b) == (left[0], right[0])),
            Fault::IsolateHolder => {
                let Some(holder) = holder else {
                    return;
                };
                let way = self.random.below(3);
                self.links_where(|a, b| (a == holder && way != 0) || (b == holder && way != 1))
            }
            _ => {
                let mut links = self.links_where(|_, _| true);
                self.random.shuffle(&mut links);
                links.truncate(self.random.between(1, links.len() as u64) as usize);
                links
            }
        };
        let patience = if self.random.percent(50) { 1 } else { self.random.between(100_000, 2_000_000) };
        self.block(&links, patience);
        if fault == Fault::Links {
            let mut links = links;
            self.random.shuffle(&mut links);
            for link in links {
                let at = self.time + self.random.below(span) + 1;
                self.plan(at, Event::Open(vec![link]));
            }
        } else {
            self.plan(self.time + span, Event::Open(links));
        }
    }

    /// The directions between machines that fit.
    pub(super) fn links_where(&self, fits: impl Fn(usize, usize) -> bool) -> Vec<Direction> {
        let count = self.machines.len();
        let all = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        all.filter(|(from, to)| from != to && fits(*from, *to)).collect()
    }

    /// Leaves only some links, and returns whether: a tree in which one voter reaches a majority of them.
    pub(super) fn leave_tree(&mut self) -> bool {
        let all = self.generations.voters();
        let mut voters: Vec<usize> = all.iter().filter_map(|voter| self.find(*voter)).collect();
        // Who may be an old copy asks a majority itself, and voters change only where most are in reach.
        let waits = |machine: &Machine| {
            machine.copy.is_some()
                || machine.replica().is_some_and(|replica| replica.view().next_voters().is_some())
        };
        let changes = voters.len() < all.len() || self.promises.changes_voters();
        if voters.is_empty() || changes || self.machines.iter().any(waits) {
            return false;
        }
        self.random.shuffle(&mut voters);
        let near = voters.len() / 2;
        // Nobody takes an observer's word for what is committed, so none is between two others.
        let mut tree = vec![voters[0]];
        let mut edges: Vec<Direction> = Vec::new();
        let mut rest: Vec<usize> = (0..self.machines.len()).filter(|at| *at != voters[0]).collect();
        rest.sort_by_key(|at| (!voters[..=near].contains(at), !voters.contains(at)));
        for (number, at) in rest.into_iter().enumerate() {
            let to = if number < near { voters[0] } else { tree[self.random.index(tree.len())] };
            edges.push(pair(at, to));
            tree.extend(Some(at).filter(|at| voters.contains(at)));
        }
        let links = self.links_where(|from, to| !edges.contains(&pair(from, to)));
        self.block(&links, 1);
        true
    }

    /// Makes everything whole: links, disks, clocks, processes.
    ///
    /// # Errors
    /// An oracle is violated by what was held back.
    pub fn heal(&mut self) -> Result<(), Violation> {
        self.note(|| "heal".to_owned());
        self.forget_faults();
        self.set_clocks_right();
        self.restart_quarantined();
        let blocked = self.network.blocked();
        self.open(&blocked)?;
        for link in self.links_where(|_, _| true) {
            self.network.spike(link, 0);
        }
        for machine in 0..self.machines.len() {
            self.machines[machine].disk.slowness = 1;
            let life = self.machines[machine].life;
            // What a slow disk has begun ends soon as well.
            let soon = self.random.between(100, 1_500);
            self.plan(self.time + soon, Event::Synced { machine, life });
            self.resume(machine, life)?;
            self.start(machine)?;
        }
        Ok(())
    }
}

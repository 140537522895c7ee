//! A simulated machine: a process with its replica, its clock and its disk.

use std::collections::VecDeque;
use std::sync::Arc;

use xbook::document::{Actor, Genesis};
use xbook::format::Formats;
use xbook::machine::Caps;
use xbook::replica::{Input, Replica, ReplicaError, Settings};
use xbook::types::{GenerationNumber, Micros, NodeId, Position, Term};

use super::clock::Clock;
use super::disk::Disk;
use super::programs;
use super::random::Random;

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// Its node's id.
    pub id: NodeId,
    /// Its process; `None` while it is down.
    pub process: Option<Process>,
    /// How often it was started: what belongs to an earlier life is void.
    pub life: u64,
    /// Its clock.
    pub clock: Clock,
    /// Whether that is wrong.
    pub is_wrong: bool,
    /// Its disk.
    pub disk: Disk,
    /// What its program can read.
    pub formats: Formats,
    setup: Setup,
    /// How far its processes have shown the document, as its history tells the next one. A kill leaves
    /// that as it is.
    history: Position,
    /// While its disk is an old copy.
    pub copy: Option<Copied>,
    /// The newest generation of which it may lack what it acknowledged.
    pub lacks_through: Option<GenerationNumber>,
    first_actor: Option<Actor>,
}

/// A disk that is an old copy.
#[derive(Clone, Copy, Debug)]
pub struct Copied {
    /// Whether its node sees that.
    pub noticed: bool,
    /// Whether changes of its own are missing, too.
    pub lacks_own: bool,
    /// The newest generation when it was put back: of that and of earlier ones it may lack something.
    pub through: GenerationNumber,
}

/// What all machines of a world run with.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How long a lease lasts.
    pub lease: Micros,
    /// Size at which documents are sealed.
    pub roll_at: u64,
    /// How much a state keeps.
    pub caps: Caps,
}

/// How the document of a process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// Nothing is wrong.
    Sound,
    /// Its state is damaged in memory, which shows at the next batch.
    Damaged,
    /// A fault was found: the document has stopped, the process lives on.
    Quarantined,
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    /// The replica.
    pub replica: Replica,
    /// Stopped by a signal: inputs wait.
    pub paused: bool,
    /// Inputs that came while it was paused.
    pub waiting: VecDeque<Input>,
    /// How its document is.
    pub health: Health,
    /// When it wants to be woken; later wishes replace earlier ones.
    pub wake: u64,
    /// Generation and term of its fold's head after the last step.
    pub term: (GenerationNumber, Term),
    /// The generation and the last position that it has shown.
    pub shown: (GenerationNumber, Position),
    /// The last generation that it took from a peer, and the last position that it had shown before.
    pub skipped: Option<(GenerationNumber, Position)>,
    /// How far the oracles have looked at that.
    pub looked: (GenerationNumber, Position),
}

impl Machine {
    /// A machine that was never started.
    pub fn new(id: NodeId, genesis: Arc<Genesis>, setup: Setup, random: &mut Random) -> Self {
        let (clock, disk) = (Clock::new(random), Disk::new(genesis));
        Self {
            id,
            process: None,
            life: 0,
            clock,
            is_wrong: false,
            disk,
            formats: programs::OLDER,
            setup,
            history: Position(0),
            copy: None,
            lacks_through: None,
            first_actor: None,
        }
    }

    /// Its disk is lost for good: it is a new node, with nothing but the first genesis.
    pub fn replace(&mut self, id: NodeId, first: Arc<Genesis>) {
        (self.id, self.disk, self.first_actor) = (id, Disk::new(first), None);
        (self.history, self.copy, self.lacks_through) = (Position(0), None, None);
    }

    /// A copy of its disk takes the disk's place.
    pub fn restore(&mut self, disk: Disk, shown: Position, copy: Copied) {
        (self.disk, self.history) = (disk, shown);
        (self.copy, self.lacks_through) = (Some(copy), Some(copy.through));
    }

    /// Starts its process from what is on the disk.
    ///
    /// # Errors
    /// The replica can't open what is on the disk.
    pub fn start(&mut self, time: u64, reuse_actor: bool, random: &mut Random) -> Result<(), ReplicaError> {
        self.life += 1;
        if !self.is_wrong && random.percent(30) {
            self.clock = Clock::new(random);
        }
        let now = self.clock.at(time);
        // The life makes it fresh even where chance would not.
        let fresh = Actor::new(now, self.id, (random.bits() as u16 & 0xF000) | (self.life as u16 & 0x0FFF));
        let actor = self.first_actor.filter(|_| reuse_actor).unwrap_or(fresh);
        self.first_actor.get_or_insert(actor);
        let Setup { lease, roll_at, caps } = self.setup;
        let (secret, restored) = ([self.id.0 as u8; 32], self.copy.is_some_and(|copy| copy.noticed));
        let (seed, shown) = (random.bits(), self.history);
        let formats = self.formats;
        let settings = Settings { now, lease, seed, roll_at, caps, shown, secret, restored, formats };
        let stored = self.disk.durable().iter().map(|bytes| bytes.to_vec()).collect();
        let remembered = self.disk.remembered().clone();
        let replica = Replica::open(self.disk.genesis().clone(), actor, settings, stored, remembered)?;
        let shown = (replica.generation(), replica.view().position());
        self.process = Some(Process {
            replica,
            paused: false,
            waiting: VecDeque::new(),
            health: Health::Sound,
            wake: u64::MAX,
            term: (GenerationNumber(0), Term(0)),
            shown,
            skipped: None,
            looked: shown,
        });
        Ok(())
    }

    /// Kills its process; the disk loses what was not synced.
    pub fn crash(&mut self, random: &mut Random) {
        self.note_shown();
        self.process = None;
        self.disk.crash(random);
    }

    /// Its process takes a generation from a peer, which begins at a position. Until that is on the disk
    /// it shows nothing more; nor did it since the one before, if that is not there either.
    pub fn skip(&mut self, to: Position) {
        let from = self.shows();
        if let Some(process) = &mut self.process {
            process.skipped = Some((process.shown.0, from));
            process.shown.1 = to;
        }
    }

    /// What its process has shown is in its history.
    fn note_shown(&mut self) {
        self.history = self.history_now();
    }

    /// How far its processes have shown the document, this one included.
    pub fn history_now(&self) -> Position {
        self.history.max(self.shows())
    }

    /// The last position that its process has shown; zero if it is down.
    fn shows(&self) -> Position {
        let Some(process) = &self.process else {
            return Position(0);
        };
        let stored = self.disk.genesis().generation();
        let waits = process.skipped.filter(|(generation, _)| *generation > stored);
        waits.map_or(process.shown.1, |(_, from)| from)
    }

    /// How far its processes have shown the document.
    #[must_use]
    pub fn has_shown(&self) -> Position {
        self.history
    }

    /// Whether its disk may lack what its node acknowledged in its generation. In a later one it has
    /// acknowledged nothing yet when the copy is put back.
    #[must_use]
    pub fn may_lack(&self) -> bool {
        self.lacks_through.is_some_and(|through| self.disk.genesis().generation() <= through)
    }

    /// Whether all that it has is on its disk, and it waits for no other voters.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let waits = self.replica().is_some_and(|replica| replica.view().next_voters().is_some());
        self.disk.is_at_rest() && !waits
    }

    /// Its replica, if it runs and is not paused.
    #[must_use]
    pub fn running(&self) -> Option<&Replica> {
        self.replica().filter(|_| self.process.as_ref().is_some_and(|process| !process.paused))
    }

    /// Its replica, if its process lives and the document has not stopped.
    #[must_use]
    pub fn replica(&self) -> Option<&Replica> {
        let sound = self.process.as_ref().filter(|_| !self.is_quarantined());
        sound.map(|process| &process.replica)
    }

    /// Whether its process lives and its document has stopped with a fault.
    #[must_use]
    pub fn is_quarantined(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.health == Health::Quarantined)
    }
}

//! How far a search goes.

use clap::ValueEnum;

/// When a write reaches the disk, and what may leave the node before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Disk {
    /// Each write is durable at once. A crash still makes another actor.
    Eager,
    /// Writes become durable by a step of their own, in order; only durable changes are sent.
    Stored,
    /// As `Stored`, but whatever rests on no unsynced promise or seal-ack of the sender is sent at once.
    Early,
}

/// The bounds of one search. Node sets are bit masks, A is bit 0.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// How many nodes there are.
    pub nodes: u8,
    /// The voters of generation 0, and of generation 1 (0: the book is never sealed).
    pub voters: [u8; 2],
    /// The highest term of each generation; generation 0 starts with term 1 held by A.
    pub terms: [u8; 2],
    /// Takers that want the one resting order of quantity 1.
    pub takers: u8,
    /// Restarts that matter (see [`super::Action::Restart`]).
    pub restarts: u8,
    /// When writes become durable.
    pub disk: Disk,
    /// Who may be a candidate for each term of generation 0 and 1 (term 1 first).
    pub candidates: [u8; 4],
    /// Nodes that are dead from the start.
    pub dead: u8,
    /// Keep whole documents: no pruning, every change passed on to everyone. Only to check `prune` itself.
    pub whole: bool,
}

impl Bounds {
    /// Three voters A, B, C and one generation.
    pub fn new(terms: u8, takers: u8) -> Bounds {
        Bounds {
            nodes: 3,
            voters: [0b111, 0],
            terms: [terms, terms],
            takers,
            restarts: 0,
            disk: Disk::Eager,
            candidates: [u8::MAX; 4],
            dead: 0,
            whole: false,
        }
    }

    /// The same over a change from the first to the second set of voters, written as letters.
    #[must_use]
    pub fn voters(mut self, first: &str, second: &str) -> Bounds {
        self.voters = [mask(first), mask(second)];
        self.nodes = (self.voters[0] | self.voters[1]).ilog2() as u8 + 1;
        self
    }

    /// The same with so many more nodes that do not vote.
    #[must_use]
    pub fn observers(mut self, more: u8) -> Bounds {
        self.nodes += more;
        self
    }

    /// The same with so many restarts.
    #[must_use]
    pub fn restarts(mut self, restarts: u8) -> Bounds {
        self.restarts = restarts;
        self
    }

    /// The same with so many terms in each generation.
    #[must_use]
    pub fn terms(mut self, first: u8, second: u8) -> Bounds {
        self.terms = [first, second];
        self
    }

    /// The same with another disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Bounds {
        self.disk = disk;
        self
    }

    /// The same with these candidates for the terms from 2 on.
    #[must_use]
    pub fn candidates(mut self, from_term_2: &[&str]) -> Bounds {
        for (place, nodes) in self.candidates[1..].iter_mut().zip(from_term_2) {
            *place = mask(nodes);
        }
        self
    }

    /// The same with these nodes dead from the start.
    #[must_use]
    pub fn dead(mut self, nodes: &str) -> Bounds {
        self.dead = mask(nodes);
        self
    }

    /// The same without pruning.
    #[must_use]
    pub fn whole(mut self) -> Bounds {
        self.whole = true;
        self
    }

    /// Whether the node votes in the generation.
    pub fn votes(&self, generation: u8, node: u8) -> bool {
        self.voters[usize::from(generation)] >> node & 1 == 1
    }
}

/// The bit mask of nodes written as letters.
pub fn mask(letters: &str) -> u8 {
    letters.bytes().fold(0, |mask, letter| mask | 1 << (letter.to_ascii_uppercase() - b'A'))
}

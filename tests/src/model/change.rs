//! What a document is made of: changes, and sets of them.
//!
//! The log of a [`super::State`] lists every change that some node holds, sorted by [`Change::key`];
//! a document is the [`Set`] of the log's rows that its node has applied. Because rows are sorted by
//! what they are and not by when they were written, two histories that differ only in the order of
//! independent steps reach the same state, and because tape rows sort by (term, index), an effective
//! tape is a set too: its order is the order of the log.

use std::fmt;

/// A process of a node: a restart makes another actor of the same node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Actor {
    /// The node, 0 is A.
    pub node: u8,
    /// How many times it was restarted in a way that matters.
    pub start: u8,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", name(self.node), "'".repeat(usize::from(self.start)))
    }
}

/// The letter of a node.
pub fn name(node: u8) -> char {
    char::from(b'A' + node)
}

/// A batch on the tape. Batches hold one entry: batching is an optimisation that no rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// This taker fills the one resting order.
    Fill(u8),
    /// This taker came too late: consumed without a fill.
    Reject(u8),
    /// The last batch of a generation.
    Seal,
}

/// What a change writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The first change of a generation. The change's actor is the holder that it names, its term the
    /// term under which that holder goes on.
    Genesis {
        /// Whether the resting order was filled before.
        filled: bool,
        /// A bit for each taker consumed before.
        consumed: u8,
    },
    /// The author promises the term to this actor.
    Promise {
        /// The candidate.
        to: Actor,
    },
    /// The author holds the lease of the term.
    Activation,
    /// One batch of the author's tape under the term.
    Tape {
        /// Position among the author's batches of this term.
        index: u8,
        /// What it records.
        entry: Entry,
    },
    /// The author holds the Seal durably under the term.
    SealAck,
}

impl Kind {
    /// Whether the change begins a lease: an activation, or a genesis that names its holder.
    pub fn is_head(self) -> bool {
        matches!(self, Kind::Activation | Kind::Genesis { .. })
    }

    fn rank(self) -> (u8, u8) {
        match self {
            Kind::Genesis { .. } => (0, 0),
            Kind::Promise { .. } => (1, 0),
            Kind::Activation => (2, 0),
            Kind::Tape { index, .. } => (3, index),
            Kind::SealAck => (4, 0),
        }
    }
}

/// One change, and what the checker remembers about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// The document that it belongs to.
    pub generation: u8,
    /// What it writes.
    pub kind: Kind,
    /// The term that it speaks of.
    pub term: u8,
    /// Who wrote it (for a genesis: who holds the lease by it).
    pub author: Actor,
    /// Its causal past: everything of this document that the author had applied. For the genesis of
    /// generation 1 it is the part of generation 0 that it was computed from.
    pub past: Set,
    /// For an activation: the tape that it adopts. For a seal-ack: the tape that ends in its Seal.
    pub adopts: Set,
    /// Which nodes acknowledged it, by the label of the acknowledgement (label 1 first): what the
    /// holders may have counted, so it outlives what the nodes promise afterwards.
    pub acked: [u8; 4],
    /// The term under which it was first committed; 0: not yet.
    pub committed: u8,
}

/// What sorts the log; unique among the changes that exist.
pub type Key = (u8, u8, u8, u8, Actor, Kind, u64);

impl Change {
    /// The place of this change in the log.
    pub fn key(&self) -> Key {
        let (rank, index) = self.kind.rank();
        // Two geneses that differ only in their basis are two changes: that is what a plant shows.
        let basis = if rank == 0 { self.past.0 } else { 0 };
        (self.generation, rank, self.term, index, self.author, self.kind, basis)
    }

    /// A change without history, to be filled in by its writer.
    pub fn new(generation: u8, kind: Kind, term: u8, author: Actor) -> Change {
        let (past, adopts) = (Set::EMPTY, Set::EMPTY);
        Change { generation, kind, term, author, past, adopts, acked: [0; 4], committed: 0 }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (who, term) = (self.author, self.term);
        match self.kind {
            Kind::Genesis { .. } => write!(f, "genesis {} (term {term} held by {who})", self.generation),
            Kind::Promise { to } => write!(f, "{who}'s promise of term {term} to {to}"),
            Kind::Activation => write!(f, "{who}'s activation of term {term}"),
            Kind::Tape { index, entry: Entry::Seal } => write!(f, "{who}'s Seal {term}.{index}"),
            Kind::Tape { index, entry } => write!(f, "{who}'s batch {term}.{index} {entry:?}"),
            Kind::SealAck => write!(f, "{who}'s seal-ack under term {term}"),
        }
    }
}

/// A set of rows of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Set(pub u64);

impl Set {
    /// Nothing.
    pub const EMPTY: Set = Set(0);

    /// One row.
    pub fn of(row: usize) -> Set {
        Set(1 << row)
    }

    /// All rows below this one.
    pub fn below(row: usize) -> Set {
        Set((1 << row) - 1)
    }

    /// Whether the row is in it.
    pub fn has(self, row: usize) -> bool {
        self.0 >> row & 1 == 1
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub fn within(self, other: Set) -> Set {
        Set(self.0 & other.0)
    }

    /// What is in this one alone.
    #[must_use]
    pub fn without(self, other: Set) -> Set {
        Set(self.0 & !other.0)
    }

    /// Whether all of the other is in this one.
    pub fn covers(self, other: Set) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many rows.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Its last row.
    pub fn last(self) -> Option<usize> {
        self.0.checked_ilog2().map(|row| row as usize)
    }

    /// Its rows, in the order of the log.
    pub fn rows(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let row = rest.trailing_zeros() as usize;
            rest &= rest.wrapping_sub(1);
            (row < 64).then_some(row)
        })
    }

    /// Its first rows, at most this many.
    #[must_use]
    pub fn first(self, count: u32) -> Set {
        let mut rest = self.0;
        for _ in 0..count {
            rest &= rest.wrapping_sub(1);
        }
        Set(self.0 & !rest)
    }

    /// All rows up to and with this one.
    #[must_use]
    pub fn up_to(self, row: usize) -> Set {
        self.within(Set::below(row).and(Set::of(row)))
    }

    /// Whether this tape is how the other begins.
    pub fn begins(self, other: Set) -> bool {
        self.last().is_none_or(|last| other.up_to(last) == self)
    }

    /// The same set after a row was inserted into the log.
    #[must_use]
    pub fn after_insert(self, row: usize) -> Set {
        let low = Set::below(row).0;
        Set(self.0 & low | (self.0 & !low) << 1)
    }

    /// The same set after a row was removed from the log.
    #[must_use]
    pub fn after_remove(self, row: usize) -> Set {
        let low = Set::below(row).0;
        Set(self.0 & low | self.0 >> 1 & !low)
    }
}

//! What replicas of one document say to each other beside the document's own changes.
//!
//! Everything is scoped by generation. From another generation a replica only takes that there is
//! one, and what serves to catch up with it.

use bytes::Bytes;
use xbook_proto::record::v1 as record;

use crate::document::{Actor, Vector};
use crate::format::{Format, Formats};
use crate::types::{BatchIndex, GenerationNumber, Micros, NodeId, Term};

/// A message between two replicas of the same document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// The generation that the sender is in.
    pub generation: GenerationNumber,
    /// What it says.
    pub message: Message,
}

/// What a replica says to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// First on a connection: what the sender's disk has.
    Hello {
        /// Hash of the genesis; another one means another book.
        genesis: [u8; 32],
        /// What its disk has, and under which promise.
        ack: Ack,
        /// The newest acknowledgement of the receiver that the sender remembers.
        heard: Option<HeardAck>,
        /// Whether this answers a hello, and wants no answer itself.
        answer: bool,
        /// The formats that the sender can read.
        formats: Formats,
    },
    /// Changes that the receiver lacks, each after those that it depends on.
    Changes(Vec<Bytes>),
    /// What the sender's disk has now.
    Ack(Ack),
    /// The holder's sign of life.
    Heartbeat {
        /// Its term.
        term: Term,
        /// When it was sent, by the holder's clock.
        sent: Micros,
        /// What the clocks of a majority of the voters say at that moment, once the holder knows.
        majority: Option<Micros>,
    },
    /// The answer to a heartbeat.
    Echo(Echo),
    /// Asks for a promise.
    Candidate(Candidacy),
    /// The answer. A promise itself comes as a change of the document.
    Ballot(Ballot),
    /// The holder knows these batches to be committed.
    Committed(Told),
    /// Asks for a part of the genesis of the receiver's generation, a newer one than the sender's.
    Fetch {
        /// Index of the part.
        part: u32,
    },
    /// The answer.
    GenesisPart {
        /// The genesis' header.
        genesis: Box<record::Genesis>,
        /// Index of the part.
        part: u32,
        /// The part; empty if there is none.
        content: Bytes,
    },
    /// Asks the holder to hand the lease over.
    HandOverWish {
        /// To whom.
        to: NodeId,
    },
    /// Asks the holder to go on in a newer format.
    UpgradeWish {
        /// Which.
        to: Format,
    },
    /// The holder has stopped matching and asks the receiver to take the lease.
    HandOver {
        /// The holder's term.
        term: Term,
    },
}

/// The answer to a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Echo {
    /// The highest term that the sender promised.
    pub label: Term,
    /// The heartbeat's time, by the holder's clock.
    pub sent: Micros,
    /// The sender's clock.
    pub clock: Micros,
}

/// The answer to a candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ballot {
    /// The candidate's term.
    pub term: Term,
    /// Whether it was only asked what it would do.
    pub trial: bool,
    /// Whether it promises, or would.
    pub granted: bool,
    /// The highest term that the sender promised.
    pub label: Term,
}

/// The word of a term's holder: what is committed, as far as it knows. Of two the later one is greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Told {
    /// The term.
    pub term: Term,
    /// How many batches of its effective tape.
    pub batches: BatchIndex,
}

/// A candidate's wish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidacy {
    /// The term.
    pub term: Term,
    /// Who would hold it.
    pub actor: Actor,
    /// Only asks whether it would be promised, so that nobody's term is disturbed in vain.
    pub trial: bool,
    /// The holder of this term asked the candidate to take over; its lease stands in nobody's way.
    pub handed_over_by: Option<Term>,
}

/// What a node's disk holds: one snapshot of the promise and of the changes.
///
/// A label read before a promise with a vector read after it would lose data; this one is always
/// that of a prefix of what the node stored, in the order in which it stored it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Ack {
    /// The highest term that this node promised on its disk; zero before the first, and while it may
    /// not vote.
    pub label: Term,
    /// The changes of each actor.
    pub vector: Vector,
    /// By which its author knows it again; none on what nobody need remember.
    pub mark: Option<Mark>,
}

/// Most actors in an acknowledgement: each is one start of a process within a generation.
pub const MAX_ACTORS: usize = 16_384;

/// A keyed hash that only the author of an acknowledgement can make.
pub type Mark = [u8; 16];

/// An acknowledgement that was heard, and in which generation it was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeardAck {
    /// The generation.
    pub generation: GenerationNumber,
    /// The acknowledgement.
    pub ack: Ack,
}

impl Ack {
    /// Whether a disk that has this has all of another.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let has = |(actor, seq): (&Actor, &u64)| self.vector.get(actor).is_some_and(|have| have >= seq);
        self.label >= other.label && other.vector.iter().all(has)
    }
}

impl HeardAck {
    /// Whether this is at least as new as another one of the same node.
    pub(super) fn follows(&self, other: &Self) -> bool {
        self.generation > other.generation
            || self.generation == other.generation && self.ack.covers(&other.ack)
    }
}

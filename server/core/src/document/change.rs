//! Changes from elsewhere, checked before Automerge sees them: it can panic on some bad ones.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::legacy::Op;
use automerge::{Change, ChangeHash};
use bytes::Bytes;

use super::layout::Offence;
use super::{Actor, Vector, framing};
use crate::types::NodeId;

/// Largest change that is accepted, in bytes.
pub const MAX_CHANGE_BYTES: usize = 8 * 1024 * 1024;

/// A well-formed change that no document has accepted yet.
#[derive(Clone, Debug)]
pub struct RawChange {
    change: Change,
    operations: Vec<Op>,
}

/// Why a change is not acceptable.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChangeError {
    /// The bytes are no change.
    #[error("not a change: {0}")]
    Malformed(String),
    /// Larger than the limit.
    #[error("a change of {0} bytes is above the limit of {MAX_CHANGE_BYTES}")]
    TooLarge(usize),
    /// It holds more of something than any node writes.
    #[error("{what} are {count}, above the limit of {most}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many, at least.
        count: u64,
        /// The limit.
        most: u64,
    },
    /// Its actor id is not one of ours.
    #[error("an actor id of {0} bytes is not 16 bytes long")]
    Actor(usize),
    /// It is not the next one of its actor.
    #[error("change {seq} of {actor} does not follow its change {have}")]
    Gap {
        /// The actor.
        actor: Actor,
        /// The change's number.
        seq: u64,
        /// The last number that is applied.
        have: u64,
    },
    /// It does what the layout does not know.
    #[error("change {seq} of {actor} is not one of this layout: {offence}")]
    Layout {
        /// The actor.
        actor: Actor,
        /// The change's number.
        seq: u64,
        /// What it does.
        offence: Offence,
    },
    /// It carries an entry that its actor can't have written.
    #[error("change {seq} of {actor} carries {what}, which is not its actor's to write")]
    Content {
        /// The actor.
        actor: Actor,
        /// The change's number.
        seq: u64,
        /// The kind of the entry.
        what: &'static str,
    },
    /// It says that this node made it, which it did not.
    #[error("change {seq} of {actor} says that this node made it, which it did not")]
    NotMade {
        /// The actor.
        actor: Actor,
        /// The change's number.
        seq: u64,
    },
    /// A node has more waiting intents than it may.
    #[error("node {node} has {waiting} intents that wait to be sequenced, above the limit of {most}")]
    TooManyWaiting {
        /// The node.
        node: NodeId,
        /// How many there would be.
        waiting: u64,
        /// The limit.
        most: u64,
    },
    /// It depends on a change that the document does not have.
    #[error("change {seq} of {actor} depends on a change that is not there")]
    Dependency {
        /// The actor.
        actor: Actor,
        /// The change's number.
        seq: u64,
    },
}

impl RawChange {
    /// Reads a change.
    ///
    /// # Errors
    /// The bytes are not one, or one that is too large for a peer to send.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ChangeError> {
        if bytes.len() > MAX_CHANGE_BYTES {
            return Err(ChangeError::TooLarge(bytes.len()));
        }
        Self::parse_stored(bytes)
    }

    /// Reads a change of whatever size, from this node's own disk. What it takes to decode it is
    /// known before it is decoded.
    ///
    /// # Errors
    /// The bytes are not one.
    pub fn parse_stored(bytes: Vec<u8>) -> Result<Self, ChangeError> {
        framing::check(&bytes)?;
        let read = AssertUnwindSafe(|| {
            // Automerge does not compare the checksum in the header with what it has read.
            let checksum: Option<[u8; 4]> = bytes.get(4..8).and_then(|bytes| bytes.try_into().ok());
            let change = Change::from_bytes(bytes)?;
            if !checksum.is_some_and(|checksum| change.hash().0.starts_with(&checksum)) {
                return Ok::<_, automerge::LoadChangeError>(Err("its checksum is wrong"));
            }
            // The same operations can be written in many ways. Automerge keeps them in its own, and would pass
            // on another change than the one that came.
            let expanded = change.decode();
            let operations = expanded.operations.clone();
            let own = Change::from(expanded);
            let as_written = own.raw_bytes() == change.raw_bytes();
            Ok(if as_written { Ok(Self { change, operations }) } else { Err("no node writes it so") })
        });
        match catch_unwind(read) {
            Ok(Ok(Ok(change))) => Ok(change),
            Ok(Ok(Err(why))) => Err(ChangeError::Malformed(why.to_owned())),
            Ok(Err(error)) => Err(ChangeError::Malformed(error.to_string())),
            Err(_) => Err(ChangeError::Malformed("the decoder gave up".to_owned())),
        }
    }

    /// Its number among its actor's changes.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.change.seq()
    }

    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.change.raw_bytes().len()
    }

    /// By which its author knows it again.
    #[must_use]
    pub fn mark(&self) -> Option<&str> {
        self.change.message()
    }

    /// What it holds in memory, decoded: its bytes and its operations.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.len() + self.operations.len() * size_of::<Op>()
    }

    /// Whether it has no bytes; never so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its actor.
    ///
    /// # Errors
    /// It is not one of ours.
    pub fn actor(&self) -> Result<Actor, ChangeError> {
        let bytes = self.change.actor_id().to_bytes();
        bytes.try_into().map(Actor).map_err(|_| ChangeError::Actor(bytes.len()))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.change.raw_bytes())
    }

    /// Whether it is the next change of its actor and depends only on what `known` says is there.
    pub(super) fn check(
        &self,
        vector: &Vector,
        known: impl Fn(&ChangeHash) -> bool,
    ) -> Result<Actor, ChangeError> {
        let actor = self.actor()?;
        let have = vector.get(&actor).copied().unwrap_or(0);
        if have.checked_add(1) != Some(self.seq()) {
            return Err(ChangeError::Gap { actor, seq: self.seq(), have });
        }
        if !self.change.deps().iter().all(known) {
            return Err(ChangeError::Dependency { actor, seq: self.seq() });
        }
        Ok(actor)
    }

    /// Its hash, by which others depend on it.
    pub(super) fn hash(&self) -> ChangeHash {
        self.change.hash()
    }

    /// Number of its first operation, and its operations.
    pub(super) fn operations(&self) -> (u64, &[Op]) {
        (self.change.start_op().get(), &self.operations)
    }

    pub(super) fn into_change(self) -> Change {
        self.change
    }
}

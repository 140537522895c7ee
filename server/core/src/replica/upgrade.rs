//! Into a newer format, while the document is in use.
//!
//! An operator tells the holder to (others pass it on to the holder), and the holder seals once all
//! voters have said, in their hellos, that they can read what comes. A wish is forgotten soon, so
//! what nobody waits for any more does not happen later by surprise: who asked asks again.

use super::message::Message;
use super::{Effect, Replica};
use crate::format::{Format, Formats};
use crate::types::{Micros, NodeId};

/// How long the holder remembers that it was told to.
const REMEMBERED: Micros = Micros(5_000_000);

/// What a holder was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    to: Format,
    until: Micros,
}

/// A voter that can't read a format, or has not said that it can.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unready {
    /// The voter.
    pub voter: NodeId,
    /// What it can read; `None` if it is not connected.
    pub reads: Option<Formats>,
}

impl Replica {
    /// The format of this generation.
    #[must_use]
    pub fn format(&self) -> Format {
        self.current.genesis.format()
    }

    /// What this node can read.
    #[must_use]
    pub fn formats(&self) -> Formats {
        self.formats
    }

    /// What a voter can read, by its own word; `None` if it is not connected.
    #[must_use]
    pub fn formats_of(&self, voter: NodeId) -> Option<Formats> {
        if voter == self.node {
            return Some(self.formats);
        }
        self.current.peers.connected.get(&voter).and_then(|peer| peer.formats)
    }

    /// The first voter that can't read a format, or has not said that it can.
    #[must_use]
    pub fn unready(&self, format: Format) -> Option<Unready> {
        self.first_unready(format, self.current.tape.voters())
    }

    fn first_unready(&self, format: Format, voters: &[NodeId]) -> Option<Unready> {
        let said = voters.iter().map(|voter| Unready { voter: *voter, reads: self.formats_of(*voter) });
        said.into_iter().find(|said| said.reads.is_none_or(|reads| !reads.contains(format)))
    }

    /// A document is to go on in a newer format, with the next generation.
    pub(super) fn upgrade(&mut self, now: Micros, to: Format, effects: &mut Vec<Effect>) {
        if self.holds_lease() {
            self.current.sealing.wish = Some(Wish { to, until: now.plus(REMEMBERED) });
        } else if let Some(head) = self.current.tape.head().filter(|head| head.actor.node() != self.node) {
            self.send(head.actor.node(), Message::UpgradeWish { to }, effects);
        }
    }

    /// The format that the next generation would have, with these voters.
    pub(super) fn next_format(&self, now: Micros, next: &[NodeId]) -> Format {
        let wished = self.current.sealing.wish.filter(|wish| now < wish.until && wish.to > self.format());
        let ready = |to: &Format| {
            self.first_unready(*to, self.current.tape.voters())
                .or_else(|| self.first_unready(*to, next))
                .is_none()
        };
        wished.map(|wish| wish.to).filter(ready).unwrap_or_else(|| self.format())
    }
}

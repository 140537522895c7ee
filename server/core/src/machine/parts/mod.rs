//! A state as records, for the genesis of the next generation, and back.
//!
//! ```text
//! State ── to_parts ──> StatePart... ── from_parts ──> State, of the next generation
//!   └───────────────── next_generation ─────────────────┘ the same, without the way round
//! ```
//!
//! The same state gives the same bytes on each node, so nothing here follows the order of a hash
//! map. What is read is somebody else's: what does not fit together is refused, never trusted.

mod read;
mod write;

use bytes::Bytes;
use prost::Message;
use xbook_proto::record::v1 as record;

pub(in crate::machine) use read::Part;
pub(in crate::machine) use write::Writer;

use super::voters::Voters;
use super::{Caps, ChainHead, Digest, Directory, Machine, Market, State};
use crate::types::{BatchIndex, Micros, NodeId, Position};

/// Most encoded bytes of a part.
pub const MAX_PART_BYTES: usize = 256 * 1024;

/// Numbers that count up and are read from elsewhere stay below this, so that none overflows.
const MAX_COUNT: u64 = u64::MAX / 2;

/// Where a generation takes over from the one before it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StateStart {
    /// Position of the last event.
    pub position: Position,
    /// Tape time of the last batch.
    pub time: Micros,
    /// Head of the chain over the market's history.
    pub chain: ChainHead,
}

impl State {
    /// What the next generation begins with, beside its header, encoded. Depends on nothing but the state.
    #[must_use]
    pub fn to_parts(&self) -> Vec<Bytes> {
        let mut writer = Writer::default();
        self.ledger.write_parts(&mut writer);
        match &self.machine {
            Machine::Market(market) => market.write_parts(&mut writer),
            Machine::Directory(directory) => directory.write_parts(&mut writer),
        }
        writer.finish()
    }

    /// The state at the beginning of a generation that has these voters, this start and these
    /// parts. `machine` is empty and knows its name and rules.
    ///
    /// `None` if the parts are no state's: something twice, out of order or beyond its limit, an
    /// order that can't rest, a number that no tape leads to. The caps must be those that it was
    /// written under.
    #[must_use]
    pub fn from_parts(
        machine: Machine,
        voters: Vec<NodeId>,
        start: StateStart,
        parts: impl IntoIterator<Item = record::StatePart>,
        genesis: [u8; 32],
        caps: Caps,
    ) -> Option<Self> {
        (start.position.0 <= MAX_COUNT).then_some(())?;
        let mut state = Self::new(machine, voters, genesis).with_caps(caps);
        (state.position, state.time) = (start.position, start.time);
        if state.machine.market().is_some() && start.position > Position(0) {
            state.chain = start.chain;
        }
        for part in parts {
            let mut part = Part::new(part, start)?;
            state.ledger.read_part(&mut part)?;
            match &mut state.machine {
                Machine::Market(market) => market.read_part(&mut part, &state.ledger)?,
                Machine::Directory(directory) => directory.read_part(&mut part)?,
            }
            part.is_read().then_some(())?;
        }
        if let Machine::Market(market) = &mut state.machine {
            market.file_orders()?;
        }
        Some(state)
    }

    /// The state as parts, if what is read back from them is the same state. It is all the work of writing
    /// a genesis, which is made of these very parts.
    #[must_use]
    pub fn surviving_parts(&self, voters: &[NodeId]) -> Option<Vec<Bytes>> {
        let empty = match &self.machine {
            Machine::Market(market) => {
                Machine::Market(Box::new(Market::new(market.name().into(), market.rules().clone())))
            }
            Machine::Directory(_) => Machine::Directory(Directory::default()),
        };
        let parts = self.to_parts();
        let mut fits = parts.iter().all(|part| part.len() <= MAX_PART_BYTES);
        // One after the other: decoded, a large state takes several times as much as encoded.
        let read = parts.iter().map_while(|part| {
            let read = record::StatePart::decode(part.clone()).ok();
            fits &= read.is_some();
            read
        });
        let again = Self::from_parts(empty, voters.to_vec(), self.start(), read, [0; 32], self.caps)?;
        (fits && again.to_parts() == parts).then_some(parts)
    }

    /// Where a generation takes over that begins with this state.
    #[must_use]
    pub fn start(&self) -> StateStart {
        StateStart { position: self.position, time: self.time, chain: self.chain }
    }

    /// Goes on in the next generation: the same as [`Self::from_parts`] of its own
    /// [`Self::to_parts`].
    pub fn next_generation(&mut self, voters: Vec<NodeId>, genesis: [u8; 32]) {
        self.voters = Voters::new(voters);
        self.batches = BatchIndex::default();
        self.digest = Digest::starting_at(genesis);
    }
}

#[cfg(test)]
mod tests;

//! What a change from elsewhere may do: add its own actor's next entries, and nothing else.
//!
//! It is checked before Automerge sees the change, which trusts what it applies.

use automerge::legacy::{Key, ObjectId, Op, OpType};
use automerge::{ObjId, ObjType, ScalarValue};

use super::entry::KINDS;
use super::{Actor, Entry, Kind};

/// Largest number of an operation. A generation has far fewer; Automerge counts in 32 bits.
const MAX_OP: u64 = 1 << 30;

/// How far a writer has come: its maps, by the number of the operation that made each, and the last
/// key of each kind.
#[derive(Clone, Default, Debug)]
pub(super) struct Writer {
    pub maps: [Option<u64>; KINDS.len()],
    pub last: [Option<u64>; KINDS.len()],
    max_op: u64,
}

/// What a change does that the layout does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Offence {
    /// Its operations have numbers that can't be.
    #[error("its operations are numbered from {0}")]
    Numbering(u64),
    /// It writes where only others may, or where nobody may.
    #[error("operation {0} writes outside of its actor's maps")]
    Place(u64),
    /// It overwrites, deletes or inserts.
    #[error("operation {0} is not the addition of an entry")]
    Action(u64),
    /// A key that is not its kind's next.
    #[error("operation {0} writes a key that does not follow its actor's last")]
    Key(u64),
    /// An entry that can't be read.
    #[error("operation {0} writes an entry that can't be read")]
    Entry(u64),
}

impl Writer {
    /// The entries of the writer's next change, in their order.
    ///
    /// # Errors
    /// It does something else than adding them; the writer is then no longer of use.
    pub fn follow(
        &mut self,
        actor: Actor,
        roots: &[ObjId],
        (start, operations): (u64, &[Op]),
    ) -> Result<Vec<Entry>, Offence> {
        let end = start.saturating_add(operations.len() as u64);
        if start <= self.max_op || end > MAX_OP {
            return Err(Offence::Numbering(start));
        }
        let mut entries = Vec::with_capacity(operations.len());
        for (at, operation) in (start..).zip(operations) {
            if operation.insert || !operation.pred.is_empty() {
                return Err(Offence::Action(at));
            }
            let (Key::Map(key), ObjectId::Id(object)) = (&operation.key, &operation.obj) else {
                return Err(Offence::Place(at));
            };
            let is = |id: &ObjId| matches!(id, ObjId::Id(counter, actor, _) if (*counter, actor) == (object.0, &object.1));
            if let Some(slot) = roots.iter().position(is) {
                let made = operation.action == OpType::Make(ObjType::Map) && *key == actor.to_string();
                if !made || self.maps[slot].is_some() {
                    return Err(Offence::Action(at));
                }
                self.maps[slot] = Some(at);
                continue;
            }
            let mine = object.1.to_bytes() == actor.0;
            let slot = self.maps.iter().position(|map| mine && *map == Some(object.0));
            entries.push(self.entry(at, slot.ok_or(Offence::Place(at))?, key, &operation.action)?);
        }
        self.max_op = end - 1;
        Ok(entries)
    }

    fn entry(&mut self, at: u64, slot: usize, key: &str, action: &OpType) -> Result<Entry, Offence> {
        let OpType::Put(ScalarValue::Bytes(bytes)) = action else {
            return Err(Offence::Action(at));
        };
        let (kind, last) = (KINDS[slot], self.last[slot]);
        let number =
            super::number(key).filter(|number| super::key(*number) == key).ok_or(Offence::Key(at))?;
        let next = last.map_or(0, |last| last.saturating_add(1));
        let follows = match kind {
            // One after the other; what is written once a term only grows.
            Kind::Intents | Kind::Tape => number == next,
            Kind::Promise | Kind::Activation | Kind::SealAck => number >= next,
        };
        let entry = Entry::decode(kind, bytes).ok_or(Offence::Entry(at))?;
        if !follows || entry.number(last) != number {
            return Err(Offence::Key(at));
        }
        self.last[slot] = Some(number);
        Ok(entry)
    }

    /// Notes what this process itself has written.
    pub fn wrote(&mut self, slot: usize, map: &ObjId, number: u64) {
        if let ObjId::Id(counter, ..) = map {
            self.maps[slot] = Some(*counter);
        }
        self.last[slot] = Some(number);
    }

    /// Notes the last operation that this process itself has written.
    pub fn wrote_through(&mut self, max_op: u64) {
        self.max_op = max_op;
    }
}

//! One generation's Automerge document: typed appends and reads. The only room that knows
//! Automerge.
//!
//! The layout: a few root maps, in them a map for each writer, in it
//! that writer's entries. Each entry has one writer and is written once, so merging never meets a
//! conflict. Keys sort in reverse of time, so a new entry is always the first of its map: that is
//! what keeps the cost of applying a change flat.
//!
//! [`Document::append`] makes one change out of all entries that are written at once. [`Document::apply`] takes
//! changes from the disk or from peers and returns the entries that they brought.

mod actor;
mod change;
mod entry;
mod framing;
mod genesis;
mod layout;

use std::collections::{BTreeMap, BTreeSet};

use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{
    ActorId, Automerge, AutomergeError, ChangeHash, ObjId, ObjType, PatchLog, ROOT, ReadDoc, ScalarValue,
};
use bytes::Bytes;
use prost::Message;

pub use actor::Actor;
pub use change::{ChangeError, MAX_CHANGE_BYTES, RawChange};
pub use entry::{Entry, Kind};
pub use framing::{Heading, heading};
pub use genesis::{DIRECTORY, Genesis, GenesisDraft, GenesisError, LeaseId};
pub use layout::Offence;

use entry::KINDS;
use layout::Writer;

/// How much of each writer's changes a document has applied.
pub type Vector = BTreeMap<Actor, u64>;

/// A document and the actor that this process writes it with.
#[derive(Debug)]
pub struct Document {
    automerge: Automerge,
    me: Actor,
    roots: Vec<ObjId>,
    /// This process' own maps.
    mine: [Option<ObjId>; KINDS.len()],
    writers: BTreeMap<Actor, Writer>,
    vector: Vector,
    hashes: BTreeMap<Actor, Vec<ChangeHash>>,
    changes: u64,
    bytes: u64,
    /// Planted: what the next change depends on, rather than on all that is applied.
    below: Option<Vec<ChangeHash>>,
}

/// A change that this process made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalChange {
    /// Its number among the actor's changes, from 1.
    pub seq: u64,
    /// Its bytes, to be stored before anyone hears of it.
    pub bytes: Bytes,
}

/// A change from elsewhere that fits the document.
#[derive(Debug)]
pub struct Examined {
    /// Its actor.
    pub actor: Actor,
    /// Its entries, in their order.
    pub entries: Vec<Entry>,
    raw: RawChange,
    writer: Writer,
}

/// Automerge refused an operation that the layout never makes, or a value has another type than
/// the layout says.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// From Automerge.
    #[error("the document refused an operation: {0}")]
    Automerge(#[from] AutomergeError),
    /// A change from elsewhere is not acceptable.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The document is not laid out as a generation.
    #[error("the document has no {0} map")]
    Layout(&'static str),
}

impl Document {
    /// The document with nothing but its genesis, to be written by `me`.
    ///
    /// # Errors
    /// Only by a defect of Automerge.
    pub fn new(genesis: &Genesis, me: Actor) -> Result<Self, DocumentError> {
        let (automerge, bytes) = genesis.document()?;
        let roots = KINDS.iter().map(|kind| root_map(&automerge, *kind)).collect::<Result<_, _>>()?;
        let mut document = Self {
            automerge,
            me,
            roots,
            mine: Default::default(),
            writers: BTreeMap::new(),
            vector: Vector::new(),
            hashes: BTreeMap::new(),
            changes: 1,
            bytes,
            below: None,
        };
        document.automerge.set_actor(ActorId::from(&me.0[..]));
        Ok(document)
    }

    /// The actor that this process writes with.
    #[must_use]
    pub fn me(&self) -> Actor {
        self.me
    }

    /// How much of each writer's changes is applied.
    #[must_use]
    pub fn vector(&self) -> &Vector {
        &self.vector
    }

    /// How many changes it has.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The size of its changes in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes entries as one change on top of all that is applied.
    ///
    /// # Errors
    /// Only by a defect: the layout's operations are always possible.
    pub fn append(&mut self, entries: &[Entry]) -> Result<LocalChange, DocumentError> {
        self.append_marked(entries, None)
    }

    /// The same, with 16 letters in it by which the author knows the change again.
    ///
    /// # Errors
    /// Only by a defect: the layout's operations are always possible.
    pub fn append_marked(
        &mut self,
        entries: &[Entry],
        mark: Option<String>,
    ) -> Result<LocalChange, DocumentError> {
        let actor = self.me;
        let writer = self.writers.entry(actor).or_default();
        let mut transaction = begin(&mut self.automerge, self.below.take())?;
        for entry in entries {
            let slot = entry.kind() as usize;
            let map = match &self.mine[slot] {
                Some(map) => map.clone(),
                None => own_map(&mut transaction, &self.roots[slot], actor)?,
            };
            let number = entry.number(writer.last[slot]);
            transaction.put(&map, key(number), ScalarValue::Bytes(entry.encode()))?;
            writer.wrote(slot, &map, number);
            self.mine[slot] = Some(map);
        }
        let options = CommitOptions::default().with_time(0);
        transaction.commit_with(match mark {
            Some(mark) => options.with_message(mark),
            None => options,
        });
        let change = self.automerge.get_last_local_change().ok_or(DocumentError::Layout("change"))?;
        writer.wrote_through(change.max_op());
        let local = LocalChange { seq: change.seq(), bytes: Bytes::copy_from_slice(change.raw_bytes()) };
        self.count(actor, change.hash(), local.seq, local.bytes.len());
        Ok(local)
    }

    /// Planted: the next change depends on this node's own changes and on nothing newer.
    pub(crate) fn write_next_below(&mut self) {
        let own = self.hashes.iter().filter(|(actor, _)| actor.node() == self.me.node());
        let mut below: Vec<ChangeHash> = own.filter_map(|(_, hashes)| hashes.last().copied()).collect();
        if below.is_empty() {
            below.extend(self.automerge.get_changes(&[]).first().map(|change| change.hash()));
        }
        self.below = Some(below);
    }

    /// Applies changes from the disk, in an order in which each one's dependencies
    /// come first, and returns the entries that they brought, each writer's in its order.
    ///
    /// # Errors
    /// Nothing is applied if a change is not acceptable.
    pub fn apply(&mut self, changes: Vec<RawChange>) -> Result<Vec<(Actor, Entry)>, DocumentError> {
        let mut vector = self.vector.clone();
        let mut writers: BTreeMap<Actor, Writer> = BTreeMap::new();
        let mut entries = Vec::new();
        let mut sizes = Vec::with_capacity(changes.len());
        let mut checked = Vec::with_capacity(changes.len());
        let mut arriving = BTreeSet::new();
        for raw in changes {
            let actor = raw.check(&vector, |hash| arriving.contains(hash) || self.has(hash))?;
            let known = || self.writers.get(&actor).cloned().unwrap_or_default();
            let writer = writers.entry(actor).or_insert_with(known);
            let followed = writer.follow(actor, &self.roots, raw.operations());
            let new = followed.map_err(|offence| ChangeError::Layout { actor, seq: raw.seq(), offence })?;
            entries.extend(new.into_iter().map(|entry| (actor, entry)));
            arriving.insert(raw.hash());
            vector.insert(actor, raw.seq());
            sizes.push((actor, raw.hash(), raw.seq(), raw.len()));
            checked.push(raw.into_change());
        }
        self.automerge.apply_changes(checked)?;
        self.writers.extend(writers);
        for (actor, hash, seq, len) in sizes {
            self.count(actor, hash, seq, len);
        }
        Ok(entries)
    }

    /// Looks at a change from elsewhere that can be applied next, without applying it.
    ///
    /// # Errors
    /// It is not acceptable.
    pub fn examine(&self, raw: RawChange) -> Result<Examined, ChangeError> {
        let actor = raw.check(&self.vector, |hash| self.has(hash))?;
        let mut writer = self.writers.get(&actor).cloned().unwrap_or_default();
        let followed = writer.follow(actor, &self.roots, raw.operations());
        let entries = followed.map_err(|offence| ChangeError::Layout { actor, seq: raw.seq(), offence })?;
        Ok(Examined { actor, raw, writer, entries })
    }

    /// Applies a change that was just examined.
    ///
    /// # Errors
    /// Only by a defect.
    pub fn apply_examined(&mut self, examined: Examined) -> Result<(), DocumentError> {
        let Examined { actor, raw, writer, .. } = examined;
        let (hash, seq, len) = (raw.hash(), raw.seq(), raw.len());
        self.automerge.apply_changes([raw.into_change()])?;
        self.writers.insert(actor, writer);
        self.count(actor, hash, seq, len);
        Ok(())
    }

    /// Whether a change is the next of its actor and all that it depends on is applied.
    #[must_use]
    pub fn can_apply(&self, raw: &RawChange) -> bool {
        raw.check(&self.vector, |hash| self.has(hash)).is_ok()
    }

    /// The bytes of a change that is applied.
    #[must_use]
    pub fn change(&self, actor: Actor, seq: u64) -> Option<Vec<u8>> {
        let at = usize::try_from(seq.checked_sub(1)?).ok()?;
        let hash = self.hashes.get(&actor)?.get(at)?;
        Some(self.automerge.get_change_by_hash(hash)?.raw_bytes().to_vec())
    }

    fn has(&self, hash: &ChangeHash) -> bool {
        self.automerge.get_change_meta_by_hash(hash).is_some()
    }

    fn count(&mut self, actor: Actor, hash: ChangeHash, seq: u64, len: usize) {
        self.vector.insert(actor, seq);
        self.hashes.entry(actor).or_default().push(hash);
        self.changes += 1;
        self.bytes += len as u64;
    }
}

/// Begins a change on top of all that is applied, unless a bug is planted.
fn begin(
    automerge: &mut Automerge,
    below: Option<Vec<ChangeHash>>,
) -> Result<Transaction<'_>, DocumentError> {
    match below {
        None => Ok(automerge.transaction()),
        Some(below) => automerge
            .transaction_at(PatchLog::inactive(), &below)
            .map_err(|_| DocumentError::Layout("a planted change")),
    }
}

/// The map of a kind for this process' own entries, which is there already if an earlier process
/// wrote as the same actor.
fn own_map(transaction: &mut Transaction<'_>, root: &ObjId, actor: Actor) -> Result<ObjId, DocumentError> {
    match transaction.get(root, actor.to_string())? {
        Some((value, map)) if value.is_object() => Ok(map),
        _ => Ok(transaction.put_object(root, actor.to_string(), ObjType::Map)?),
    }
}

/// The key of an entry: fixed-width, in reverse of time.
fn key(number: u64) -> String {
    format!("{:016x}", u64::MAX - number)
}

fn number(key: &str) -> Option<u64> {
    u64::from_str_radix(key, 16).ok().map(|reversed| u64::MAX - reversed)
}

fn root_map(automerge: &Automerge, kind: Kind) -> Result<ObjId, DocumentError> {
    match automerge.get(ROOT, kind.name())? {
        Some((value, map)) if value.is_object() => Ok(map),
        _ => Err(DocumentError::Layout(kind.name())),
    }
}

/// A record's bytes.
fn encode(record: &impl Message) -> Vec<u8> {
    record.encode_to_vec()
}

#[cfg(test)]
mod tests;

//! The deterministic first change of a generation: the same bytes, so the same hash, on every
//! node, and never sent except to a node that was away.
//!
//! A header says what kind of generation it is; what it starts with, orders and counters, is in
//! *parts* of bounded size, so that it can be sent and written in pieces.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, Automerge, ObjType, ROOT};
use bytes::Bytes;
use prost::Message;
use xbook_proto::record::v1 as record;

use super::entry::KINDS;
use super::{Actor, DocumentError, encode};
use crate::format::{Format, Formats};
use crate::machine::{
    Caps, ChainHead, Directory, MAX_PART_BYTES, Machine, Market, NewMarket, Rules, State, StateStart,
    chain_start,
};
use crate::types::{GenerationNumber, Micros, NodeId, Position, Term};

/// Most parts of a genesis: more than the largest state has, and 256 MiB at most.
const MAX_PARTS: u32 = 1_024;

/// The name of the directory's document.
pub const DIRECTORY: &str = "directory";

/// What a generation starts from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Genesis {
    record: record::Genesis,
    parts: Vec<Bytes>,
}

/// A lease: there is one holder a term.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LeaseId {
    /// Its term.
    pub term: Term,
    /// The process that holds it.
    pub holder: Actor,
}

/// A genesis that can't be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GenesisError {
    /// In a format that this node can't read.
    #[error("generation {generation} of {name} has format {format}, and this node reads {reads}")]
    Format {
        /// The document.
        name: String,
        /// The generation.
        generation: GenerationNumber,
        /// Its format.
        format: Format,
        /// What the node reads.
        reads: Formats,
    },
    /// Without valid rules or voters.
    #[error("the genesis of {name} is malformed")]
    Malformed {
        /// The document.
        name: String,
    },
    /// Parts that are not those that the header speaks of.
    #[error("the parts of the genesis of {name} are not those that it was made with")]
    Parts {
        /// The document.
        name: String,
    },
}

impl Genesis {
    /// The directory's generation 0, bootstrapped by one node as the only voter.
    #[must_use]
    pub fn directory(bootstrap: NodeId) -> Self {
        Self::first(DIRECTORY, vec![bootstrap], None)
    }

    /// A market's generation 0, determined by the directory's entry alone.
    #[must_use]
    pub fn market(market: &NewMarket) -> Self {
        Self::first(&market.name, market.voters.clone(), Some(market.rules.to_record()))
    }

    fn first(name: &str, voters: Vec<NodeId>, rules: Option<record::Rules>) -> Self {
        let voters = sorted(voters);
        let name = name.to_owned();
        let format = Format::FIRST.0;
        let record = record::Genesis { format, name, voters, rules, ..record::Genesis::default() };
        Self { record, parts: Vec::new() }
    }

    /// The genesis that follows a Seal: made from the state that the Seal left behind, with its parts, and
    /// from what the Seal says, and so from the Seal's past alone.
    #[must_use]
    pub fn after(
        &self,
        (sealed, parts): (&State, Vec<Bytes>),
        format: Format,
        voters: &[NodeId],
        LeaseId { term, holder }: LeaseId,
    ) -> Self {
        let record = record::Genesis {
            format: format.0,
            name: self.record.name.clone(),
            generation: self.record.generation + 1,
            voters: sorted(voters.to_vec()),
            rules: sealed.machine.market().map(|market| market.rules().to_record()),
            term: term.0,
            holder: Bytes::copy_from_slice(&holder.0),
            position: sealed.position().0,
            time_us: sealed.time().0,
            digest: Bytes::copy_from_slice(&sealed.digest()),
            parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
            parts_hash: hash(&parts),
            chain: sealed.machine.market().map(|_| sealed.chain().to_vec().into()).unwrap_or_default(),
        };
        Self { record, parts }
    }

    /// Takes a header and its parts, of a format that can be read.
    ///
    /// # Errors
    /// It has another format or is malformed, or the parts are not its own.
    pub fn from_record(
        record: record::Genesis,
        parts: Vec<Bytes>,
        formats: Formats,
    ) -> Result<Self, GenesisError> {
        check(&record, formats)?;
        if record.parts as usize != parts.len() || record.parts_hash != hash(&parts) {
            return Err(GenesisError::Parts { name: record.name });
        }
        Ok(Self { record, parts })
    }

    /// The header.
    #[must_use]
    pub fn record(&self) -> &record::Genesis {
        &self.record
    }

    /// The parts.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// "directory", or the market's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// The generation.
    #[must_use]
    pub fn generation(&self) -> GenerationNumber {
        GenerationNumber(self.record.generation)
    }

    /// The format of the generation.
    #[must_use]
    pub fn format(&self) -> Format {
        Format(self.record.format)
    }

    /// Whether the generation is in a format that can be read.
    ///
    /// # Errors
    /// It is not.
    pub fn check_format(&self, formats: Formats) -> Result<(), GenesisError> {
        check_format(&self.record, formats)
    }

    /// The voters, ascending.
    #[must_use]
    pub fn voters(&self) -> Vec<NodeId> {
        self.record.voters.iter().map(|node| NodeId(*node)).collect()
    }

    /// The lease that the generation starts with: that of the Seal. None in generation 0.
    #[must_use]
    pub fn lease(&self) -> Option<LeaseId> {
        let holder = Actor(self.record.holder.as_ref().try_into().ok()?);
        Some(LeaseId { term: Term(self.record.term), holder })
    }

    /// The market's rules; `None` in the directory.
    #[must_use]
    pub fn rules(&self) -> Option<Rules> {
        self.record.rules.as_ref().and_then(Rules::from_record)
    }

    /// Position of the last event before the generation.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(self.record.position)
    }

    /// Head of the chain over the market's history before the generation; that of an empty one in
    /// generation 0.
    #[must_use]
    pub fn chain(&self) -> ChainHead {
        self.record.chain.as_ref().try_into().unwrap_or_else(|_| chain_start(self.name()))
    }

    /// A hash of all that is in it: the header covers the parts.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Self::digest_of(&self.record)
    }

    /// The same, of a header.
    #[must_use]
    pub fn digest_of(record: &record::Genesis) -> [u8; 32] {
        blake3::hash(&encode(record)).into()
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.record.encoded_len() + self.parts.iter().map(Bytes::len).sum::<usize>()) as u64
    }

    /// The state that the generation starts with.
    ///
    /// # Errors
    /// The parts are not what a node would have written.
    pub fn state(&self, caps: Caps) -> Result<State, GenesisError> {
        let malformed = || GenesisError::Malformed { name: self.record.name.clone() };
        let machine = match self.rules() {
            Some(rules) => Machine::Market(Box::new(Market::new(self.name().into(), rules))),
            None => Machine::Directory(Directory::default()),
        };
        let parts: Vec<record::StatePart> = self
            .parts
            .iter()
            .map(|part| record::StatePart::decode(part.as_ref()))
            .collect::<Result<_, _>>()
            .map_err(|_| malformed())?;
        let start =
            StateStart { position: self.position(), time: Micros(self.record.time_us), chain: self.chain() };
        State::from_parts(machine, self.voters(), start, parts, self.digest(), caps).ok_or_else(malformed)
    }

    /// The document with this genesis and nothing else, and the size of its change.
    pub(super) fn document(&self) -> Result<(Automerge, u64), DocumentError> {
        let mut automerge = Automerge::new().with_actor(ActorId::from(&[0_u8; 16][..]));
        let mut transaction = automerge.transaction();
        let genesis = transaction.put_object(ROOT, "genesis", ObjType::Map)?;
        transaction.put(&genesis, "genesis", encode(&self.record))?;
        for (index, part) in self.parts.iter().enumerate() {
            transaction.put(&genesis, format!("part/{index:08x}"), part.to_vec())?;
        }
        for kind in KINDS {
            transaction.put_object(ROOT, kind.name(), ObjType::Map)?;
        }
        transaction.commit_with(CommitOptions::default().with_time(0));
        let change = automerge.get_last_local_change().ok_or(DocumentError::Layout("genesis"))?;
        let bytes = change.raw_bytes().len() as u64;
        Ok((automerge, bytes))
    }
}

/// Checks a header: what may be said of it without its parts.
///
/// # Errors
/// It has a format that can't be read, or is malformed.
pub fn check(record: &record::Genesis, formats: Formats) -> Result<(), GenesisError> {
    check_format(record, formats)?;
    let rules_fit = match &record.rules {
        None => record.name == DIRECTORY,
        Some(rules) => record.name != DIRECTORY && Rules::from_record(rules).is_some(),
    };
    let voters_fit = !record.voters.is_empty() && record.voters.is_sorted_by(|a, b| a < b);
    // Only what follows a Seal has a holder and something to start with.
    let sealed = record.generation > 0;
    let lease_fits = record.holder.len() == if sealed { 16 } else { 0 } && sealed == (record.term > 0);
    let chains = sealed && record.rules.is_some();
    let chain_fits = record.chain.len() == if chains { 32 } else { 0 };
    let parts_fit = record.parts <= MAX_PARTS && (sealed || record.parts == 0);
    if rules_fit && voters_fit && lease_fits && chain_fits && parts_fit {
        Ok(())
    } else {
        Err(GenesisError::Malformed { name: record.name.clone() })
    }
}

/// What else a header says is known only in a format that can be read.
fn check_format(record: &record::Genesis, formats: Formats) -> Result<(), GenesisError> {
    let format = Format(record.format);
    if formats.contains(format) {
        return Ok(());
    }
    let (name, generation) = (record.name.clone(), GenerationNumber(record.generation));
    Err(GenesisError::Format { name, generation, format, reads: formats })
}

/// A genesis that comes from a peer, part by part.
#[derive(Debug)]
pub struct GenesisDraft {
    record: record::Genesis,
    parts: Vec<Bytes>,
    formats: Formats,
}

impl GenesisDraft {
    /// Begins with a header, of a format that can be read.
    ///
    /// # Errors
    /// It has another format or is malformed.
    pub fn new(record: record::Genesis, formats: Formats) -> Result<Self, GenesisError> {
        check(&record, formats)?;
        Ok(Self { record, parts: Vec::new(), formats })
    }

    /// Whether a header is this one's.
    #[must_use]
    pub fn is_of(&self, record: &record::Genesis) -> bool {
        self.record == *record
    }

    /// The generation.
    #[must_use]
    pub fn generation(&self) -> GenerationNumber {
        GenerationNumber(self.record.generation)
    }

    /// Index of the part that comes next; `None` if none is missing.
    #[must_use]
    pub fn next(&self) -> Option<u32> {
        u32::try_from(self.parts.len()).ok().filter(|next| *next < self.record.parts)
    }

    /// Takes the next part.
    ///
    /// # Errors
    /// It is larger than a part can be.
    pub fn take(&mut self, content: Bytes) -> Result<(), GenesisError> {
        if content.len() > MAX_PART_BYTES {
            return Err(GenesisError::Parts { name: self.record.name.clone() });
        }
        self.parts.push(content);
        Ok(())
    }

    /// The whole genesis.
    ///
    /// # Errors
    /// The parts are not those that the header speaks of.
    pub fn finish(self) -> Result<Genesis, GenesisError> {
        Genesis::from_record(self.record, self.parts, self.formats)
    }
}

fn sorted(mut voters: Vec<NodeId>) -> Vec<u64> {
    voters.sort_unstable();
    voters.dedup();
    voters.iter().map(|node| node.0).collect()
}

/// A hash of the parts in their order; empty without any.
fn hash(parts: &[Bytes]) -> Bytes {
    if parts.is_empty() {
        return Bytes::new();
    }
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
    }
    Bytes::copy_from_slice(hasher.finalize().as_bytes())
}

//! The deterministic first change of a generation: the same bytes, so the same hash, on every
//! node, and never sent.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, Automerge, ObjType, ROOT};
use xbook_proto::record::v1 as record;

use super::entry::KINDS;
use super::{DocumentError, encode};
use crate::machine::{Directory, Machine, Market, NewMarket, Rules};
use crate::types::NodeId;

/// Version of the genesis' encoding.
const FORMAT: u32 = 1;

/// The name of the directory's document.
pub const DIRECTORY: &str = "directory";

/// What a generation starts from.
#[derive(Clone, PartialEq, Debug)]
pub struct Genesis {
    record: record::Genesis,
}

/// A stored genesis that can't be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GenesisError {
    /// Written by another version.
    #[error("the genesis of {name} has format {format}, this program knows {FORMAT}")]
    Format {
        /// The document.
        name: String,
        /// The format.
        format: u32,
    },
    /// Without valid rules or voters.
    #[error("the genesis of {name} is malformed")]
    Malformed {
        /// The document.
        name: String,
    },
}

impl Genesis {
    /// The directory's generation 0, bootstrapped by one node as the only voter.
    #[must_use]
    pub fn directory(bootstrap: NodeId) -> Self {
        Self::new(DIRECTORY, vec![bootstrap], None)
    }

    /// A market's generation 0, determined by the directory's entry alone.
    #[must_use]
    pub fn market(market: &NewMarket) -> Self {
        Self::new(&market.name, market.voters.clone(), Some(market.rules.to_record()))
    }

    fn new(name: &str, mut voters: Vec<NodeId>, rules: Option<record::Rules>) -> Self {
        voters.sort_unstable();
        voters.dedup();
        let voters = voters.iter().map(|node| node.0).collect();
        Self {
            record: record::Genesis { format: FORMAT, name: name.to_owned(), generation: 0, voters, rules },
        }
    }

    /// Takes a stored record.
    ///
    /// # Errors
    /// It is of another version or malformed.
    pub fn from_record(record: record::Genesis) -> Result<Self, GenesisError> {
        if record.format != FORMAT {
            return Err(GenesisError::Format { name: record.name, format: record.format });
        }
        let rules_fit = match &record.rules {
            None => record.name == DIRECTORY,
            Some(rules) => Rules::from_record(rules).is_some(),
        };
        if !rules_fit || record.voters.is_empty() || !record.voters.is_sorted() {
            return Err(GenesisError::Malformed { name: record.name });
        }
        Ok(Self { record })
    }

    /// The record, to be stored.
    #[must_use]
    pub fn record(&self) -> &record::Genesis {
        &self.record
    }

    /// "directory", or the market's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// The generation.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.record.generation
    }

    /// The voters, ascending.
    #[must_use]
    pub fn voters(&self) -> Vec<NodeId> {
        self.record.voters.iter().map(|node| NodeId(*node)).collect()
    }

    /// A hash of all that is in it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        blake3::hash(&encode(&self.record)).into()
    }

    /// The book or directory that the generation starts with.
    #[must_use]
    pub fn machine(&self) -> Machine {
        match self.record.rules.as_ref().and_then(Rules::from_record) {
            Some(rules) => Machine::Market(Box::new(Market::new(self.name().into(), rules))),
            None => Machine::Directory(Directory::default()),
        }
    }

    /// The document with this genesis and nothing else.
    pub(super) fn document(&self) -> Result<Automerge, DocumentError> {
        let mut automerge = Automerge::new().with_actor(ActorId::from(&[0_u8; 16][..]));
        let mut transaction = automerge.transaction();
        let genesis = transaction.put_object(ROOT, "genesis", ObjType::Map)?;
        transaction.put(&genesis, "genesis", encode(&self.record))?;
        for kind in KINDS {
            transaction.put_object(ROOT, kind.name(), ObjType::Map)?;
        }
        transaction.commit_with(CommitOptions::default().with_time(0));
        Ok(automerge)
    }

    /// The bytes of the genesis change.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, DocumentError> {
        let document = self.document()?;
        let change = document.get_last_local_change().ok_or(DocumentError::Layout("genesis"))?;
        Ok(change.raw_bytes().to_vec())
    }
}

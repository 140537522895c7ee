//! The kinds of entries and their records.

use std::sync::Arc;

use prost::Message;
use xbook_proto::record::v1 as record;

use crate::machine::Batch;

/// A kind of entry: one root map of the document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Accepted requests, by the number of the batch.
    Intents,
    /// Promises, by term.
    Promise,
    /// Activations, by term.
    Activation,
    /// Voters' words on the Seal, by term.
    SealAck,
    /// Tape batches, by their number.
    Tape,
}

/// All kinds, in the order of their numbers.
pub(super) const KINDS: [Kind; 5] =
    [Kind::Intents, Kind::Promise, Kind::Activation, Kind::SealAck, Kind::Tape];

/// An entry of a document.
#[derive(Clone, PartialEq, Debug)]
pub enum Entry {
    /// Requests that a node wrote at once.
    Intents(record::IntentBatch),
    /// A voter's promise.
    Promise(record::Promise),
    /// A lease holder's first record.
    Activation(record::Activation),
    /// A voter's word that it holds the Seal durably.
    SealAck(record::SealAck),
    /// What a lease holder did in one batch.
    Tape(Arc<Batch>),
}

impl Kind {
    /// The name of the root map.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Intents => "intents",
            Self::Promise => "promise",
            Self::Activation => "activation",
            Self::SealAck => "sealack",
            Self::Tape => "tape",
        }
    }
}

impl Entry {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Intents(_) => Kind::Intents,
            Self::Promise(_) => Kind::Promise,
            Self::Activation(_) => Kind::Activation,
            Self::SealAck(_) => Kind::SealAck,
            Self::Tape(_) => Kind::Tape,
        }
    }

    /// The number that its key stands for, given the last one of its kind and writer.
    pub(super) fn number(&self, last: Option<u64>) -> u64 {
        match self {
            Self::Promise(promise) => promise.term,
            Self::Activation(activation) => activation.term,
            Self::SealAck(ack) => ack.term,
            Self::Intents(_) | Self::Tape(_) => last.map_or(0, |last| last + 1),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Intents(batch) => super::encode(batch),
            Self::Promise(promise) => super::encode(promise),
            Self::Activation(activation) => super::encode(activation),
            Self::SealAck(ack) => super::encode(ack),
            Self::Tape(batch) => super::encode(&batch.to_record()),
        }
    }

    pub(super) fn decode(kind: Kind, bytes: &[u8]) -> Option<Self> {
        Some(match kind {
            Kind::Intents => Self::Intents(Message::decode(bytes).ok()?),
            Kind::Promise => Self::Promise(Message::decode(bytes).ok()?),
            Kind::Activation => Self::Activation(Message::decode(bytes).ok()?),
            Kind::SealAck => Self::SealAck(Message::decode(bytes).ok()?),
            Kind::Tape => Self::Tape(Arc::new(Batch::from_record(&Message::decode(bytes).ok()?)?)),
        })
    }
}

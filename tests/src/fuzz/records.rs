//! The records that honest changes carry.

use prost::Message;
use xbook::document::{Actor, Document, Entry, Genesis, Kind, RawChange};
use xbook::types::{Micros, NodeId};

/// The intents and the tape of changes, in their order, as they are stored.
pub(super) fn records(genesis: &Genesis, changes: &[impl AsRef<[u8]>]) -> Vec<(Kind, Vec<u8>)> {
    let reader = Actor::new(Micros(1), NodeId(77), 1);
    let mut document = Document::new(genesis, reader).expect("a document");
    let parse = |bytes: &[u8]| RawChange::parse(bytes.to_vec()).expect("a change of a node's");
    let raw = changes.iter().map(|bytes| parse(bytes.as_ref())).collect();
    let entries = document.apply(raw).expect("the changes of a node");
    entries.iter().map(|(_, entry)| (entry.kind(), record(entry))).collect()
}

fn record(entry: &Entry) -> Vec<u8> {
    match entry {
        Entry::Intents(batch) => batch.encode_to_vec(),
        Entry::Promise(promise) => promise.encode_to_vec(),
        Entry::Activation(activation) => activation.encode_to_vec(),
        Entry::SealAck(ack) => ack.encode_to_vec(),
        Entry::Tape(batch) => batch.to_record().encode_to_vec(),
    }
}

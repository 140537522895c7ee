//! A change as a peer sends it: taken only if it is what a node writes, whatever it would do to Automerge.

use sha2::{Digest as _, Sha256};
use xbook::document::{Actor, Document, Entry, RawChange};
use xbook::types::Micros;

use super::node::{ME, Node, OTHER, market};

/// Takes a change, with its length and checksum set right.
pub(super) fn take(bytes: &[u8]) {
    let mut reader = document();
    offer(&mut reader, bytes.to_vec());
    if let Some(intact) = intact(bytes) {
        offer(&mut reader, intact);
    }
}

/// What is examined and found good can be applied, and is then what the document says.
fn offer(reader: &mut Document, bytes: Vec<u8>) {
    let Ok(raw) = RawChange::parse(bytes) else { return };
    let changes = reader.changes();
    let Ok(examined) = reader.examine(raw.clone()) else { return };
    reader.apply_examined(examined).expect("it was examined");
    assert_eq!(reader.changes(), changes + 1);
    let actor = raw.actor().expect("it was examined");
    let stored = reader.change(actor, raw.seq()).expect("it was applied");
    assert_eq!(stored, raw.bytes(), "what is passed on is what came");
    // Another node takes it too.
    let mut other = document();
    let again = RawChange::parse(stored).expect("it was parsed before");
    if other.can_apply(&again) {
        other.apply(vec![again]).expect("it was applied before");
    }
}

/// A document with a change of the node's and one of the other's in it.
fn document() -> Document {
    let mut document = Document::new(&market(), Actor::new(Micros(5), ME, 3)).expect("a document");
    document.append(&[promise(1)]).expect("a change");
    let mut other = Document::new(&market(), Actor::new(Micros(7), OTHER, 4)).expect("a document");
    let first = other.append(&[promise(2)]).expect("a change");
    let raw = RawChange::parse(first.bytes.to_vec()).expect("a change");
    document.apply(vec![raw]).expect("a change");
    document
}

fn promise(term: u64) -> Entry {
    let candidate = vec![1; 16].into();
    Entry::Promise(xbook_proto::record::v1::Promise { term, candidate, voter: OTHER.0 })
}

/// The same content, framed as a change: as long as it says, with the right checksum.
pub(super) fn intact(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = bytes.get(9..)?;
    leb128::read::unsigned(&mut rest).ok()?;
    let mut content = vec![1];
    leb128::write::unsigned(&mut content, rest.len() as u64).ok()?;
    content.extend_from_slice(rest);
    let checksum = Sha256::digest(&content);
    Some([&[0x85, 0x6F, 0x4A, 0x83], &checksum[..4], &content].concat())
}

/// What a node writes, and the other's next changes.
pub(super) fn samples() -> Vec<Vec<u8>> {
    let mut node = Node::new(market(), u64::MAX);
    node.trade();
    let mut samples: Vec<Vec<u8>> = node.disk.iter().map(|bytes| bytes.to_vec()).collect();
    let mut other = Document::new(&market(), Actor::new(Micros(7), OTHER, 4)).expect("a document");
    for term in 2..5 {
        samples.push(other.append(&[promise(term)]).expect("a change").bytes.to_vec());
    }
    samples
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    /// `xfuzz` found one whose list of what is overwritten was longer than its operations (seed 15732): Automerge
    /// took it, and passed on another change in its place.
    #[test]
    fn a_change_is_taken_only_as_nodes_write_it() {
        const OVERWRITES: u8 = 112;
        let mut author = Document::new(&market(), Actor::new(Micros(9), OTHER, 5)).unwrap();
        let honest = author.append(&[promise(3)]).unwrap().bytes.to_vec();
        assert!(honest.ends_with(&[2, 0]), "two operations overwrite nothing, each: one run");
        let rest = &honest[..honest.len() - 2];
        let header = rest.windows(2).rposition(|pair| pair == [OVERWRITES, 2]).unwrap();
        let written = |run: &[u8]| {
            let mut bytes = rest.to_vec();
            bytes[header + 1] = u8::try_from(run.len()).unwrap();
            bytes.extend_from_slice(run);
            RawChange::parse(intact(&bytes).unwrap())
        };
        assert!(written(&[2, 0]).is_ok(), "the same again");
        // More of them, fewer, written out, a run each, and with a length that is longer than it has to be.
        for other in [&[3, 0][..], &[0x7F, 0], &[0x7E, 0, 0], &[0x7F, 0, 0x7F, 0], &[0x82, 0, 0]] {
            assert!(written(other).is_err(), "{other:?}");
        }
    }
}

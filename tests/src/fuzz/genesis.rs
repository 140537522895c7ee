//! A genesis as a peer sends it, or as it lies on the disk: the state that it holds is one, or it is refused.

use bytes::Bytes;
use prost::Message;
use xbook::document::{Genesis, GenesisDraft};
use xbook::format::Formats;
use xbook::machine::{Caps, State};
use xbook::types::{GenerationNumber, Micros, Position, Term};
use xbook_proto::record::v1 as record;

use super::node::{ME, Node, market};
use super::reader::{Reader, put_run};

/// Takes a header and its parts; what the header says of the parts is set right.
pub(super) fn take(bytes: &[u8]) {
    let mut reader = Reader(bytes);
    let Some(header) = reader.run() else { return };
    let Ok(mut header) = record::Genesis::decode(header) else { return };
    let mut parts = Vec::new();
    while let Some(part) = reader.run().filter(|part| !part.is_empty()) {
        parts.push(Bytes::copy_from_slice(part));
    }
    header.parts = parts.len() as u32;
    header.parts_hash = hash(&parts);
    let Ok(mut draft) = GenesisDraft::new(header, Formats::KNOWN) else { return };
    for part in parts {
        if draft.take(part).is_err() {
            return;
        }
    }
    let genesis = draft.finish().expect("the parts are those that the header speaks of");
    if let Ok(state) = genesis.state(Caps::default()) {
        go_on(state);
    }
}

/// A state that was read can be written and read, and goes on until the end of time.
fn go_on(mut state: State) {
    let voters = state.voters().to_vec();
    assert!(state.surviving_parts(&voters).is_some(), "written and read again it is another state");
    let before = state.time();
    if let Ok(builder) = state.begin(Term(u64::MAX), Micros(u64::MAX), Position(0)) {
        assert!(state.end(builder).time >= before);
    }
}

/// As the header has it: each part with its length before it.
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

/// Generations of a market and of a directory.
pub(super) fn samples() -> Vec<Vec<u8>> {
    let documents = [market(), Genesis::directory(ME)];
    documents.into_iter().flat_map(|genesis| generations(genesis, 3)).collect()
}

fn generations(genesis: Genesis, count: u64) -> Vec<Vec<u8>> {
    let mut node = Node::new(genesis, 2_000);
    let mut samples = vec![sample(&node.genesis)];
    for _ in 0..400 {
        if node.genesis.generation() >= GenerationNumber(count) {
            break;
        }
        let before = node.genesis.generation();
        node.trade();
        node.wait(200_000);
        node.settle();
        if node.genesis.generation() > before {
            samples.push(sample(&node.genesis));
        }
    }
    samples
}

fn sample(genesis: &Genesis) -> Vec<u8> {
    let mut sample = Vec::new();
    put_run(&mut sample, &genesis.record().encode_to_vec());
    genesis.parts().iter().for_each(|part| put_run(&mut sample, part));
    sample
}

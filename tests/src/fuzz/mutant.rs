//! Bytes near to some that get far.

use crate::client::Random;

/// Most changes to a sample.
const MOST_CHANGES: u64 = 12;

/// Numbers at which something often ends.
const EDGES: [u64; 12] =
    [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 53, 1 << 63, u64::MAX];

/// One of a target's samples, changed here and there. The same for the same seed.
#[must_use]
pub fn mutant(samples: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = random.pick(samples).clone();
    for _ in 0..random.below(MOST_CHANGES) {
        change(&mut bytes, samples, &mut random);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, samples: &[Vec<u8>], random: &mut Random) {
    let at = place(bytes.len() + 1, random);
    let until = (at + 1 + place(16, random)).min(bytes.len());
    match random.below(8) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(*random.pick(&[1, 255])),
        2 if at < bytes.len() => bytes[at] = random.below(256) as u8,
        3 => bytes.insert(at, random.below(256) as u8),
        4 => drop(bytes.drain(at.min(until)..until)),
        5 => {
            // Again, there or elsewhere.
            let run = bytes[at.min(until)..until].to_vec();
            let to = place(bytes.len() + 1, random);
            bytes.splice(to..to, run);
        }
        6 => {
            let mut number = Vec::new();
            // As protobuf and Automerge write numbers.
            leb128::write::unsigned(&mut number, *random.pick(&EDGES)).expect("memory is writable");
            bytes.splice(at.min(until)..until, number);
        }
        _ => {
            // The rest of another one.
            let other = random.pick(samples);
            let from = place(other.len() + 1, random);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}

fn place(length: usize, random: &mut Random) -> usize {
    random.below(length as u64) as usize
}

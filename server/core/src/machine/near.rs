//! A hash under which ids that count up lie beside each other.
//!
//! Ids are numbered without gaps, by node or by session, and what came together is mostly asked for
//! together. In a large table a place that nobody has touched lately costs more than all else that is done
//! with an order, so the next numbers get the next places.

use std::hash::{BuildHasherDefault, Hasher};

/// Hashes keys that end in a number that counts up.
pub(super) type BuildNearHasher = BuildHasherDefault<NearHasher>;

/// Keys whose last numbers differ only in so many low bits get neighbouring places.
const NEAR_BITS: u32 = 4;
const NEAR: u64 = (1 << NEAR_BITS) - 1;

/// Where the table looks for bits by which it tells the keys of a neighbourhood apart.
const TAG_SHIFT: u32 = 57;

/// See [`BuildNearHasher`].
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct NearHasher {
    /// All before the last number, mixed.
    before: u64,
    last: u64,
}

impl Hasher for NearHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.before = mixed(self.before ^ self.last);
        self.last = number;
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        let near = self.last & NEAR;
        let far = mixed(self.before ^ (self.last >> NEAR_BITS));
        (far & !NEAR | near) ^ near << TAG_SHIFT
    }
}

fn mixed(word: u64) -> u64 {
    let product = u128::from(word ^ 0x2545_f491_4f6c_dd1d) * 0x9e37_79b9_7f4a_7c15;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;
    use crate::types::{NodeId, OrderId};

    fn hash(node: u64, counter: u64) -> u64 {
        BuildNearHasher::default().hash_one(OrderId { node: NodeId(node), counter })
    }

    #[test]
    fn numbers_that_count_up_have_neighbouring_places_and_are_told_apart_there() {
        let first = hash(7, 32);
        for next in 1..16 {
            let hash = hash(7, 32 + next);
            assert_eq!(hash % 1_024, first % 1_024 + next);
            assert_ne!(hash >> TAG_SHIFT, first >> TAG_SHIFT, "{next}");
        }
    }

    #[test]
    fn neighbourhoods_are_spread_and_hashes_differ() {
        let mut hashes = HashSet::new();
        let mut neighbours = [0; 1_024];
        for (node, counter) in (1..=4).flat_map(|node| (0..16_384).map(move |counter| (node, counter))) {
            let hash = hash(node, counter);
            assert!(hashes.insert(hash));
            neighbours[usize::try_from(hash % 16_384 / 16).unwrap()] += 1;
        }
        // 4 neighbourhoods of 16 each on average: 20 or more have a chance of one in a hundred million.
        assert!(neighbours.iter().all(|count| *count < 20 * 16), "{neighbours:?}");
    }
}

//! From an order's id to where it lives: open addressing with linear probing.
//!
//! An entry is 8 bytes, 32 of the id's hash and the order's handle, so a probe reads one cache line
//! and touches an order only if the hash fits. Removing shifts later entries back: there are no
//! tombstones, and the table stays as fast as on its first day. The hash has no random seed, since ids
//! are made by our own nodes and two runs must do the same work.

use super::queue::Handle;
use crate::types::OrderId;

/// Counters that differ only in these low bits share a neighbourhood of the table: orders that come
/// together often go together.
const NEAR_BITS: u32 = 2;
const SMALLEST: usize = 64;

/// 32 bits of an id's hash. The low ones choose the place in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash(u32);

impl Hash {
    #[inline]
    pub(super) fn of(id: OrderId) -> Self {
        let near = (1 << NEAR_BITS) - 1;
        let word = id.node.0.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ (id.counter >> NEAR_BITS);
        let product = u128::from(word ^ 0x2545_f491_4f6c_dd1d) * 0x9e37_79b9_7f4a_7c15;
        let mixed = (product >> 64) as u64 ^ product as u64;
        Self((mixed as u32) & !near | (id.counter as u32) & near)
    }
}

#[derive(Clone)]
pub(super) struct OrderIndex {
    /// `hash << 32 | handle`; 0 is empty, since no handle is 0. The length is a power of two.
    entries: Vec<u64>,
    len: usize,
}

impl OrderIndex {
    pub(super) fn with_capacity(orders: usize) -> Self {
        let places = (orders.saturating_mul(2)).next_power_of_two().max(SMALLEST);
        Self { entries: vec![0; places], len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<u64>()
    }

    #[inline]
    fn mask(&self) -> usize {
        self.entries.len() - 1
    }

    /// The handle filed under this hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: Hash, is_it: impl Fn(Handle) -> bool) -> Option<Handle> {
        let mut place = hash.0 as usize & self.mask();
        loop {
            let entry = self.entries[place];
            if entry == 0 {
                return None;
            }
            let handle = Handle(entry as u32);
            if (entry >> 32) as u32 == hash.0 && is_it(handle) {
                return Some(handle);
            }
            place = (place + 1) & self.mask();
        }
    }

    /// Reads the cache line where a search for this hash begins.
    #[inline]
    pub(super) fn touch(&self, hash: Hash) -> u64 {
        self.entries[hash.0 as usize & self.mask()]
    }

    /// Files a handle that is not there yet.
    #[inline]
    pub(super) fn insert(&mut self, hash: Hash, handle: Handle) {
        // Half empty: probes are short, and how long they are is easy to predict.
        if (self.len + 1) * 2 > self.entries.len() {
            self.grow();
        }
        self.len += 1;
        self.put(u64::from(hash.0) << 32 | u64::from(handle.0));
    }

    #[inline]
    fn put(&mut self, entry: u64) {
        let mut place = (entry >> 32) as usize & self.mask();
        while self.entries[place] != 0 {
            place = (place + 1) & self.mask();
        }
        self.entries[place] = entry;
    }

    #[cold]
    fn grow(&mut self) {
        let larger = vec![0; self.entries.len() * 2];
        for entry in std::mem::replace(&mut self.entries, larger) {
            if entry != 0 {
                self.put(entry);
            }
        }
    }

    /// Files an order that has moved under its new handle.
    pub(super) fn replace(&mut self, hash: Hash, old: Handle, new: Handle) {
        if let Some(place) = self.place_of(hash, old) {
            self.entries[place] = u64::from(hash.0) << 32 | u64::from(new.0);
        }
    }

    #[inline]
    fn place_of(&self, hash: Hash, handle: Handle) -> Option<usize> {
        let wanted = u64::from(hash.0) << 32 | u64::from(handle.0);
        let mut place = hash.0 as usize & self.mask();
        loop {
            let entry = self.entries[place];
            if entry == wanted {
                return Some(place);
            }
            if entry == 0 {
                return None;
            }
            place = (place + 1) & self.mask();
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, hash: Hash, handle: Handle) {
        let Some(mut hole) = self.place_of(hash, handle) else { return };
        self.len -= 1;
        let mask = self.mask();
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let entry = self.entries[place];
            if entry == 0 {
                break;
            }
            // An entry may move back into the hole if that is not before its home.
            let home = (entry >> 32) as usize & mask;
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(hole) & mask {
                self.entries[hole] = entry;
                hole = place;
            }
        }
        self.entries[hole] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    fn hash(counter: u64) -> Hash {
        Hash::of(OrderId { node: NodeId(counter % 3), counter })
    }

    fn handle(counter: u64) -> Handle {
        Handle(counter as u32)
    }

    /// Everything filed is found, and nothing else, whatever was removed; an emptied table is clean.
    #[test]
    fn what_is_filed_is_found_after_any_removals() {
        let mut index = OrderIndex::with_capacity(0);
        for keep in 2..6u64 {
            for counter in 1..=5_000 {
                index.insert(hash(counter), handle(counter));
            }
            for counter in (1..=5_000).filter(|counter| counter % keep != 0) {
                index.remove(hash(counter), handle(counter));
            }
            for counter in 1..=5_000 {
                let found = index.find(hash(counter), |found| found == handle(counter));
                assert_eq!(found.is_some(), counter % keep == 0, "{counter}");
            }
            for counter in (keep..=5_000).step_by(keep as usize) {
                index.replace(hash(counter), handle(counter), handle(counter + 10_000));
                index.remove(hash(counter), handle(counter + 10_000));
            }
            assert_eq!(index.len(), 0);
            assert!(index.entries.iter().all(|entry| *entry == 0));
        }
    }

    /// Orders with one home spill over the end of the table, and move back when others go.
    #[test]
    fn collisions_go_round_the_end_and_come_back() {
        let mut index = OrderIndex::with_capacity(0);
        let last = index.entries.len() as u32 - 1;
        let filed: Vec<_> = (1..=20).map(|n| (Hash(last | n << 8), Handle(n))).collect();
        for (hash, handle) in &filed {
            index.insert(*hash, *handle);
        }
        for (removed, (hash, handle)) in filed.iter().enumerate() {
            index.remove(*hash, *handle);
            for (hash, handle) in &filed[removed + 1..] {
                assert_eq!(index.find(*hash, |found| found == *handle), Some(*handle));
            }
        }
    }
}

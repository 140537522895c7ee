//! Values that records write once and then refer to by index.

use std::collections::HashMap;
use std::hash::Hash;

use rustc_hash::FxBuildHasher;

/// The distinct values of a record, in the order in which they were met.
#[derive(Debug)]
pub struct Table<T> {
    values: Vec<T>,
    /// The index that was told last: the same value mostly comes in rows.
    last: u32,
    index: HashMap<T, u32, FxBuildHasher>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { values: Vec::new(), last: 0, index: HashMap::default() }
    }
}

impl<T: Clone + Eq + Hash> Table<T> {
    /// The index of a value, which is added if it is not there.
    pub fn index(&mut self, value: &T) -> u32 {
        if self.values.get(self.last as usize) == Some(value) {
            return self.last;
        }
        // A record has far fewer than 2^32 values.
        let next = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.last = self.index.get(value).copied().unwrap_or(next);
        if self.last == next {
            self.values.push(value.clone());
            self.index.insert(value.clone(), next);
        }
        self.last
    }

    /// The values, by index.
    pub fn values(&self) -> &[T] {
        &self.values
    }
}

/// The low and the high 64 bits of a sum.
pub fn halves(value: u128) -> (u64, u64) {
    let low = u64::try_from(value & u128::from(u64::MAX)).unwrap_or(u64::MAX);
    (low, u64::try_from(value >> 64).unwrap_or(u64::MAX))
}

/// The sum that has these low and high 64 bits.
pub fn joined(low: u64, high: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

//! The running digest of a tape: what was applied, not what was recorded.
//!
//! Each applied event puts the numbers that it left behind; a batch's digest is the hash of the
//! one before and of those numbers. Nodes with equal digests at a position have made the same
//! changes from the same genesis. What a market's history keeps of the batch comes in by the head of
//! the [chain](super::Content) over it.

/// The digest while a batch is applied. The buffer is kept between batches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Digest {
    last: [u8; 32],
    pending: Vec<u8>,
}

impl Digest {
    /// A digest that starts from a genesis' hash.
    #[must_use]
    pub fn starting_at(genesis: [u8; 32]) -> Self {
        Self { last: genesis, pending: Vec::new() }
    }

    /// The digest after the last whole batch.
    #[must_use]
    pub fn last(&self) -> [u8; 32] {
        self.last
    }

    pub(super) fn put<const N: usize>(&mut self, numbers: [u64; N]) {
        for number in numbers {
            self.pending.extend_from_slice(&number.to_le_bytes());
        }
    }

    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Ends a batch and returns its digest.
    pub(super) fn end_batch(&mut self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.last).update(&self.pending);
        self.pending.clear();
        self.last = hasher.finalize().into();
        self.last
    }
}

//! What became of requests, as those are told who wait for them.

use std::sync::Arc;

use crate::machine::{Answer, Block, Change};
use crate::types::Micros;

/// What a session learns of its requests.
pub enum SessionNews {
    /// The next outcomes.
    Outcomes(Vec<Outcome>),
    /// The next ones were committed while this node was away; it does not know their outcomes.
    Away,
}

/// The committed outcome of one request: an answer in the block that gave it.
#[derive(Clone)]
pub struct Outcome {
    block: Arc<Block>,
    at: usize,
}

impl Outcome {
    pub(super) fn new(block: Arc<Block>, at: usize) -> Self {
        Self { block, at }
    }

    /// What became of the request.
    #[must_use]
    pub fn answer(&self) -> &Answer {
        &self.block.answers[self.at]
    }

    /// Tape time of its block.
    #[must_use]
    pub fn time(&self) -> Micros {
        self.block.time
    }

    /// The changes that it made.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        self.block.changes_of(self.answer())
    }
}

//! The only place of this crate that reads the clock.

use std::time::{Duration, Instant};

/// A running stopwatch.
#[derive(Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
    #[inline]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    #[must_use]
    #[inline]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// The nanoseconds since the start.
    #[must_use]
    #[inline]
    pub fn elapsed_ns(self) -> u64 {
        self.elapsed().as_nanos() as u64
    }
}

/// What one start and one reading cost together: the median, in nanoseconds.
#[must_use]
pub fn overhead_ns() -> u64 {
    let mut samples: Vec<u64> = (0..10_001).map(|_| Stopwatch::start().elapsed_ns()).collect();
    samples.sort_unstable();
    samples[samples.len() / 2]
}

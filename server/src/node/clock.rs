//! The only place that reads a clock.

use std::time::{Duration, Instant, SystemTime};

use crate::types::Micros;

/// From which difference on a clock is wrong, in microseconds.
pub(super) const WRONG_US: u64 = 5_000_000;

/// The node's clock: wall time that never goes back, whatever is done to the system's.
///
/// It is the system's time when the node started, plus what has passed on the monotonic clock.
/// Safety rests on no clock; this one only drives expiry and time-outs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    origin: Instant,
    origin_time: Micros,
}

impl Clock {
    /// A clock that is set by the system's.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
    pub fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), origin_time: to_micros(since_1970) }
    }

    /// The same clock, so far ahead: for tests of what clocks that are wrong do.
    #[must_use]
    pub fn ahead_by(mut self, ahead: Micros) -> Self {
        self.origin_time = self.origin_time.plus(ahead);
        self
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.origin_time.plus(to_micros(self.origin.elapsed()))
    }

    /// How long it is until a time; zero if it has passed.
    #[must_use]
    pub fn until(&self, at: Micros) -> Duration {
        Duration::from_micros(at.0.saturating_sub(self.now().0))
    }
}

fn to_micros(duration: Duration) -> Micros {
    Micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

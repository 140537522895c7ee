//! A node's clock: off by an offset and drifting within bounds. It never goes back while a process
//! lives; a restart may find another offset, as after a jump, or one that is wrong by hours.

use xbook::types::Micros;

use super::random::Random;

/// When simulated time begins, in microseconds since 1970.
const EPOCH: u64 = 1_800_000_000_000_000;

/// What time of day it is so long after simulated time begins, counted from midnight.
#[must_use]
pub const fn time_of_day(after: u64) -> Micros {
    Micros((EPOCH + after) % (24 * 60 * 60 * 1_000_000))
}

/// Furthest that a clock is off which is right.
const MAX_OFFSET: u64 = 400_000;

/// Fastest drift, in millionths.
const MAX_DRIFT: u64 = 200;

/// A node's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: u64,
    /// How fast it runs, in millionths.
    rate: u64,
}

impl Clock {
    /// Some clock.
    pub fn new(random: &mut Random) -> Self {
        let offset = random.between(0, 2 * MAX_OFFSET);
        let rate = 1_000_000 - MAX_DRIFT + random.between(0, 2 * MAX_DRIFT);
        Self { base: EPOCH - MAX_OFFSET + offset, rate }
    }

    /// A clock that is wrong by seconds to hours, ahead or behind.
    pub fn wrong(random: &mut Random) -> Self {
        let most = [20_000_000, 300_000_000, 20_000_000_000][random.index(3)];
        let by = random.between(10_000_000, most);
        let right = Self::new(random);
        let base = if random.percent(50) { right.base + by } else { right.base - by };
        Self { base, ..right }
    }

    /// The most that a clock shows which is right.
    #[must_use]
    pub fn latest(time: u64) -> Micros {
        Self { base: EPOCH + MAX_OFFSET, rate: 1_000_000 + MAX_DRIFT }.at(time)
    }

    /// The least that a clock shows which is right.
    #[must_use]
    pub fn earliest(time: u64) -> Micros {
        Self { base: EPOCH - MAX_OFFSET, rate: 1_000_000 - MAX_DRIFT }.at(time)
    }

    /// What it shows at a simulated time.
    #[must_use]
    pub fn at(&self, time: u64) -> Micros {
        Micros(self.base + time / 1_000_000 * self.rate + time % 1_000_000 * self.rate / 1_000_000)
    }

    /// The simulated time, not before `time`, at which it shows at least `local`.
    #[must_use]
    pub fn when(&self, local: Micros, time: u64) -> u64 {
        let wait = local.0.saturating_sub(self.at(time).0);
        if wait == 0 { time } else { time + wait.saturating_mul(1_000_000) / self.rate + 2 }
    }
}

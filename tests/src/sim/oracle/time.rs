//! Tape time drives every expiry. One clock that is wrong does not move it; what more of them did to it
//! is over once the right ones have caught up; it never stays behind.

use xbook::types::{Micros, Position};

use crate::sim::clock::Clock;

/// How far tape time may be ahead of what right clocks show at the same moment: batches that follow each
/// other differ by a microsecond at least.
const SLACK: u64 = 50_000;

/// How far tape time may be behind when the last batch of a run is committed.
const BEHIND: u64 = 8_000_000;

/// What is wrong with tape time.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TimeViolation {
    /// It went where no majority's clocks were.
    #[error("tape time is {tape:?} at position {at}, and clocks that are right show no more than {clocks:?}")]
    Ahead {
        /// Of the batch.
        at: Position,
        /// Its time.
        tape: Micros,
        /// The most that it may be.
        clocks: Micros,
    },
    /// It stands still.
    #[error("tape time is {tape:?} at the end, and clocks show {clocks:?} at least")]
    Behind {
        /// The last batch's time.
        tape: Micros,
        /// The least that it may be.
        clocks: Micros,
    },
}

/// What tape time may be.
#[derive(Default, Debug)]
pub struct Times {
    /// The last batch's time, and when it was committed.
    last: (Micros, u64),
    /// What wrong clocks show that may decide: more than one, or a sole voter's.
    excused: Micros,
}

impl Times {
    /// A clock that is wrong may decide, and shows this.
    pub fn excuse(&mut self, clock: Micros) {
        self.excused = self.excused.max(clock);
    }

    /// A batch is committed.
    ///
    /// # Errors
    /// Its time is ahead.
    pub fn committed(&mut self, at: Position, tape: Micros, time: u64) -> Result<(), TimeViolation> {
        let before = self.last.0;
        self.last = (tape, time);
        let clocks =
            Clock::latest(time).plus(Micros(SLACK)).max(self.excused).max(before.plus(Micros(SLACK)));
        if tape > clocks { Err(TimeViolation::Ahead { at, tape, clocks }) } else { Ok(()) }
    }

    /// The run is over: for some seconds all clocks were right and there were batches.
    ///
    /// # Errors
    /// The last one's time is behind.
    pub fn ended(&self, since: u64) -> Result<(), TimeViolation> {
        let (tape, time) = self.last;
        let clocks = Micros(Clock::earliest(time).0.saturating_sub(BEHIND));
        if time > since && tape < clocks { Err(TimeViolation::Behind { tape, clocks }) } else { Ok(()) }
    }
}

//! What happens without any request: at the time of a batch, before its first intent.

use super::journal::Journal;
use super::state::BatchBuilder;
use super::tape::{Cause, Event, Step};
use super::{FoldError, Machine, State};
use crate::types::Micros;

impl State {
    /// Has all that is due happen, the earliest first and of one time expiries, then switches, then the market's own change of
    /// state, until the batch has
    /// as much of it as it may.
    pub(super) fn run_due(&mut self, builder: &mut BatchBuilder) -> Result<(), FoldError> {
        while builder.expired < builder.most_expired {
            let Machine::Market(market) = &self.machine else {
                return Ok(());
            };
            let Some(cause) =
                market.next_due(builder.batch.time).filter(|cause| cause.due() <= builder.batch.time)
            else {
                return Ok(());
            };
            let mut from = builder.batch.events.len();
            let most = (builder.batch.time, builder.most_expired - builder.expired);
            market.say_due(cause, most, &mut builder.batch.events);
            if market.opens(&builder.batch.events[from..]) {
                let opening = builder.batch.events.split_off(from);
                self.uncross(builder)?;
                from = builder.batch.events.len();
                builder.batch.events.extend(opening);
            }
            let events = &builder.batch.events[from..];
            builder.expired += events.len();
            self.follow(cause, None, events)?;
            self.settle_due(cause, events, &mut builder.journal)?;
            builder.batch.steps.push(Step { cause, events: events.len() });
        }
        Ok(())
    }

    /// Takes a step of what is due, that the book has done.
    pub(super) fn settle_due(
        &mut self,
        cause: Cause,
        events: &[Event],
        journal: &mut Journal,
    ) -> Result<(), FoldError> {
        let due = cause.due();
        let market = match &mut self.machine {
            Machine::Market(market) if due <= journal.block.time => market,
            _ => return Err(FoldError::NotDue { due }),
        };
        let happened = match cause {
            Cause::Expiry { due } => market.expire(events, due, journal),
            Cause::Switch { due } => market.fire(events, due, journal),
            Cause::Session { due } => market.change(events, due, journal),
            Cause::Intent(_) | Cause::Trigger(_) | Cause::Uncross => None,
        };
        (happened.is_some() && market.end_step()).then_some(()).ok_or(FoldError::NotDue { due })?;
        self.digest.put([due.0, events.len() as u64]);
        market.digest_protection(events, &mut self.digest);
        Ok(())
    }
}

impl State {
    /// Forgets all switches, as a mistake would.
    pub(crate) fn forget_switches(&mut self) {
        if let Machine::Market(market) = &mut self.machine {
            market.forget_switches();
        }
    }
}

impl Cause {
    /// When what was not asked for was due; the end of time for what has its turn and no time.
    pub(super) fn due(self) -> Micros {
        match self {
            Self::Expiry { due } | Self::Switch { due } | Self::Session { due } => due,
            Self::Intent(_) | Self::Trigger(_) | Self::Uncross => Micros(u64::MAX),
        }
    }
}

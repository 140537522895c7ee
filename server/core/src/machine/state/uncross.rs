//! The uncross of an auction, in a step of its own just before the one that opens trading; and what it would give, at the
//! end of a batch.

use super::{BatchBuilder, Machine, State};
use crate::machine::FoldError;
use crate::machine::journal::Journal;
use crate::machine::tape::{Cause, Event, Step};

impl State {
    /// Uncrosses a market. One batch holds it whole: each trade closes an order, so it has no more events than a sweep
    /// through a full book.
    pub(in crate::machine) fn uncross(&mut self, builder: &mut BatchBuilder) -> Result<(), FoldError> {
        let Machine::Market(market) = &self.machine else {
            return Err(FoldError::Uncross);
        };
        let mut events = Vec::new();
        market.say_uncross(&mut events);
        if events.is_empty() {
            return Ok(());
        }
        self.follow_uncross(&events)?;
        self.settle_uncross(&events, &mut builder.journal)?;
        builder.bytes += events.iter().map(Event::bytes).sum::<usize>();
        builder.batch.steps.push(Step { cause: Cause::Uncross, events: events.len() });
        builder.batch.events.append(&mut events);
        Ok(())
    }

    /// Tells what an uncross would give, if that has changed.
    pub(super) fn indicate(&mut self, builder: &mut BatchBuilder) {
        if let Some(event) = self.machine.market().and_then(|market| market.say_indication()) {
            let told = self.settle_uncross(&[event], &mut builder.journal);
            debug_assert_eq!(told, Ok(()), "it changes nothing else");
            builder.batch.steps.push(Step { cause: Cause::Uncross, events: 1 });
            builder.batch.events.push(event);
        }
    }

    /// Has the book do what an uncross says.
    pub(super) fn follow_uncross(&mut self, events: &[Event]) -> Result<(), FoldError> {
        let Machine::Market(market) = &mut self.machine else {
            return Err(FoldError::Uncross);
        };
        events.iter().try_for_each(|event| market.follow_uncross(event)).ok_or(FoldError::Uncross)
    }

    /// Takes the step of an uncross that the book has done.
    pub(super) fn settle_uncross(
        &mut self,
        events: &[Event],
        journal: &mut Journal,
    ) -> Result<(), FoldError> {
        let Machine::Market(market) = &mut self.machine else {
            return Err(FoldError::Uncross);
        };
        for event in events {
            journal.advance();
            market.fold_uncross(event, journal).ok_or(FoldError::Uncross)?;
        }
        (market.end_step() && !events.is_empty()).then_some(()).ok_or(FoldError::Uncross)?;
        self.digest.put([events.len() as u64]);
        market.digest(&mut self.digest);
        market.digest_auction(&mut self.digest);
        Ok(())
    }
}

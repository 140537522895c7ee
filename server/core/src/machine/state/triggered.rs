//! Triggered orders run one by one, each in a step of its own, before anything else but what is due by time.

use super::{BatchBuilder, Machine, State};
use crate::machine::FoldError;
use crate::machine::journal::Journal;
use crate::machine::tape::{Cause, Event, Step};
use crate::types::OrderId;

impl State {
    /// Runs triggered orders one by one, and what those trigger, for as long as the batch has room.
    pub(super) fn run_triggered(&mut self, builder: &mut BatchBuilder) -> Result<(), FoldError> {
        let BatchBuilder { batch, journal, triggered, most_triggered, bytes, .. } = builder;
        while *triggered < *most_triggered {
            let Machine::Market(market) = &mut self.machine else {
                return Ok(());
            };
            let Some(order) = market.next_triggered() else {
                return Ok(());
            };
            let from = batch.events.len();
            market
                .decide_triggered(order, batch.time, &mut batch.events)
                .ok_or(FoldError::NotTriggered { order })?;
            let events = &batch.events[from..];
            batch.steps.push(Step { cause: Cause::Trigger(order), events: events.len() });
            self.settle_triggered(order, events, journal)?;
            *triggered += 1;
            *bytes += events.iter().map(Event::bytes).sum::<usize>();
        }
        Ok(())
    }

    /// Takes the step of a triggered order.
    pub(super) fn settle_triggered(
        &mut self,
        order: OrderId,
        events: &[Event],
        journal: &mut Journal,
    ) -> Result<(), FoldError> {
        let misfit = FoldError::NotTriggered { order };
        let Machine::Market(market) = &mut self.machine else {
            return Err(misfit);
        };
        for (at, event) in events.iter().enumerate() {
            journal.advance();
            market.fold_triggered(event, (order, at == 0), journal).ok_or_else(|| misfit.clone())?;
        }
        (market.end_step() && !events.is_empty()).then_some(()).ok_or(misfit)?;
        self.digest.put([order.node.0, order.counter, events.len() as u64]);
        market.digest(&mut self.digest);
        Ok(())
    }
}

impl BatchBuilder {
    /// Whether more triggered orders may have to run than fitted, before anything else does.
    #[must_use]
    pub fn is_full_of_triggered(&self) -> bool {
        self.triggered >= self.most_triggered
    }
}

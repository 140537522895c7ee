//! Tape batches in the server's words: steps, each a cause and its events.
//!
//! The position of an event is the batch's first position plus its place in the batch. All events of a
//! batch share its tape time.

mod event;
mod record;

pub use event::{Cause, Event, closes_as, ends_as, is_repeated, is_withdrawn, refused};

use crate::format::Format;
use crate::types::{Micros, NodeId, OrderId, Position, Term};

/// A tape batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The holder's term.
    pub term: Term,
    /// Position of the first event.
    pub first: Position,
    /// Tape time.
    pub time: Micros,
    /// Last position that the holder knew to be committed.
    pub committed: Position,
    /// What happened, in its order: first what is due, then triggered orders that were left, then the intents, each
    /// with the orders that it triggers.
    pub steps: Vec<Step>,
    /// The events of all steps.
    pub events: Vec<Event>,
    /// Running digest after the batch.
    pub digest: [u8; 32],
    /// Set in the last batch of a generation. It has a position of its own, after the last event's.
    pub seal: Option<Seal>,
}

/// A cause, and how many events it had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Why it was taken.
    pub cause: Cause,
    /// How many of the batch's events are its own: at least one.
    pub events: usize,
}

/// The end of a generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seal {
    /// The next generation's voters, ascending.
    pub voters: Vec<NodeId>,
    /// The actor that wrote it and goes on as the holder.
    pub holder: [u8; 16],
    /// Hash of the next generation's genesis.
    pub genesis: [u8; 32],
    /// Format of the next generation.
    pub format: Format,
}

impl Batch {
    /// A batch in which nothing happened yet.
    #[must_use]
    pub fn new(term: Term, first: Position, time: Micros, committed: Position) -> Self {
        let (steps, events) = (Vec::new(), Vec::new());
        Self { term, first, time, committed, steps, events, digest: [0; 32], seal: None }
    }

    /// The steps in their order, each with its events.
    pub fn steps(&self) -> impl Iterator<Item = (Cause, &[Event])> {
        let mut rest = self.events.as_slice();
        self.steps.iter().map(move |step| {
            let (events, later) = rest.split_at(step.events.min(rest.len()));
            rest = later;
            (step.cause, events)
        })
    }

    /// The consumed intents as runs of consecutive ones of a node: its first counter and how many.
    pub fn runs(&self) -> impl Iterator<Item = (NodeId, u64, u64)> + '_ {
        let mut ids = self.consumed_ids().peekable();
        std::iter::from_fn(move || {
            let first = ids.next()?;
            let mut last = first.counter;
            let follows =
                |id: &OrderId, last: u64| id.node == first.node && last.checked_add(1) == Some(id.counter);
            while let Some(next) = ids.next_if(|id| follows(id, last)) {
                last = next.counter;
            }
            Some((first.node, first.counter, last - first.counter + 1))
        })
    }

    /// The ids of the consumed intents, in their order.
    pub fn consumed_ids(&self) -> impl Iterator<Item = OrderId> + '_ {
        self.steps.iter().filter_map(|step| match step.cause {
            Cause::Intent(id) => Some(id),
            Cause::Expiry { .. }
            | Cause::Switch { .. }
            | Cause::Session { .. }
            | Cause::Trigger(_)
            | Cause::Uncross => None,
        })
    }
}

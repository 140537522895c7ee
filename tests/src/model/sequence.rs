//! A model of its own: the order and the numbers of one node's intents.
//!
//! ```text
//! accept -> sync (the client is told) -> send -> the holder consumes -> next generation, sent again
//! ```
//!
//! One node takes orders, one holder consumes them, and the book passes through one change of generation.
//! What the lease protocol does is taken for granted here: the tape is one committed sequence. A crash
//! takes what is not durable from the node; the holder keeps what it received, and of two intents
//! with one number the first, as a document does.

use stateright::{Model, Property};

/// A rule about intents that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The holder consumes of each node exactly the next counter.
    ConsumeNext,
    /// An intent, and with it its counter, is durable before it is sent.
    SentStored,
    /// An intent is durable before the client hears that it is accepted.
    ToldStored,
    /// What is not consumed is sent again in the next generation under its old number.
    OldNumber,
}

/// The protocol of the sequence, without one of its rules or with all.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// The rule that is left out.
    pub without: Option<Rule>,
    /// How many orders clients place.
    pub orders: u8,
    /// How many times the node crashes.
    pub crashes: u8,
}

/// The node, the holder and the tape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// The node's intents in the order of their counters, which start at 0: which order each one is.
    accepted: Vec<u8>,
    /// How many of them are durable.
    durable: usize,
    /// Orders placed so far.
    placed: u8,
    /// The orders that a client was told are accepted.
    told: Vec<u8>,
    /// The holder's document: which order it knows under which counter.
    received: Vec<Option<u8>>,
    /// Which counters are consumed.
    consumed: Vec<usize>,
    /// The orders on the tape.
    tape: Vec<u8>,
    /// Whether the next generation has begun, and the counter from which on it consumes.
    next: Option<usize>,
    crashes: u8,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The node takes an order.
    Accept,
    /// The node's intents become durable.
    Sync,
    /// A client hears that this intent is accepted.
    Tell(usize),
    /// The holder receives this intent, which the document brings after all before it.
    Send(usize),
    /// The holder consumes this intent.
    Consume(usize),
    /// The node crashes and restarts.
    Crash,
    /// The next generation begins; the node sends again what is not consumed.
    Next,
}

impl Sequence {
    fn keep(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    fn begin_next(&self, state: &mut State) {
        // A counter a node, not a set of numbers: all up to the highest consumed one count as consumed.
        let from = state.consumed.iter().max().map_or(0, |highest| highest + 1);
        state.next = Some(from);
        state.received.clear();
        if !self.keep(Rule::OldNumber) {
            // New numbers, for all that this node has not seen consumed when it moves on.
            let again = state.accepted.clone();
            state.accepted.extend(again);
            state.durable = state.accepted.len();
        }
    }
}

impl Model for Sequence {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let (all, durable) = (state.accepted.len(), state.durable);
        if state.placed < self.orders {
            actions.push(Action::Accept);
        }
        if durable < all {
            actions.push(Action::Sync);
        }
        if state.crashes < self.crashes {
            actions.push(Action::Crash);
        }
        if state.next.is_none() {
            actions.push(Action::Next);
        }
        let tellable = if self.keep(Rule::ToldStored) { durable } else { all };
        actions
            .extend((0..tellable).filter(|at| !state.told.contains(&state.accepted[*at])).map(Action::Tell));
        let sendable = if self.keep(Rule::SentStored) { durable } else { all };
        let from = state.next.unwrap_or(0);
        let unsent = |at: &usize| state.received.get(*at).is_none_or(Option::is_none);
        actions.extend((from..sendable).find(unsent).map(Action::Send));
        let open = |at: &usize| state.received[*at].is_some() && !state.consumed.contains(at);
        let mut open = (from..state.received.len()).filter(open);
        match self.keep(Rule::ConsumeNext) {
            true => actions.extend(open.next().map(Action::Consume)),
            false => actions.extend(open.map(Action::Consume)),
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Accept => {
                state.accepted.push(state.placed);
                state.placed += 1;
            }
            Action::Sync => state.durable = state.accepted.len(),
            Action::Tell(at) => state.told.push(state.accepted[at]),
            Action::Send(at) => {
                let length = state.received.len().max(at + 1);
                state.received.resize(length, None);
                state.received[at] = Some(state.accepted[at]);
            }
            Action::Consume(at) => {
                state.consumed.push(at);
                state.tape.extend(state.received[at]);
            }
            Action::Crash => {
                state.accepted.truncate(state.durable);
                state.crashes += 1;
            }
            Action::Next => self.begin_next(&mut state),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Sequence>> {
        vec![
            Property::always("no order is consumed twice", |_, state: &State| {
                state.tape.iter().enumerate().all(|(at, order)| !state.tape[..at].contains(order))
            }),
            Property::always("no accepted order vanishes", |_, state: &State| {
                state.told.iter().all(|order| state.tape.contains(order) || consumable(state, *order))
            }),
            Property::always("orders take effect in the order of their node", |_, state: &State| {
                state.tape.is_sorted()
            }),
            Property::sometimes("all orders are consumed in the next generation", |model, state: &State| {
                state.next == Some(0) && state.tape.len() == usize::from(model.orders)
            }),
        ]
    }
}

/// Whether the order may still be consumed: the node has it under a counter that is not used up, and the
/// holder knows no other order by that counter.
fn consumable(state: &State, order: u8) -> bool {
    let from = state.next.unwrap_or(0);
    state.accepted.iter().enumerate().any(|(at, accepted)| {
        let other = state.received.get(at).copied().flatten().is_some_and(|known| known != order);
        *accepted == order && at >= from && !other && !state.consumed.contains(&at)
    })
}

//! A model of its own: a voter comes back from an old copy of its disk, from which only acknowledgements
//! are missing.
//!
//! ```text
//! A holds the lease and writes batches; B and C store and acknowledge them, to A and to each other;
//! B's disk is copied ──> later B runs from the copy ──> hellos ──> A is dead or cut off: B and C elect
//! ```
//!
//! Batches are numbered from 1; a disk is how many it has, and so is an acknowledgement. Messages arrive
//! at any time or never, so C may lag, and a peer may not have heard B. What a peer heard it stores with
//! its next write, and a restart forgets the rest.

use clap::ValueEnum;
use stateright::{Model, Property};

/// A rule that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rule {
    /// Each node remembers what it heard B acknowledge, and B is refused by whoever remembers more than
    /// its disk has.
    Remembered,
    /// That is said in the first message, before anything is promised.
    JudgedFirst,
    /// A voter whose directory was copied votes only after it has heard a majority of the others: both.
    Gate,
    /// And only once its disk has what they had then.
    GateCovers,
}

/// The properties' names.
pub mod always {
    /// What a peer remembers that takes part is not lost.
    pub const REMEMBERED: &str = "no commit is lost that the other elector heard acknowledged";
    /// Nothing is lost.
    pub const KEPT: &str = "no commit is lost";
}

/// What must be possible.
pub const SOMETIMES: [&str; 2] = ["B is refused", "B votes again, having missed nothing"];

/// The bounds and the rules.
#[derive(Clone, Debug)]
pub struct Returning {
    /// The rules that are left out.
    pub without: Vec<Rule>,
    /// How many batches.
    pub batches: u8,
    /// How many restarts of A and C.
    pub restarts: u8,
    /// Whether B sees that its directory was copied.
    pub noticed: bool,
}

/// A or C.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The batches on its disk.
    disk: u8,
    /// What it heard B acknowledge.
    heard: u8,
    /// What of that is on its disk.
    stored: u8,
    /// Since B came back, what its disk had when it said hello.
    hello: Option<u8>,
}

/// The state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// A and C.
    peers: [Peer; 2],
    /// The batches on B's disk.
    b: u8,
    /// What A knows to be committed.
    committed: u8,
    restarts: u8,
    copy: Option<u8>,
    /// B runs from the copy.
    back: bool,
    /// B gave up.
    refused: bool,
    /// B and C made a majority without A.
    elected: bool,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A writes a batch.
    Write,
    /// B stores the next batch.
    Store,
    /// C stores the next batch, from whoever has it.
    StoreAtC,
    /// B's acknowledgement reaches A or C.
    Hear(usize),
    /// C's reaches A.
    HearC,
    /// A or C restarts.
    Restart(usize),
    /// B's disk is copied.
    Copy,
    /// B comes back from the copy.
    Back,
    /// A or C says hello to B.
    Hello(usize),
    /// B and C elect one of them; A is not heard any more.
    Elect,
}

const A: usize = 0;
const C: usize = 1;

impl Returning {
    fn keep(&self, rule: Rule) -> bool {
        !self.without.contains(&rule)
    }

    /// Whether B promises and stands.
    fn may_vote(&self, state: &State) -> bool {
        let heard = state.peers.map(|peer| peer.hello);
        let gated = self.noticed && self.keep(Rule::Gate);
        let covers = |had: Option<u8>| had.is_some_and(|had| state.b >= had || !self.keep(Rule::GateCovers));
        let judged = heard[C].is_some() || !self.keep(Rule::JudgedFirst);
        !state.refused && judged && (!gated || heard.into_iter().all(covers))
    }

    fn lost(state: &State) -> bool {
        state.elected && state.committed > state.b.max(state.peers[C].disk)
    }
}

impl Model for Returning {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let [a, c] = state.peers;
        if state.elected {
            return;
        }
        if a.disk < self.batches {
            actions.push(Action::Write);
        }
        if state.b < a.disk && !state.refused {
            actions.push(Action::Store);
        }
        if c.disk < a.disk.max(state.b) {
            actions.push(Action::StoreAtC);
        }
        if c.disk > state.committed {
            actions.push(Action::HearC);
        }
        for at in [A, C] {
            let peer = state.peers[at];
            // As B comes back, it acknowledges only where it votes.
            if peer.heard < state.b && (!state.back || self.may_vote(state)) {
                actions.push(Action::Hear(at));
            }
            if state.restarts < self.restarts && peer.stored < peer.heard {
                actions.push(Action::Restart(at));
            }
            if state.back && !state.refused && peer.hello.is_none() {
                actions.push(Action::Hello(at));
            }
        }
        match state.copy {
            None => actions.push(Action::Copy),
            Some(_) if !state.back => actions.push(Action::Back),
            Some(_) if self.may_vote(state) => actions.push(Action::Elect),
            Some(_) => {}
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Write => {
                state.peers[A].disk += 1;
                state.peers[A].stored = state.peers[A].heard;
            }
            Action::Store => state.b += 1,
            Action::StoreAtC => {
                state.peers[C].disk += 1;
                state.peers[C].stored = state.peers[C].heard;
            }
            Action::Hear(at) => {
                state.peers[at].heard = state.b;
                if at == A {
                    state.committed = state.committed.max(state.b);
                }
            }
            Action::HearC => state.committed = state.peers[C].disk,
            Action::Restart(at) => {
                state.restarts += 1;
                state.peers[at].heard = state.peers[at].stored;
            }
            Action::Copy => state.copy = Some(state.b),
            Action::Back => {
                state.b = state.copy.unwrap_or(0);
                state.back = true;
            }
            Action::Hello(at) => {
                state.peers[at].hello = Some(state.peers[at].disk);
                state.refused = self.keep(Rule::Remembered) && state.peers[at].heard > state.b;
            }
            Action::Elect => state.elected = true,
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Returning>> {
        vec![
            Property::always(always::REMEMBERED, |_, state: &State| {
                !Returning::lost(state) || state.peers[C].heard <= state.b
            }),
            Property::always(always::KEPT, |_, state: &State| !Returning::lost(state)),
            Property::sometimes(SOMETIMES[0], |_, state: &State| state.refused),
            Property::sometimes(SOMETIMES[1], |_, state: &State| state.elected && state.committed > 0),
        ]
    }
}

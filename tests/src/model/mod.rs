//! The model of the lease, the fold, the commit and the seal.
//!
//! ```text
//! Bounds + Rules = Protocol --steps--> Action --after--> State --settle--> acknowledgements, commits
//!                                                          |               (and `prune`)
//!                                     property: always, sometimes
//! ```
//!
//! A [`Protocol`] is that of ARCHITECTURE.md as a `stateright` model: `step` says which steps a state
//! allows, `write` what a step writes, `settle` what follows at once, `property` what must hold. Each rule
//! is a [`Rule`] that can be left out; `plant` knows where that shows. `explore` searches and puts a
//! counterexample into words, `recovery` asks whether the book can go on from every state.
//!
//! # What is modelled
//!
//! - Nodes with a document and the durable part of it; crashes that lose the rest and make a new actor.
//! - Changes with their causal past: promises, activations, batches, Seals, seal-acks, geneses. A message
//!   brings one change with its past, to anyone, at any time, in any order, or never; what was sent stays
//!   in flight for ever. So every causally closed part of the whole can be a node's document.
//! - Promise, activation, fold, labelled acknowledgement, commit, commit message, Seal, seal-ack, the next
//!   generation with other voters, the genesis by computation or from a peer.
//! - Takers that want the one resting order of quantity 1: a second fill is what must not happen.
//!
//! # What is abstracted away, and why that is sound
//!
//! - *Time and lease time.* Any voter may promise at any moment, any lease may be contested at any moment:
//!   more than clocks would allow, so what holds here does not rest on them.
//! - *Messages of the lease.* Requests, heartbeats and refusals carry nothing that safety uses. A candidate
//!   asks after its promise to itself is durable. It may take any term above its label.
//! - *Counting and telling.* A holder's counting of acknowledgements is no step: `settle` commits a batch
//!   as soon as any holder could, and keeps what could still be counted later. Whoever counts later commits
//!   a part of the same; a commit message that arrives later shows a part of the same.
//! - *Batches* hold one entry, pipelined freely. Takers are known everywhere and consumed lowest first: which
//!   taker a batch names matters to no rule. The order of one node's intents has a model of its own, [`sequence`].
//! - *The disk* is written in order and a sync covers all before it, so a partial one is an earlier one.
//! - *Irrelevant parts of documents.* `prune` drops from a document what its fold, its label, its countable
//!   promises and its seal-acks do not need; whoever could get it from there gets it from its author.
//! - *Seal-acks* count as evidence once a majority's disks hold them; receiving one does nothing else.
//! - A node that is no voter yet learns nothing of generation 0: it could only say that it is fresh, and
//!   the holder can make it so.
//! - A holder may go on writing after it promised a higher term, until it sees the activation. An
//!   implementation stops earlier.
//! - The states' fingerprints have 64 bits: two of n states are confused with a probability of n^2 / 2^65.
//!
//! - *Old copies of disks* have a model of their own, [`returning`].
//!
//! # Bounds
//!
//! The test run (`tests/model.rs`) is exhaustive for three voters and three terms, and over one change
//! of generation with two terms in each and some candidates named; at four terms it names the candidates,
//! or walks at random. `xmodel` does the same without naming anyone, and more.

use stateright::{Model, Property};

mod bounds;
mod change;
mod explore;
pub mod plant;
mod property;
mod prune;
mod recovery;
pub mod returning;
mod rules;
pub mod sequence;
mod settle;
mod state;
mod step;
mod write;

pub use bounds::{Bounds, Disk, mask};
pub use change::{Actor, Change, Entry, Kind, Set, name};
pub use explore::{Explored, Trace, Walk};
pub use property::{always, sometimes};
pub use recovery::Recovery;
pub use rules::{Rule, Rules};
pub use state::{Fold, Node, State};
pub use step::Action;

/// The protocol that is explored: which rules it keeps, and how far.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// The rules that are kept.
    pub rules: Rules,
    /// How far to go.
    pub bounds: Bounds,
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::start(self.bounds.nodes)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.steps(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        Some(self.after(last, action)).filter(|next| next != last)
    }

    fn properties(&self) -> Vec<Property<Protocol>> {
        property::properties(self)
    }
}

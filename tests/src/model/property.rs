//! What must always hold, and what must be possible.
//!
//! The fold of any causally closed document is the tape that its head adopts and some of the head's own
//! batches, from the first on. So it is enough to look at each activation with *all* its batches: that
//! covers every node's document, every merge of documents, and every part that a late node holds.

use stateright::Property;

use super::{
    Protocol,
    change::{Change, Kind, Set},
    rules::Rule,
    state::State,
};

/// The names of the properties that must hold in every state.
pub mod always {
    /// In no fold is the resting order filled twice or a taker consumed twice.
    pub const ONE_FILL: &str = "no fold fills twice";
    /// What was committed stays, in its order, in the fold of every later lease.
    pub const KEPT: &str = "no later lease loses or reorders a commit";
    /// What was committed in a generation is in the genesis of the next one.
    pub const CARRIED: &str = "no genesis loses a commit";
    /// No node shows anything that is not committed.
    pub const SHOWN: &str = "a node shows only what is committed";
    /// One valid activation a term.
    pub const ONE_HOLDER: &str = "one valid activation a term";
    /// One genesis.
    pub const ONE_GENESIS: &str = "the same genesis everywhere";
}

/// The names of what must be reachable.
pub mod sometimes {
    /// A batch is committed.
    pub const COMMIT: &str = "a commit";
    /// A batch is committed by a later holder.
    pub const LATER: &str = "a commit under a later term";
    /// A batch is committed after a restart.
    pub const RESTARTED: &str = "a commit after a restart";
    /// The next generation starts.
    pub const NEXT: &str = "a next generation";
    /// A batch is committed in the next generation.
    pub const NEXT_COMMIT: &str = "a commit in the next generation";
}

/// All properties that the bounds give a meaning.
pub fn properties(protocol: &Protocol) -> Vec<Property<Protocol>> {
    let mut properties = vec![
        Property::always(always::ONE_FILL, |_, state| leases(state).all(|head| !fills_twice(state, head))),
        Property::always(always::KEPT, |_, state| leases(state).all(|head| keeps_commits(state, head))),
        Property::always(always::CARRIED, carries_commits),
        Property::always(always::SHOWN, |model, state| {
            (0..model.bounds.nodes).all(|node| shows_commits(model, state, node))
        }),
        Property::always(always::ONE_HOLDER, |_, state| one_holder(state)),
        Property::always(always::ONE_GENESIS, |_, state| geneses(state).count() <= 1),
        Property::sometimes(sometimes::COMMIT, |_, state| committed(state, |_| true)),
    ];
    let voters = protocol.bounds.voters;
    if protocol.bounds.terms[0] > 1 {
        let later = |_: &Protocol, state: &State| committed(state, |change| change.committed > 1);
        properties.push(Property::sometimes(sometimes::LATER, later));
        if protocol.bounds.restarts > 0 {
            let restarted = |_: &Protocol, state: &State| committed(state, |change| change.author.start > 0);
            properties.push(Property::sometimes(sometimes::RESTARTED, restarted));
        }
    }
    if voters[1] != 0 {
        properties.push(Property::sometimes(sometimes::NEXT, |_, state| geneses(state).count() > 0));
        let commit = |_: &Protocol, state: &State| committed(state, |change| change.generation == 1);
        properties.push(Property::sometimes(sometimes::NEXT_COMMIT, commit));
    }
    properties
}

fn is_genesis(change: &Change, generation: u8) -> bool {
    change.generation == generation && matches!(change.kind, Kind::Genesis { .. })
}

/// The geneses of generation 1.
fn geneses(state: &State) -> impl Iterator<Item = &Change> {
    state.log.iter().filter(|change| is_genesis(change, 1))
}

fn committed(state: &State, which: impl Fn(&Change) -> bool) -> bool {
    state.log.iter().any(|change| change.committed != 0 && which(change))
}

fn leases(state: &State) -> impl Iterator<Item = usize> {
    (0..state.log.len()).filter(|row| state.log[*row].kind.is_head())
}

/// The tape of a lease with every batch that its holder wrote.
fn full_tape(state: &State, head: usize) -> Set {
    let lease = &state.log[head];
    let own = |row: &usize| {
        let change = &state.log[*row];
        let same_lease = (change.generation, change.term) == (lease.generation, lease.term);
        matches!(change.kind, Kind::Tape { .. }) && same_lease && change.author == lease.author
    };
    let own = (0..state.log.len()).filter(own).fold(Set::EMPTY, |set, row| set.and(Set::of(row)));
    lease.adopts.and(own)
}

fn fills_twice(state: &State, head: usize) -> bool {
    state.replay(state.genesis_of(head), full_tape(state, head)).2
}

/// The committed batches of a generation, first committed under a term that fits.
fn commits(state: &State, generation: u8, fits: impl Fn(u8) -> bool) -> Set {
    let rows = state.rows_of(generation).rows();
    let fits = |row: &usize| state.log[*row].committed != 0 && fits(state.log[*row].committed);
    rows.filter(fits).fold(Set::EMPTY, |set, row| set.and(Set::of(row)))
}

/// A lease adopts all that was committed under lower terms, as the beginning of its tape; what was
/// committed under its own term and its own tape begin alike.
fn keeps_commits(state: &State, head: usize) -> bool {
    let Change { generation, term, adopts, .. } = state.log[head];
    let tape = full_tape(state, head);
    let together = commits(state, generation, |at| at <= term);
    commits(state, generation, |at| at < term).begins(adopts) && alike(together, tape)
}

fn alike(one: Set, other: Set) -> bool {
    one.begins(other) || other.begins(one)
}

fn carries_commits(model: &Protocol, state: &State) -> bool {
    let done = commits(state, 0, |_| true);
    geneses(state).all(|genesis| {
        let tape = model.fold(state, genesis.past).tape;
        let basis = state.sealed(tape).map_or(tape, |seal| tape.up_to(seal));
        done.begins(basis)
    })
}

/// What the node may show by the commit messages that were sent: its tape up to the committed position.
fn shows_commits(model: &Protocol, state: &State, node: u8) -> bool {
    let doc = state.document(node);
    let fold = model.fold(state, doc);
    let term = state.log[fold.head].term;
    let heeds = |at: u8| at <= term || !model.rules.keep(Rule::CommitTerm);
    let position = commits(state, state.generation(doc), heeds);
    let shown = fold.tape.first(position.len());
    position.first(shown.len()) == shown
}

fn one_holder(state: &State) -> bool {
    let terms = || leases(state).map(|row| (state.log[row].generation, state.log[row].term));
    leases(state).all(|row| {
        let lease = (state.log[row].generation, state.log[row].term);
        // Two geneses are the other property's business.
        is_genesis(&state.log[row], 1) || terms().filter(|other| *other == lease).count() == 1
    })
}

/// Whether committed batches have consumed all takers.
pub fn finished(protocol: &Protocol, state: &State) -> bool {
    let all = (1u8 << protocol.bounds.takers) - 1;
    let consumed = |generation| {
        let rows = state.rows_of(generation);
        let genesis = rows.rows().next();
        genesis.map(|genesis| state.replay(genesis, commits(state, generation, |_| true)).1)
    };
    consumed(0) == Some(all) || consumed(1) == Some(all)
}

//! What a step does.

use super::{
    Action, Disk, Entry, Protocol,
    change::{Actor, Change, Kind, Set},
    rules::Rule,
    state::State,
    step::entry_for,
};

impl Protocol {
    /// The state after the step.
    pub fn after(&self, last: &State, action: Action) -> State {
        let mut state = last.clone();
        match action {
            Action::Promise { voter, term, to } => self.promise(&mut state, voter, term, to),
            Action::Activate { node } => self.activate(&mut state, node),
            Action::Consume { holder, taker } => {
                let fold = self.fold(&state, state.document(holder));
                let (filled, ..) = state.replay(state.genesis_of(fold.head), fold.tape);
                self.batch(&mut state, holder, entry_for(filled, taker));
            }
            Action::Seal { holder } => self.batch(&mut state, holder, Entry::Seal),
            Action::SealAck { voter } => self.seal_ack(&mut state, voter),
            Action::MoveOn { node } => self.move_on(&mut state, node),
            Action::TakeGenesis { node, from } => {
                let theirs = self.sendable(&state, from).within(state.rows_of(1));
                apply(&mut state, node, Set(theirs.0 & theirs.0.wrapping_neg()));
            }
            Action::Deliver { row, to } => {
                let news = state.closure(usize::from(row));
                apply(&mut state, to, news);
            }
            Action::Sync { node } => {
                let node = &mut state.nodes[usize::from(node)];
                node.durable = node.applied;
            }
            Action::Restart { node } => {
                state.restarts += 1;
                let node = &mut state.nodes[usize::from(node)];
                (node.applied, node.label_read) = (node.durable, 0);
                node.start += 1;
            }
            Action::ReadLabel { voter } => {
                let label = state.label(state.node(voter).durable, voter);
                state.nodes[usize::from(voter)].label_read = label;
            }
        }
        if self.bounds.disk == Disk::Eager {
            for node in &mut state.nodes {
                node.durable = node.applied;
            }
        }
        self.settle(&mut state);
        state
    }

    fn promise(&self, state: &mut State, voter: u8, term: u8, to: Actor) {
        let me = state.actor(voter);
        let doc = state.document(voter);
        let mut change = Change::new(state.generation(doc), Kind::Promise { to }, term, me);
        change.past = self.past(state, voter);
        if !self.rules.keep(Rule::PromiseOnTop) {
            // Only what the actor wrote itself, on the genesis: what no change can do without.
            let own = doc.rows().filter(|row| state.log[*row].author == me);
            change.past = own.fold(doc.first(1), |set, row| set.and(state.closure(row)));
        }
        write(state, voter, change);
    }

    fn activate(&self, state: &mut State, node: u8) {
        let doc = state.document(node);
        let term = state.label(doc, node);
        let mut change = Change::new(state.generation(doc), Kind::Activation, term, state.actor(node));
        let fold = self.fold(state, doc);
        change.adopts = fold.tape;
        change.past = self.past(state, node);
        if !self.bounds.whole {
            change.past = change.past.without(Set::of(fold.head)).and(doc.first(1));
        }
        write(state, node, change);
    }

    /// What a change of this node rests on: the causal past is all of its document, of which only the fold
    /// can matter to whoever receives the change; and its own promises that are not durable yet.
    fn past(&self, state: &State, node: u8) -> Set {
        let doc = state.document(node);
        if self.bounds.whole {
            return doc;
        }
        let fold = self.fold(state, doc);
        let unsynced = doc.without(state.node(node).durable).rows().filter(|row| self.vow(state, node, *row));
        unsynced.fold(doc.first(1).and(Set::of(fold.head)).and(fold.tape), |set, row| set.and(Set::of(row)))
    }

    fn batch(&self, state: &mut State, holder: u8, entry: Entry) {
        let doc = state.document(holder);
        let head = self.fold(state, doc).head;
        let index = self.own_tape(state, head, doc).len() as u8;
        let Change { generation, term, .. } = state.log[head];
        let mut change = Change::new(generation, Kind::Tape { index, entry }, term, state.actor(holder));
        change.past = self.past(state, holder);
        write(state, holder, change);
    }

    fn seal_ack(&self, state: &mut State, voter: u8) {
        let fold = self.fold(state, state.node(voter).durable);
        let mut change = Change::new(0, Kind::SealAck, state.log[fold.head].term, state.actor(voter));
        (change.past, change.adopts) = (self.past(state, voter), fold.tape);
        write(state, voter, change);
    }

    /// The genesis of the next generation, computed by this node from the Seal in its fold.
    fn move_on(&self, state: &mut State, node: u8) {
        let doc = state.document(node);
        let fold = self.fold(state, doc);
        let Some(seal) = state.sealed(fold.tape) else { return };
        let (basis, lease) = match self.rules.keep(Rule::GenesisPast) {
            true => (state.closure(seal), state.log[seal]),
            false => (self.past(state, node), state.log[fold.head]),
        };
        let tape = self.fold(state, basis).tape.up_to(seal);
        let (filled, consumed, _) = state.replay(0, tape);
        let mut genesis = Change::new(1, Kind::Genesis { filled, consumed }, lease.term, lease.author);
        genesis.past = basis;
        write(state, node, genesis);
    }
}

fn write(state: &mut State, node: u8, change: Change) {
    let row = state.insert(change);
    apply(state, node, Set::of(row));
}

fn apply(state: &mut State, node: u8, news: Set) {
    let node = &mut state.nodes[usize::from(node)];
    node.applied = node.applied.and(news);
}

//! What follows from a step at once: acknowledgements, commits, and forgetting what no longer matters.
//!
//! A holder may count any acknowledgement that was ever sent to it. Within one label a voter's disk only
//! grows, so the best acknowledgement under a label covers all that its disk covered while it bore the
//! label; `Change::acked` collects exactly that. And a commit makes no other step possible or impossible
//! except to move on and to show, so each batch counts as committed as soon as it could be: every later
//! moment of counting would commit a part of the same, and the properties ask for more.

use super::{
    Protocol,
    change::{Change, Kind, Set},
    rules::Rule,
    state::State,
};

impl Protocol {
    /// Brings acknowledgements and commits up to date and the log into its shortest form.
    pub fn settle(&self, state: &mut State) {
        for node in 0..self.bounds.nodes {
            self.acknowledge(state, node);
        }
        for row in 0..state.log.len() {
            if state.log[row].kind.is_head() && self.alive(state, &state.log[row]) {
                self.commit_by_holder(state, row);
            }
        }
        self.commit_by_seal_acks(state);
        self.forget_acknowledgements(state);
        self.prune(state);
    }

    /// What the node's present acknowledgement adds: one snapshot of (generation, label, vector).
    fn acknowledge(&self, state: &mut State, node: u8) {
        let me = *state.node(node);
        let held = if self.rules.keep(Rule::AckDurable) { me.durable } else { me.applied };
        let generation = state.generation(held);
        let label = state.label(held, node);
        let earlier = !self.rules.keep(Rule::CommitActivation);
        for row in held.within(state.rows_of(generation)).rows() {
            let change = &mut state.log[row];
            let fits = change.term == label || change.term == me.label_read;
            if fits || !self.rules.keep(Rule::AckLabelled) {
                change.acked[usize::from(change.term) - 1] |= 1 << node;
            } else if earlier && change.term < label {
                change.acked[usize::from(label) - 1] |= 1 << node;
            }
        }
        if generation == 0 && !self.rules.keep(Rule::AckGeneration) {
            for row in state.rows_of(1).rows() {
                let change = &mut state.log[row];
                if change.term == label {
                    change.acked[usize::from(label) - 1] |= 1 << node;
                }
            }
        }
    }

    /// The holder commits its tape up to the last batch that a majority acknowledged under its term; the
    /// adopted part needs the activation, or a batch after it.
    fn commit_by_holder(&self, state: &mut State, head: usize) {
        let Change { generation, term, adopts, .. } = state.log[head];
        let doc = state.node(state.log[head].author.node).applied;
        let own = self.own_tape(state, head, doc);
        let acked = |row: &usize| self.majority(generation, state.log[*row].acked[usize::from(term) - 1]);
        let tape = adopts.and(own);
        let candidates = if self.rules.keep(Rule::CommitActivation) { own } else { tape };
        let last = candidates.rows().filter(acked).last();
        match last {
            Some(row) => commit(state, tape.up_to(row), term),
            None if acked(&head) => commit(state, adopts, term),
            None => {}
        }
    }

    /// A majority of seal-acks of one term is a commit of everything up to the Seal, holder or no holder.
    fn commit_by_seal_acks(&self, state: &mut State) {
        if self.bounds.voters[1] == 0 {
            return;
        }
        let durable = state.nodes.iter().fold(Set::EMPTY, |set, node| set.and(node.durable));
        let acks: Vec<Change> = durable.rows().map(|row| state.log[row]).collect();
        for ack in acks.iter().filter(|change| change.kind == Kind::SealAck) {
            let same =
                |other: &&Change| (other.kind, other.term, other.adopts) == (ack.kind, ack.term, ack.adopts);
            let voters = acks.iter().filter(same).fold(0, |set, other| set | 1 << other.author.node);
            if self.majority(0, voters) {
                commit(state, ack.adopts, ack.term);
            }
        }
    }

    /// Acknowledgements of what is committed, or of a lease whose holder is gone, are never counted again.
    fn forget_acknowledgements(&self, state: &mut State) {
        for row in 0..state.log.len() {
            let change = state.log[row];
            let of_lease = change.kind.is_head() || matches!(change.kind, Kind::Tape { .. });
            let adopted_all = change.adopts.rows().all(|row| state.log[row].committed != 0);
            let done = change.committed != 0 || change.kind.is_head() && adopted_all;
            let kept = if of_lease && !done && self.alive(state, &change) {
                change.acked[usize::from(change.term) - 1]
            } else {
                0
            };
            let own = usize::from(change.term) - 1;
            if self.rules.keep(Rule::CommitActivation) || !of_lease || done {
                state.log[row].acked = [0; 4];
            }
            state.log[row].acked[own] = kept;
        }
    }
}

fn commit(state: &mut State, tape: Set, term: u8) {
    for row in tape.rows() {
        let change = &mut state.log[row];
        if change.committed == 0 {
            change.committed = term;
        }
    }
}

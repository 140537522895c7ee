//! Forgetting what can change nothing any more, so that equivalent states become one.
//!
//! What a node will do depends on the fold of its document, on its label, on the promises that it may
//! still count and on seal-acks; so a document keeps only these. What a node passes on for a third one
//! it need not keep: the author's own document keeps each batch and activation, and each promise that
//! can still be counted, for as long as anyone may receive it.

use super::{
    Protocol,
    change::{Kind, Set},
    state::State,
};

impl Protocol {
    /// Whether the promise can still help the one to whom it was made: an actor that runs, whose label is
    /// not above it and whose fold has no head of this term or above.
    pub fn counts(&self, state: &State, promise: usize) -> bool {
        let change = &state.log[promise];
        let Kind::Promise { to } = change.kind else { return false };
        let doc = state.document(to.node);
        self.same_holder(to, state.actor(to.node))
            && state.generation(doc) == change.generation
            && state.label(doc, to.node) <= change.term
            && state.log[self.fold(state, doc).head].term < change.term
    }

    /// Brings documents, pasts and the log to their shortest form.
    pub fn prune(&self, state: &mut State) {
        if self.bounds.whole {
            return forget(state);
        }
        let promises = rows(state, |kind| matches!(kind, Kind::Promise { .. }));
        let counting = promises.rows().filter(|row| self.counts(state, *row));
        let counting = counting.fold(Set::EMPTY, |set, row| set.and(Set::of(row)));
        for node in 0..self.bounds.nodes {
            let me = *state.node(node);
            let applied = self.relevant(state, node, me.applied, counting);
            let durable = match me.durable == me.applied {
                true => applied,
                false => self.relevant(state, node, me.durable, counting),
            };
            let me = &mut state.nodes[usize::from(node)];
            (me.applied, me.durable) = (applied, durable);
        }
        let unsynced =
            state.nodes.iter().fold(Set::EMPTY, |set, node| set.and(node.applied.without(node.durable)));
        for change in &mut state.log {
            change.past = change.past.without(promises.without(unsynced));
        }
        forget(state);
    }

    /// The part of the node's document that matters, of both generations.
    fn relevant(&self, state: &State, node: u8, doc: Set, counting: Set) -> Set {
        let mut kept = Set::EMPTY;
        for generation in 0..=state.generation(doc) {
            let doc = doc.within(state.rows_of(generation));
            let fold = self.fold(state, doc);
            let label = state.label(doc, node);
            kept = kept.and(Set::of(fold.head)).and(fold.tape);
            for row in doc.rows() {
                let change = &state.log[row];
                let own = change.author.node == node;
                let keep = match change.kind {
                    Kind::Genesis { .. } => true,
                    Kind::SealAck => own && change.adopts.rows().any(|row| state.log[row].committed == 0),
                    Kind::Activation | Kind::Tape { .. } => own,
                    Kind::Promise { to } => {
                        own && change.term >= label || (own || to.node == node) && counting.has(row)
                    }
                };
                if keep {
                    kept = kept.and(Set::of(row));
                }
            }
        }
        kept
    }
}

fn rows(state: &State, which: impl Fn(Kind) -> bool) -> Set {
    let fits = (0..state.log.len()).filter(|row| which(state.log[*row].kind));
    fits.fold(Set::EMPTY, |set, row| set.and(Set::of(row)))
}

/// Drops from the log what no node holds, no commit names, and nothing that stays rests on.
fn forget(state: &mut State) {
    let mut kept = state.nodes.iter().fold(Set::EMPTY, |set, node| set.and(node.applied).and(node.durable));
    for row in 0..state.log.len() {
        if state.log[row].committed != 0 {
            kept = kept.and(Set::of(row));
        }
    }
    loop {
        let rests = |set: Set, row: usize| set.and(state.log[row].past).and(state.log[row].adopts);
        let all = kept.rows().fold(kept, rests);
        if all == kept {
            break;
        }
        kept = all;
    }
    for row in (0..state.log.len()).rev().filter(|row| !kept.has(*row)) {
        state.remove(row);
    }
}

//! Which steps can be taken from a state.

use super::{
    Disk, Protocol,
    change::{Actor, Entry, Kind, Set},
    rules::Rule,
    state::{Node, State},
};

/// One step of the system. A commit is no step: see `settle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The voter promises the term to this actor; to itself, it becomes a candidate.
    Promise {
        /// Who promises.
        voter: u8,
        /// What.
        term: u8,
        /// To whom.
        to: Actor,
    },
    /// A candidate with a majority of promises takes the lease.
    Activate {
        /// The candidate.
        node: u8,
    },
    /// The holder writes one batch that consumes this taker.
    Consume {
        /// The holder.
        holder: u8,
        /// The taker.
        taker: u8,
    },
    /// The holder writes the Seal.
    Seal {
        /// The holder.
        holder: u8,
    },
    /// The voter writes that it holds the Seal durably under its head's term.
    SealAck {
        /// The voter.
        voter: u8,
    },
    /// The node computes the genesis of the next generation and goes on there.
    MoveOn {
        /// The node.
        node: u8,
    },
    /// The node takes the genesis of the next generation from a peer and goes on there.
    TakeGenesis {
        /// The node.
        node: u8,
        /// The peer.
        from: u8,
    },
    /// One change reaches a node, with its past.
    Deliver {
        /// The row of the change.
        row: u8,
        /// The receiver.
        to: u8,
    },
    /// Everything that the node applied becomes durable.
    Sync {
        /// The node.
        node: u8,
    },
    /// The node crashes, loses what is not durable, and comes back as another actor. Only offered where
    /// that matters: it has something to lose, or it is a candidate or holder.
    Restart {
        /// The node.
        node: u8,
    },
    /// With a bug planted: the voter reads the label for an acknowledgement that it sends later.
    ReadLabel {
        /// The voter.
        voter: u8,
    },
}

impl Protocol {
    /// Collects the steps that can be taken.
    pub fn steps(&self, state: &State, steps: &mut Vec<Action>) {
        for node in self.living() {
            self.promises(state, node, steps);
            self.lease_steps(state, node, steps);
            self.generation_steps(state, node, steps);
            self.disk_steps(state, node, steps);
            self.messages_to(state, node, steps);
        }
    }

    /// The nodes that are not dead.
    fn living(&self) -> impl Iterator<Item = u8> {
        (0..self.bounds.nodes).filter(|node| self.bounds.dead >> node & 1 == 0)
    }

    /// What the node may send: its durable changes; before they are durable only what the disk rule allows.
    pub fn sendable(&self, state: &State, node: u8) -> Set {
        let doc = state.node(node);
        let unsynced = doc.applied.without(doc.durable);
        let stored_first = self.rules.keep(Rule::PromiseStored);
        if unsynced.is_empty() || self.bounds.disk == Disk::Stored && stored_first {
            return doc.durable;
        }
        let held_back = match stored_first {
            true => unsynced
                .rows()
                .filter(|row| self.vow(state, node, *row))
                .fold(Set::EMPTY, |set, row| set.and(Set::of(row))),
            false => Set::EMPTY,
        };
        let free = unsynced.rows().filter(|row| state.closure(*row).within(held_back).is_empty());
        free.fold(doc.durable, |set, row| set.and(Set::of(row)))
    }

    /// Whether the row is a promise or a seal-ack of this node: what it may not say before it is durable.
    pub fn vow(&self, state: &State, node: u8, row: usize) -> bool {
        let change = &state.log[row];
        change.author.node == node && matches!(change.kind, Kind::Promise { .. } | Kind::SealAck)
    }

    fn promises(&self, state: &State, voter: u8, steps: &mut Vec<Action>) {
        let doc = state.document(voter);
        let generation = state.generation(doc);
        if !self.bounds.votes(generation, voter) && self.rules.keep(Rule::OwnVoters) {
            return;
        }
        let label = state.label(doc, voter);
        let lowest = if self.rules.keep(Rule::PromiseOnce) { label + 1 } else { label.max(2) };
        for term in lowest..=self.bounds.terms[usize::from(generation)] {
            let candidate = self.bounds.candidates[usize::from(term) - 1] >> voter & 1 == 1;
            if candidate && self.bounds.votes(generation, voter) && term > label {
                steps.push(Action::Promise { voter, term, to: state.actor(voter) });
            }
            for other in self.living().filter(|other| *other != voter) {
                for to in self.asked_for(state, generation, other, term, doc) {
                    steps.push(Action::Promise { voter, term, to });
                }
            }
        }
        if !self.rules.keep(Rule::PromiseByVoter) {
            self.repeated_promises(state, voter, doc, steps);
        }
    }

    /// The actors of a node to whom a voter may promise the term: one that asks for it, having promised it
    /// to itself durably, and one whose activation of this term the voter has seen.
    fn asked_for(&self, state: &State, generation: u8, other: u8, term: u8, doc: Set) -> Vec<Actor> {
        let candidate = state.actor(other);
        let own = |row: usize| {
            let change = &state.log[row];
            (change.generation, change.term, change.author) == (generation, term, candidate)
                && change.kind == (Kind::Promise { to: candidate })
        };
        let mut asked = Vec::new();
        if state.generation_of(other) == generation && self.sendable(state, other).rows().any(own) {
            asked.push(candidate);
        }
        for row in doc.rows() {
            let change = &state.log[row];
            if change.kind == Kind::Activation && change.term == term && change.author.node == other {
                asked.push(change.author);
            }
        }
        asked.dedup();
        asked
    }

    fn repeated_promises(&self, state: &State, voter: u8, doc: Set, steps: &mut Vec<Action>) {
        let by = |row: usize| (state.log[row].kind, state.log[row].term, state.log[row].author);
        for row in doc.rows() {
            let Kind::Promise { to } = state.log[row].kind else { continue };
            let (kind, term, author) = by(row);
            let repeated = doc.rows().any(|other| by(other) == (kind, term, state.actor(voter)));
            if author.node == voter && to.node != voter && !repeated {
                steps.push(Action::Promise { voter, term, to });
            }
        }
    }

    /// The promises in the document that this actor may count for the term.
    pub fn promised(&self, state: &State, doc: Set, term: u8, candidate: Actor) -> bool {
        let (mut voters, mut count) = (0u8, 0);
        let generation = state.generation(doc);
        for row in doc.rows() {
            let change = &state.log[row];
            let Kind::Promise { to } = change.kind else { continue };
            if change.term == term && self.same_holder(to, candidate) {
                voters |= 1 << change.author.node;
                count += 1;
            }
        }
        if self.rules.keep(Rule::PromiseByVoter) {
            return self.majority(generation, voters);
        }
        2 * count > self.bounds.voters[usize::from(generation)].count_ones()
    }

    fn lease_steps(&self, state: &State, node: u8, steps: &mut Vec<Action>) {
        let doc = state.document(node);
        let generation = state.generation(doc);
        let fold = self.fold(state, doc);
        let head = &state.log[fold.head];
        let (label, me) = (state.label(doc, node), state.actor(node));
        let sealed = state.sealed(fold.tape).is_some();
        let adoptable = !sealed || self.rules.keep(Rule::SealAdopted);
        if label > head.term && adoptable && self.promised(state, doc, label, me) {
            steps.push(Action::Activate { node });
        }
        let open = !sealed || !self.rules.keep(Rule::NothingAfterSeal);
        if !self.same_holder(head.author, me) || !open {
            return;
        }
        let (_, consumed, _) = state.replay(state.genesis_of(fold.head), fold.tape);
        // Which taker comes next changes nothing but its name, so the lowest comes first.
        if let Some(taker) = (0..self.bounds.takers).find(|taker| consumed >> taker & 1 == 0) {
            steps.push(Action::Consume { holder: node, taker });
        }
        if generation == 0 && self.bounds.voters[1] != 0 && !sealed && self.fresh(state, node) {
            steps.push(Action::Seal { holder: node });
        }
    }

    /// Whether a majority of the next voters holds the tip of this holder durably. A next voter that is no
    /// voter yet counts if it lives: the holder can bring it up to date at any time, and until it has the
    /// next genesis nothing else depends on what it holds.
    fn fresh(&self, state: &State, holder: u8) -> bool {
        let fold = self.fold(state, state.document(holder));
        let tip = fold.tape.and(Set::of(fold.head));
        let holds = |node: &u8| !self.bounds.votes(0, *node) || state.node(*node).durable.covers(tip);
        let fresh = self.living().filter(holds).fold(0, |set, node| set | 1 << node);
        !self.rules.keep(Rule::SealFresh) || self.majority(1, fresh)
    }

    fn generation_steps(&self, state: &State, node: u8, steps: &mut Vec<Action>) {
        if self.bounds.voters[1] == 0 || state.generation_of(node) != 0 {
            return;
        }
        if self.bounds.votes(0, node) {
            if self.may_seal_ack(state, node) {
                steps.push(Action::SealAck { voter: node });
            }
            if self.bounds.votes(1, node) && self.seal_known(state, node) {
                steps.push(Action::MoveOn { node });
            }
        }
        for from in self.living().filter(|from| *from != node && self.bounds.votes(1, node)) {
            if state.generation(self.sendable(state, from)) == 1 {
                steps.push(Action::TakeGenesis { node, from });
            }
        }
    }

    /// Whether the voter's durable fold ends in a Seal, under a head of its own label. Once the Seal is
    /// committed another seal-ack adds nothing.
    fn may_seal_ack(&self, state: &State, node: u8) -> bool {
        let Node { applied, durable, .. } = *state.node(node);
        let fold = self.fold(state, durable);
        let term = state.log[fold.head].term;
        let label_fits = term == state.label(applied, node) || !self.rules.keep(Rule::SealAckLabel);
        let new = |row: usize| {
            let change = &state.log[row];
            change.kind != Kind::SealAck || (change.author.node, change.term) != (node, term)
        };
        let open = state.sealed(fold.tape).is_some_and(|seal| state.log[seal].committed == 0);
        open && label_fits && applied.rows().all(new)
    }

    /// Whether the node knows that the Seal in its fold is committed. By a commit message, which it heeds as
    /// for any other batch; or by a majority of seal-acks of one term, which `settle` turns into a commit
    /// of that term as soon as they are durable, since to receive a seal-ack does nothing else.
    fn seal_known(&self, state: &State, node: u8) -> bool {
        let fold = self.fold(state, state.document(node));
        let Some(seal) = state.sealed(fold.tape) else { return false };
        let under = state.log[seal].committed;
        under != 0 && under <= state.log[fold.head].term || !self.rules.keep(Rule::NextCommitted)
    }

    fn disk_steps(&self, state: &State, node: u8, steps: &mut Vec<Action>) {
        let me = state.actor(node);
        let doc = state.node(node);
        let unsynced = !doc.applied.without(doc.durable).is_empty();
        if unsynced {
            steps.push(Action::Sync { node });
        }
        let rows = state.document(node);
        let stake = rows.rows().any(|row| {
            let change = &state.log[row];
            let candidate = change.kind == Kind::Promise { to: me };
            let repeats = !self.rules.keep(Rule::PromiseByVoter) && change.author == me;
            (candidate || repeats || change.kind.is_head()) && change.author == me
        });
        if state.restarts < self.bounds.restarts && (unsynced || stake) {
            steps.push(Action::Restart { node });
        }
        if !self.rules.keep(Rule::AckSnapshot) {
            let label = state.label(doc.durable, node);
            if label != doc.label_read {
                steps.push(Action::ReadLabel { voter: node });
            }
        }
    }

    fn messages_to(&self, state: &State, to: u8, steps: &mut Vec<Action>) {
        let doc = state.document(to);
        let generation = state.generation(doc);
        if !self.bounds.votes(generation, to) && self.rules.keep(Rule::OwnVoters) {
            return;
        }
        let rows = state.rows_of(generation).without(doc);
        let others = self.living().filter(|from| *from != to);
        let sent = others.fold(Set::EMPTY, |set, from| set.and(self.sendable(state, from)));
        for row in sent.within(rows).rows() {
            let wanted = match state.log[row].kind {
                _ if self.bounds.whole => true,
                Kind::Promise { to: candidate } => candidate.node == to && self.counts(state, row),
                Kind::SealAck => false,
                // Of two geneses, which only a planted bug makes, a node has one.
                _ => doc.has(state.genesis_of(row)),
            };
            if wanted {
                steps.push(Action::Deliver { row: row as u8, to });
            }
        }
    }
}

/// What a holder writes for a taker: the first one fills.
pub fn entry_for(filled: bool, taker: u8) -> Entry {
    if filled { Entry::Reject(taker) } else { Entry::Fill(taker) }
}

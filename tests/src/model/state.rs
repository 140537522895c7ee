//! The nodes and their documents, and what can be read from a document: label, head and fold.

use super::{
    Protocol,
    change::{Actor, Change, Entry, Kind, Set},
    rules::Rule,
};

/// The most nodes that a search has.
pub const NODES: usize = 5;

/// One node. Which generation it is in, its label, and whether it holds a lease follow from its document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Node {
    /// The document that it works with.
    pub applied: Set,
    /// The part of it that survives a crash.
    pub durable: Set,
    /// Its process: the `start` of the actor that it writes as.
    pub start: u8,
    /// With [`Rule::AckSnapshot`] left out: the label that it read for its next acknowledgement.
    pub label_read: u8,
}

/// A state of the whole system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// All changes that some node holds or that were committed, sorted.
    pub log: Vec<Change>,
    /// The nodes; those beyond the bounds stay empty.
    pub nodes: [Node; NODES],
    /// Restarts so far.
    pub restarts: u8,
}

/// The effective tape of a document, and the change that heads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// The row of the head: the valid activation of the highest term, or the genesis.
    pub head: usize,
    /// The adopted prefixes and the head's own batches.
    pub tape: Set,
}

impl State {
    /// The start: everyone has the genesis of generation 0, which gives term 1 to A.
    pub fn start(nodes: u8) -> State {
        let genesis = Kind::Genesis { filled: false, consumed: 0 };
        let log = vec![Change::new(0, genesis, 1, Actor { node: 0, start: 0 })];
        let mut state = State { log, nodes: [Node::default(); NODES], restarts: 0 };
        for node in &mut state.nodes[..usize::from(nodes)] {
            (node.applied, node.durable) = (Set::of(0), Set::of(0));
        }
        state
    }

    /// The node.
    pub fn node(&self, node: u8) -> &Node {
        &self.nodes[usize::from(node)]
    }

    /// The actor as which the node writes now.
    pub fn actor(&self, node: u8) -> Actor {
        Actor { node, start: self.node(node).start }
    }

    /// All rows of a generation.
    pub fn rows_of(&self, generation: u8) -> Set {
        let second = self.log.partition_point(|change| change.generation == 0);
        match generation {
            0 => Set::below(second),
            _ => Set::below(self.log.len()).without(Set::below(second)),
        }
    }

    /// The generation that a node with this document works in.
    pub fn generation(&self, doc: Set) -> u8 {
        doc.last().map_or(0, |row| self.log[row].generation)
    }

    /// The generation that the node works in.
    pub fn generation_of(&self, node: u8) -> u8 {
        self.generation(self.node(node).applied)
    }

    /// The document of the node's present generation.
    pub fn document(&self, node: u8) -> Set {
        let applied = self.node(node).applied;
        applied.within(self.rows_of(self.generation(applied)))
    }

    /// The label of the node's acknowledgements by this document: the highest term that it promised in
    /// the document's generation, at least the term of the genesis.
    pub fn label(&self, doc: Set, node: u8) -> u8 {
        let doc = doc.within(self.rows_of(self.generation(doc)));
        let terms = doc.rows().filter_map(|row| match self.log[row] {
            Change { kind: Kind::Genesis { .. }, term, .. } => Some(term),
            Change { kind: Kind::Promise { .. }, term, author, .. } if author.node == node => Some(term),
            _ => None,
        });
        terms.max().unwrap_or(0)
    }

    /// Whether the tape ends in a Seal (or, with a bug planted, has one).
    pub fn sealed(&self, tape: Set) -> Option<usize> {
        tape.rows().find(|row| matches!(self.log[*row].kind, Kind::Tape { entry: Entry::Seal, .. }))
    }

    /// A change with its past, inside its own document.
    pub fn closure(&self, row: usize) -> Set {
        let change = &self.log[row];
        change.past.within(self.rows_of(change.generation)).and(Set::of(row))
    }

    /// The genesis on which a row of generation 1, or of 0, stands.
    pub fn genesis_of(&self, row: usize) -> usize {
        let first = self.closure(row).rows().next();
        first.unwrap_or(row)
    }

    /// Whether the resting order is filled and which takers are consumed where this tape, on this
    /// genesis, ends; and whether anything happened twice on the way.
    pub fn replay(&self, genesis: usize, tape: Set) -> (bool, u8, bool) {
        let Kind::Genesis { filled, consumed } = self.log[genesis].kind else { return (false, 0, false) };
        tape.rows().fold((filled, consumed, false), |(filled, consumed, twice), row| {
            let Kind::Tape { entry, .. } = self.log[row].kind else { return (filled, consumed, twice) };
            match entry {
                Entry::Fill(taker) => {
                    (true, consumed | 1 << taker, twice || filled || consumed >> taker & 1 == 1)
                }
                Entry::Reject(taker) => (filled, consumed | 1 << taker, twice || consumed >> taker & 1 == 1),
                Entry::Seal => (filled, consumed, twice),
            }
        })
    }

    /// Adds a change, or finds it; returns its row.
    pub fn insert(&mut self, change: Change) -> usize {
        let key = change.key();
        let row = match self.log.binary_search_by_key(&key, Change::key) {
            Ok(row) => return row,
            Err(row) => row,
        };
        assert!(self.log.len() < 64, "a set holds 64 changes");
        self.each_set(|set| set.after_insert(row));
        let mut change = change;
        (change.past, change.adopts) = (change.past.after_insert(row), change.adopts.after_insert(row));
        self.log.insert(row, change);
        row
    }

    /// Forgets a change that no set names.
    pub fn remove(&mut self, row: usize) {
        self.log.remove(row);
        self.each_set(|set| set.after_remove(row));
    }

    fn each_set(&mut self, edit: impl Fn(Set) -> Set) {
        for node in &mut self.nodes {
            (node.applied, node.durable) = (edit(node.applied), edit(node.durable));
        }
        for change in &mut self.log {
            (change.past, change.adopts) = (edit(change.past), edit(change.adopts));
        }
    }
}

impl Protocol {
    /// Whether two actors count as the same holder.
    pub fn same_holder(&self, one: Actor, other: Actor) -> bool {
        one == other || !self.rules.keep(Rule::HolderIsActor) && one.node == other.node
    }

    /// Whether the writer of this lease still runs, in the generation of the lease.
    pub fn alive(&self, state: &State, lease: &Change) -> bool {
        let node = lease.author.node;
        self.same_holder(lease.author, state.actor(node)) && state.generation_of(node) == lease.generation
    }

    /// The batches that this lease's holder wrote, among these rows.
    pub fn own_tape(&self, state: &State, head: usize, rows: Set) -> Set {
        let lease = &state.log[head];
        let own = rows.rows().filter(|row| {
            let change = &state.log[*row];
            matches!(change.kind, Kind::Tape { .. })
                && (change.generation, change.term) == (lease.generation, lease.term)
                && self.same_holder(change.author, lease.author)
        });
        own.fold(Set::EMPTY, |set, row| set.and(Set::of(row)))
    }

    /// The fold of a document. Activations are written only with a majority of promises in their own
    /// past, which never changes, so each one in the log is valid.
    pub fn fold(&self, state: &State, doc: Set) -> Fold {
        let doc = doc.within(state.rows_of(state.generation(doc)));
        let heads = doc.rows().filter(|row| state.log[*row].kind.is_head());
        let head = heads.max_by_key(|row| (state.log[*row].term, *row)).unwrap_or(0);
        Fold { head, tape: state.log[head].adopts.and(self.own_tape(state, head, doc)) }
    }

    /// Whether these nodes are a majority of the generation's voters.
    pub fn majority(&self, generation: u8, nodes: u8) -> bool {
        let voters = self.bounds.voters[usize::from(generation)];
        let counted = if self.rules.keep(Rule::OwnVoters) { nodes & voters } else { nodes };
        2 * counted.count_ones() > voters.count_ones()
    }
}

//! Whether the book can always go on: from *every* state, not only from the start.
//!
//! `stateright` asks whether something can be reached from the start, or must be reached on every way.
//! Recovery is a third thing: wherever a run has got to, some way on leads to the end. So this walks the
//! whole graph once, and then goes backwards from the states where all takers are consumed by committed
//! batches. It does so once with all nodes, and once for each set of nodes that may die for good at any
//! moment: their steps, and what only they hold, are then left out.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use stateright::Model;

use super::{Action, Protocol, Trace, property, state::State};

/// What the walk found.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// Distinct states.
    pub states: usize,
    /// States from which the end must be reachable: a term is left that no voter promised.
    pub hopeful: usize,
    /// The nearest state from which the end is out of reach, and which nodes are dead then.
    pub stuck: Option<Trace>,
}

/// A step from one state to another, and with which dead sets (a bit each) it can be taken.
struct Edge {
    from: u32,
    dead: u8,
}

struct Graph {
    /// How each state was first reached.
    reached: Vec<Option<(u32, Action)>>,
    hopeful: Vec<bool>,
    ends: Vec<u32>,
    /// The steps into each state.
    into: Vec<Vec<Edge>>,
}

impl Protocol {
    /// Walks all states within the bounds; `deaths` are bit masks of nodes that may die together.
    pub fn recovery(&self, deaths: &[u8]) -> Recovery {
        let graph = self.graph(deaths);
        let stuck = (0..=deaths.len()).find_map(|dead| {
            let alive = graph.reaching_end(dead);
            let lost = (0..alive.len()).find(|at| graph.hopeful[*at] && !alive[*at]);
            lost.map(|at| (at as u32, deaths.get(dead).copied().unwrap_or(0)))
        });
        Recovery {
            states: graph.hopeful.len(),
            hopeful: graph.hopeful.iter().filter(|hopeful| **hopeful).count(),
            stuck: stuck.map(|(at, dead)| self.stuck(&graph, at, dead)),
        }
    }

    fn graph(&self, deaths: &[u8]) -> Graph {
        let without = |dead: &u8| {
            let mut protocol = self.clone();
            protocol.bounds.dead |= dead;
            protocol
        };
        let survivors: Vec<Protocol> = deaths.iter().map(without).collect();
        let mut graph = Graph { reached: vec![], hopeful: vec![], ends: vec![], into: vec![] };
        let mut found = HashMap::new();
        let mut waiting = VecDeque::new();
        for start in self.init_states() {
            found.insert(start.clone(), graph.add(self, &start, None));
            waiting.push_back(start);
        }
        let (mut steps, mut fewer) = (Vec::new(), Vec::new());
        while let Some(state) = waiting.pop_front() {
            let from = found[&state];
            steps.clear();
            self.steps(&state, &mut steps);
            let mut dead = vec![1u8 << survivors.len(); steps.len()];
            for (bit, survivor) in survivors.iter().enumerate() {
                fewer.clear();
                survivor.steps(&state, &mut fewer);
                for (dead, _) in dead.iter_mut().zip(&steps).filter(|(_, step)| fewer.contains(step)) {
                    *dead |= 1 << bit;
                }
            }
            for (action, dead) in steps.iter().zip(dead) {
                let Some(next) = self.next_state(&state, *action) else { continue };
                let to = match found.entry(next) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        let to = graph.add(self, new.key(), Some((from, *action)));
                        waiting.push_back(new.key().clone());
                        *new.insert(to)
                    }
                };
                graph.into[to as usize].push(Edge { from, dead });
            }
        }
        graph
    }

    fn stuck(&self, graph: &Graph, at: u32, dead: u8) -> Trace {
        let mut actions = Vec::new();
        let mut state = at;
        while let Some((from, action)) = graph.reached[state as usize] {
            actions.push(action);
            state = from;
        }
        actions.reverse();
        let property = "the book can always go on";
        let mut trace = self.trace(property, &actions);
        let dead: Vec<_> = (0..8).filter(|node| dead >> node & 1 == 1).map(super::name).collect();
        let dead = if dead.is_empty() { String::new() } else { format!("{dead:?} die; ") };
        trace.steps.push(format!("{dead}no way leads on to where all takers are consumed and committed"));
        trace
    }

    /// Whether a term is left that no voter of the newest generation promised, so that a new lease is
    /// possible whatever became of the older ones.
    fn hopeful(&self, state: &State) -> bool {
        let generation = (0..self.bounds.nodes).map(|node| state.generation_of(node)).max().unwrap_or(0);
        let left = self.bounds.terms[usize::from(generation)];
        let voters = (0..self.bounds.nodes).filter(|node| self.bounds.votes(generation, *node));
        let mut there = voters.filter(|node| state.generation_of(*node) == generation);
        there.all(|node| state.label(state.document(node), node) < left)
    }
}

impl Graph {
    fn add(&mut self, protocol: &Protocol, state: &State, reached: Option<(u32, Action)>) -> u32 {
        let at = self.hopeful.len() as u32;
        self.reached.push(reached);
        self.hopeful.push(protocol.hopeful(state));
        self.into.push(Vec::new());
        if property::finished(protocol, state) {
            self.ends.push(at);
        }
        at
    }

    /// For each state, whether an end can be reached from it by steps that this dead set leaves.
    fn reaching_end(&self, dead: usize) -> Vec<bool> {
        let mut reaching = vec![false; self.hopeful.len()];
        let mut waiting = self.ends.clone();
        while let Some(at) = waiting.pop() {
            if !std::mem::replace(&mut reaching[at as usize], true) {
                let steps = self.into[at as usize].iter().filter(|edge| edge.dead >> dead & 1 == 1);
                waiting.extend(steps.map(|edge| edge.from).filter(|from| !reaching[*from as usize]));
            }
        }
        reaching
    }
}

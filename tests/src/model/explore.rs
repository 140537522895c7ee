//! Runs a search and says what it found, in words.

use std::{fmt, time::Duration};

use stateright::{Checker, Expectation, HasDiscoveries, Model, UniformChooser};

use super::{
    Action, Protocol,
    change::{Change, Kind, Set, name},
    state::State,
};

/// How to walk through the states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// Every state, the nearest first.
    All,
    /// Every state, at most about so many.
    Some(usize),
    /// Random walks from this seed, so many states in all.
    Random(u64, usize),
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Explored {
    /// States reached, with repetitions.
    pub reached: usize,
    /// Distinct states.
    pub states: usize,
    /// The longest of the shortest ways to a state (of all ways, in random walks).
    pub depth: usize,
    /// Whether every state within the bounds was seen.
    pub complete: bool,
    /// The broken property and the steps that lead there.
    pub broken: Option<Trace>,
    /// What should be possible and was not seen.
    pub unseen: Vec<&'static str>,
}

/// A counterexample.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The property that does not hold in the end.
    pub property: &'static str,
    /// What happens, a line a step.
    pub steps: Vec<String>,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "broken after {} steps: {}", self.steps.len(), self.property)?;
        self.steps.iter().enumerate().try_for_each(|(at, step)| writeln!(f, "{:3}. {step}", at + 1))
    }
}

impl Protocol {
    /// Searches until a property is broken or the walk is over; `progress` hears the count of distinct
    /// states from time to time.
    pub fn explore(&self, walk: Walk, threads: usize, progress: impl Fn(usize)) -> Explored {
        let mut outcome = self.search(walk, threads, None, &progress);
        // The checker looks at its states in blocks and keeps the last broken one: look nearer.
        while let (Some(found), true) = (&outcome.broken, walk == Walk::All) {
            let nearer = self.search(walk, threads, Some(found.steps.len() + 1), &progress);
            if nearer.broken.is_none() {
                break;
            }
            outcome.broken = nearer.broken;
        }
        outcome
    }

    fn search(
        &self,
        walk: Walk,
        threads: usize,
        below: Option<usize>,
        progress: &impl Fn(usize),
    ) -> Explored {
        let mut checker = self.clone().checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
        if let Some(depth) = below {
            checker = checker.target_max_depth(depth);
        }
        match walk {
            Walk::All => self.finish(checker.spawn_bfs(), None, progress),
            Walk::Some(most) => {
                self.finish(checker.target_state_count(most).spawn_bfs(), Some(most), progress)
            }
            Walk::Random(seed, most) => {
                let checker = checker.target_state_count(most).spawn_simulation(seed, UniformChooser);
                self.finish(checker, Some(most), progress)
            }
        }
    }

    fn finish<C>(&self, mut checker: C, most: Option<usize>, progress: &impl Fn(usize)) -> Explored
    where
        C: Checker<Protocol>,
    {
        for handle in checker.handles() {
            while !handle.is_finished() {
                std::thread::sleep(Duration::from_millis(2));
                progress(checker.unique_state_count());
            }
            if let Err(panic) = handle.join() {
                std::panic::resume_unwind(panic);
            }
        }
        let found = checker.discoveries();
        let broken = |name: &&'static str| checker.model().property(name).expectation == Expectation::Always;
        let first =
            found.keys().copied().filter(broken).min_by_key(|name| found[name].clone().into_actions().len());
        let unseen =
            self.properties().into_iter().filter(|property| property.expectation == Expectation::Sometimes);
        let reached = checker.state_count();
        Explored {
            reached,
            states: checker.unique_state_count(),
            depth: checker.max_depth(),
            complete: first.is_none() && most.is_none_or(|most| reached < most),
            broken: first.map(|property| self.trace(property, &found[property].clone().into_actions())),
            unseen: unseen.map(|property| property.name).filter(|name| !found.contains_key(name)).collect(),
        }
    }

    /// The steps in words.
    pub fn trace(&self, property: &'static str, found: &[Action]) -> Trace {
        let mut steps = Vec::new();
        let mut last = State::start(self.bounds.nodes);
        for action in found {
            let next = self.after(&last, *action);
            steps.push(format!("{}{}", self.say(&last, *action), commits(&last, &next)));
            last = next;
        }
        Trace { property, steps }
    }

    /// The step in words.
    pub fn say(&self, state: &State, action: Action) -> String {
        match action {
            Action::Promise { voter, term, to } if voter == to.node => {
                format!("{} is a candidate for term {term}: it promises it to itself", name(voter))
            }
            Action::Promise { voter, term, to } => format!("{} promises term {term} to {to}", name(voter)),
            Action::Activate { node } => {
                let doc = state.document(node);
                let adopted = self.fold(state, doc).tape;
                let term = state.label(doc, node);
                format!("{} activates term {term}, adopting {}", name(node), listed(state, adopted))
            }
            Action::Consume { holder, taker } => {
                let fold = self.fold(state, state.document(holder));
                let (filled, ..) = state.replay(state.genesis_of(fold.head), fold.tape);
                let what = if filled { "rejects" } else { "fills" };
                format!("{} {what} taker {taker} under term {}", name(holder), state.log[fold.head].term)
            }
            Action::Seal { holder } => format!("{} writes the Seal", name(holder)),
            Action::SealAck { voter } => format!("{} writes its seal-ack", name(voter)),
            Action::MoveOn { node } => format!("{} computes the next genesis and moves on", name(node)),
            Action::TakeGenesis { node, from } => {
                format!("{} takes the next genesis from {} and moves on", name(node), name(from))
            }
            Action::Deliver { row, to } => format!("{} receives {}", name(to), state.log[usize::from(row)]),
            Action::Sync { node } => format!("{} syncs its disk", name(node)),
            Action::Restart { node } => format!("{} crashes and restarts", name(node)),
            Action::ReadLabel { voter } => format!("{} reads its label for an acknowledgement", name(voter)),
        }
    }
}

fn listed(state: &State, tape: Set) -> String {
    let batches: Vec<String> = tape.rows().map(|row| state.log[row].to_string()).collect();
    if batches.is_empty() { "nothing".into() } else { batches.join(", ") }
}

fn commits(last: &State, next: &State) -> String {
    let done = |state: &State, key| {
        let found = state.log.binary_search_by_key(&key, Change::key);
        found.is_ok_and(|row| state.log[row].committed != 0)
    };
    let new =
        next.log.iter().filter(|change| matches!(change.kind, Kind::Tape { .. }) && change.committed != 0);
    let new = new.filter(|change| !done(last, change.key()));
    new.map(|change| format!("; this commits {change} under term {}", change.committed)).collect()
}

//! After healing all nodes have the same digest within a stated time, and nothing is pending.

use xbook::types::{GenerationNumber, NodeId, Position};

use crate::sim::machine::Machine;

/// How long it may take, in simulated microseconds, from the moment at which the network is whole
/// and all processes run: three leases, and time to catch up.
pub const BOUND: u64 = 6_000_000;

/// They do not come together.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{} s after healing: {}", BOUND / 1_000_000, .states.join("; "))]
pub struct ConvergenceViolation {
    /// How each node is.
    pub states: Vec<String>,
}

type Picture = (GenerationNumber, Position, [u8; 32], u64);

/// Whether all nodes show the same and have nothing left to do.
#[must_use]
pub fn converged(machines: &[Machine], committed: Position) -> bool {
    let pictures: Vec<Option<Picture>> = machines.iter().map(picture).collect();
    let all_same = pictures.windows(2).all(|two| two[0] == two[1]);
    let complete = machines
        .iter()
        .filter_map(Machine::running)
        .all(|replica| replica.status().position == committed && replica.is_idle());
    all_same && complete && pictures.iter().all(Option::is_some)
}

fn picture(machine: &Machine) -> Option<Picture> {
    let status = machine.running()?.status();
    Some((status.generation, status.position, status.digest, status.changes))
}

/// What keeps them apart; `waits` is what else is waited for.
#[must_use]
pub fn describe(machines: &[Machine], waits: impl IntoIterator<Item = String>) -> ConvergenceViolation {
    let state = |machine: &Machine| match machine.running().map(|replica| replica.status()) {
        None => format!("node {} does not run", machine.id.0),
        Some(status) => format!(
            "node {} is at position {} of generation {} in term {} of {} with {} changes, {} batches and {} pending",
            machine.id.0,
            status.position,
            status.generation,
            status.term,
            status.holder.unwrap_or(NodeId(0)).0,
            status.changes,
            status.committed_batches,
            status.pending
        ),
    };
    ConvergenceViolation { states: machines.iter().map(state).chain(waits).collect() }
}

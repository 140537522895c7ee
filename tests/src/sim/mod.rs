//! The simulator: the real replica code of several nodes in one thread, in a simulated world.
//!
//! [`run`] turns a seed into a whole history: chaos, healing, a clean partition, healing again.
//! Everything that happens is drawn from the seed. The room, from the outside in:
//!
//! - [`world`]: the event loop that drives it all; `life` is what happens to processes, connections
//!   and disks, `quarantine` to a document that faults on one node, `watch` has the oracles look on;
//! - [`faults`]: what goes wrong, and when; `operator` changes the voters and loses disks;
//! - `programs`: nodes of two programs, and a document that goes on in a newer format;
//! - [`client`]: who asks, and remembers;
//! - [`machine`], [`disk`], [`clock`], [`network`]: what a replica runs on;
//! - [`oracle`]: what must hold, a file a family;
//! - [`plant`]: bugs to prove that the oracles see.

pub mod client;
pub mod clock;
mod clocks;
mod copies;
pub mod disk;
pub mod faults;
mod life;
pub mod machine;
pub mod network;
mod operator;
pub mod oracle;
pub mod plant;
mod programs;
mod quarantine;
pub mod random;
mod watch;
pub mod world;

use std::collections::{BTreeMap, BTreeSet};

use xbook::replica::Input;
use xbook::replica::message::Message;

use machine::Machine;
pub use oracle::Violation;
use oracle::convergence;
use oracle::partition::Cut;
pub use plant::{BUGS, Bug};
pub use world::World;

/// How a seed is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Voters; `None` lets the seed choose 3 or 5.
    pub voters: Option<usize>,
    /// Observers; `None` lets the seed choose none or one.
    pub observers: Option<usize>,
    /// Simulated microseconds of chaos.
    pub chaos: u64,
    /// A bug to plant.
    pub bug: Option<Bug>,
    /// Whether to keep a log of all that happens.
    pub log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { voters: None, observers: None, chaos: 20_000_000, bug: None, log: false }
    }
}

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What did not hold.
    pub violation: Option<Violation>,
    /// Hash of all that happened: equal for two runs of a seed.
    pub trace: u64,
    /// Simulated microseconds.
    pub simulated: u64,
    /// Events that happened.
    pub events: u64,
    /// Intents that were consumed.
    pub consumed: usize,
    /// Orders that were withdrawn before their turn.
    pub withdrawn: u64,
    /// Batches that were committed.
    pub batches: u64,
    /// Terms that had a lease holder.
    pub terms: usize,
    /// Moments at which two live processes believed in their leases.
    pub overlaps: u64,
    /// Generations of the document.
    pub generations: usize,
    /// How often a node took a generation from a peer, skipping what it missed.
    pub snapshots: u64,
    /// Disks that were lost for good.
    pub lost_disks: u64,
    /// Old copies of disks that were put back, and how many of their nodes were refused.
    pub copies: (u64, u64),
    /// Whether the document went on in a newer format.
    pub upgraded: bool,
    /// How often a node stopped at a generation that its program could not read.
    pub stopped: u64,
    /// Documents that were stopped by a fault on one node.
    pub quarantines: u64,
    /// How long the majority stood still after the clean cut.
    pub resumed: Option<u64>,
    /// What happened, if that was asked for.
    pub log: Vec<String>,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, options: &Options) -> Report {
    let _planted = plant::Planted::new(options.bug);
    let mut world = begin(seed, options);
    let mut resumed = None;
    let outcome = history(&mut world, options.chaos, &mut resumed);
    Report {
        seed,
        violation: outcome.err(),
        trace: world.trace.0,
        simulated: world.time,
        events: world.events_done,
        consumed: world.promises.count(),
        withdrawn: world.rematch.withdrawn,
        batches: world.committed.len(),
        terms: world.leases.terms(),
        overlaps: world.leases.overlaps,
        generations: world.generations.count(),
        snapshots: world.snapshots,
        lost_disks: world.operator.lost,
        copies: (world.copies, world.refusals),
        upgraded: world.generations.ends().1.format() > programs::OLDER.newest,
        stopped: world.programs.stopped,
        quarantines: world.quarantines,
        resumed,
        log: world.log.unwrap_or_default(),
    }
}

/// The world of a seed at its beginning.
#[must_use]
pub fn begin(seed: u64, options: &Options) -> World {
    let mut shape = random::Random::new(seed ^ 0x5A5A);
    let voters = options.voters.unwrap_or(if shape.percent(75) { 3 } else { 5 });
    // Without observers there is no wrong voter.
    let watched = if options.bug == Some(Bug::WrongVoters) { 2 } else { usize::from(shape.percent(30)) };
    let observers = options.observers.unwrap_or(watched);
    let mut world = World::new(seed, voters, observers, options.bug);
    world.log = options.log.then(Vec::new);
    world
}

fn history(world: &mut World, chaos: u64, resumed: &mut Option<u64>) -> Result<(), Violation> {
    for _ in 0..10 {
        world.run_until(world.time + chaos / 10)?;
        world.check_merge()?;
    }
    settle(world)?;
    if world.random.percent(40) {
        trade_in_a_tree(world)?;
    }
    if world.bug.is_none() && world.faulty.percent(30) {
        world.fault_alone()?;
        settle(world)?;
    }
    let healed = world.time;
    *resumed = clean_partition(world)?;
    settle(world)?;
    // All clocks were right, and clients traded.
    world.times.ended(healed + 1_000_000)?;
    world.check_merge()
}

/// Clients trade while only a tree of links works, and all nodes come to the same in it.
fn trade_in_a_tree(world: &mut World) -> Result<(), Violation> {
    if world.leave_tree() {
        world.fresh = true;
        world.run_until(world.time + 3_000_000)?;
        come_to_rest(world, 3)?;
    }
    world.heal()
}

/// Heals everything and waits until all is quiet.
fn settle(world: &mut World) -> Result<(), Violation> {
    if std::mem::replace(&mut world.chaos, false) {
        world.begin_repair();
    }
    world.heal()?;
    come_to_rest(world, 1)
}

/// Waits until all is quiet.
fn come_to_rest(world: &mut World, patience: u64) -> Result<(), Violation> {
    world.fresh = false;
    let begun = world.time;
    world.run_until(begun + 100_000)?;
    while !convergence::converged(&world.machines, world.committed.end())
        || !world.clients_are_content()
        || !world.voters_are_there()
        || !world.copies_are_settled()
        || !world.machines.iter().all(Machine::is_at_rest)
    {
        if world.time > begun + patience * convergence::BOUND {
            world.promises.settled()?;
            return Err(convergence::describe(&world.machines, world.waits_for()).into());
        }
        world.run_until(world.time + 100_000)?;
    }
    world.promises.settled()?;
    world.verify()
}

/// Cuts a minority off, with the lease holder in it half of the time, and looks at both sides.
fn clean_partition(world: &mut World) -> Result<Option<u64>, Violation> {
    world.fresh = true;
    world.run_until(world.time + 500_000)?;
    let voters = world.generations.voters();
    let mut voters: Vec<usize> = voters.into_iter().filter_map(|voter| world.find(voter)).collect();
    if voters.len() < 3 {
        // Nobody can be cut off.
        return Ok(None);
    }
    world.random.shuffle(&mut voters);
    if let Some(holder) = world.holders().first().copied().filter(|_| world.random.percent(50)) {
        voters.sort_by_key(|at| *at != holder);
    }
    let size = 1 + world.random.index((voters.len() - 1) / 2);
    let minority: BTreeSet<usize> = voters[..size].iter().copied().collect();
    let links = world.links_where(|a, b| minority.contains(&a) != minority.contains(&b));
    world.block(&links, 1);
    let ids = minority.iter().map(|at| world.machines[*at].id).collect();
    let since = world.time;
    let until = since + oracle::partition::RESUME_LEASES * world.lease.0 + oracle::partition::RESUME_EXTRA;
    world.cut = Some(Cut { minority: ids, since, until, resumed: None, asked: BTreeMap::new() });
    world.run_until(until + 200_000)?;
    Ok(world.cut.take().and_then(|cut| cut.resumed))
}

/// An input in a word or two, for the log.
fn describe_input(input: &Input) -> String {
    match input {
        Input::Message { from, envelope } => {
            let what = match &envelope.message {
                Message::Changes(changes) => format!("{} changes", changes.len()),
                Message::Ack(ack) => format!("ack under {}", ack.label),
                Message::Hello { ack, .. } => format!("hello under {}", ack.label),
                other => format!("{other:?}"),
            };
            format!("{}: {what}", from.0)
        }
        Input::Submit(requests) => {
            let actions: Vec<String> =
                requests.iter().map(|request| format!("{:?} {:?}", request.origin, request.action)).collect();
            format!("requests: {}", actions.join("; "))
        }
        other => format!("{other:?}"),
    }
}

//! The simulated world: events in the order of time, machines, network, clients and oracles.
//!
//! An event becomes an input of a machine's replica; the replica's effects become writes, messages
//! and timers, which are later events. The oracles look on after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use xbook::decimal::Grid;
use xbook::document::Genesis;
use xbook::machine::{Bands, Caps, FeeRates, NewMarket, Rules, SessionTime};
use xbook::replica::message::Envelope;
use xbook::replica::{Effect, Input};
use xbook::types::{MarketState, Micros, NodeId, OrderId, SelfTrade};

use super::client::{Client, Sending};
use super::clock::time_of_day;
use super::copies::Backup;
use super::disk::DiskWrite;
use super::faults::Nemesis;
use super::machine::{Health, Machine, Setup};
use super::network::{Direction, Network};
use super::operator::Operator;
use super::oracle::Violation;
use super::oracle::committed::Committed;
use super::oracle::generation::Generations;
use super::oracle::lease::Leases;
use super::oracle::partition::Cut;
use super::oracle::promise::Promises;
use super::oracle::rematch::Rematch;
use super::oracle::time::Times;
use super::plant::{self, Bug};
use super::programs::Programs;
use super::quarantine::is_found;
use super::random::{Random, Trace};

/// Most events at one moment of time.
const MAX_AT_ONCE: u64 = 20_000;

/// What happens.
#[derive(Debug)]
pub(super) enum Event {
    Deliver { direction: Direction, connection: u64, envelope: Envelope },
    Connect(Direction),
    PeerGone { machine: usize, life: u64, peer: usize, node: NodeId },
    TimeOut { pair: Direction, connection: u64 },
    Synced { machine: usize, life: u64 },
    Lie { machine: usize, life: u64 },
    Wake { machine: usize, life: u64 },
    Start(usize),
    Resume { machine: usize, life: u64 },
    Client(usize),
    Fault,
    Open(Vec<Direction>),
    Calm(Vec<Direction>),
    Hasten(usize),
    Strike(usize),
    Kill(usize),
    Operate,
    Repair,
    SetRight,
    Programs,
    Restore(usize, Box<Backup>),
    Damage(usize),
    Probe,
}

/// Everything.
#[derive(Debug)]
pub struct World {
    /// Simulated microseconds since the start.
    pub time: u64,
    pub(super) machines: Vec<Machine>,
    pub(super) network: Network,
    pub(super) random: Random,
    pub(super) nemesis: Nemesis,
    pub(super) operator: Operator,
    pub(super) programs: Programs,
    /// The id of the next node that is new.
    pub(super) next_node: u64,
    /// How long a lease lasts.
    pub(super) lease: Micros,
    /// How much a state keeps.
    pub(super) caps: Caps,
    pub(super) cut: Option<Cut>,
    pub(super) committed: Committed,
    pub(super) promises: Promises,
    pub(super) leases: Leases,
    pub(super) times: Times,
    /// When all clocks were last set right.
    pub(super) clocks_right: u64,
    /// Whether faults happen.
    pub(super) chaos: bool,
    /// Whether clients ask for anything new.
    pub(super) fresh: bool,
    pub(super) trace: Trace,
    pub(super) bug: Option<Bug>,
    /// Whether everything is said as it happens.
    pub(super) log: Option<Vec<String>>,
    pub(super) generations: Generations,
    pub(super) clients: Vec<Client>,
    pub(super) rematch: Rematch,
    events: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    at_once: u64,
    /// Ends of connections that have not heard yet that the other end is gone.
    pub(super) unaware: BTreeSet<Direction>,
    /// How many events happened.
    pub events_done: u64,
    /// What is drawn for documents that fault, apart from all else.
    pub(super) faulty: Random,
    /// How many documents were stopped by a fault on one node.
    pub quarantines: u64,
    /// How many old copies of disks were put back.
    pub copies: u64,
    /// How many of those were refused.
    pub refusals: u64,
    /// How often a node skipped what was committed while it was away.
    pub snapshots: u64,
}

impl World {
    /// A world of some voters and observers, all off.
    pub fn new(seed: u64, voters: usize, observers: usize, bug: Option<Bug>) -> Self {
        let mut random = Random::new(seed);
        let lease = Micros([150_000, 400_000, 1_000_000][random.index(3)]);
        let count = (voters + observers) as u64;
        let genesis = Arc::new(genesis(voters));
        // What a genesis holds grows with the run, and documents with it.
        let roll_at = [500, 4_000, 20_000, u64::MAX][random.index(4)];
        let pace = [0, 400_000, 2_000_000, 6_000_000][random.index(4)];
        let caps = caps(&mut random);
        let setup = Setup { lease, roll_at, caps };
        let machine = |id| Machine::new(NodeId(id), Arc::clone(&genesis), setup, &mut random);
        let machines = (1..=count).map(machine).collect();
        let clients = (0..5).map(|number| Client::new(number, random.fork())).collect();
        let mut world = Self {
            time: 0,
            network: Network::new(random.percent(50)),
            lease,
            nemesis: Nemesis::new(random.fork()),
            rematch: Rematch::new(&genesis.voters(), caps),
            caps,
            generations: Generations::new(genesis),
            machines,
            operator: Operator::new(pace),
            programs: Programs::new(seed, bug),
            next_node: count + 1,
            faulty: Random::new(seed ^ 0xFA17),
            quarantines: 0,
            copies: 0,
            refusals: 0,
            snapshots: 0,
            clients,
            cut: None,
            committed: Committed::default(),
            promises: Promises::default(),
            leases: Leases::default(),
            times: Times::default(),
            clocks_right: 0,
            chaos: true,
            fresh: true,
            trace: Trace::default(),
            bug,
            log: None,
            events: BTreeMap::new(),
            next_event: 0,
            at_once: 0,
            unaware: BTreeSet::new(),
            events_done: 0,
            random,
        };
        world.plan_beginning();
        world
    }

    fn plan_beginning(&mut self) {
        for machine in 0..self.machines.len() {
            let at = self.random.below(200_000);
            self.plan(at, Event::Start(machine));
            for other in machine + 1..self.machines.len() {
                self.plan(0, Event::Connect((machine, other)));
            }
        }
        for client in 0..self.clients.len() {
            self.plan(300_000, Event::Client(client));
        }
        self.plan(1_000_000, Event::Fault);
        self.plan(800_000, Event::Operate);
        self.plan(50_000, Event::Probe);
        if self.programs.mixed {
            self.plan(1_500_000, Event::Programs);
        }
        // A planted bug is looked for in runs without.
        if self.bug.is_none() && self.faulty.percent(30) {
            let machine = self.faulty.index(self.machines.len());
            let at = self.faulty.between(1_500_000, 15_000_000);
            self.plan(at, Event::Damage(machine));
        }
    }

    /// Plans an event at a time.
    pub(super) fn plan(&mut self, at: u64, event: Event) {
        self.next_event += 1;
        self.events.insert((at.max(self.time), self.next_event), event);
    }

    /// Drops the planned ends of faults, so that none ends what begins later.
    pub(super) fn forget_faults(&mut self) {
        self.events.retain(|_, event| !matches!(event, Event::Open(_) | Event::Calm(_) | Event::Hasten(_)));
    }

    /// Lets events happen up to a time.
    ///
    /// # Errors
    /// An oracle is violated.
    pub fn run_until(&mut self, end: u64) -> Result<(), Violation> {
        while let Some(entry) = self.events.first_entry() {
            let (at, _) = *entry.key();
            if at > end {
                break;
            }
            let event = entry.remove();
            self.at_once = if at == self.time { self.at_once + 1 } else { 0 };
            self.time = at;
            self.events_done += 1;
            self.happen(event)?;
        }
        self.time = end;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Deliver { direction, connection, envelope } => {
                self.deliver(direction, connection, envelope)
            }
            Event::Connect((a, b)) => self.connect(a, b),
            Event::PeerGone { machine, life, peer, node } => {
                self.unaware.remove(&(machine, peer));
                self.input_of_life(machine, life, Input::PeerDown(node))
            }
            Event::TimeOut { pair: (a, b), connection } => {
                if self.network.connection(a, b) == Some(connection) && !self.network.is_open(a, b) {
                    self.reset(a, b);
                }
                Ok(())
            }
            Event::Synced { machine, life } => self.synced(machine, life),
            Event::Lie { machine, life } => match self.machines[machine].disk.lie() {
                Some((generation, index)) => {
                    self.input_of_life(machine, life, Input::Stored { generation, index })
                }
                None => Ok(()),
            },
            Event::Wake { machine, life } => {
                let due = self.machines[machine]
                    .process
                    .as_ref()
                    .is_some_and(|process| process.wake <= self.time && self.machines[machine].life == life);
                if due { self.input(machine, Input::Wake) } else { Ok(()) }
            }
            Event::Start(machine) => self.start(machine),
            Event::Resume { machine, life } => self.resume(machine, life),
            Event::Client(client) => self.client_acts(client),
            Event::Fault => self.fault(),
            Event::Open(directions) => self.open(&directions),
            Event::Calm(directions) => {
                directions.iter().for_each(|direction| self.network.spike(*direction, 0));
                Ok(())
            }
            Event::Hasten(machine) => {
                self.machines[machine].disk.slowness = 1;
                Ok(())
            }
            Event::Strike(machine) if self.chaos => self.strike(machine),
            Event::Strike(_) => Ok(()),
            Event::Kill(machine) => {
                if self.chaos {
                    let span = self.random.between(1_000, self.lease.0 * 2);
                    self.crash(machine, span);
                }
                Ok(())
            }
            Event::Operate => self.operate(),
            Event::Repair => self.repair(),
            Event::Programs => self.work_on_programs(),
            Event::SetRight => {
                self.set_clocks_right();
                Ok(())
            }
            Event::Restore(machine, backup) => {
                self.restore(machine, *backup);
                Ok(())
            }
            Event::Damage(machine) => {
                if self.chaos {
                    self.damage(machine);
                }
                Ok(())
            }
            Event::Probe => self.probe(),
        }
    }

    fn client_acts(&mut self, number: usize) -> Result<(), Violation> {
        let again = self.time + self.random.between(20_000, 500_000);
        self.plan(again, Event::Client(number));
        let running: Vec<usize> =
            (0..self.machines.len()).filter(|at| self.machines[*at].running().is_some()).collect();
        let machines = &self.machines;
        let clock = |at: usize| machines[at].clock.at(self.time);
        let sending = self.clients[number].act(&running, self.time, clock, self.fresh);
        match sending {
            Some(sending) => self.submit(number, sending),
            None => Ok(()),
        }
    }

    fn submit(&mut self, client: usize, Sending { machine, requests }: Sending) -> Result<(), Violation> {
        let Some(replica) = self.machines[machine].running() else {
            return Ok(());
        };
        let (node, first) = (replica.node(), replica.next_counter());
        // It would use numbers again; it writes nothing before it knows better.
        if self.machines[machine].copy.is_some_and(|copy| copy.lacks_own) {
            return Ok(());
        }
        for (request, counter) in requests.iter().zip(first..) {
            let id = OrderId { node, counter };
            self.clients[client].sent(request, id);
            self.promises.submitted(id, request.clone());
        }
        if let Some(cut) = &mut self.cut {
            cut.asked.entry(node).or_insert(self.time);
        }
        self.input(machine, Input::Submit(requests))
    }

    fn input_of_life(&mut self, at: usize, life: u64, input: Input) -> Result<(), Violation> {
        if self.machines[at].life == life { self.input(at, input) } else { Ok(()) }
    }

    /// Hands an input to a process and does what it wants done.
    pub(super) fn input(&mut self, at: usize, input: Input) -> Result<(), Violation> {
        let machine = &mut self.machines[at];
        let Some(process) = &mut machine.process else {
            return Ok(());
        };
        if process.health == Health::Quarantined {
            // The links stay, and nobody answers.
            return Ok(());
        }
        if process.paused {
            if !matches!(input, Input::Wake) {
                process.waiting.push_back(input);
            }
            return Ok(());
        }
        if self.at_once > MAX_AT_ONCE {
            return Err(Violation::Restless { node: machine.id });
        }
        self.trace.number(self.time);
        self.trace.number(at as u64);
        if let Some(log) = self.log.as_mut().filter(|_| !matches!(input, Input::Wake)) {
            log.push(format!("{:>10} {} <- {}", self.time, at + 1, super::describe_input(&input)));
        }
        process.wake = u64::MAX;
        let mut effects = Vec::new();
        let (now, damaged) = (machine.clock.at(self.time), process.health == Health::Damaged);
        let handled = plant::damaged(damaged, || process.replica.handle(now, input, &mut effects));
        if damaged && is_found(&handled) {
            self.quarantine(at);
            return Ok(());
        }
        let node = machine.id;
        if let Err(error) = &handled
            && self.is_refused(at, error)
        {
            self.refused(at);
            return Ok(());
        }
        if let Err(error) = &handled
            && self.can_not_read(at, error)
        {
            self.stopped_reading(at);
            return Ok(());
        }
        handled.map_err(|error| Violation::Failed { node, error: error.to_string() })?;
        for effect in effects {
            self.perform(at, effect)?;
        }
        self.look_at(at)
    }

    fn perform(&mut self, at: usize, effect: Effect) -> Result<(), Violation> {
        let node = self.machines[at].id;
        match effect {
            Effect::Store { generation, index, bytes } => {
                self.store(at, DiskWrite::Change { generation, index, bytes });
            }
            Effect::Roll { genesis, changes } => {
                self.begun(at, &genesis)?;
                self.store(at, DiskWrite::Roll { genesis, changes });
            }
            Effect::Skipped { start, .. } => {
                self.snapshots += 1;
                self.machines[at].skip(start.position);
            }
            Effect::Remember(remembered) => self.machines[at].disk.remember(remembered),
            Effect::GateOpened => self.machines[at].copy = None,
            Effect::Report(error) => return Err(Violation::Failed { node, error }),
            Effect::Send { to, envelope } => {
                if let Some(to) = self.find(to) {
                    self.send(at, to, envelope);
                }
            }
            Effect::Disconnect { peer, reason } => return Err(Violation::Accused { node, peer, reason }),
            Effect::Accepted { through } => {
                self.promises.accepted(node, through);
                if let Some(cut) = &mut self.cut {
                    cut.asked.remove(&node);
                }
            }
            Effect::Committed(block) => self.shown(at, &block)?,
            Effect::WakeAt(local) => {
                let machine = &mut self.machines[at];
                let when = machine.clock.when(local, self.time);
                if let Some(process) = &mut machine.process {
                    process.wake = when;
                }
                let life = machine.life;
                self.plan(when, Event::Wake { machine: at, life });
            }
        }
        Ok(())
    }

    pub(super) fn note(&mut self, what: impl Fn() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>10} {}", self.time, what()));
        }
    }
}

/// Caps that a run reaches; now and then those of a real node.
fn caps(random: &mut Random) -> Caps {
    if random.percent(15) {
        return Caps::default();
    }
    let mut some = |least, most| random.between(least, most) as usize;
    Caps {
        requests: some(10, 120),
        sessions: some(1, 3),
        commands: some(4, 60),
        withdrawn: some(1, 12),
        open_orders: some(8, 80),
        hidden_parts: some(2, 60) as u64,
        expired: some(1, 6),
        trailing: some(1, 12),
        triggered: some(1, 5),
        protected: some(1, 6),
        batch_bytes: some(100, 4_000),
    }
}

/// When the market changes its state by itself: counted from when simulated time begins, ascending.
const SESSIONS: [(u64, MarketState); 4] = [
    (4_000_000, MarketState::Auction),
    (4_600_000, MarketState::Continuous),
    (8_000_000, MarketState::Closed),
    (8_500_000, MarketState::Continuous),
];

/// The rules that the market is made with, and others that clients may give it: rebates and fees of which the sums of most
/// fills are no whole steps, bands that are met now and then, and auctions of a part of a second.
pub fn rules(variant: u64) -> Rules {
    let one = "1".parse().ok().and_then(|one| Grid::new(one).ok());
    let grid = one.unwrap_or_else(|| unreachable!("one is a step"));
    let fees = FeeRates { maker: -125, taker: 733, auction: 217, step: 70_000 };
    let (volatility_auction, auction_extension) = (Micros(300_000), Micros(200_000));
    let bands = Bands { static_bp: 700, dynamic_bp: 600, volatility_auction, auction_extension };
    let sessions = SESSIONS.map(|(after, state)| SessionTime { at: time_of_day(after), state }).to_vec();
    let made = Rules { fees, bands, sessions, ..Rules::new(grid, grid) };
    match variant {
        1 => Rules {
            fees: FeeRates { maker: 50, taker: -3, auction: 0, step: 1 },
            bands: Bands { dynamic_bp: 300, volatility_auction: Micros(0), ..Bands::default() },
            self_trade: SelfTrade::CancelMaker,
            ..made
        },
        2 => {
            Rules { bands: Bands::default(), sessions: Vec::new(), self_trade: SelfTrade::Decrement, ..made }
        }
        _ => made,
    }
}

fn genesis(voters: usize) -> Genesis {
    let voters = (1..=voters as u64).map(NodeId).collect();
    Genesis::market(&NewMarket { name: "BTC/USDT".into(), rules: rules(0), voters })
}

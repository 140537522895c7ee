//! The network: one connection a pair, each direction a FIFO stream, or two of them where bulk is
//! overtaken by short messages. What is lost takes the connection with it; a blocked direction
//! holds messages until it opens or the connection dies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use xbook::replica::message::Envelope;

use super::random::Random;

/// A direction: from, to (numbers of machines).
pub type Direction = (usize, usize);

/// The network.
#[derive(Default, Debug)]
pub struct Network {
    /// The connection of each pair (lower number first).
    connections: BTreeMap<Direction, u64>,
    next_connection: u64,
    blocked: BTreeSet<Direction>,
    held: BTreeMap<Direction, VecDeque<(u64, Envelope)>>,
    /// Extra delay of a direction.
    spikes: BTreeMap<Direction, u64>,
    /// The last arrival that is planned in a direction: none may overtake it.
    last: BTreeMap<(Direction, bool), u64>,
    /// Whether bulk has a stream of its own, which short messages overtake.
    lanes: bool,
}

/// A pair, lower number first.
#[must_use]
pub fn pair(a: usize, b: usize) -> Direction {
    (a.min(b), a.max(b))
}

impl Network {
    /// A network without connections.
    #[must_use]
    pub fn new(lanes: bool) -> Self {
        Self { lanes, ..Self::default() }
    }

    /// The connection between two machines.
    #[must_use]
    pub fn connection(&self, a: usize, b: usize) -> Option<u64> {
        self.connections.get(&pair(a, b)).copied()
    }

    /// Connects two machines.
    pub fn connect(&mut self, a: usize, b: usize) -> u64 {
        self.next_connection += 1;
        self.connections.insert(pair(a, b), self.next_connection);
        self.next_connection
    }

    /// Ends a connection: what was under way is lost.
    pub fn disconnect(&mut self, a: usize, b: usize) -> Option<u64> {
        for direction in [(a, b), (b, a)] {
            self.held.remove(&direction);
            self.last.remove(&(direction, false));
            self.last.remove(&(direction, true));
        }
        self.connections.remove(&pair(a, b))
    }

    /// Whether a pair could connect.
    #[must_use]
    pub fn is_open(&self, a: usize, b: usize) -> bool {
        !self.blocked.contains(&(a, b)) && !self.blocked.contains(&(b, a))
    }

    /// Whether anything passes in a direction.
    #[must_use]
    pub fn is_blocked(&self, direction: Direction) -> bool {
        self.blocked.contains(&direction)
    }

    /// Stops a direction.
    pub fn block(&mut self, direction: Direction) {
        self.blocked.insert(direction);
    }

    /// Opens a direction: what it held, in its order.
    pub fn unblock(&mut self, direction: Direction) -> VecDeque<(u64, Envelope)> {
        self.blocked.remove(&direction);
        self.held.remove(&direction).unwrap_or_default()
    }

    /// The stopped directions.
    #[must_use]
    pub fn blocked(&self) -> Vec<Direction> {
        self.blocked.iter().copied().collect()
    }

    /// Keeps a message that arrived at a stopped direction.
    pub fn hold(&mut self, direction: Direction, connection: u64, envelope: Envelope) {
        self.held.entry(direction).or_default().push_back((connection, envelope));
    }

    /// Slows a direction down; zero ends it.
    pub fn spike(&mut self, direction: Direction, delay: u64) {
        if delay == 0 {
            self.spikes.remove(&direction)
        } else {
            self.spikes.insert(direction, delay)
        };
    }

    /// When a message that is sent now arrives.
    pub fn arrival(&mut self, direction: Direction, bulk: bool, now: u64, random: &mut Random) -> u64 {
        let usual = random.between(100, 900) + if random.percent(3) { random.below(20_000) } else { 0 };
        let spike = self.spikes.get(&direction).copied().unwrap_or(0);
        let at = now + usual + if spike > 0 { random.below(spike) } else { 0 };
        let last = self.last.entry((direction, bulk && self.lanes)).or_insert(0);
        *last = at.max(*last + 1);
        *last
    }
}

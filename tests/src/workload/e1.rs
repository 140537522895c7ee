//! Workload E1: the public order flow of arXiv 2606.01183, made anew from its description.
//!
//! First every order gets a price, around a mid price that walks at random, and a quantity; then the
//! orders, shuffled, get their lives: new, perhaps modified, mostly cancelled. Sorted by time, these
//! are the messages. One seed, so the same messages everywhere.

use rand_mt::Mt;
use xbook::book::{Command, NewOrder, Prevention, Style};
use xbook::types::{Lots, NodeId, OrderId, Side, Ticks};

/// The number of orders of the published hashes; about two messages each.
pub const FULL_COUNT: u32 = 1_000_000;
/// The number of orders of the hashes for quick tests.
pub const QUICK_COUNT: u32 = 20_000;

const SEED: u32 = 23;
const START_PRICE: f64 = 167.52;
const TICK: f64 = 0.005;
const DEPTH_LEVELS: usize = 800;
/// Half of all orders at the best price have gone after this many microseconds.
const HALF_LIFE_US: f64 = 431.0;

/// How the mid price walks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scenario {
    /// It stays.
    Static,
    /// A usual day.
    Normal,
    /// It swings by a quarter.
    Swing25,
}

impl Scenario {
    /// All scenarios.
    pub const ALL: [Self; 3] = [Self::Static, Self::Normal, Self::Swing25];

    /// The name, as published.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Normal => "normal",
            Self::Swing25 => "swing-25",
        }
    }

    /// The SHA-256 of the report for this many orders, if it is known.
    #[must_use]
    pub fn known_hash(self, count: u32) -> Option<&'static str> {
        match (count, self) {
            (FULL_COUNT, Self::Static) => {
                Some("9803843ee404fc29c9a0aa5614f8f0d5a58b5c44fcac9ef89067886fcaaa30d1")
            }
            (FULL_COUNT, Self::Normal) => {
                Some("e9b2e3926854410b01a035aeb25dd05f1e597c233be8263de9eb49b6713d367e")
            }
            (FULL_COUNT, Self::Swing25) => {
                Some("61a84be9469661bd039e00dbc9a7c011e70b6ace37aadfe60045ea083b05f4df")
            }
            (QUICK_COUNT, Self::Static) => {
                Some("75465244465e144211887b27fa9d16264940e34827fe1e54f9820195c7745fc3")
            }
            (QUICK_COUNT, Self::Normal) => {
                Some("7e32c8ad534265a77e66b9fc1df15cc61fe3030434a5b0ab9548704d23bb0395")
            }
            (QUICK_COUNT, Self::Swing25) => {
                Some("36fc4d2ff747cc66eabf6ac46c083a9725c87eb6fda67f52c884155462390142")
            }
            _ => None,
        }
    }

    /// Volatility and swing.
    fn parameters(self) -> (f64, f64) {
        match self {
            Self::Static => (0.0, 0.0),
            Self::Normal => (0.15, 0.02),
            Self::Swing25 => (0.50, 0.25),
        }
    }
}

/// One message of the workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its number, from 0.
    pub seq: u32,
    /// The order that it is about, from 1.
    pub order: u32,
    /// The order's side.
    pub side: Side,
    /// What it asks for.
    pub action: Action,
}

/// What a message asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// A new limit order.
    New {
        /// The limit, in ticks.
        price: u64,
        /// The quantity, in lots.
        quantity: u32,
        /// Cancel what is not filled at once.
        ioc: bool,
    },
    /// A cancel and a new order with the same id. Never at the same price with less, so an
    /// [amend](Command::Amend) does the same.
    Modify {
        /// The new price, in ticks.
        price: u64,
        /// The new quantity, in lots.
        quantity: u32,
    },
    /// Take the order out.
    Cancel,
}

impl Message {
    /// The id under which a book knows one of the workload's orders.
    #[must_use]
    pub fn order_id(order: u32) -> OrderId {
        OrderId { node: NodeId(1), counter: u64::from(order) }
    }

    /// The message as a command to a book.
    #[must_use]
    pub fn command(&self) -> Command {
        let id = Self::order_id(self.order);
        match self.action {
            Action::New { price, quantity, ioc } => {
                let style = if ioc { Style::Cancel } else { Style::Rest };
                let (limit, quantity) = (Some(Ticks(price)), Lots(u64::from(quantity)));
                Command::Place(NewOrder::new(id, self.side, limit, quantity, style))
            }
            Action::Modify { price, quantity } => Command::Amend {
                id,
                price: Ticks(price),
                open: Lots(u64::from(quantity)),
                post_only: false,
                prevention: Prevention::Allow,
            },
            Action::Cancel => Command::Cancel { id },
        }
    }
}

/// All messages of a scenario with this many orders.
#[must_use]
pub fn messages(scenario: Scenario, count: u32) -> Vec<Message> {
    let mut random = Random(Mt::new(SEED));
    let orders = draw_orders(&mut random, scenario, count);
    let mut timed = draw_lives(&mut random, &orders);
    timed.sort_by_key(|(time, _)| *time);
    let mut messages: Vec<Message> = timed.into_iter().map(|(_, message)| message).collect();
    for (seq, message) in messages.iter_mut().enumerate() {
        message.seq = seq as u32;
    }
    messages
}

/// An order before it lives.
struct Drawn {
    side: Side,
    /// How many ticks behind the mid price, less one.
    level: usize,
    price: u64,
    quantity: u32,
}

fn draw_orders(random: &mut Random, scenario: Scenario, count: u32) -> Vec<Drawn> {
    let (volatility, swing) = scenario.parameters();
    let dt = if volatility > 0.0 { (swing / volatility).powi(2) / f64::from(count) } else { 0.0 };
    let sigma = volatility * dt.sqrt();
    let cumulative = level_weights();
    let mut mid = START_PRICE;
    let mut orders = Vec::with_capacity(count as usize);
    for number in 0..count {
        let z = random.normal();
        mid *= (-0.5 * sigma * sigma + sigma * z).exp();
        let mid_ticks = ((mid / TICK).round() * TICK / TICK).round() as i64;
        let level = random.level(&cumulative);
        let side = if number < count / 2 { Side::Buy } else { Side::Sell };
        let behind = level as i64 + 1;
        let price = match side {
            Side::Buy => mid_ticks - behind,
            Side::Sell => mid_ticks + behind,
        };
        let quantity = random.int(1, 100);
        orders.push(Drawn { side, level, price: price.max(1) as u64, quantity });
    }
    orders
}

fn level_weights() -> Vec<f64> {
    let mut total = 0.0;
    let mut cumulative = Vec::with_capacity(DEPTH_LEVELS);
    for k in 0..DEPTH_LEVELS {
        let k = k as f64;
        total += 1.0 / (k + 1.0).powf(2.23) + 5.0 * (-0.5 * (k - 8.0) * (k - 8.0)).exp();
        cumulative.push(total);
    }
    cumulative
}

fn draw_lives(random: &mut Random, orders: &[Drawn]) -> Vec<(u64, Message)> {
    let mut shuffled: Vec<u32> = (0..orders.len() as u32).collect();
    for i in (1..shuffled.len()).rev() {
        let j = random.int(0, i as u32);
        shuffled.swap(i, j as usize);
    }
    let mut life = Life { random, now: 0, timed: Vec::with_capacity(orders.len() * 2 + 64) };
    for index in shuffled {
        life.live(index + 1, &orders[index as usize]);
    }
    life.timed
}

/// Writes the messages of one order after the other.
struct Life<'a> {
    random: &'a mut Random,
    /// Microseconds.
    now: u64,
    timed: Vec<(u64, Message)>,
}

impl Life<'_> {
    fn live(&mut self, order: u32, drawn: &Drawn) {
        let ioc = self.random.uniform() < 0.15;
        let new = Action::New { price: drawn.price, quantity: drawn.quantity, ioc };
        self.emit(order, drawn, new);
        if !ioc {
            let modified = self.perhaps_modify(order, drawn);
            let cancelled = self.perhaps_cancel(order, drawn);
            if let (Some(modify), true) = (modified, cancelled)
                && self.random.uniform() < 0.02
            {
                self.wait_a_little();
                self.emit(order, drawn, modify);
            }
        }
        self.now += 1;
    }

    fn perhaps_modify(&mut self, order: u32, drawn: &Drawn) -> Option<Action> {
        if self.random.uniform() >= 0.20 {
            return None;
        }
        self.now += 30 + (self.random.uniform() * 70.0).floor() as u64;
        let mut price = drawn.price;
        if self.random.uniform() < 0.80 {
            price = match drawn.side {
                Side::Buy => price + 1,
                Side::Sell => price - 1,
            };
        }
        let modify = Action::Modify { price, quantity: drawn.quantity + 1 };
        self.emit(order, drawn, modify);
        Some(modify)
    }

    fn perhaps_cancel(&mut self, order: u32, drawn: &Drawn) -> bool {
        if self.random.uniform() >= 0.95 {
            return false;
        }
        let rate = (std::f64::consts::LN_2 / HALF_LIFE_US) / (1.0 + drawn.level as f64).sqrt();
        self.now += self.random.exponential(rate).floor() as u64;
        self.emit(order, drawn, Action::Cancel);
        if self.random.uniform() < 0.02 {
            self.wait_a_little();
            self.emit(order, drawn, Action::Cancel);
        }
        true
    }

    fn wait_a_little(&mut self) {
        self.now += 1 + (self.random.uniform() * 20.0).floor() as u64;
    }

    fn emit(&mut self, order: u32, drawn: &Drawn, action: Action) {
        self.timed.push((self.now, Message { seq: 0, order, side: drawn.side, action }));
    }
}

/// The workload's distributions over a 32-bit Mersenne twister.
struct Random(Mt);

impl Random {
    /// In [0, 1), with 53 random bits from two words.
    fn uniform(&mut self) -> f64 {
        let high = f64::from(self.0.next_u32() >> 5);
        let low = f64::from(self.0.next_u32() >> 6);
        (high * f64::from(1u32 << 26) + low) / (1u64 << 53) as f64
    }

    /// In [low, high].
    fn int(&mut self, low: u32, high: u32) -> u32 {
        low + (self.uniform() * f64::from(high - low + 1)).floor() as u32
    }

    fn normal(&mut self) -> f64 {
        let u1 = self.uniform().max(1e-300);
        let u2 = self.uniform();
        (-2.0 * u1.ln()).sqrt() * (std::f64::consts::TAU * u2).cos()
    }

    fn exponential(&mut self, rate: f64) -> f64 {
        -self.uniform().max(1e-300).ln() / rate
    }

    /// A level by its weight.
    fn level(&mut self, cumulative: &[f64]) -> usize {
        let total = cumulative.last().copied().unwrap_or(0.0);
        let drawn = self.uniform() * total;
        cumulative.partition_point(|weight| *weight < drawn).min(cumulative.len() - 1)
    }
}

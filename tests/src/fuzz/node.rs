//! A replica with a disk and a clock, and nothing else.

use std::sync::Arc;

use bytes::Bytes;
use xbook::decimal::Grid;
use xbook::document::{Actor, Genesis};
use xbook::machine::{Action, Block, NewMarket, Origin, Place, Request, Rules, Target};
use xbook::replica::message::Envelope;
use xbook::replica::{Effect, Input, Remembered, Replica, Settings};
use xbook::types::{Lots, Micros, NodeId, OrderId, Position, Side, Ticks, TimeInForce};

/// The node under test, the only voter.
pub(super) const ME: NodeId = NodeId(1);

/// Somebody else, whom it takes for another node.
pub(super) const OTHER: NodeId = NodeId(9);

/// The market.
pub(super) const MARKET: &str = "BTC/USDT";

pub(super) fn rules() -> Rules {
    let grid = |text: &str| Grid::new(text.parse().expect("a number")).expect("a step");
    Rules::new(grid("0.01"), grid("0.001"))
}

pub(super) fn market() -> Genesis {
    Genesis::market(&NewMarket { name: MARKET.into(), rules: rules(), voters: vec![ME] })
}

/// A replica, and what it asked for.
pub(super) struct Node {
    pub replica: Replica,
    pub genesis: Genesis,
    /// What is on the disk of this generation.
    pub disk: Vec<Bytes>,
    /// What is on the way there.
    pub unsynced: Vec<Bytes>,
    pub blocks: Vec<Arc<Block>>,
    pub sent: Vec<(NodeId, Envelope)>,
    settings: Settings,
    remembered: Remembered,
    starts: u16,
    requests: u64,
}

impl Node {
    /// The only voter of a document that has just begun.
    pub fn new(genesis: Genesis, roll_at: u64) -> Self {
        let settings = Settings { now: Micros(1_000_000), seed: 1, roll_at, ..Settings::default() };
        let remembered = Remembered::default();
        let replica = open(&genesis, settings, &[], 0, remembered.clone());
        let mut node = Self {
            replica,
            genesis,
            disk: Vec::new(),
            unsynced: Vec::new(),
            blocks: Vec::new(),
            sent: Vec::new(),
            settings,
            remembered,
            starts: 0,
            requests: 0,
        };
        node.settle();
        node
    }

    pub fn now(&self) -> Micros {
        self.settings.now
    }

    /// Time passes.
    pub fn wait(&mut self, micros: u64) {
        self.settings.now = self.settings.now.plus(Micros(micros));
        self.input(Input::Wake);
    }

    pub fn input(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            self.settings.now = self.settings.now.plus(Micros(10));
            let mut effects = Vec::new();
            let taken = self.replica.handle(self.settings.now, input, &mut effects);
            taken.expect("no input ends a replica");
            for effect in effects {
                match effect {
                    Effect::Store { bytes, .. } => self.unsynced.push(bytes),
                    Effect::Roll { genesis, changes } => {
                        // All or nothing, and on the disk at once.
                        self.genesis = Genesis::clone(&genesis);
                        self.unsynced.clear();
                        self.disk = changes;
                        next = self.stored();
                    }
                    Effect::Remember(remembered) => self.remembered = remembered,
                    Effect::Committed(block) => {
                        self.settings.shown = block.last;
                        self.blocks.push(block);
                    }
                    Effect::Send { to, envelope } => self.sent.push((to, envelope)),
                    _ => {}
                }
            }
        }
    }

    /// The disk has done what it was asked for.
    pub fn sync(&mut self) {
        if !self.unsynced.is_empty() {
            self.disk.append(&mut self.unsynced);
            self.stored().into_iter().for_each(|stored| self.input(stored));
        }
    }

    fn stored(&self) -> Option<Input> {
        let index = (self.disk.len() as u64).checked_sub(1)?;
        Some(Input::Stored { generation: self.genesis.generation(), index })
    }

    /// Nothing more is on the way.
    pub fn settle(&mut self) {
        while !self.unsynced.is_empty() {
            self.sync();
        }
    }

    /// The process is killed and starts again; what was not synced is gone.
    pub fn crash(&mut self) {
        self.unsynced.clear();
        self.starts += 1;
        self.settings.now = self.settings.now.plus(Micros(1_000_000));
        self.replica = open(&self.genesis, self.settings, &self.disk, self.starts, self.remembered.clone());
        self.input(Input::Wake);
        self.settle();
    }

    /// An order of a client's.
    pub fn place(&mut self, side: Side, quantity: u64, price: u64) {
        let place = Place::new(side, Some(Ticks(price)), Lots(quantity), TimeInForce::Gtc);
        self.ask(Action::Place(place));
    }

    /// Cancels an order of this node's.
    pub fn cancel(&mut self, counter: u64) {
        self.ask(Action::Cancel(Target::Order(OrderId { node: ME, counter })));
    }

    pub fn ask(&mut self, action: Action) {
        self.requests += 1;
        let origin = Origin::Request(format!("request-{}", self.requests).into());
        let account = if self.requests.is_multiple_of(2) { "even" } else { "odd" };
        let request = Request { account: account.into(), origin, body_hash: self.requests, action };
        self.input(Input::Submit(vec![request]));
    }

    /// Some orders, all of them committed.
    pub fn trade(&mut self) {
        for at in 0..12 {
            let side = if at % 3 == 0 { Side::Sell } else { Side::Buy };
            self.place(side, 5 + at % 4, 100 + at % 5);
            self.settle();
        }
        self.cancel(5);
        self.settle();
    }

    /// The last position that is shown.
    pub fn shown(&self) -> Position {
        self.replica.view().position()
    }
}

fn open(
    genesis: &Genesis,
    settings: Settings,
    disk: &[Bytes],
    start: u16,
    remembered: Remembered,
) -> Replica {
    let stored = disk.iter().map(|bytes| bytes.to_vec()).collect();
    let me = Actor::new(settings.now, ME, start);
    Replica::open(genesis.clone(), me, settings, stored, remembered).expect("what was stored opens")
}

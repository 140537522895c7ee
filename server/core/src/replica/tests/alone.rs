//! One replica, told by hand: nothing is stored or said to it but what a test stores or says, and every
//! effect of a step is looked at.

use super::super::message::{Ack, Message};
use super::*;
use crate::format::Formats;

/// How long a lease lasts here.
pub(super) const LEASE: u64 = 100_000;

/// A voter of three, or an observer, with its disk.
pub(super) struct Alone {
    pub replica: Replica,
    pub now: u64,
    /// How many changes were asked to be stored.
    stored: u64,
}

/// What a step did: its effects, but for the wish to be woken, which is apart.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Did {
    pub effects: Vec<Effect>,
    pub wakes_at: Option<Micros>,
}

impl Alone {
    /// A new node, which nobody is connected with.
    pub fn new(node: u64) -> Self {
        let now = 1_000_000;
        let voters = [1, 2, 3].map(NodeId).to_vec();
        let genesis = Genesis::market(&NewMarket { name: "BTC/USDT".into(), rules: rules(), voters });
        let settings = Settings {
            now: Micros(now),
            lease: Micros(LEASE),
            seed: node,
            secret: [node as u8; 32],
            ..Settings::default()
        };
        let me = Actor::new(Micros(now), NodeId(node), 1);
        let replica = Replica::open(genesis, me, settings, Vec::new(), Remembered::default()).unwrap();
        Self { replica, now, stored: 0 }
    }

    /// The actor that it writes as.
    pub fn actor(&self) -> Actor {
        self.replica.current.document.me()
    }

    /// A step at the time that it is.
    pub fn step(&mut self, input: Input) -> Did {
        let mut effects = Vec::new();
        self.replica.handle(Micros(self.now), input, &mut effects).unwrap();
        self.stored += effects.iter().filter(|effect| matches!(effect, Effect::Store { .. })).count() as u64;
        let wakes_at = match effects.last() {
            Some(Effect::WakeAt(at)) => Some(*at),
            _ => None,
        };
        effects.truncate(effects.len() - usize::from(wakes_at.is_some()));
        Did { effects, wakes_at }
    }

    /// A peer says something, at the time that it is.
    pub fn hears(&mut self, from: u64, message: Message) -> Did {
        let envelope = Envelope { generation: self.replica.generation(), message };
        self.step(Input::Message { from: NodeId(from), envelope })
    }

    /// The disk has all that it was given.
    pub fn sync(&mut self) -> Did {
        let index = self.stored.checked_sub(1).expect("something was stored");
        self.step(Input::Stored { generation: self.replica.generation(), index })
    }

    /// A connection to a peer whose disk has nothing is up, and both have said hello.
    pub fn meets(&mut self, peer: u64) {
        self.step(Input::PeerUp(NodeId(peer)));
        let hello = Message::Hello {
            genesis: self.replica.current.genesis_hash,
            ack: Ack::default(),
            heard: None,
            answer: true,
            formats: Formats::KNOWN,
        };
        self.hears(peer, hello);
    }
}

/// What is said to a node.
pub(super) fn said(replica: &Replica, to: u64, message: Message) -> Effect {
    Effect::Send { to: NodeId(to), envelope: Envelope { generation: replica.generation(), message } }
}

/// The bytes of the changes that a step wants stored.
pub(super) fn stores(did: &Did) -> Vec<bytes::Bytes> {
    let stored = did.effects.iter().filter_map(|effect| match effect {
        Effect::Store { bytes, .. } => Some(bytes.clone()),
        _ => None,
    });
    stored.collect()
}

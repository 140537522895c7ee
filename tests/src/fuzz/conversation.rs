//! A node that only it votes on a document, its clients, and a peer that says whatever it likes.
//!
//! Whatever it says, the node goes on: it takes orders, commits them, and starts again from its disk.

use bytes::Bytes;
use prost::Message;
use xbook::document::{Actor, Document, Entry, Genesis, Kind, RawChange};
use xbook::machine::{Action, Batch, NewMarket};
use xbook::peer;
use xbook::replica::Input;
use xbook::replica::message::{self, Envelope};
use xbook::types::{Micros, Side};
use xbook_proto::peer::v1 as wire;
use xbook_proto::record::v1 as record;

use super::change::intact;
use super::node::{MARKET, ME, Node, OTHER, market, rules};
use super::reader::{Reader, put_run};
use super::records::records;

/// Bytes at which the node seals its document.
const ROLL_AT: u64 = 6_000;

/// Most things that happen.
const MOST_TURNS: usize = 400;

struct Conversation {
    node: Node,
    /// What the peer writes, knowing what the node sent it.
    other: Option<Document>,
    directory: bool,
}

pub(super) fn take(bytes: &[u8]) {
    let mut reader = Reader(bytes);
    let Some(first) = reader.byte() else { return };
    let directory = first & 1 == 1;
    let genesis = if directory { Genesis::directory(ME) } else { market() };
    let mut conversation = Conversation { node: Node::new(genesis, ROLL_AT), other: None, directory };
    conversation.begin_writing();
    conversation.node.input(Input::PeerUp(OTHER));
    for _ in 0..MOST_TURNS {
        if conversation.turn(&mut reader).is_none() {
            break;
        }
    }
    conversation.end();
}

impl Conversation {
    /// The next thing that happens; `None` at the end of the bytes.
    fn turn(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        match reader.byte()? % 10 {
            0 => self.ask(reader.byte()?),
            1 => {
                let message = wire::DocumentMessage::decode(reader.run()?).ok();
                if let Some((_, envelope)) = message.and_then(peer::decode) {
                    self.hear(envelope);
                }
            }
            2 => self.write(reader.byte()?, reader.run()?),
            3 => {
                let bytes = reader.run()?;
                let bytes = intact(bytes).unwrap_or_else(|| bytes.to_vec());
                self.say(message::Message::Changes(vec![bytes.into()]));
            }
            4 => self.node.wait(u64::from(reader.short()?) * 100),
            5 => self.node.sync(),
            6 => self.node.input(Input::PeerDown(OTHER)),
            7 => self.node.input(Input::PeerUp(OTHER)),
            8 => self.listen(),
            _ => {
                self.node.settle();
                self.node.crash();
                self.node.input(Input::PeerUp(OTHER));
            }
        }
        Some(())
    }

    /// A client's request.
    fn ask(&mut self, what: u8) {
        if self.directory {
            let name = format!("M{}/USDT", what % 32).into();
            let new = NewMarket { name, rules: rules(), voters: vec![ME] };
            return self.node.ask(Action::CreateMarket(new));
        }
        match what % 8 {
            0 => self.node.cancel(1 + u64::from(what / 8)),
            _ => {
                let side = if what & 8 == 0 { Side::Buy } else { Side::Sell };
                self.node.place(side, 1 + u64::from(what % 5), 100 + u64::from(what / 32));
            }
        }
    }

    fn hear(&mut self, envelope: Envelope) {
        self.node.input(Input::Message { from: OTHER, envelope });
    }

    fn say(&mut self, message: message::Message) {
        let generation = self.node.genesis.generation();
        self.hear(Envelope { generation, message });
    }

    /// The peer writes an entry of its own, on top of all that it knows.
    fn write(&mut self, kind: u8, run: &[u8]) {
        let entry = match kind % 5 {
            0 => record::IntentBatch::decode(run).ok().map(Entry::Intents),
            1 => record::Promise::decode(run).ok().map(Entry::Promise),
            2 => record::Activation::decode(run).ok().map(Entry::Activation),
            3 => record::SealAck::decode(run).ok().map(Entry::SealAck),
            _ => record::TapeBatch::decode(run)
                .ok()
                .and_then(|batch| Batch::from_record(&batch))
                .map(|batch| Entry::Tape(batch.into())),
        };
        let (Some(other), Some(entry)) = (&mut self.other, entry) else { return };
        if let Ok(change) = other.append(&[entry]) {
            self.say(message::Message::Changes(vec![change.bytes]));
        }
    }

    /// The peer takes what the node sent it.
    fn listen(&mut self) {
        let generation = self.node.genesis.generation();
        for (_, envelope) in std::mem::take(&mut self.node.sent) {
            let message::Message::Changes(changes) = envelope.message else { continue };
            let Some(other) = self.other.as_mut().filter(|_| envelope.generation == generation) else {
                return self.begin_writing();
            };
            let raw = changes.iter().filter_map(|bytes| RawChange::parse(bytes.to_vec()).ok());
            for raw in raw.filter(|raw| other.can_apply(raw)).collect::<Vec<_>>() {
                let _ = other.apply(vec![raw]);
            }
        }
    }

    fn begin_writing(&mut self) {
        let me = Actor::new(Micros(self.node.now().0), OTHER, 1);
        self.other = Document::new(&self.node.genesis, me).ok();
        self.node.sent.clear();
    }

    /// The peer is gone. The node goes on, and does so after a restart.
    fn end(mut self) {
        self.node.input(Input::PeerDown(OTHER));
        self.node.settle();
        for restart in [false, true] {
            if restart {
                let digest = (self.node.shown(), self.node.replica.view().digest());
                self.node.crash();
                assert!(self.node.shown() >= digest.0, "what was shown is shown after a restart");
            }
            let before = self.node.replica.committed_position();
            self.ask(1);
            for _ in 0..100 {
                self.node.wait(100_000);
                self.node.settle();
            }
            assert!(self.node.shown() > before, "an order is committed, restarted: {restart}");
            assert_eq!(self.node.replica.pending().count(), 0, "no intent of its own waits");
        }
    }
}

/// Honest conversations, written down as this reads them.
pub(super) fn samples() -> Vec<Vec<u8>> {
    [market(), Genesis::directory(ME)].iter().flat_map(conversations).collect()
}

fn conversations(genesis: &Genesis) -> Vec<Vec<u8>> {
    let directory = genesis.name() != MARKET;
    let mut node = Node::new(genesis.clone(), u64::MAX);
    node.input(Input::PeerUp(OTHER));
    node.trade();
    let mut asked = vec![u8::from(directory)];
    let mut written = asked.clone();
    for what in 1..30 {
        asked.extend([0, what * 7, 5, 8]);
    }
    // What the node said, from the other's mouth.
    for (_, envelope) in &node.sent {
        let wire::frame::Content::Message(message) = peer::encode(genesis.name(), envelope.clone()) else {
            continue;
        };
        asked.push(1);
        put_run(&mut asked, &message.encode_to_vec());
        if let message::Message::Changes(changes) = &envelope.message {
            for change in changes {
                written.push(3);
                put_run(&mut written, change);
            }
        }
    }
    // What is in its changes, as the other's own.
    let changes: Vec<Bytes> = node.disk.clone();
    for (kind, run) in records(genesis, &changes) {
        let kind = match kind {
            Kind::Intents => 0,
            Kind::Promise => 1,
            Kind::Activation => 2,
            Kind::SealAck => 3,
            Kind::Tape => 4,
        };
        written.extend([8, 2, kind]);
        put_run(&mut written, &run);
        written.extend([4, 200, 0]);
    }
    vec![asked, written]
}

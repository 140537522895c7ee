//! Power cuts at any moment: what was said to be durable is there, and what is there was written.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tempfile::TempDir;
use xbook_proto::record::v1::stored_entry::What as Stored;

use super::*;
use crate::format::Format;
use crate::machine::{Caps, NewMarket, Rules};
use crate::types::Term;

/// What a node does.
#[derive(Clone, Debug)]
enum Act {
    /// It writes changes of these documents, as many as there are, of so many KiB each.
    Write { documents: Vec<usize>, kib: usize },
    /// A document's next generation begins.
    Roll(usize),
    /// It is killed and started again.
    Restart,
    /// The power fails: of what was not synced this much in 256 parts is on the disk, and of the last block.
    PowerCut { kept: Vec<u8>, torn: bool },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let documents = proptest::collection::vec(0..NAMES.len(), 1..5);
    let act = prop_oneof![
        12 => (documents, prop_oneof![Just(0), Just(3), Just(300), Just(2_500)])
            .prop_map(|(documents, kib)| Act::Write { documents, kib }),
        3 => (0..NAMES.len()).prop_map(Act::Roll),
        1 => Just(Act::Restart),
        2 => (proptest::collection::vec(any::<u8>(), 8), any::<bool>())
            .prop_map(|(kept, torn)| Act::PowerCut { kept, torn }),
    ];
    proptest::collection::vec(act, 1..40)
}

const NAMES: [&str; 3] = ["A/B", "C/D", "E/F"];

/// A node's store, and what it was told is durable.
struct Node {
    directory: TempDir,
    store: Option<Store>,
    /// The generation of each document, where it is written, and its changes.
    durable: Vec<(Genesis, Changes, Vec<Vec<u8>>)>,
    written: u64,
}

fn genesis(name: &str) -> Genesis {
    let one = crate::decimal::Grid::new("1".parse().unwrap()).unwrap();
    Genesis::market(&NewMarket { name: name.into(), rules: Rules::new(one, one), voters: vec![NodeId(7)] })
}

impl Node {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
        store.identity(Identity { node: NodeId(7), secret: [7; 32] }).unwrap();
        let made = NAMES.map(|name| store.create(&genesis(name)).unwrap());
        let durable = made.map(|stored| (stored.genesis, stored.changes, Vec::new())).into();
        Self { directory, store: Some(store), durable, written: 0 }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Write { documents, kib } => {
                let mut writes = Vec::new();
                for document in documents {
                    self.written += 1;
                    let bytes = [&self.written.to_be_bytes()[..], &vec![7; kib * 1_024]].concat();
                    let (_, to, changes) = &mut self.durable[document];
                    let (to, index) = (to.clone(), changes.len() as u64);
                    changes.push(bytes.clone());
                    writes.push(What::Change { to, index, bytes: bytes.into() });
                }
                self.write(writes);
            }
            Act::Roll(document) => {
                let (old, to, changes) = self.durable[document].clone();
                let mut state = old.state(Caps::default()).unwrap();
                state.next_generation(old.voters(), [0; 32]);
                let holder =
                    crate::document::LeaseId { term: Term(1), holder: crate::document::Actor([7; 16]) };
                let next = old.after((&state, state.to_parts()), Format::FIRST, &old.voters(), holder);
                let to = self.store().next_generation(&to, changes.len() as u64, &next);
                let first = vec![b"first".to_vec()];
                self.durable[document] = (next.clone(), to.clone(), first.clone());
                let changes = first.into_iter().map(Into::into).collect();
                self.write(vec![What::Roll { to, genesis: next.into(), changes }]);
            }
            Act::Restart => {
                self.store = None;
                self.start();
            }
            Act::PowerCut { kept, torn } => {
                self.store = None;
                self.cut_power(&kept);
                if torn {
                    self.tear();
                }
                self.start();
            }
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn write(&self, writes: Vec<What>) {
        let writer = Writer::start(self.store()).unwrap();
        for what in writes {
            writer.sender().send(Write { what, remembered: None, done: Box::new(|| {}) }).unwrap();
        }
        writer.finish().unwrap();
    }

    /// All that was durable is there, and nothing else.
    fn start(&mut self) {
        let store = Store::open(self.directory.path(), Formats::KNOWN).unwrap();
        for Loaded { name, stored } in store.load().unwrap() {
            let stored = stored.unwrap_or_else(|error| panic!("{name}: {error}"));
            let at = NAMES.iter().position(|of| *of == name).unwrap();
            let (genesis, to, changes) = &mut self.durable[at];
            assert_eq!((&stored.genesis, &stored.loaded), (&*genesis, &*changes), "{name}");
            *to = stored.changes;
        }
        self.store = Some(store);
    }

    /// Of each file that the journal still has entries of, what came with those may not be on the disk.
    fn cut_power(&self, kept: &[u8]) {
        let (documents, files) = (self.directory.path().join("documents"), self.files());
        let stamp = Meta::open(&documents.join("meta"), false).unwrap().stamp();
        let recovered = journal::recover(&documents.join("journal"), stamp).unwrap();
        // From where on a file is not synced.
        let mut from: BTreeMap<(String, u64), u64> = BTreeMap::new();
        for entries in &recovered.blocks {
            let mut at = 0;
            while let Some(place) = frames::record_at(entries, at) {
                at = place.end;
                let entry = record::StoredEntry::decode(entries.slice(place)).unwrap();
                let contents = files.read(&entry.document, entry.generation).unwrap();
                let place = match (contents, entry.what.unwrap()) {
                    (Some(contents), Stored::Change(change)) => contents.places[change.index as usize],
                    (Some(_), Stored::Genesis(_)) => 0,
                    _ => continue,
                };
                let known = from.entry((entry.document, entry.generation)).or_insert(place);
                *known = place.min(*known);
            }
        }
        for (((document, generation), from), kept) in from.into_iter().zip(kept.iter().cycle()) {
            let path = files.path(&document, generation);
            let length = std::fs::metadata(&path).unwrap().len();
            let unsynced = length - from;
            let file = File::options().write(true).open(&path).unwrap();
            file.set_len(from + unsynced * u64::from(*kept) / 255).unwrap();
            // The file may be as long as it was, and have nothing in it.
            if kept % 3 == 0 {
                file.set_len(length).unwrap();
            }
            if *kept == 0 && from == 0 {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    /// The beginning of a block that was being written behind the last one.
    fn tear(&self) {
        let directory = self.directory.path().join("documents/journal");
        let path = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let end = used.next_multiple_of(4_096);
        if end + 4_096 <= bytes.len() {
            bytes[end..end + 3].copy_from_slice(b"xbl");
            std::fs::write(&path, bytes).unwrap();
        }
    }

    fn files(&self) -> Files {
        Files::open(self.directory.path().join("documents/files")).unwrap()
    }
}

/// Few, since each writes some hundred MB; as many as `PROPTEST_CASES` says on demand.
fn cases() -> ProptestConfig {
    let few = ProptestConfig::with_cases(6);
    if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default() } else { few }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_was_said_to_be_durable_survives_each_power_cut(acts in acts()) {
        let mut node = Node::new();
        acts.into_iter().for_each(|act| node.act(act));
        node.act(Act::Restart);
    }
}

//! What was synced is found again, and what is damaged is reported.

use std::sync::mpsc::channel;

use super::*;
use crate::format::Format;
use crate::types::NodeId;

fn write(store: &Store, document: &Stored, records: &[&[u8]]) {
    let writer = Writer::start(store).unwrap();
    let (sender, done) = channel();
    for (at, record) in records.iter().enumerate() {
        let sender = sender.clone();
        let write = Write {
            what: What::Change {
                to: document.changes.clone(),
                index: document.count + at as u64,
                bytes: record.to_vec().into(),
            },
            remembered: None,
            done: Box::new(move || sender.send(at).unwrap()),
        };
        writer.sender().send(write).unwrap();
    }
    drop(sender);
    assert_eq!(done.iter().count(), records.len());
    assert_eq!(writer.finish().unwrap().changes, records.len() as u64);
}

fn who(number: u8) -> Identity {
    Identity { node: NodeId(number.into()), secret: [number; 32] }
}

fn genesis() -> Genesis {
    Genesis::directory(NodeId(7))
}

/// The next generation's.
fn next_genesis() -> Genesis {
    let mut state = genesis().state(crate::machine::Caps::default()).unwrap();
    let voters = genesis().voters();
    state.next_generation(voters.clone(), [0; 32]);
    genesis().after((&state, state.to_parts()), Format::FIRST, &voters, (1, crate::document::Actor([7; 16])))
}

fn market_genesis() -> Genesis {
    let one = crate::decimal::Grid::new("1".parse().unwrap()).unwrap();
    let rules = crate::machine::Rules::new(one, one);
    Genesis::market(&crate::machine::NewMarket { name: "BTC/USDT".into(), rules, voters: vec![NodeId(7)] })
}

#[test]
fn what_was_written_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    {
        let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
        assert!(store.identity(who(7)).unwrap() == who(7));
        store.create(&genesis()).unwrap();
        let document = store.load().unwrap().remove(0).stored.unwrap();
        write(&store, &document, &[b"one", b"two"]);
    }
    let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
    assert!(store.identity(who(8)).unwrap() == who(7), "the first one stays");
    let document = store.load().unwrap().remove(0).stored.unwrap();
    assert_eq!(document.genesis, genesis());
    assert_eq!(document.loaded, [b"one", b"two"]);
}

#[test]
fn a_record_with_a_wrong_checksum_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
    store.create(&genesis()).unwrap();
    let document = store.load().unwrap().remove(0).stored.unwrap();
    write(&store, &document, &[b"one", b"two"]);
    let mut framed = frame::close(b"two");
    framed[5] ^= 1;
    document.changes.keyspace.insert(1_u64.to_be_bytes(), framed).unwrap();
    let error = store.load().unwrap().remove(0).stored.err().unwrap();
    assert_eq!(error.to_string(), "record 1 of directory is damaged: its checksum is wrong");
}

#[test]
fn a_record_that_was_synced_and_is_gone_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
    store.create(&genesis()).unwrap();
    let document = store.load().unwrap().remove(0).stored.unwrap();
    write(&store, &document, &[b"one", b"two"]);
    document.changes.keyspace.remove(1_u64.to_be_bytes()).unwrap();
    drop(store);
    let store = Store::open(directory.path(), Formats::KNOWN);
    // The database may still be locked by the keyspace handle above; then that is the report.
    let error = store.and_then(|store| store.load()).err().unwrap();
    assert!(matches!(error, StoreError::Lost { synced: 2, found: 1 } | StoreError::InUse { .. }), "{error}");
}

#[test]
fn a_torn_journal_is_cut_at_what_was_synced_or_reported() {
    let directory = tempfile::tempdir().unwrap();
    {
        let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
        store.create(&genesis()).unwrap();
        let document = store.load().unwrap().remove(0).stored.unwrap();
        write(&store, &document, &[b"one", b"two", &[b'x'; 5_000]]);
    }
    let journal = std::fs::read_dir(directory.path().join("documents"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .unwrap();
    let mut bytes = std::fs::read(&journal).unwrap();
    let needle = [b'x'; 100];
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&journal, &bytes).unwrap();
    let error = Store::open(directory.path(), Formats::KNOWN).and_then(|store| store.load()).err();
    assert!(error.is_some(), "a flipped bit in a synced record is never ignored");
}

#[test]
fn what_was_heard_is_stored_with_a_write() {
    let directory = tempfile::tempdir().unwrap();
    let heard = |label| record::HeardAck { node: 3, generation: 2, label, ..record::HeardAck::default() };
    let remembered = |label| record::Remembered { acks: vec![heard(label)] };
    let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
    let document = store.create(&genesis()).unwrap();
    assert_eq!(document.remembered, record::Remembered::default());
    let writer = Writer::start(&store).unwrap();
    for label in 1..=3 {
        let what = What::Change {
            to: document.changes.clone(),
            index: label - 1,
            bytes: b"change".as_slice().into(),
        };
        let remembered = (label < 3).then(|| (genesis().name().into(), remembered(label)));
        writer.sender().send(Write { what, remembered, done: Box::new(|| {}) }).unwrap();
    }
    assert!(writer.finish().unwrap().syncs <= 3, "it needs no sync of its own");
    let stored = store.read(genesis().name(), 0).unwrap().unwrap();
    assert_eq!((stored.count, stored.remembered), (3, remembered(2)));
}

#[test]
fn a_directory_that_was_copied_is_known_by_it_until_it_belongs_where_it_is() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(first.path(), Formats::KNOWN).unwrap();
    store.identity(who(7)).unwrap();
    drop(store);
    assert!(
        !Store::open(first.path(), Formats::KNOWN).unwrap().is_restored().unwrap(),
        "a restart is no copy"
    );
    copy(first.path(), second.path());
    let copied = Store::open(second.path(), Formats::KNOWN).unwrap();
    assert!(copied.identity(who(8)).unwrap() == who(7));
    assert!(copied.is_restored().unwrap());
    // Two documents wait, and both hear enough.
    for _ in 0..2 {
        copied.wait_for_gate();
    }
    for restored in [true, false] {
        copied.gate_opened().unwrap();
        assert_eq!(copied.is_restored().unwrap(), restored);
    }
    drop(copied);
    assert!(!Store::open(second.path(), Formats::KNOWN).unwrap().is_restored().unwrap());
}

#[test]
fn a_directory_that_was_found_to_be_an_old_copy_is_not_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    Store::open(directory.path(), Formats::KNOWN).unwrap().condemn("peer 7 remembers more").unwrap();
    let error = Store::open(directory.path(), Formats::KNOWN).err().unwrap().to_string();
    assert_eq!(error, "this data directory was refused before: peer 7 remembers more");
}

#[test]
fn a_lost_record_is_noticed_beside_a_genesis_that_cannot_be_read() {
    let rolls = |store: &Store, document: &Stored| {
        let next = next_genesis();
        let to = store.next_generation(&document.changes, 2, &next).unwrap();
        let what =
            What::Roll { from: 0, to, genesis: next.into(), changes: vec![b"three".as_slice().into()] };
        let writer = Writer::start(store).unwrap();
        writer.sender().send(Write { what, remembered: None, done: Box::new(|| {}) }).unwrap();
        writer.finish().unwrap();
    };
    for (rolled, lost) in [(false, false), (false, true), (true, false), (true, true)] {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
        let market = store.create(&market_genesis()).unwrap();
        write(&store, &market, &[b"one"]);
        let damaged = store.create(&genesis()).unwrap();
        write(&store, &damaged, &[b"one", b"two"]);
        if rolled {
            rolls(&store, &damaged);
        }
        store.meta.insert(genesis_key(genesis().name()), frame::close(b"?")).unwrap();
        if lost {
            market.changes.keyspace.remove(0_u64.to_be_bytes()).unwrap();
        }
        match store.load() {
            Ok(documents) => {
                assert!(!lost, "rolled: {rolled}");
                assert_eq!(documents.iter().filter(|document| document.stored.is_err()).count(), 1);
            }
            Err(error) => assert!(lost && matches!(error, StoreError::Lost { .. }), "{error}"),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A later generation's genesis.
fn generation(generation: u64) -> Genesis {
    let record =
        record::Genesis { generation, term: 1, holder: vec![7; 16].into(), ..genesis().record().clone() };
    Genesis::from_record(record, Vec::new(), Formats::KNOWN).unwrap()
}

/// Begins a generation durably, as a node does that may have skipped some.
fn roll(store: &Store, from: &Stored, to: u64) -> Stored {
    let genesis = Arc::new(generation(to));
    let changes = store.next_generation(&from.changes, from.count, &genesis).unwrap();
    let writer = Writer::start(store).unwrap();
    let what = What::Roll {
        from: from.genesis.generation(),
        to: changes,
        genesis,
        changes: vec![b"first".as_slice().into()],
    };
    writer.sender().send(Write { what, remembered: None, done: Box::new(|| ()) }).unwrap();
    writer.finish().unwrap();
    store.read("directory", to).unwrap().unwrap()
}

#[test]
fn what_is_older_than_the_archive_goes_also_when_generations_are_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
    // Another document's are its own, whatever its name begins with.
    store.keyspace("directory/0", 0).unwrap();
    store.create(&genesis()).unwrap();
    let mut document = store.load().unwrap().remove(0).stored.unwrap();
    for (to, kept) in [
        (1, vec![0, 1]),
        (2, vec![0, 1, 2]),
        (3, vec![1, 2, 3]),
        (9, vec![9]),
        (11, vec![9, 11]),
        (40, vec![40]),
    ] {
        // A crash before the generation was begun may leave an empty place.
        store.keyspace("directory", to - 1).unwrap();
        document = roll(&store, &document, to);
        let mut kept: Vec<String> = kept.iter().map(|kept| changes_name("directory", *kept)).collect();
        kept.extend(
            (!kept.contains(&changes_name("directory", to - 1))).then(|| changes_name("directory", to - 1)),
        );
        kept.extend([changes_name("directory/0", 0), "meta".to_owned()]);
        kept.sort();
        let mut names: Vec<String> =
            store.database.list_keyspace_names().iter().map(|name| name.to_string()).collect();
        names.sort();
        assert_eq!(names, kept, "generation {to}");
        let archived = store.meta.prefix("archive/directory/").count();
        assert!(archived as u64 <= KEPT_GENERATIONS, "generation {to}: {archived} in the archive");
    }
}

#[test]
fn a_store_of_another_format_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
    store.identity(who(7)).unwrap();
    store.meta.insert(FORMAT_KEY, frame::close(&9_u32.to_be_bytes())).unwrap();
    store.settle().unwrap();
    drop(store);
    let error = Store::open(directory.path(), Formats::KNOWN).err().unwrap();
    assert!(matches!(error, StoreError::Format { format: 9, .. }), "{error}");
    let words = "has format 9, and this program reads format 1: start a newer one";
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_document_in_a_format_that_can_not_be_read_is_refused_alone() {
    let directory = tempfile::tempdir().unwrap();
    let both = Formats { oldest: Format(1), newest: Format(2) };
    let store = Store::open(directory.path(), both).unwrap();
    store.identity(who(7)).unwrap();
    let record = record::Genesis { format: 2, ..market_genesis().record().clone() };
    store.create(&genesis()).unwrap();
    store.create(&Genesis::from_record(record, Vec::new(), both).unwrap()).unwrap();
    drop(store);
    let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
    for Loaded { name, stored } in store.load().unwrap() {
        match (name.as_str(), stored) {
            ("directory", stored) => drop(stored.unwrap()),
            (_, Err(StoreError::Genesis(GenesisError::Format { format, reads, .. }))) => {
                assert_eq!((format, reads), (Format(2), Formats::KNOWN));
            }
            (name, stored) => panic!("{name}: {:?}", stored.err()),
        }
    }
}

//! What was synced is found again, and what is damaged is reported.

use std::path::PathBuf;
use std::sync::mpsc::channel;

use tempfile::TempDir;

use super::*;
use crate::document::{Actor, GenesisError, LeaseId};
use crate::format::Format;
use crate::types::{NodeId, Term};

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
    let lease = LeaseId { term: Term(1), holder: Actor([7; 16]) };
    genesis().after((&state, state.to_parts()), Format::FIRST, &voters, lease)
}

fn one() -> crate::decimal::Grid {
    crate::decimal::Grid::new("1".parse().unwrap()).unwrap()
}

fn market_genesis() -> Genesis {
    let rules = crate::machine::Rules::new(one(), one());
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

/// A directory with the directory's document and these changes of it.
fn written(records: &[&[u8]]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
    store.identity(who(7)).unwrap();
    let document = store.create(&genesis()).unwrap();
    write(&store, &document, records);
    directory
}

/// The file of a generation of the directory's document.
fn file(directory: &Path, generation: u64) -> PathBuf {
    let files = Files::open(directory.join("documents/files")).unwrap();
    files.path("directory", generation)
}

fn journal(directory: &Path) -> PathBuf {
    directory.join("documents/journal")
}

/// Where each record of a file is.
fn places(file: &Path) -> Vec<std::ops::Range<usize>> {
    let bytes = std::fs::read(file).unwrap();
    let title = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let (mut at, mut places) = (title, Vec::new());
    while let Some(place) = frames::record_at(&bytes, at) {
        at = place.end;
        places.push(place);
    }
    places
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

fn load(directory: &Path) -> Result<Vec<Loaded>, StoreError> {
    Store::open(directory, Formats::KNOWN).and_then(|store| store.load())
}

#[test]
fn a_record_with_a_wrong_checksum_is_reported() {
    for (record, words) in [
        (0, "the genesis of directory is damaged"),
        (1, "record 0 of"),
        (2, "record 1 of directory is damaged"),
    ] {
        let directory = written(&[b"one", b"two"]);
        std::fs::remove_dir_all(journal(directory.path())).unwrap();
        let file = file(directory.path(), 0);
        flip(&file, places(&file)[record].start + 3);
        let error = load(directory.path()).unwrap().remove(0).stored.err().unwrap();
        assert!(error.to_string().starts_with(words) && error.of_document(), "{error}");
    }
}

#[test]
fn a_record_that_was_synced_and_is_gone_is_reported() {
    let directory = written(&[b"one", b"two"]);
    std::fs::remove_dir_all(journal(directory.path())).unwrap();
    let file = file(directory.path(), 0);
    let places = places(&file);
    for (length, found) in [(places[1].end, 1), (places[2].end - 1, 1), (places[0].end, 0)] {
        File::options().write(true).open(&file).unwrap().set_len(length as u64).unwrap();
        let error = load(directory.path()).err().unwrap();
        assert!(matches!(error, StoreError::Lost { synced: 2, found: of } if of == found), "{error}");
    }
    std::fs::remove_file(file).unwrap();
    assert!(matches!(load(directory.path()), Err(StoreError::Lost { synced: 2, found: 0 })));
}

#[test]
fn what_is_damaged_of_a_file_is_taken_from_the_journal() {
    let whole = written(&[b"one", b"two", b"three"]);
    let length = std::fs::read(file(whole.path(), 0)).unwrap().len();
    for at in (0..length).step_by(7) {
        let directory = tempfile::tempdir().unwrap();
        copy(whole.path(), directory.path());
        let file = file(directory.path(), 0);
        // The genesis is older than the journal: it was made with the document.
        let of_genesis = at < places(&file)[0].end;
        flip(&file, at);
        let stored = load(directory.path()).unwrap().remove(0).stored;
        match stored {
            Ok(stored) => assert!(!of_genesis && stored.loaded == [&b"one"[..], b"two", b"three"], "{at}"),
            Err(error) => assert!(of_genesis && error.of_document(), "{at}: {error}"),
        }
    }
    // A torn write, or none at all.
    for length in (places(&file(whole.path(), 0))[0].end..length).step_by(5) {
        let directory = tempfile::tempdir().unwrap();
        copy(whole.path(), directory.path());
        let file = File::options().write(true).open(file(directory.path(), 0)).unwrap();
        file.set_len(length as u64).unwrap();
        let stored = load(directory.path()).unwrap().remove(0).stored.unwrap();
        assert_eq!(stored.loaded, [&b"one"[..], b"two", b"three"], "{length}");
    }
}

#[test]
fn a_directory_without_its_first_file_is_no_new_one() {
    for what in ["missing", "damaged"] {
        let directory = written(&[b"one"]);
        let meta = directory.path().join("documents/meta");
        match what {
            "missing" => std::fs::remove_file(&meta).unwrap(),
            _ => flip(&meta, 30),
        }
        let error = Store::open(directory.path(), Formats::KNOWN).err().unwrap();
        assert!(error.to_string().contains(&format!("meta is {what}")), "{error}");
    }
}

#[test]
fn a_journal_of_another_time_is_refused() {
    let (directory, other) = (written(&[b"one", b"two"]), tempfile::tempdir().unwrap());
    copy(directory.path(), other.path());
    for (directory, change) in [(&directory, b"three"), (&other, b"other")] {
        let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
        let document = store.load().unwrap().remove(0).stored.unwrap();
        write(&store, &document, &[change]);
    }
    std::fs::remove_dir_all(journal(directory.path())).unwrap();
    copy(&journal(other.path()), &journal(directory.path()));
    let error = load(directory.path()).err().unwrap();
    assert_eq!(error.to_string(), "record 2 of directory is damaged");
}

#[test]
fn a_store_is_open_once() {
    let directory = tempfile::tempdir().unwrap();
    let _store = Store::open(directory.path(), Formats::KNOWN).unwrap();
    assert!(matches!(Store::open(directory.path(), Formats::KNOWN), Err(StoreError::InUse { .. })));
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
        let remembered = (label < 3).then(|| remembered(label));
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
    assert!(!Store::open(first.path(), Formats::KNOWN).unwrap().is_restored(), "a restart is no copy");
    copy(first.path(), second.path());
    let copied = Store::open(second.path(), Formats::KNOWN).unwrap();
    assert!(copied.identity(who(8)).unwrap() == who(7));
    assert!(copied.is_restored());
    // Two documents wait, and both hear enough.
    for _ in 0..2 {
        copied.wait_for_gate();
    }
    for restored in [true, false] {
        copied.gate_opened().unwrap();
        assert_eq!(copied.is_restored(), restored);
    }
    drop(copied);
    assert!(!Store::open(second.path(), Formats::KNOWN).unwrap().is_restored());
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
        let to = store.next_generation(&document.changes, 2, &next);
        let what = What::Roll { to, genesis: next.into(), changes: vec![b"three".as_slice().into()] };
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
        drop((store, market, damaged));
        std::fs::remove_dir_all(journal(directory.path())).unwrap();
        let damaged = file(directory.path(), rolled.into());
        flip(&damaged, places(&damaged)[0].start + 3);
        if lost {
            let files = Files::open(directory.path().join("documents/files")).unwrap();
            let market = files.path("BTC/USDT", 0);
            let end = places(&market)[0].end;
            File::options().write(true).open(&market).unwrap().set_len(end as u64).unwrap();
        }
        match load(directory.path()) {
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
fn roll(store: &Store, from: &Stored, next: u64) -> Stored {
    let genesis = Arc::new(generation(next));
    let to = store.next_generation(&from.changes, from.count, &genesis);
    let writer = Writer::start(store).unwrap();
    let what = What::Roll { to, genesis, changes: vec![b"first".as_slice().into()] };
    writer.sender().send(Write { what, remembered: None, done: Box::new(|| ()) }).unwrap();
    writer.finish().unwrap();
    store.read("directory", next).unwrap().unwrap()
}

#[test]
fn what_is_older_than_the_archive_goes_also_when_generations_are_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(directory.path(), Formats::KNOWN).unwrap();
    store.identity(who(7)).unwrap();
    // Another document's are its own, whatever its name begins with.
    let market = Genesis::market(&crate::machine::NewMarket {
        name: "directory/0".into(),
        rules: crate::machine::Rules::new(one(), one()),
        voters: vec![NodeId(7)],
    });
    store.create(&market).unwrap();
    let mut document = store.create(&genesis()).unwrap();
    for (to, kept) in [
        (1, vec![0, 1]),
        (2, vec![0, 1, 2]),
        (3, vec![1, 2, 3]),
        (9, vec![9]),
        (11, vec![9, 11]),
        (40, vec![40]),
    ] {
        document = roll(&store, &document, to);
        assert_eq!(store.files.generations("directory").unwrap(), kept, "generation {to}");
        // What is left in the journal of those that went does not come back.
        drop(store);
        store = Store::open(directory.path(), Formats::KNOWN).unwrap();
        assert_eq!(store.files.generations("directory").unwrap(), kept, "generation {to}");
        assert_eq!(store.files.generations("directory/0").unwrap(), [0]);
        assert_eq!(store.load().unwrap().len(), 2);
    }
}

#[test]
fn what_was_heard_goes_on_into_the_next_generation() {
    let directory = written(&[]);
    let remembered = record::Remembered { acks: vec![record::HeardAck { node: 3, ..Default::default() }] };
    {
        let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
        let document = store.load().unwrap().remove(0).stored.unwrap();
        let writer = Writer::start(&store).unwrap();
        let what = What::Change { to: document.changes.clone(), index: 0, bytes: b"one".as_slice().into() };
        let write = Write { what, remembered: Some(remembered.clone()), done: Box::new(|| {}) };
        writer.sender().send(write).unwrap();
        writer.finish().unwrap();
    }
    let store = Store::open(directory.path(), Formats::KNOWN).unwrap();
    let document = store.load().unwrap().remove(0).stored.unwrap();
    assert_eq!(document.remembered, remembered);
    assert_eq!(roll(&store, &document, 1).remembered, remembered);
}

#[test]
fn a_store_of_another_format_is_refused_by_name() {
    let directory = written(&[]);
    let meta = directory.path().join("documents/meta");
    let bytes = std::fs::read(&meta).unwrap();
    let title = b"xbook node 1\n";
    assert!(bytes.starts_with(title));
    std::fs::write(&meta, [b"xbook node 9\n", &bytes[title.len()..]].concat()).unwrap();
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

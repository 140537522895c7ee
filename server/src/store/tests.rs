//! What was synced is found again, and what is damaged is reported.

use std::sync::mpsc::channel;

use super::*;
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

#[test]
fn what_was_written_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    {
        let store = Store::open(directory.path()).unwrap();
        assert!(store.identity(who(7)).unwrap() == who(7));
        store.create(&genesis()).unwrap();
        let document = store.load().unwrap().remove(0).stored.unwrap();
        write(&store, &document, &[b"one", b"two"]);
    }
    let store = Store::open(directory.path()).unwrap();
    assert!(store.identity(who(8)).unwrap() == who(7), "the first one stays");
    let document = store.load().unwrap().remove(0).stored.unwrap();
    assert_eq!(document.genesis, genesis());
    assert_eq!(document.loaded, [b"one", b"two"]);
}

#[test]
fn a_record_with_a_wrong_checksum_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
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
    let store = Store::open(directory.path()).unwrap();
    store.create(&genesis()).unwrap();
    let document = store.load().unwrap().remove(0).stored.unwrap();
    write(&store, &document, &[b"one", b"two"]);
    document.changes.keyspace.remove(1_u64.to_be_bytes()).unwrap();
    drop(store);
    let store = Store::open(directory.path());
    // The database may still be locked by the keyspace handle above; then that is the report.
    let error = store.and_then(|store| store.load()).err().unwrap();
    assert!(matches!(error, StoreError::Lost { synced: 2, found: 1 } | StoreError::InUse { .. }), "{error}");
}

#[test]
fn a_torn_journal_is_cut_at_what_was_synced_or_reported() {
    let directory = tempfile::tempdir().unwrap();
    {
        let store = Store::open(directory.path()).unwrap();
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
    let error = Store::open(directory.path()).and_then(|store| store.load()).err();
    assert!(error.is_some(), "a flipped bit in a synced record is never ignored");
}

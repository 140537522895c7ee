//! The document as others see it: what one writes another reads, whatever the order.

use xbook_proto::record::v1 as record;

use super::*;
use crate::decimal::Grid;
use crate::format::Formats;
use crate::machine::{NewMarket, Rules};
use crate::types::{Micros, NodeId};

fn genesis() -> Genesis {
    let grid = |text: &str| Grid::new(text.parse().unwrap()).unwrap();
    let rules = Rules::new(grid("0.01"), grid("0.001"));
    Genesis::market(&NewMarket { name: "BTC/USDT".into(), rules, voters: vec![NodeId(1)] })
}

fn document(node: u64) -> Document {
    Document::new(&genesis(), Actor::new(Micros(1_000_000 + node), NodeId(node), 7)).unwrap()
}

fn promise(term: u64) -> Entry {
    Entry::Promise(record::Promise { term, candidate: vec![1; 16].into(), voter: 9 })
}

fn intents(first_counter: u64) -> Entry {
    Entry::Intents(record::IntentBatch { node: 9, first_counter, ..Default::default() })
}

fn parse(change: &LocalChange) -> RawChange {
    RawChange::parse(change.bytes.to_vec()).unwrap()
}

#[test]
fn the_genesis_is_the_same_everywhere() {
    let heads = |genesis: &Genesis| genesis.document().unwrap().0.get_heads();
    assert_eq!(heads(&genesis()), heads(&genesis()));
    assert_eq!(Genesis::from_record(genesis().record().clone(), Vec::new(), Formats::KNOWN), Ok(genesis()));
}

#[test]
fn entries_arrive_in_their_writers_order() {
    let (mut writer, mut reader) = (document(1), document(2));
    let first = writer.append(&[promise(1), intents(1)]).unwrap();
    let second = writer.append(&[intents(5), promise(4)]).unwrap();
    let third = writer.append(&[intents(6)]).unwrap();
    let me = writer.me();
    let together = reader.apply(vec![parse(&first), parse(&second)]).unwrap();
    assert_eq!(together, [(me, promise(1)), (me, intents(1)), (me, intents(5)), (me, promise(4))]);
    assert_eq!(reader.apply(vec![parse(&third)]).unwrap(), [(me, intents(6))]);
    assert_eq!((reader.vector(), reader.changes(), reader.bytes()), (writer.vector(), 4, writer.bytes()));
}

#[test]
fn changes_out_of_turn_are_refused_whole() {
    let (mut writer, mut reader) = (document(1), document(2));
    let first = writer.append(&[intents(1)]).unwrap();
    let second = writer.append(&[intents(2)]).unwrap();
    let error = reader.apply(vec![parse(&second)]).unwrap_err();
    assert_eq!(error.to_string(), format!("change 2 of {} does not follow its change 0", writer.me()));
    assert!(reader.apply(vec![parse(&first), parse(&first)]).is_err());
    assert_eq!(reader.changes(), 1);
    assert!(matches!(RawChange::parse(b"garbage".to_vec()), Err(ChangeError::Malformed(_))));
}

#[test]
fn the_same_appends_make_the_same_bytes() {
    let run = || {
        let mut document = document(3);
        [document.append(&[promise(1)]).unwrap(), document.append(&[intents(1), promise(2)]).unwrap()]
    };
    assert_eq!(run(), run());
}

/// A change that somebody makes with Automerge's own means, on top of an own entry.
fn forged(forge: impl FnOnce(&mut Transaction<'_>, &ObjId, &ObjId)) -> (Document, RawChange) {
    let (mut writer, mut reader) = (document(1), document(2));
    let first = writer.append(&[promise(3)]).unwrap();
    reader.apply(vec![parse(&first)]).unwrap();
    let (root, own) =
        (writer.roots[Kind::Promise as usize].clone(), writer.mine[Kind::Promise as usize].clone());
    let mut transaction = writer.automerge.transaction();
    forge(&mut transaction, &root, &own.unwrap());
    transaction.commit_with(CommitOptions::default().with_time(0));
    let change = writer.automerge.get_last_local_change().unwrap();
    (reader, RawChange::parse(change.raw_bytes().to_vec()).unwrap())
}

#[track_caller]
fn assert_offence(expected: Offence, forge: impl FnOnce(&mut Transaction<'_>, &ObjId, &ObjId)) {
    let (mut reader, raw) = forged(forge);
    let before = reader.changes();
    let offence = match reader.examine(raw.clone()) {
        Err(ChangeError::Layout { offence, .. }) => offence,
        other => panic!("{other:?}"),
    };
    assert_eq!(std::mem::discriminant(&offence), std::mem::discriminant(&expected), "{offence}");
    assert!(reader.apply(vec![raw]).is_err());
    assert_eq!(reader.changes(), before, "nothing is applied");
}

#[test]
fn a_change_that_does_more_than_add_its_actors_entries_is_refused() {
    let bytes = |entry: Entry| ScalarValue::Bytes(entry.encode());
    assert_offence(Offence::Action(0), |t, _, own| t.put(own, key(3), bytes(promise(9))).unwrap());
    assert_offence(Offence::Action(0), |t, _, own| t.delete(own, key(3)).unwrap());
    assert_offence(Offence::Action(0), |t, _, own| t.put(own, key(4), 7).unwrap());
    assert_offence(Offence::Action(0), |t, root, _| {
        t.put_object(root, "somebody else", ObjType::Map).unwrap();
    });
    assert_offence(Offence::Place(0), |t, _, _| t.put(ROOT, "more", 7).unwrap());
    assert_offence(Offence::Action(0), |t, _, own| {
        let list = t.put_object(own, key(4), ObjType::List);
        t.insert(list.unwrap(), 0, 7).unwrap();
    });
    assert_offence(Offence::Key(0), |t, _, own| t.put(own, key(2), bytes(promise(2))).unwrap());
    assert_offence(Offence::Key(0), |t, _, own| t.put(own, key(5), bytes(promise(4))).unwrap());
    assert_offence(Offence::Key(0), |t, _, own| t.put(own, "5", bytes(promise(5))).unwrap());
    assert_offence(Offence::Entry(0), |t, _, own| {
        t.put(own, key(4), ScalarValue::Bytes(vec![0xFF; 9])).unwrap();
    });
}

#[test]
fn a_gap_in_the_batches_is_refused() {
    let (mut reader, raw) = forged(|t, _, _| {
        let writer = document(1);
        let map = t.put_object(&writer.roots[Kind::Intents as usize], writer.me().to_string(), ObjType::Map);
        t.put(map.unwrap(), key(1), ScalarValue::Bytes(intents(1).encode())).unwrap();
    });
    assert!(matches!(
        reader.apply(vec![raw]),
        Err(DocumentError::Change(ChangeError::Layout { offence: Offence::Key(_), .. }))
    ));
}

proptest::proptest! {
    #[test]
    fn damaged_changes_are_refused_and_never_panic(
        flips in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 1_u8..), 1..4),
    ) {
        let (mut writer, mut reader) = (document(1), document(2));
        let change = writer.append(&[promise(3), intents(1)]).unwrap();
        let mut bytes = change.bytes.to_vec();
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        if bytes != change.bytes && let Ok(raw) = RawChange::parse(bytes) {
            proptest::prop_assert!(reader.apply(vec![raw]).is_err());
        }
    }
}

//! The document as others see it: what one writes another reads, whatever the order.

use xbook_proto::record::v1 as record;

use super::*;
use crate::decimal::Grid;
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
    assert_eq!(Genesis::from_record(genesis().record().clone(), Vec::new()), Ok(genesis()));
}

#[test]
fn entries_arrive_in_their_writers_order() {
    let (mut writer, mut reader) = (document(1), document(2));
    let first = writer.append(&[promise(1), intents(1)]).unwrap();
    let second = writer.append(&[intents(5), promise(4)]).unwrap();
    let third = writer.append(&[intents(6)]).unwrap();
    let me = writer.me();
    let together = reader.apply(vec![parse(&first), parse(&second)]).unwrap();
    assert_eq!(together, [(me, intents(1)), (me, intents(5)), (me, promise(1)), (me, promise(4))]);
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

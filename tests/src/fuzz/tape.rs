//! A batch of the tape, from a damaged disk or a holder that went mad: it fits, or it does not.

use std::collections::BTreeMap;

use prost::Message;
use xbook::document::Kind;
use xbook::machine::{Batch, Intent, Machine, Market, State, decode_batch};
use xbook::types::OrderId;
use xbook_proto::record::v1 as record;

use super::node::{MARKET, ME, Node, OTHER, market, rules};
use super::reader::{Reader, put_run};
use super::records::records;

/// Takes batches of intents and of the tape, one after the other.
pub(super) fn take(bytes: &[u8]) {
    let mut reader = Reader(bytes);
    let mut state = State::new(
        Machine::Market(Box::new(Market::new(MARKET.into(), rules()))),
        vec![ME],
        market().digest(),
    );
    let mut intents = BTreeMap::<OrderId, Intent>::new();
    while let Some(kind) = reader.byte() {
        let Some(run) = reader.run() else { return };
        if kind % 2 == 0 {
            let Ok(batch) = record::IntentBatch::decode(run) else { continue };
            for intent in decode_batch(batch).into_iter().flatten() {
                let counter = 1 + intents.len() as u64;
                intents.insert(OrderId { node: if kind < 128 { ME } else { OTHER }, counter }, intent);
            }
        } else if !fold(&mut state, &intents, run) {
            return;
        }
    }
}

/// Whether the state is of use after it.
fn fold(state: &mut State, intents: &BTreeMap<OrderId, Intent>, run: &[u8]) -> bool {
    let Ok(record) = record::TapeBatch::decode(run) else { return true };
    let Some(batch) = Batch::from_record(&record) else { return true };
    let again = Batch::from_record(&batch.to_record());
    assert_eq!(again.as_ref(), Some(&batch), "a batch that was read can be written and read");
    match state.apply(&batch, |id| intents.get(&id)) {
        Ok(block) => {
            assert!(block.last >= block.first || block.changes.is_empty(), "{block:?}");
            assert_eq!(state.position(), block.last);
            true
        }
        Err(_) => false,
    }
}

/// What a node wrote.
pub(super) fn samples() -> Vec<Vec<u8>> {
    let mut node = Node::new(market(), u64::MAX);
    node.trade();
    let mut sample = Vec::new();
    for (kind, run) in records(&market(), &node.disk) {
        if matches!(kind, Kind::Intents | Kind::Tape) {
            sample.push(u8::from(kind == Kind::Tape));
            put_run(&mut sample, &run);
        }
    }
    vec![sample]
}

//! The fold of any node's document, and of documents merged in any order, fills no order beyond its
//! quantity, consumes nothing twice and is not crossed where orders trade. A majority's disks hold all that was shown.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use xbook::document::{Actor, Genesis, RawChange};
use xbook::machine::{Block, Caps, Change, Market, State};
use xbook::replica::{Remembered, Replica, Settings};
use xbook::types::{Liquidity, MarketState, Micros, NodeId, OrderId};

use super::committed::{Committed, CommittedViolation};
use super::{Violation, rematch};
use crate::sim::programs;

/// A fold does what none may do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FoldViolation {
    /// It does not fit together.
    #[error("{what} can't be folded: {error}")]
    Broken {
        /// Whose documents.
        what: String,
        /// Why.
        error: String,
    },
    /// Filled beyond its quantity.
    #[error("{what} fills {filled} of order {order}, whose quantity is {quantity}")]
    Filled {
        /// Whose documents.
        what: String,
        /// The order.
        order: OrderId,
        /// What its fills add up to.
        filled: u64,
        /// Its quantity.
        quantity: u64,
    },
    /// Consumed twice.
    #[error("{what} consumes intent {intent} twice")]
    Consumed {
        /// Whose documents.
        what: String,
        /// The intent.
        intent: OrderId,
    },
    /// Crossed.
    #[error("{what} leaves a crossed book")]
    Crossed {
        /// Whose documents.
        what: String,
    },
}

/// Checks what a running replica's document folds to.
///
/// # Errors
/// It does what no fold may do.
pub fn check_replica(replica: &Replica) -> Result<(), FoldViolation> {
    let what = || format!("the document of node {}", replica.node());
    let fold = replica.whole_fold(drop);
    let state = fold.map_err(|error| FoldViolation::Broken { what: what(), error: error.to_string() })?;
    check_crossed(&state, what)
}

fn check_crossed(state: &State, what: impl Fn() -> String) -> Result<(), FoldViolation> {
    let trades = |market: &Market| matches!(market.state(), MarketState::Continuous | MarketState::PostOnly);
    let crossed = state.machine.market().is_some_and(|market| trades(market) && market.book().is_crossed());
    if crossed { Err(FoldViolation::Crossed { what: what() }) } else { Ok(()) }
}

/// Merges disks in the given order into a fresh document, folds it, and checks the fold.
///
/// # Errors
/// The merged documents fold to what they must not. If they are a majority's, all that was shown
/// must be in them.
pub fn check_merge(
    genesis: &Genesis,
    (disks, majority): (&[(NodeId, &[Bytes])], bool),
    caps: Caps,
    committed: &Committed,
) -> Result<(), Violation> {
    let nodes: Vec<String> = disks.iter().map(|(node, disk)| format!("{}:{}", node.0, disk.len())).collect();
    let what = format!("the merge of the disks of the nodes {}", nodes.join(" "));
    let broken = |error: String| FoldViolation::Broken { what: what.clone(), error };
    let formats = programs::NEWER;
    let settings = Settings { now: Micros(1), lease: Micros(1), caps, formats, ..Settings::default() };
    let reader = Actor::new(Micros(1), NodeId(u64::MAX), 0);
    let replica = Replica::open(genesis.clone(), reader, settings, merge(disks), Remembered::default())
        .map_err(|error| broken(error.to_string()))?;
    let mut blocks = Vec::new();
    let state = replica.whole_fold(|block| blocks.push(block)).map_err(|error| broken(error.to_string()))?;
    check_blocks(&blocks, &what)?;
    check_crossed(&state, || what.clone())?;
    if majority {
        let generation = genesis.generation();
        let shown = committed.of(generation);
        let same = blocks.iter().zip(shown).take_while(|(mine, shown)| mine == shown).count();
        let (have, shown) = (same as u64, committed.of(generation).count() as u64);
        if have < shown {
            return Err(CommittedViolation::Lost { generation, have, shown }.into());
        }
    }
    Ok(())
}

/// The changes of some disks, each once, in an order in which dependencies come first: each disk is
/// in such an order, and so is one after the other.
fn merge(disks: &[(NodeId, &[Bytes])]) -> Vec<Vec<u8>> {
    let mut known = BTreeSet::new();
    let mut merged = Vec::new();
    for bytes in disks.iter().flat_map(|(_, disk)| disk.iter()) {
        let raw = RawChange::parse(bytes.to_vec()).ok();
        let key = raw.and_then(|raw| Some((raw.actor().ok()?, raw.seq())));
        if key.is_none_or(|key| known.insert(key)) {
            merged.push(bytes.to_vec());
        }
    }
    merged
}

/// Adds up the fills of each order and counts what is consumed, from the events alone.
fn check_blocks(blocks: &[Block], what: &str) -> Result<(), Violation> {
    let mut filled: BTreeMap<OrderId, u64> = BTreeMap::new();
    let mut consumed = BTreeSet::new();
    for block in blocks {
        rematch::overfilled(block)?;
        for answer in &block.answers {
            if !consumed.insert(answer.intent) {
                return Err(FoldViolation::Consumed { what: what.to_owned(), intent: answer.intent }.into());
            }
        }
        for change in &block.changes {
            let Change::Order { order, fill: Some(fill), .. } = change else {
                continue;
            };
            debug_assert!(matches!(fill.liquidity, Liquidity::Maker | Liquidity::Taker));
            let sum = filled.entry(order.id).or_insert(0);
            *sum += fill.quantity.0;
            if *sum > order.quantity.0 {
                let (filled, quantity) = (*sum, order.quantity.0);
                return Err(FoldViolation::Filled {
                    what: what.to_owned(),
                    order: order.id,
                    filled,
                    quantity,
                }
                .into());
            }
        }
    }
    Ok(())
}

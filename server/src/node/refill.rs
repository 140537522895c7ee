//! Fills what a market's history lacks from the node's own documents: a kept generation, folded again, gives the
//! same blocks. As with a peer's, the chain says whether they are the right ones.

use crate::document::Actor;
use crate::history::{FillError, History, HistoryError, Missing};
use crate::replica::{Remembered, Replica, Settings};
use crate::store::{Store, StoreError};
use crate::types::{NodeId, Position};

/// Fills a gap as far as the kept generations go; returns whether they gave anything. Blocks, and takes as long
/// as a restart for each generation that overlaps the gap.
///
/// # Errors
/// The history can't be read or written.
pub(super) fn refill(store: &Store, history: &History, gap: Missing) -> Result<bool, HistoryError> {
    let market = history.market();
    let told = |error: StoreError| {
        tracing::warn!(%market, %error, "a kept generation can't be read, so the history is not filled from it");
    };
    let Some(newest) = store.newest_generation(market).map_err(told).ok().flatten() else {
        return Ok(false);
    };
    let (mut rest, mut filled) = (Some(gap), false);
    for generation in (0..=newest).rev() {
        let Some(gap) = rest else { break };
        match store.starts_after(market, generation) {
            Ok(Some(start)) if start >= gap.last => continue,
            Ok(Some(_)) => {}
            // None that is older is kept.
            Ok(None) => break,
            Err(error) => {
                told(error);
                break;
            }
        }
        for record in records(store, history, generation, gap).into_iter().rev() {
            let Some(gap) = rest else { break };
            rest = match history.fill(gap, &record) {
                Ok(rest) => rest,
                Err(FillError::Store(error)) => return Err(error),
                // It was never committed: this node was away at the generation's end.
                Err(_) => return Ok(filled),
            };
            filled = true;
        }
    }
    Ok(filled)
}

/// The records of a generation's blocks within a gap, ascending; none if it can't be folded.
fn records(store: &Store, history: &History, generation: u64, gap: Missing) -> Vec<Vec<u8>> {
    let Ok(Some(stored)) = store.read(history.market(), generation) else {
        return Vec::new();
    };
    // No node has this id, so the copy is nobody's.
    let nobody = Actor::new(Settings::default().now, NodeId(0), 0);
    let settings = Settings::default();
    let mut records = Vec::new();
    let Ok(copy) = Replica::open(stored.genesis, nobody, settings, stored.loaded, Remembered::default())
    else {
        return Vec::new();
    };
    let folded = copy.whole_fold(|block| {
        let within = |position: Position| (gap.first..=gap.last).contains(&position);
        if within(block.first) && within(block.last) {
            records.push(history.record_of(&block));
        }
    });
    // What comes after a fault was not committed.
    if let Err(error) = folded {
        tracing::warn!(market = %history.market(), generation, %error, "a kept generation can't be folded to its end");
    }
    records
}

//! The kept generations of a document matched again, from the newest one back.
//!
//! What the history has of each is checked too: the chain of hashes has to lead through it to the tape's head.
//!
//! A generation of the archive counts only if it ends with a Seal that names the genesis of the one
//! after it: else this node was away at its end, and what its copy has may never have been committed.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use super::compare::Mine;
use super::hex;
use crate::api::access::Deadline;
use crate::node::{Node, NodeError};
use crate::replica::Rematch;
use crate::types::Position;

/// What was matched again.
#[derive(Default)]
pub(super) struct Again {
    /// By generation, the oldest first.
    pub matched: Vec<(u64, Rematch)>,
    /// What is wrong.
    pub findings: Vec<String>,
    /// What was not matched.
    pub unverified: Vec<String>,
}

/// What came of one generation.
enum Found {
    Matched(u64, Rematch),
    Wrong(String),
    /// A generation that is kept and can't be used, in words.
    Apart(String),
}

/// Matches again all that is kept up to the position, as far as the deadline allows.
pub(super) async fn again(node: &Node, turns: Arc<Semaphore>, mine: &Mine, deadline: Deadline) -> Again {
    let mut again = Again::default();
    let unfinished = |what: &str| format!("{what}: ask again with more time");
    let turn = match deadline.wait(turns.acquire_owned()).await {
        Ok(Ok(turn)) => turn,
        _ => {
            again
                .unverified
                .push(unfinished("nothing was matched again, since another document is verified"));
            return again;
        }
    };
    if let Some(market) = node.market(&mine.document) {
        // The history follows the view by a moment. One that is closing says so elsewhere.
        let _ = deadline.wait(market.reached(mine.position)).await;
    }
    let (found, mut results) = mpsc::channel(1);
    let (node, document, through) = (node.clone(), mine.document.clone(), mine.position);
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        if let Err(error) = walk_back(&node, &document, through, &found) {
            // Whoever asked may have gone.
            let _ = found.blocking_send(Found::Wrong(format!("what is stored can't be used: {error}")));
        }
    });
    loop {
        match deadline.wait(results.recv()).await {
            Ok(Some(found)) => again.take(found, mine),
            Ok(None) => break,
            Err(_) => {
                let what = match again.matched.first() {
                    Some((_, oldest)) => {
                        format!("what came up to position {} was not matched again", oldest.after)
                    }
                    None => "nothing was matched again in time".to_owned(),
                };
                again.unverified.push(unfinished(&what));
                return again;
            }
        }
    }
    if again.matched.is_empty() && again.findings.is_empty() && mine.position > Position(0) {
        let words =
            format!("nothing was matched again: this node keeps nothing of what led to position {through}");
        again.unverified.push(words);
    }
    again
}

impl Again {
    fn take(&mut self, found: Found, mine: &Mine) {
        match found {
            Found::Matched(generation, matched) => {
                if matched.through == mine.position
                    && hex(matched.digest) != mine.digest
                    && !mine.digest.is_empty()
                {
                    let words =
                        format!("matched again, the digest at position {} is another one", mine.position);
                    self.findings.push(words);
                }
                self.matched.insert(0, (generation, matched));
            }
            Found::Wrong(words) => self.findings.push(words),
            Found::Apart(words) => self.unverified.push(words),
        }
    }
}

/// From the newest generation back, one at a time, until one is not kept or nobody waits any more.
fn walk_back(
    node: &Node,
    document: &str,
    through: Position,
    found: &mpsc::Sender<Found>,
) -> Result<(), NodeError> {
    let mut generation = node.newest_generation(document)?;
    let mut next = None;
    while !found.is_closed()
        && let Some(copy) = node.open_copy(document, generation)?
    {
        let matched = match copy.rematch(through, |_| {}) {
            Ok(matched) => matched,
            Err(error) => {
                let _ = found.blocking_send(Found::Wrong(error.to_string()));
                return Ok(());
            }
        };
        match (next, matched.sealed) {
            (Some(next), Some(sealed)) if next != sealed => {
                let words = format!(
                    "generation {generation} ends with a Seal that names another genesis than the one that followed \
                     on this node"
                );
                let _ = found.blocking_send(Found::Apart(words));
                return Ok(());
            }
            // This node was away at its end.
            (Some(_), None) => return Ok(()),
            _ => {}
        }
        next = Some(copy.genesis().digest());
        if matched.batches > 0 {
            let history = check_history(node, document, &matched);
            let _ = found.blocking_send(Found::Matched(generation, matched));
            if let Some(wrong) = history {
                let _ = found.blocking_send(wrong);
            }
        }
        let Some(before) = generation.checked_sub(1) else { return Ok(()) };
        generation = before;
    }
    Ok(())
}

/// Whether the history says of a generation what its tape, matched again, did; `None` if it does.
fn check_history(node: &Node, document: &str, matched: &Rematch) -> Option<Found> {
    let market = node.market(document)?.opened()?;
    let checked = market.history().check(matched.after, matched.through, matched.chain);
    match checked {
        Ok(None) => None,
        Ok(Some(last)) => {
            Some(Found::Wrong(format!("the history up to position {last} is not what the tape leads to")))
        }
        Err(error) => Some(Found::Apart(format!("the history is not checked: {error}"))),
    }
}

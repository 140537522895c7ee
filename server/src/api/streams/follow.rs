//! Following a market's committed blocks from a position on: no gap, no repeat.
//!
//! ```text
//! subscribe ──> history up to what is shown ──> live blocks ──┐
//!                      ^── a gap: the reader was too slow ────┘
//! ```
//!
//! A block enters the history before it is shown, and is sent to subscribers after that. So who
//! subscribes first and then reads the history up to what is shown misses nothing, and knows what
//! he has seen by its position.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::{self, error::RecvError};

use crate::api::error::Refusal;
use crate::api::markets::units;
use crate::api::submit::read_history;
use crate::history::{HistoryError, Sizes, StoredBlock};
use crate::machine::{Account, Block, Change};
use crate::node::MarketHandle;
use crate::types::Position;

/// Most blocks that are read from the history at a time.
const PAGE_BLOCKS: usize = 4;

/// How long a stream waits for a position that the node does not show yet.
const BEHIND_FOR: Duration = Duration::from_secs(5);

/// The committed blocks of a market after a position.
pub(in crate::api) struct Tail {
    market: MarketHandle,
    /// Only blocks in which this account's orders changed need to be read from the history.
    account: Option<Account>,
    live: broadcast::Receiver<Arc<Block>>,
    sizes: Sizes,
    /// Everything up to here was handed out.
    done: Position,
    /// Up to here the history has to be read.
    known: Position,
    backlog: VecDeque<StoredBlock>,
    /// Everything up to here is handed out once the backlog is.
    backlog_end: Position,
}

/// A block, of which only what comes after a position is new.
pub(in crate::api) struct Fresh {
    block: Arc<Block>,
    after: Position,
    /// What it counts in.
    pub sizes: Sizes,
}

impl Fresh {
    /// The changes that are new.
    pub fn changes(&self) -> &[Change] {
        let changes = &self.block.changes;
        &changes[changes.partition_point(|change| change.position() <= self.after)..]
    }
}

impl Tail {
    /// Follows a market after a position; without one, from now on.
    ///
    /// # Errors
    /// There is no such market.
    pub fn new(
        market: &MarketHandle,
        account: Option<Account>,
        after: Option<Position>,
    ) -> Result<Self, Refusal> {
        let live = market.subscribe();
        let shown = market.shown();
        let done = after.unwrap_or(shown);
        let sizes = units(market).sizes;
        let market = market.clone();
        Ok(Self {
            market,
            account,
            live,
            sizes,
            done,
            known: shown.max(done),
            backlog: VecDeque::new(),
            backlog_end: done,
        })
    }

    /// Checks the position to begin after.
    ///
    /// # Errors
    /// This node knows that nobody can have shown it.
    pub async fn check_beginning(&self) -> Result<(), Refusal> {
        check_beginning(&self.market, self.done).await
    }

    /// Waits until the node shows the position to begin after: another one may have shown it before.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn wait_for_beginning(&self) -> Result<(), Refusal> {
        wait_for_beginning(&self.market, self.done).await
    }

    /// Everything up to this position was handed out.
    pub fn done(&self) -> Position {
        self.done
    }

    /// The next block with something new. Nothing is lost if the caller stops waiting.
    ///
    /// # Errors
    /// The history can't be read, or the node is shutting down.
    pub async fn next(&mut self) -> Result<Fresh, Refusal> {
        loop {
            if let Some(stored) = self.backlog.pop_front() {
                let fresh = self.hand_out(Arc::new(stored.block), stored.sizes);
                if self.backlog.is_empty() {
                    self.done = self.done.max(self.backlog_end);
                }
                return Ok(fresh);
            }
            if self.done < self.known {
                self.read_page().await?;
                continue;
            }
            let received = tokio::select! {
                biased;
                received = self.live.recv() => received,
                closed = self.market.faulted() => return Err(closed.into()),
            };
            match received {
                Ok(block) if block.last <= self.done => {}
                Ok(block) if block.first <= self.done.next() => {
                    return Ok(self.hand_out(block, self.sizes));
                }
                Ok(block) => self.known = block.last,
                Err(RecvError::Lagged(_)) => self.known = self.market.shown(),
                Err(RecvError::Closed) => return Err(Refusal::shutting_down()),
            }
        }
    }

    fn hand_out(&mut self, block: Arc<Block>, sizes: Sizes) -> Fresh {
        let after = self.done;
        self.done = self.done.max(block.last);
        Fresh { block, after, sizes }
    }

    async fn read_page(&mut self) -> Result<(), Refusal> {
        let (account, after, known) = (self.account.clone(), self.done, self.known);
        let history = self.market.history();
        let page = read_history(history, move |history| match account {
            Some(account) => take(history.account_blocks_after(&account, after)),
            None => take(history.blocks_after(after)),
        });
        let (page, full) = page.await?;
        // A page that is not full reaches at least to what was shown before it was read.
        let last = page.last().map_or(Position(0), |stored| stored.block.last);
        self.backlog_end = if full { last } else { last.max(known) };
        if page.is_empty() {
            self.done = self.backlog_end;
        }
        self.backlog = page.into();
        Ok(())
    }
}

/// Checks a position to begin after.
///
/// # Errors
/// This node knows that nobody can have shown it.
pub(in crate::api) async fn check_beginning(market: &MarketHandle, after: Position) -> Result<(), Refusal> {
    if after <= market.shown() {
        return Ok(());
    }
    // Whoever holds the lease knows the end of the tape, committed or not.
    let end = market.read(|replica| replica.tape_end()).await?;
    if end.is_some_and(|end| after > end) {
        return Err(Refusal::position(after, market.shown()));
    }
    Ok(())
}

/// Waits until the node shows a position to begin after: another one may have shown it before.
///
/// # Errors
/// It does not in time.
pub(in crate::api) async fn wait_for_beginning(
    market: &MarketHandle,
    after: Position,
) -> Result<(), Refusal> {
    let reached = tokio::time::timeout(BEHIND_FOR, market.reached(after)).await;
    Ok(reached.map_err(|_| Refusal::behind(after, market.shown()))??)
}

/// The first blocks, and whether there are more. What comes before a gap is handed out before the gap is told.
fn take(
    blocks: impl Iterator<Item = Result<StoredBlock, HistoryError>>,
) -> Result<(Vec<StoredBlock>, bool), HistoryError> {
    let mut page = Vec::new();
    for block in blocks.take(PAGE_BLOCKS) {
        match block {
            Ok(block) => page.push(block),
            Err(HistoryError::Away { .. }) if !page.is_empty() => return Ok((page, true)),
            Err(error) => return Err(error),
        }
    }
    let full = page.len() == PAGE_BLOCKS;
    Ok((page, full))
}

//! Fills what a market's history lacks, from the node's own documents if they reach so far back, else from one peer after
//! another; and answers peers that ask.
//!
//! Trading does not wait for it. Until a gap is closed, readers of it are told that this node does not have
//! it. A gap that nobody can fill now holds none of the others up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tonic::Status;
use xbook_proto::peer::v1::frame::Content;
use xbook_proto::peer::v1::{HistoryPart, HistoryPiece, HistoryRequest};

use super::refill::refill;
use crate::history::{FillError, History, HistoryError, MAX_BLOCK_BYTES, Missing, Piece};

use crate::peer::{Link, Links};
use crate::store::Store;
use crate::types::{NodeId, Position};

/// How long a peer may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait when no peer could help; twice as long each time after.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Most gaps that are remembered as beyond the node's own documents.
const MAX_BEYOND: usize = 1_024;

/// Most parts that wait to be stored: only one is ever asked for.
const MAX_PARTS: usize = 2;

/// Most requests of peers that are answered at a time; others ask again.
pub(super) const MAX_ANSWERED: usize = 2;

/// Most histories that are filled at a time: each may hold a block that comes in pieces.
pub(super) const MAX_FILLED: usize = 2;

/// Parts from peers, on their way to the filler.
pub(super) type Parts = mpsc::Sender<(NodeId, HistoryPart)>;

/// Fills one market's history.
pub(super) struct Filler {
    history: Arc<History>,
    links: watch::Receiver<Links>,
    parts: mpsc::Receiver<(NodeId, HistoryPart)>,
    turns: Arc<Semaphore>,
    store: Store,
    /// Ends of the gaps that the node's own documents can't fill.
    beyond: BTreeSet<Position>,
}

impl Filler {
    /// The filler of a market, and where parts for it go.
    pub fn new(
        history: Arc<History>,
        store: Store,
        links: watch::Receiver<Links>,
        turns: Arc<Semaphore>,
    ) -> (Self, Parts) {
        let (sender, parts) = mpsc::channel(MAX_PARTS);
        (Self { history, links, parts, turns, store, beyond: BTreeSet::new() }, sender)
    }

    /// Runs until the node ends.
    ///
    /// # Errors
    /// The history can't be read or written.
    pub async fn run(mut self) -> Result<(), HistoryError> {
        let mut pause = PAUSE;
        loop {
            let missing = self.history.missing()?;
            if missing.is_empty() && self.history.gaps().is_empty() {
                self.history.gap_appears().await;
                continue;
            }
            if self.fill_some(missing).await? {
                pause = PAUSE;
                if self.history.gaps().is_empty() {
                    tracing::info!(market = %self.history.market(), "the history is whole again");
                }
                continue;
            }
            tokio::select! {
                () = sleep(pause) => pause = LONGEST_PAUSE.min(pause * 2),
                // A peer that just came may have what is missing.
                changed = self.links.changed() => {
                    pause = PAUSE;
                    if changed.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                () = self.history.gap_appears() => pause = PAUSE,
            }
        }
    }

    /// Asks for gaps, the newest first; returns whether anything came.
    async fn fill_some(&mut self, missing: Vec<Missing>) -> Result<bool, HistoryError> {
        let turns = Arc::clone(&self.turns);
        // The semaphore is never closed.
        let _turn = turns.acquire().await;
        let peers: Vec<Link> = self.links.borrow_and_update().values().cloned().collect();
        let mut filled = false;
        for gap in missing {
            if self.refill(gap).await? {
                filled = true;
                continue;
            }
            for peer in peers.iter().filter(|peer| !peer.is_closed()) {
                if self.fill_from(peer, gap).await? {
                    filled = true;
                    break;
                }
            }
        }
        Ok(filled)
    }

    /// Fills a gap from the node's own documents; returns whether they had anything.
    async fn refill(&mut self, gap: Missing) -> Result<bool, HistoryError> {
        if self.beyond.contains(&gap.last) {
            return Ok(false);
        }
        let (store, history) = (self.store.clone(), Arc::clone(&self.history));
        let filled = tokio::task::spawn_blocking(move || refill(&store, &history, gap)).await;
        // A panic is no reason to ask nobody else.
        let filled = filled.unwrap_or(Ok(false))?;
        if !filled {
            // Gaps are few; what is forgotten here is only looked at once more.
            if self.beyond.len() >= MAX_BEYOND {
                self.beyond.clear();
            }
            self.beyond.insert(gap.last);
        }
        Ok(filled)
    }

    /// Asks a peer for a gap until it has no more of it; returns whether it had anything.
    async fn fill_from(&mut self, peer: &Link, gap: Missing) -> Result<bool, HistoryError> {
        let (mut rest, mut filled) = (Some(gap), false);
        while let Some(gap) = rest {
            let records = self.ask(peer, gap).await;
            if records.is_empty() {
                return Ok(filled);
            }
            for record in records {
                let Some(gap) = rest else { break };
                rest = match self.history.fill(gap, &record) {
                    Ok(rest) => rest,
                    Err(FillError::Store(error)) => return Err(error),
                    Err(error) => {
                        let words = format!("the history of {}: {error}", self.history.market());
                        peer.close(Status::invalid_argument(words));
                        return Ok(filled);
                    }
                };
                filled = true;
            }
        }
        Ok(filled)
    }

    /// The records that a peer gives at a time: several, or one that came in pieces; none if it has none.
    async fn ask(&mut self, peer: &Link, gap: Missing) -> Vec<Bytes> {
        let mut whole = BytesMut::new();
        loop {
            let offset = whole.len() as u64;
            let Some(part) = self.ask_from(peer, gap, offset).await else {
                return Vec::new();
            };
            let Some(HistoryPiece { record_bytes, offset: at, content }) = part.piece else {
                return if offset == 0 { part.blocks } else { Vec::new() };
            };
            let end = offset.saturating_add(content.len() as u64);
            if at != offset || content.is_empty() || end > record_bytes || record_bytes > MAX_BLOCK_BYTES {
                return Vec::new();
            }
            whole.extend_from_slice(&content);
            if end == record_bytes {
                return vec![whole.freeze()];
            }
        }
    }

    async fn ask_from(&mut self, peer: &Link, gap: Missing, offset: u64) -> Option<HistoryPart> {
        // An answer that came too late is for an earlier question.
        while self.parts.try_recv().is_ok() {}
        let market = self.history.market().to_string();
        let (first_position, last_position) = (gap.first.0, gap.last.0);
        let request = HistoryRequest { market, first_position, last_position, offset };
        peer.send(Content::HistoryRequest(request));
        let answer = async {
            loop {
                let (from, part) = self.parts.recv().await?;
                if from == peer.peer && part.last_position == last_position {
                    return Some(part);
                }
            }
        };
        timeout(PATIENCE, answer).await.ok().flatten()
    }
}

/// Answers a peer, if not too many ask at once and it reads what it is sent.
pub(super) fn answer(turns: &Arc<Semaphore>, history: Arc<History>, request: HistoryRequest, peer: Link) {
    if !peer.has_room_to_answer() {
        return;
    }
    let Ok(permit) = Arc::clone(turns).try_acquire_owned() else {
        return;
    };
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let HistoryRequest { market, first_position, last_position, offset } = request;
        let (first, last) = (Position(first_position), Position(last_position));
        let found = history.piece(first, last, offset).unwrap_or_else(|error| {
            tracing::error!(%market, %error, "a part of the history can't be read");
            Piece::Blocks(Vec::new())
        });
        let part = HistoryPart { market, last_position, ..HistoryPart::default() };
        let part = match found {
            Piece::Blocks(blocks) => HistoryPart { blocks, ..part },
            Piece::Part { bytes, content } => {
                let piece = HistoryPiece { record_bytes: bytes, offset, content };
                HistoryPart { piece: Some(piece), ..part }
            }
        };
        peer.send(Content::HistoryPart(part));
    });
}

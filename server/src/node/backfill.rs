//! Fills what a market's history lacks because this node was away: asks one peer after another for
//! the next blocks that are missing, and answers peers that ask.
//!
//! Trading does not wait for it. Until a gap is closed, readers of it are told that this node was
//! away.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tonic::Status;
use xbook_proto::peer::v1::frame::Content;
use xbook_proto::peer::v1::{HistoryEntry, HistoryPart, HistoryRequest};

use crate::history::{FillError, History, HistoryError};
use crate::peer::{Link, Links};
use crate::types::{NodeId, Position};

/// How long a peer may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait when no peer could help.
const PAUSE: Duration = Duration::from_secs(1);

/// Most parts that wait to be stored: only one is ever asked for.
const MAX_WAITING: usize = 2;

/// Most requests of peers that are answered at a time; others ask again.
pub(super) const MAX_ANSWERED: usize = 2;

/// Parts from peers, on their way to the filler.
pub(super) type Parts = mpsc::Sender<(NodeId, HistoryPart)>;

/// Fills one market's history.
pub(super) struct Filler {
    history: Arc<History>,
    links: watch::Receiver<Links>,
    parts: mpsc::Receiver<(NodeId, HistoryPart)>,
}

/// What came of asking a peer.
enum Answer {
    Filled,
    Unhelpful,
}

impl Filler {
    /// The filler of a market, and where parts for it go.
    pub fn new(history: Arc<History>, links: watch::Receiver<Links>) -> (Self, Parts) {
        let (sender, parts) = mpsc::channel(MAX_WAITING);
        (Self { history, links, parts }, sender)
    }

    /// Runs until the node ends.
    ///
    /// # Errors
    /// The history can't be read or written.
    pub async fn run(mut self) -> Result<(), HistoryError> {
        loop {
            let Some(gap) = self.history.gaps()?.first().copied() else {
                self.history.gap_appears().await;
                continue;
            };
            let peers: Vec<Link> = self.links.borrow_and_update().values().cloned().collect();
            let mut filled = false;
            for peer in peers {
                if let Answer::Filled = self.ask(&peer, gap).await? {
                    filled = true;
                    break;
                }
            }
            if !filled {
                sleep(PAUSE).await;
            }
        }
    }

    async fn ask(&mut self, peer: &Link, gap: (Position, Position)) -> Result<Answer, HistoryError> {
        // An answer that came too late is for an earlier question.
        while self.parts.try_recv().is_ok() {}
        let market = self.history.market().to_string();
        let request = HistoryRequest { market, first_position: gap.0.0, last_position: gap.1.0 };
        peer.send(Content::HistoryRequest(request));
        let Ok(Some((from, part))) = timeout(PATIENCE, self.parts.recv()).await else {
            return Ok(Answer::Unhelpful);
        };
        if from != peer.peer || part.blocks.is_empty() {
            return Ok(Answer::Unhelpful);
        }
        let entries: Vec<(Position, Bytes)> =
            part.blocks.into_iter().map(|entry| (Position(entry.first_position), entry.content)).collect();
        match self.history.fill(&entries) {
            Ok(more) => {
                if !more {
                    tracing::info!(market = %self.history.market(), "the history is whole again");
                }
                Ok(Answer::Filled)
            }
            Err(FillError::Store(error)) => Err(error),
            Err(error) => {
                let words = format!("the history of {}: {error}", self.history.market());
                peer.close(Status::invalid_argument(words));
                Ok(Answer::Unhelpful)
            }
        }
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
        let (first, last) = (Position(request.first_position), Position(request.last_position));
        let found = history.entries_from(first, last).unwrap_or_else(|error| {
            tracing::error!(market = %history.market(), %error, "a part of the history can't be read");
            Vec::new()
        });
        let entry = |(at, content): (Position, Bytes)| HistoryEntry { first_position: at.0, content };
        let blocks = found.into_iter().map(entry).collect();
        let part = HistoryPart { market: request.market, blocks };
        peer.send(Content::HistoryPart(part));
    });
}

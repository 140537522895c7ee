//! What happens with a committed block, in this order: it enters the history (or, in the
//! directory, its markets are opened), it is shown, who waits is told, and the streams get it.
//!
//! So whoever was told finds on this node all that it was told of.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::quarantine::{Fault, Quarantine};
use super::waiting::Notice;
use crate::history::{History, HistoryError};
use crate::machine::{Block, Change, MarketEntry, StateStart};
use crate::types::{Micros, Position};

/// Most committed blocks that wait to be published; then the replica waits too.
const MAX_UNPUBLISHED: usize = 64;

/// Most blocks that a stream may be behind before it has to go on from the history.
const MAX_BEHIND: usize = 256;

/// A market that the directory created, and how to say that it is open.
pub(super) type Created = mpsc::Sender<(MarketEntry, oneshot::Sender<()>)>;
/// The other end.
pub(super) type CreatedReceiver = mpsc::Receiver<(MarketEntry, oneshot::Sender<()>)>;

/// Who must have seen a block before it is shown.
pub(super) enum Witness {
    /// A market's history.
    History(Arc<History>),
    /// The opening of created markets.
    Directory(Created),
}

/// How far everything is shown.
#[derive(Clone, Copy, Default)]
pub(super) struct Shown {
    pub position: Position,
    pub time: Micros,
}

/// Where committed blocks come from as they are shown.
pub type BlockReceiver = broadcast::Receiver<Arc<Block>>;

/// What is to be published, in its order.
pub(super) enum Publication {
    /// A block, and who is to be told of it.
    Block { block: Arc<Block>, notices: Vec<Notice> },
    /// What was committed up to a position while this node was away; in the directory, with all
    /// markets that there are by then.
    Skipped { start: StateStart, markets: Vec<MarketEntry> },
    /// Say when all before is on the disk.
    Sync(oneshot::Sender<()>),
}

/// The publisher of one replica.
pub(super) struct Publisher {
    pub witness: Witness,
    pub shown: watch::Sender<Shown>,
    pub blocks: broadcast::Sender<Arc<Block>>,
    pub quarantine: Quarantine,
}

/// A channel for created markets.
pub(super) fn created() -> (Created, CreatedReceiver) {
    mpsc::channel(1)
}

/// A channel for committed blocks.
pub(super) fn channel() -> (mpsc::Sender<Publication>, mpsc::Receiver<Publication>) {
    mpsc::channel(MAX_UNPUBLISHED)
}

/// A channel for streams.
pub(super) fn streams() -> broadcast::Sender<Arc<Block>> {
    broadcast::Sender::new(MAX_BEHIND)
}

impl Witness {
    pub fn history(&self) -> Option<Arc<History>> {
        match self {
            Self::History(history) => Some(Arc::clone(history)),
            Self::Directory(_) => None,
        }
    }

    async fn follow(&self, block: &Arc<Block>) -> Result<(), HistoryError> {
        match self {
            Self::History(history) => {
                history.append(block)?;
                history.keep(Arc::clone(block));
            }
            Self::Directory(created) => {
                for change in &block.changes {
                    if let Change::Market(market) = change {
                        open(created, market).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// Goes on after a position whose past this node has not seen.
    async fn skip(&self, start: StateStart, markets: &[MarketEntry]) -> Result<(), HistoryError> {
        if let Self::History(history) = self {
            history.reach_to(start.position, start.chain)?;
        }
        if let Self::Directory(created) = self {
            for market in markets {
                open(created, market).await;
            }
        }
        Ok(())
    }

    /// Puts all that was followed on the disk. Where blocking is allowed: the documents go on meanwhile.
    async fn sync(&self) -> Result<(), Fault> {
        match self.history() {
            Some(history) => Ok(tokio::task::spawn_blocking(move || history.sync()).await??),
            None => Ok(()),
        }
    }
}

/// Has a market opened, and waits until it is.
async fn open(created: &Created, market: &MarketEntry) {
    let (ready, opened) = oneshot::channel();
    // If the supervisor has ended, so will this replica.
    if created.send((market.clone(), ready)).await.is_ok() {
        let _ = opened.await;
    }
}

impl Publisher {
    /// Publishes until the replica has ended.
    pub async fn run(self, mut publications: mpsc::Receiver<Publication>) -> Result<(), Fault> {
        while let Some(publication) = publications.recv().await {
            match publication {
                Publication::Block { block, notices } => {
                    if let Err(error) = self.witness.follow(&block).await {
                        // Those who wait for this block find the word why.
                        let end = Err::<(), _>(Fault::from(error));
                        self.quarantine.raise_on(&end);
                        return end;
                    }
                    self.shown.send_replace(Shown { position: block.last, time: block.time });
                    notices.into_iter().for_each(Notice::tell);
                    // Without a stream there is nobody to send to.
                    let _ = self.blocks.send(block);
                }
                Publication::Skipped { start, markets } => {
                    self.witness.skip(start, &markets).await?;
                    self.shown.send_replace(Shown { position: start.position, time: start.time });
                }
                Publication::Sync(synced) => {
                    self.witness.sync().await?;
                    // Whoever has gone needs no word.
                    let _ = synced.send(());
                }
            }
        }
        Ok(())
    }
}

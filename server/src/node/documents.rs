//! A node's documents, as its peers reach them.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use xbook_proto::peer::v1::{HistoryPart, HistoryRequest};

use super::handle::{DirectoryHandle, Listed};
use super::{Clock, Markets, backfill};
use crate::document::DIRECTORY;
use crate::peer::{Link, Members, Received, Router};
use crate::replica::message::Envelope;
use crate::types::{Micros, NodeId};

/// The node's replicas, as peers reach them.
#[derive(Clone)]
pub struct Documents {
    pub(super) directory: DirectoryHandle,
    pub(super) markets: watch::Receiver<Markets>,
    pub(super) members: watch::Receiver<Members>,
    pub(super) history_turns: Arc<Semaphore>,
    pub(super) clock: Clock,
}

impl Router for Documents {
    async fn deliver(&self, from: NodeId, document: &str, envelope: Envelope, received: Received) {
        let market = match document {
            DIRECTORY => return self.directory.hear(from, envelope, received).await,
            market => self.market_of(from, market),
        };
        if let Some(market) = market {
            market.hear(from, envelope, received).await;
        }
    }

    fn ask_history(&self, peer: Link, request: HistoryRequest) {
        let market = self.market_of(peer.peer, &request.market);
        if let Some(market) = market.and_then(|market| market.usable().ok()) {
            backfill::answer(&self.history_turns, Arc::clone(market.history()), request, peer);
        }
    }

    fn deliver_history(&self, from: NodeId, part: HistoryPart) {
        if let Some(market) = self.market_of(from, &part.market).and_then(Listed::opened) {
            market.take_history(from, part);
        }
    }

    fn members(&self) -> watch::Receiver<Members> {
        self.members.clone()
    }

    fn now(&self) -> Micros {
        self.clock.now()
    }
}

impl Documents {
    /// A market that a peer speaks about, if it may.
    fn market_of(&self, peer: NodeId, name: &str) -> Option<Listed> {
        let market = self.markets.borrow().get(name).cloned();
        market.filter(|_| self.members.borrow().contains(peer))
    }
}

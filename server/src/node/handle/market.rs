//! What a market has that the directory has not, and the other way round.

use std::ops::Deref;
use std::sync::Arc;

use xbook_proto::peer::v1::HistoryPart;

use super::DocumentHandle;
use crate::history::History;
use crate::machine::Rules;
use crate::node::backfill::Parts;
use crate::node::quarantine::Closed;
use crate::types::NodeId;

/// A market that runs on this node: a document, with its rules and its history. Cheap to clone.
#[derive(Clone)]
pub struct MarketHandle {
    document: DocumentHandle,
    market: Arc<OfMarket>,
}

struct OfMarket {
    rules: Rules,
    history: Arc<History>,
    /// Where parts of the history go that this node was away for.
    parts: Parts,
}

/// The directory. Cheap to clone.
#[derive(Clone)]
pub struct DirectoryHandle(pub(in crate::node) DocumentHandle);

/// A market in the directory, as this node has it. Cheap to clone.
#[derive(Clone)]
pub enum Listed {
    /// It was opened. It may have been quarantined since.
    Opened(MarketHandle),
    /// It could not be opened, and is quarantined.
    Unopened(DocumentHandle),
}

impl Deref for MarketHandle {
    type Target = DocumentHandle;

    fn deref(&self) -> &DocumentHandle {
        &self.document
    }
}

impl Deref for DirectoryHandle {
    type Target = DocumentHandle;

    fn deref(&self) -> &DocumentHandle {
        &self.0
    }
}

impl Deref for Listed {
    type Target = DocumentHandle;

    fn deref(&self) -> &DocumentHandle {
        match self {
            Self::Opened(market) => market,
            Self::Unopened(document) => document,
        }
    }
}

impl MarketHandle {
    pub(in crate::node) fn new(
        document: DocumentHandle,
        rules: Rules,
        history: Arc<History>,
        parts: Parts,
    ) -> Self {
        Self { document, market: Arc::new(OfMarket { rules, history, parts }) }
    }

    /// The market's rules as they were when its document was opened: good for what no update changes, its grids and
    /// the bounds of quantities. What they all are now is in the [summary](crate::node::MarketSummary).
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.market.rules
    }

    /// The market's history.
    #[must_use]
    pub fn history(&self) -> &Arc<History> {
        &self.market.history
    }

    /// Takes a part of the history from a peer.
    pub(in crate::node) fn take_history(&self, from: NodeId, part: HistoryPart) {
        // A part more than was asked for is not wanted.
        let _ = self.market.parts.try_send((from, part));
    }
}

impl Listed {
    /// The market, unless it is quarantined.
    ///
    /// # Errors
    /// [`Closed::Quarantined`] or [`Closed::Unreadable`].
    pub fn usable(self) -> Result<MarketHandle, Closed> {
        self.check_usable()?;
        match self {
            Self::Opened(market) => Ok(market),
            Self::Unopened(document) => Err(document.closed()),
        }
    }

    /// The market, if it was opened, quarantined since or not.
    #[must_use]
    pub fn opened(self) -> Option<MarketHandle> {
        match self {
            Self::Opened(market) => Some(market),
            Self::Unopened(_) => None,
        }
    }
}

//! Why a node can't start, or ended.

use crate::history::HistoryError;
use crate::peer::PeerError;
use crate::replica::ReplicaError;
use crate::store::StoreError;

/// Why a node can't start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The history log.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A document.
    #[error("the document {document} can't be used: {error}")]
    Replica {
        /// Which.
        document: String,
        /// Why.
        error: Box<ReplicaError>,
    },
    /// The system's source of randomness.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
    /// A new data directory, and nothing said where it belongs.
    #[error(
        "the data directory is new and belongs to no cluster: begin one with --bootstrap, or join one with \
         --join HOST:PORT --join-token TOKEN"
    )]
    NoCluster,
    /// The cluster can't be joined.
    #[error("can't join: {0}")]
    Join(#[from] PeerError),
    /// A node to join is none of this cluster's.
    #[error("can't join the node at {address}: {error}")]
    JoinAt {
        /// Where.
        address: String,
        /// What it is.
        error: PeerError,
    },
    /// A document whose replica panicked when it was opened.
    #[error("{0}")]
    Faulty(String),
    /// A replica's task ended unexpectedly.
    #[error("a task of the node ended: {0}")]
    Task(String),
}

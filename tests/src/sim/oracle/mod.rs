//! What must hold, checked while a simulation runs: one file a family, each with a violation that
//! names the culprit.

pub mod buffers;
pub mod committed;
pub mod convergence;
pub mod fold;
pub mod generation;
pub mod lease;
pub mod memory;
pub mod partition;
pub mod promise;
pub mod rematch;
pub mod time;

use xbook::types::NodeId;

/// What did not hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Violation {
    /// A fold fills or consumes twice, or is crossed.
    #[error("fold: {0}")]
    Fold(#[from] fold::FoldViolation),
    /// What was committed is lost, changed or reordered.
    #[error("committed: {0}")]
    Committed(#[from] committed::CommittedViolation),
    /// A generation begins as it must not.
    #[error("generation: {0}")]
    Generation(#[from] generation::GenerationViolation),
    /// A client was told what is not so.
    #[error("promise: {0}")]
    Promise(#[from] promise::PromiseViolation),
    /// Two leases of one term.
    #[error("lease: {0}")]
    Lease(#[from] lease::LeaseViolation),
    /// The naive matcher finds something else.
    #[error("rematch: {0}")]
    Rematch(#[from] rematch::RematchViolation),
    /// Tape time is where no clocks are.
    #[error("time: {0}")]
    Time(#[from] time::TimeViolation),
    /// The nodes do not come together again.
    #[error("convergence: {0}")]
    Convergence(#[from] convergence::ConvergenceViolation),
    /// The wrong side of a partition goes on, or the right one does not.
    #[error("partition: {0}")]
    Partition(#[from] partition::PartitionViolation),
    /// A buffer is above its cap.
    #[error("buffers: {0}")]
    Buffers(#[from] buffers::BufferViolation),
    /// A replica gives up, though nobody lies to it.
    #[error("the replica of node {node} gives up: {error}")]
    Failed {
        /// The node.
        node: NodeId,
        /// What it says.
        error: String,
    },
    /// A replica says that a peer lies, though nobody does.
    #[error("node {node} ends its connection to node {peer}: {reason}")]
    Accused {
        /// The node.
        node: NodeId,
        /// The peer.
        peer: NodeId,
        /// What it says.
        reason: String,
    },
    /// A node goes on with an old copy of its disk, though it was told so.
    #[error("node {node} goes on though it was told what it acknowledged and its disk does not have")]
    Unrefused {
        /// The node.
        node: NodeId,
    },
    /// The digests do not show that a state is damaged.
    #[error("node {node} goes on with a damaged state")]
    Unnoticed {
        /// The node.
        node: NodeId,
    },
    /// So much happens at one moment that time stands still.
    #[error("node {node} never comes to rest at one moment of time")]
    Restless {
        /// The node that did something last.
        node: NodeId,
    },
}

impl Violation {
    /// The oracle's name.
    #[must_use]
    pub fn oracle(&self) -> &'static str {
        match self {
            Self::Fold(_) => "fold",
            Self::Committed(_) => "committed",
            Self::Generation(_) => "generation",
            Self::Promise(_) => "promise",
            Self::Lease(_) => "lease",
            Self::Rematch(_) => "rematch",
            Self::Time(_) => "time",
            Self::Convergence(_) => "convergence",
            Self::Partition(_) => "partition",
            Self::Buffers(_) => "buffers",
            Self::Failed { .. } => "failed",
            Self::Accused { .. } => "accused",
            Self::Unrefused { .. } => "unrefused",
            Self::Unnoticed { .. } => "unnoticed",
            Self::Restless { .. } => "restless",
        }
    }
}

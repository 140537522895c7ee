//! Why a tape can't be followed any further.

use crate::types::{Micros, OrderId, Position};

/// Why a batch can't be applied: a record that no correct node writes, or a defect. The state is
/// then no longer of use.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FoldError {
    /// An outcome that does not fit the intent or the book.
    #[error("the recorded outcome of intent {intent} does not fit the book")]
    Misfit {
        /// The intent.
        intent: OrderId,
    },
    /// An intent that is not the next of its node, or not in the document.
    #[error("intent {intent} is not the next one of its node")]
    OutOfTurn {
        /// The intent.
        intent: OrderId,
    },
    /// Orders that expire too early, or do not rest.
    #[error("what is recorded to expire at {due:?} does not, or the time has not come")]
    NotDue {
        /// Their time.
        due: Micros,
    },
    /// A triggered order that is not the next one to run, or whose step does not fit.
    #[error("the step of triggered order {order} does not fit")]
    NotTriggered {
        /// The order.
        order: OrderId,
    },
    /// An uncross, or what one would give, that does not fit the book.
    #[error("a recorded uncross does not fit the book")]
    Uncross,
    /// A batch that does not follow the one before it.
    #[error("the batch at position {batch} does not follow position {state}")]
    Gap {
        /// Where the batch begins.
        batch: Position,
        /// Where the state ends.
        state: Position,
    },
    /// Tape time went back.
    #[error("tape time went back from {from:?} to {to:?}")]
    TimeWentBack {
        /// The state's.
        from: Micros,
        /// The batch's.
        to: Micros,
    },
    /// The batch left another state behind than it did for its writer.
    #[error("the digest after position {at} differs from the recorded one")]
    Digest {
        /// The batch's last position.
        at: Position,
    },
}

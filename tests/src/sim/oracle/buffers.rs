//! Buffers stay under their caps, whatever happens.

use xbook::document::MAX_CHANGE_BYTES;
use xbook::replica::{MAX_EARLY_BYTES, MAX_PENDING, Replica, WINDOW_BYTES};
use xbook::types::NodeId;

/// A buffer is too large.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("node {node} keeps {what}: {size}, above the cap of {cap}")]
pub struct BufferViolation {
    node: NodeId,
    what: &'static str,
    size: usize,
    cap: usize,
}

/// Checks a replica's buffers.
///
/// # Errors
/// One is above its cap.
pub fn check(replica: &Replica) -> Result<(), BufferViolation> {
    let buffers = replica.buffers();
    let sizes = [
        ("changes that came early (bytes)", buffers.early_bytes, MAX_EARLY_BYTES),
        (
            "changes on their way to a peer (bytes)",
            buffers.unacknowledged_bytes,
            WINDOW_BYTES + MAX_CHANGE_BYTES,
        ),
        ("unconsumed intents", buffers.pending, MAX_PENDING),
    ];
    match sizes.into_iter().find(|(_, size, cap)| size > cap) {
        Some((what, size, cap)) => Err(BufferViolation { node: replica.node(), what, size, cap }),
        None => Ok(()),
    }
}

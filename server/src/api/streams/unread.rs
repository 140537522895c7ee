//! The memory that messages take which nobody has read yet: so much a connection, so much a node.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Request;

use crate::api::connections::Peer;
use crate::api::error::Refusal;
use xbook_proto::v1::Reason;

/// What memory is counted in: permits of a semaphore.
const UNIT_BYTES: usize = 1_024;

/// A connection's budget and the node's, and how many streams the node may have. Cheap to clone.
#[derive(Clone)]
pub(in crate::api) struct Unread {
    connection: Budget,
    node: Budget,
    max_streams: usize,
    streams: Arc<Semaphore>,
}

#[derive(Clone)]
struct Budget {
    units: usize,
    free: Arc<Semaphore>,
}

/// A message's share of both; given back when it is dropped.
pub(in crate::api) struct Share {
    _connection: OwnedSemaphorePermit,
    _node: OwnedSemaphorePermit,
}

impl Unread {
    /// Budgets of so many bytes, and so many streams.
    pub fn new(connection_bytes: usize, node_bytes: usize, max_streams: usize) -> Self {
        Self {
            connection: Budget::new(connection_bytes),
            node: Budget::new(node_bytes),
            max_streams,
            streams: Arc::new(Semaphore::new(max_streams)),
        }
    }

    /// Those of one more connection.
    pub fn of_connection(&self) -> Self {
        Self { connection: self.connection.anew(), ..self.clone() }
    }

    /// Those of a call's connection; this one's where none is known.
    pub fn of_call<T>(&self, call: &Request<T>) -> Self {
        call.extensions().get::<Peer>().map_or_else(|| self.clone(), |peer| peer.unread.clone())
    }

    /// Takes the place of one more stream; the transport holds some of each that nobody reads.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub fn stream(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            let words = format!(
                "the node has {} streams, as many as it may have: end some, or ask another node",
                self.max_streams
            );
            Refusal::new(Reason::TooManyConnections, words)
        })
    }

    /// Takes a share of both when there is room.
    pub async fn take(&self, bytes: usize) -> Option<Share> {
        // The node's last: who waits for a connection's does not keep the node's from others.
        let connection = self.connection.take(bytes).await?;
        Some(Share { _connection: connection, _node: self.node.take(bytes).await? })
    }
}

impl Budget {
    fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT_BYTES).max(1);
        Self { units, free: Arc::new(Semaphore::new(units)) }
    }

    fn anew(&self) -> Self {
        Self { units: self.units, free: Arc::new(Semaphore::new(self.units)) }
    }

    /// What is larger than the whole takes the whole.
    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = bytes.div_ceil(UNIT_BYTES).clamp(1, self.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        Arc::clone(&self.free).acquire_many_owned(units).await.ok()
    }
}

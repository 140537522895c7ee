//! A connection to a peer, whichever side dialled.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::{Stream, StreamExt};
use xbook_proto::peer::v1::{Frame, HistoryPart, HistoryRequest, frame::Content};

use super::{PeerError, wire};
use crate::types::NodeId;

/// Most frames that wait to be sent. A peer that is slower than that is cut off and catches up
/// from what its disk has.
const MAX_WAITING: usize = 8_192;

/// A connection. Cheap to clone; it ends when it is closed or its stream breaks.
#[derive(Clone)]
pub struct Link {
    /// The peer.
    pub peer: NodeId,
    /// Who dialled.
    pub dialler: NodeId,
    frames: mpsc::Sender<Frame>,
    closed: Arc<watch::Sender<Option<String>>>,
}

/// The connections of a node: one to each peer at most.
pub type Links = BTreeMap<NodeId, Link>;

/// What the supervisor is told.
pub enum LinkEvent {
    /// A link is up; it may begin once the supervisor agrees.
    Up(Link, oneshot::Sender<bool>),
    /// A link is gone.
    Down(Link),
    /// What was given as a node to join is none of this cluster's.
    Foreign {
        /// Where.
        address: String,
        /// What it is.
        error: PeerError,
    },
}

/// Brings a peer's messages to the replica of their document.
pub trait Router: Clone + Send + Sync + 'static {
    /// Delivers a message; one for a document that is not here is dropped.
    fn deliver(
        &self,
        from: NodeId,
        document: &str,
        envelope: crate::replica::message::Envelope,
    ) -> impl Future<Output = ()> + Send;

    /// A peer asks for a part of a history; the answer goes out on the link it came by.
    fn ask_history(&self, peer: Link, request: HistoryRequest);

    /// A part of a history that was asked for; one that nobody waits for is dropped.
    fn deliver_history(&self, from: NodeId, part: HistoryPart);
}

impl Link {
    /// A link, and the frames that are to go out on it.
    pub(super) fn new(peer: NodeId, dialler: NodeId) -> (Self, mpsc::Receiver<Frame>) {
        let (frames, outgoing) = mpsc::channel(MAX_WAITING);
        let closed = Arc::new(watch::Sender::new(None));
        (Self { peer, dialler, frames, closed }, outgoing)
    }

    /// Sends a frame; closes the link if the peer is too slow for it.
    pub fn send(&self, frame: Frame) {
        match self.frames.try_send(frame) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => self.close("the peer is too slow".to_owned()),
        }
    }

    /// Ends the link, for a reason.
    pub fn close(&self, reason: String) {
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            closed.get_or_insert(reason);
            first
        });
    }

    /// Whether both are the same connection.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.closed, &other.closed)
    }

    /// Whether it has ended or is to end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.borrow().is_some()
    }

    /// Runs the link until it ends, and returns why.
    pub(super) async fn run<R: Router>(
        self,
        mut incoming: impl Stream<Item = Result<Frame, tonic::Status>> + Send + Unpin,
        events: &mpsc::Sender<LinkEvent>,
        router: &R,
    ) -> PeerError {
        let (agree, agreed) = oneshot::channel();
        if events.send(LinkEvent::Up(self.clone(), agree)).await.is_err() {
            return PeerError::Closing;
        }
        match agreed.await {
            Ok(true) => {}
            Ok(false) => return PeerError::Connected,
            Err(_) => return PeerError::Closing,
        }
        let ended = self.receive(&mut incoming, router).await;
        self.close(ended.to_string());
        // If the supervisor has ended there is nobody to tell.
        let _ = events.send(LinkEvent::Down(self)).await;
        ended
    }

    async fn receive<R: Router>(
        &self,
        incoming: &mut (impl Stream<Item = Result<Frame, tonic::Status>> + Unpin),
        router: &R,
    ) -> PeerError {
        let mut closed = self.closed.subscribe();
        loop {
            let frame = tokio::select! {
                closed = closed.wait_for(Option::is_some) => {
                    let reason = closed.ok().and_then(|reason| reason.clone()).unwrap_or_default();
                    return tonic::Status::cancelled(reason).into();
                }
                frame = incoming.next() => frame,
            };
            let content = match frame {
                None => return tonic::Status::cancelled("the peer ended the stream").into(),
                Some(Err(status)) => return status.into(),
                Some(Ok(frame)) => frame.content,
            };
            match content {
                Some(Content::Message(message)) => {
                    let Some((document, envelope)) = wire::decode(message) else {
                        return tonic::Status::invalid_argument("a message is malformed").into();
                    };
                    router.deliver(self.peer, &document, envelope).await;
                }
                Some(Content::HistoryRequest(request)) => router.ask_history(self.clone(), request),
                Some(Content::HistoryPart(part)) => router.deliver_history(self.peer, part),
                Some(Content::Greeting(_)) | None => {
                    return tonic::Status::invalid_argument("a frame is no message").into();
                }
            }
        }
    }
}

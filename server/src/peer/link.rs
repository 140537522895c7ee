//! A connection to a peer, whichever side dialled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::stream::unfold;
use futures::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tonic::Status;
use xbook_proto::peer::v1::{HistoryPart, HistoryRequest, frame::Content};

use super::{Members, PeerError, frame, wire};
use crate::replica::message::Envelope;
use crate::types::{Micros, NodeId};

/// Most frames, and most bytes of them, that wait to be sent. A peer that is slower than that is cut off
/// and catches up from what its disk has.
const MAX_UNSENT: usize = 8_192;
const MAX_UNSENT_BYTES: usize = 64 * 1024 * 1024;

/// Most bytes of frames that wait to be sent while a peer's questions about the history are answered.
const MAX_UNSENT_TO_ANSWER: usize = 4 * 1024 * 1024;

/// Most bytes of what one peer said that wait for the replicas; it is not listened to meanwhile.
const MAX_RECEIVED_BYTES: usize = 16 * 1024 * 1024;

/// A connection. Cheap to clone; it ends when it is closed or its stream breaks.
#[derive(Clone)]
pub struct Link {
    /// The peer.
    pub peer: NodeId,
    /// Who dialled.
    pub dialler: NodeId,
    frames: mpsc::Sender<Bytes>,
    waiting: Arc<AtomicUsize>,
    closed: Arc<watch::Sender<Option<Status>>>,
}

/// What is to go out on a link.
pub(super) struct Outgoing {
    frames: mpsc::Receiver<Bytes>,
    waiting: Arc<AtomicUsize>,
    closed: watch::Receiver<Option<Status>>,
}

/// The connections of a node: one to each peer at most.
pub type Links = BTreeMap<NodeId, Link>;

/// What the supervisor is told.
pub enum LinkEvent {
    /// A link is up; it may begin once the supervisor agrees.
    Up(Link, oneshot::Sender<Result<(), PeerError>>),
    /// A link is gone.
    Down(Link),
    /// What was given as a node to join is none of this cluster's, or does not let this node in.
    Foreign {
        /// Where.
        address: String,
        /// What it is.
        error: PeerError,
    },
}

/// The place that a peer's message takes until it has been dealt with.
#[derive(Debug)]
pub struct Received {
    _place: OwnedSemaphorePermit,
}

/// Brings a peer's messages to the replica of their document, and knows who is a peer.
pub trait Router: Clone + Send + Sync + 'static {
    /// Delivers a message; one for a document that is not here, or that the peer may not speak about, is
    /// dropped. `received` is dropped when the message has been dealt with.
    fn deliver(
        &self,
        from: NodeId,
        document: &str,
        envelope: Envelope,
        received: Received,
    ) -> impl Future<Output = ()> + Send;

    /// A peer asks for a part of a history; the answer goes out on the link it came by.
    fn ask_history(&self, peer: Link, request: HistoryRequest);

    /// A part of a history that was asked for; one that nobody waits for is dropped.
    fn deliver_history(&self, from: NodeId, part: HistoryPart);

    /// Who may be spoken with, as it changes.
    fn members(&self) -> watch::Receiver<Members>;

    /// The node's clock.
    fn now(&self) -> Micros;
}

impl Link {
    /// A link, and what is to go out on it.
    pub(super) fn new(peer: NodeId, dialler: NodeId) -> (Self, Outgoing) {
        let (sender, frames) = mpsc::channel(MAX_UNSENT);
        let (waiting, closed) = (Arc::<AtomicUsize>::default(), Arc::new(watch::Sender::new(None)));
        let outgoing = Outgoing { frames, waiting: Arc::clone(&waiting), closed: closed.subscribe() };
        (Self { peer, dialler, frames: sender, waiting, closed }, outgoing)
    }

    /// Sends a frame; closes the link if the peer is too slow for it.
    pub fn send(&self, content: Content) {
        let frame = frame::encode(content);
        let bytes = frame.len();
        let waiting = self.waiting.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let fits = waiting <= MAX_UNSENT_BYTES;
        match fits.then(|| self.frames.try_send(frame)) {
            Some(Ok(()) | Err(mpsc::error::TrySendError::Closed(_))) => {}
            Some(Err(mpsc::error::TrySendError::Full(_))) | None => {
                self.close(Status::resource_exhausted("the peer is too slow for what it is sent"));
            }
        }
    }

    /// Whether so little waits to be sent that a question about the history may be answered.
    #[must_use]
    pub fn has_room_to_answer(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) <= MAX_UNSENT_TO_ANSWER
    }

    /// Ends the link, for a reason that the peer is told.
    pub fn close(&self, reason: Status) {
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
        mut incoming: impl Stream<Item = Result<Bytes, Status>> + Send + Unpin,
        events: &mpsc::Sender<LinkEvent>,
        router: &R,
    ) -> PeerError {
        let (agree, agreed) = oneshot::channel();
        if events.send(LinkEvent::Up(self.clone(), agree)).await.is_err() {
            self.close(PeerError::Closing.status());
            return PeerError::Closing;
        }
        let refused = match agreed.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(PeerError::Closing),
        };
        if let Some(error) = refused {
            self.close(error.status());
            return error;
        }
        let ended = self.receive(&mut incoming, router).await;
        self.close(ended.status());
        // If the supervisor has ended there is nobody to tell.
        let _ = events.send(LinkEvent::Down(self)).await;
        ended
    }

    async fn receive<R: Router>(
        &self,
        incoming: &mut (impl Stream<Item = Result<Bytes, Status>> + Unpin),
        router: &R,
    ) -> PeerError {
        let mut closed = self.closed.subscribe();
        let room = Arc::new(Semaphore::new(MAX_RECEIVED_BYTES));
        loop {
            let frame = tokio::select! {
                closed = closed.wait_for(Option::is_some) => {
                    let reason = closed.ok().and_then(|reason| reason.clone());
                    return reason.unwrap_or_else(|| Status::cancelled("")).into();
                }
                frame = incoming.next() => frame,
            };
            let frame = match frame {
                None => return Status::cancelled("the peer ended the stream").into(),
                Some(Err(status)) => return status.into(),
                Some(Ok(frame)) => frame,
            };
            let bytes = u32::try_from(frame.len().min(MAX_RECEIVED_BYTES)).unwrap_or(u32::MAX);
            let content = match frame::decode(frame, frame::MAX_FRAME_BYTES) {
                Ok(content) => content,
                Err(error) => return error,
            };
            match content {
                Content::Message(message) => {
                    let Some((document, envelope)) = wire::decode(message) else {
                        return PeerError::Malformed("a message");
                    };
                    // The semaphore is never closed.
                    let Ok(_place) = Arc::clone(&room).acquire_many_owned(bytes).await else {
                        return PeerError::Closing;
                    };
                    router.deliver(self.peer, &document, envelope, Received { _place }).await;
                }
                Content::HistoryRequest(request) => router.ask_history(self.clone(), request),
                Content::HistoryPart(part) => router.deliver_history(self.peer, part),
                Content::Farewell(farewell) => return PeerError::Farewell(plain(&farewell.reason)),
                Content::Greeting(_) | Content::Proof(_) => {
                    return PeerError::Malformed("a frame after the greeting");
                }
            }
        }
    }
}

impl Outgoing {
    /// What goes out: frames until the link is closed, then the reason.
    pub fn stream(self) -> impl Stream<Item = Result<Bytes, Status>> + Send {
        unfold(Some(self), async |outgoing| {
            let mut outgoing = outgoing?;
            let frame = tokio::select! {
                biased;
                closed = outgoing.closed.wait_for(Option::is_some) => {
                    let reason = closed.ok().and_then(|reason| reason.clone())?;
                    return Some((Err(reason), None));
                }
                frame = outgoing.frames.recv() => frame?,
            };
            outgoing.waiting.fetch_sub(frame.len(), Ordering::Relaxed);
            Some((Ok(frame), Some(outgoing)))
        })
    }
}

/// A peer's words as a log may carry them.
fn plain(words: &str) -> String {
    words.chars().take(1_024).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

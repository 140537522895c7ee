//! The gRPC service by which peers come in.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};
use xbook_proto::peer::v1::peer_service_server::{PeerService, PeerServiceServer};
use xbook_proto::peer::v1::{Frame, SyncRequest, SyncResponse};

use super::link::{Link, LinkEvent, Router};
use super::{Identity, MAX_MESSAGE_BYTES, PeerError, greeting};

/// How long a peer may take to greet.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// Lets peers in.
pub struct Gate<R> {
    identity: Identity,
    events: mpsc::Sender<LinkEvent>,
    router: R,
}

impl<R: Router> Gate<R> {
    /// The service.
    pub fn service(
        identity: Identity,
        events: mpsc::Sender<LinkEvent>,
        router: R,
    ) -> PeerServiceServer<Self> {
        PeerServiceServer::new(Self { identity, events, router }).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}

type Responses = Pin<Box<dyn Stream<Item = Result<SyncResponse, Status>> + Send>>;

#[tonic::async_trait]
impl<R: Router> PeerService for Gate<R> {
    type SyncStream = Responses;

    async fn sync(&self, request: Request<Streaming<SyncRequest>>) -> Result<Response<Responses>, Status> {
        let mut incoming = request.into_inner();
        let first = tokio::time::timeout(GREETING_TIMEOUT, incoming.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no greeting came"))??;
        let theirs = greeting(first.and_then(|request| request.frame)).map_err(refuse)?;
        let hello = tokio_stream::once(self.identity.greeting());
        if theirs.directory.is_none() {
            // A node that is about to join only wants to know the directory's genesis.
            return Ok(Response::new(respond(hello)));
        }
        let peer = self.identity.recognize(&theirs).map_err(refuse)?;
        let (link, outgoing) = Link::new(peer, peer);
        let incoming = incoming.map(|request| request.map(|request| request.frame.unwrap_or_default()));
        let (events, router) = (self.events.clone(), self.router.clone());
        tokio::spawn(async move {
            tracing::info!(%peer, "a peer connected");
            let ended = link.run(incoming, &events, &router).await;
            tracing::info!(%peer, %ended, "a peer's connection ended");
        });
        Ok(Response::new(respond(hello.chain(ReceiverStream::new(outgoing)))))
    }
}

fn respond(frames: impl Stream<Item = Frame> + Send + 'static) -> Responses {
    Box::pin(frames.map(|frame| Ok(SyncResponse { frame: Some(frame) })))
}

#[allow(clippy::needless_pass_by_value, reason = "used as a mapping of errors")]
fn refuse(error: PeerError) -> Status {
    Status::failed_precondition(error.to_string())
}

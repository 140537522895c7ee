//! The gRPC service by which peers come in.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};
use xbook_proto::peer::v1::frame::Content;
use xbook_proto::peer::v1::peer_service_server::{PeerService, PeerServiceServer};
use xbook_proto::peer::v1::{Greeting, Proof, SyncRequest, SyncResponse};

use super::caller::Known;
use super::frame::{MAX_FRAME_BYTES, MAX_GREETING_BYTES};
use super::identity::{Claim, Meeting, Side, challenge};
use super::link::{Link, LinkEvent, Router};
use super::{Identity, PeerError, frame};
use crate::machine::JoinToken;
use crate::types::{Micros, NodeId};

/// How long a peer may take to greet, and to prove who it is.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a peer may connect within a time.
const MAX_ARRIVALS: usize = 20;
const ARRIVALS_SECONDS: u64 = 10;

/// Lets peers in.
pub struct Gate<R> {
    identity: Identity,
    events: mpsc::Sender<LinkEvent>,
    router: R,
    arrivals: Arc<Mutex<Arrivals>>,
}

/// When nodes connected last. Only those that have proven who they are get here.
type Arrivals = BTreeMap<NodeId, VecDeque<Micros>>;

impl<R: Router> Gate<R> {
    /// A gate to a node.
    pub fn new(identity: Identity, events: mpsc::Sender<LinkEvent>, router: R) -> Self {
        Self { identity, events, router, arrivals: Arc::default() }
    }

    /// The service.
    pub(super) fn service(self) -> PeerServiceServer<Self> {
        PeerServiceServer::new(self).max_decoding_message_size(MAX_FRAME_BYTES + 64)
    }
}

type Responses = Pin<Box<dyn Stream<Item = Result<SyncResponse, Status>> + Send>>;

#[tonic::async_trait]
impl<R: Router> PeerService for Gate<R> {
    type SyncStream = Responses;

    async fn sync(&self, request: Request<Streaming<SyncRequest>>) -> Result<Response<Responses>, Status> {
        let known = request.extensions().get::<Known>().cloned().unwrap_or_default();
        let mut incoming = request.into_inner().map(|request| request.map(|request| request.frame));
        let theirs = greeting(&mut incoming).await.map_err(|error| error.status())?;
        let mine = challenge().map_err(|error| error.status())?;
        let mut hello = self.identity.greeting(mine);
        if theirs.directory.is_none() {
            // A node that is about to join only wants to know the directory's genesis.
            let hello = Ok(frame::encode(Content::Greeting(hello)));
            return Ok(Response::new(respond(tokio_stream::once(hello))));
        }
        let claim = self.identity.recognize(&theirs).map_err(|error| error.status())?;
        let (peer, protocol) = (claim.node, claim.protocol);
        let meeting = Meeting { dialler: (peer, claim.challenge), dialled: (self.identity.node, mine) };
        hello.signature = self.identity.sign(&meeting, Side::Dialled).to_vec().into();
        let hello = Ok(frame::encode(Content::Greeting(hello)));
        let (link, outgoing) = Link::new(peer, peer);
        let arrival = Arrival {
            identity: self.identity.clone(),
            router: self.router.clone(),
            arrivals: Arc::clone(&self.arrivals),
            claim,
            meeting,
        };
        let (events, router) = (self.events.clone(), self.router.clone());
        tokio::spawn(async move {
            if let Err(error) = arrival.prove(&mut incoming).await {
                tracing::debug!(%peer, %error, "a node is not let in");
                link.close(error.status());
                return;
            }
            known.set(true);
            tracing::info!(%peer, protocol, "a peer connected");
            let ended = link.run(incoming, &events, &router).await;
            known.set(false);
            tracing::info!(%peer, %ended, "a peer's connection ended");
        });
        Ok(Response::new(respond(tokio_stream::once(hello).chain(outgoing.stream()))))
    }
}

/// A node that greeted, on its way in.
struct Arrival<R> {
    identity: Identity,
    router: R,
    arrivals: Arc<Mutex<Arrivals>>,
    claim: Claim,
    meeting: Meeting,
}

impl<R: Router> Arrival<R> {
    /// It proves who it is, and may come in.
    async fn prove(
        &self,
        incoming: &mut (impl Stream<Item = Result<Bytes, Status>> + Unpin),
    ) -> Result<(), PeerError> {
        let Content::Proof(Proof { signature, join_token }) = first(incoming).await? else {
            return Err(PeerError::NotProven);
        };
        let Claim { node, key, .. } = &self.claim;
        if !self.identity.is_signed(&self.meeting, Side::Dialler, key, &signature) {
            return Err(PeerError::NotProven);
        }
        let token = join_token.as_ref().try_into().ok().map(JoinToken);
        let now = self.router.now();
        self.router.members().borrow().admit((*node, key), token, now)?;
        self.arrive(*node, now)
    }

    /// Notes that a node connects, unless it does too often.
    fn arrive(&self, node: NodeId, now: Micros) -> Result<(), PeerError> {
        let since = Micros(now.0.saturating_sub(ARRIVALS_SECONDS * 1_000_000));
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.retain(|_, times| times.back().is_some_and(|last| *last > since));
        let times = arrivals.entry(node).or_default();
        times.retain(|time| *time > since);
        if times.len() >= MAX_ARRIVALS {
            return Err(PeerError::TooOften { most: MAX_ARRIVALS, seconds: ARRIVALS_SECONDS });
        }
        times.push_back(now);
        Ok(())
    }
}

/// The next frame of who is not known yet.
pub(super) async fn first(
    incoming: &mut (impl Stream<Item = Result<Bytes, Status>> + Unpin),
) -> Result<Content, PeerError> {
    let late = |_| Status::deadline_exceeded("it did not say in time who it is");
    let frame = timeout(GREETING_TIMEOUT, incoming.next()).await.map_err(late)?;
    frame::decode(frame.ok_or(PeerError::NoGreeting)??, MAX_GREETING_BYTES)
}

/// The greeting that a stream begins with.
pub(super) async fn greeting(
    incoming: &mut (impl Stream<Item = Result<Bytes, Status>> + Unpin),
) -> Result<Greeting, PeerError> {
    match first(incoming).await? {
        Content::Greeting(greeting) => Ok(greeting),
        _ => Err(PeerError::NoGreeting),
    }
}

fn respond(frames: impl Stream<Item = Result<Bytes, Status>> + Send + 'static) -> Responses {
    Box::pin(frames.map(|frame| frame.map(|frame| SyncResponse { frame })))
}

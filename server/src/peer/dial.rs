//! Dialling peers, again and again.

use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use xbook_proto::peer::v1::peer_service_client::PeerServiceClient;
use xbook_proto::peer::v1::{Frame, Greeting, SyncRequest, frame::Content};

use super::link::{Link, LinkEvent, Links, Router};
use super::{Identity, MAX_MESSAGE_BYTES, PROTOCOL, PeerError, greeting};
use crate::document::Genesis;
use crate::types::NodeId;

/// Back-off after the first failure; it doubles with each.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// Longest back-off.
const LAST_DELAY: Duration = Duration::from_secs(10);
/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a node may take to tell its directory.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What it takes to dial peers. Cheap to clone.
#[derive(Clone)]
pub struct Dialler<R> {
    /// Who this node is.
    pub identity: Identity,
    /// The connections that there are.
    pub links: watch::Receiver<Links>,
    /// Where connections are announced.
    pub events: mpsc::Sender<LinkEvent>,
    /// Who gets what peers say.
    pub router: R,
}

impl<R: Router> Dialler<R> {
    /// Keeps a connection to the node at an address for as long as this node runs, unless there is
    /// one already, whoever dialled. Who is there is learned at the first meeting if `node` does
    /// not say it.
    pub async fn dial(mut self, address: String, mut node: Option<NodeId>) {
        let mut delay = FIRST_DELAY;
        loop {
            if let Some(node) = node
                && self.links.wait_for(|links| !links.contains_key(&node)).await.is_err()
            {
                return;
            }
            if self.events.is_closed() {
                return;
            }
            let ended = match meet(&address, &self.identity).await {
                Ok((link, incoming)) => {
                    node.get_or_insert(link.peer);
                    let Self { events, router, .. } = self.clone();
                    // A task of its own: the connection may outlast the wish to dial this address.
                    let run = async move { link.run(incoming, &events, &router).await };
                    let Ok(ended) = tokio::spawn(run).await else { return };
                    if !matches!(ended, PeerError::Connected) {
                        delay = FIRST_DELAY;
                    }
                    ended
                }
                // It was given by hand, and never was a peer's.
                Err(error) if node.is_none() && error.is_final() => {
                    let _ = self.events.send(LinkEvent::Foreign { address, error }).await;
                    return;
                }
                Err(PeerError::Myself) => return,
                Err(error) => error,
            };
            if let PeerError::Connected = ended {
                // The peer dialled this node, which is as good.
                tracing::debug!(%address, "there is a connection to the peer already");
            } else {
                tracing::info!(%address, %ended, retry_in_ms = delay.as_millis(), "no connection to a peer");
            }
            tokio::time::sleep(jitter(delay)).await;
            delay = (delay * 2).min(LAST_DELAY);
        }
    }
}

/// Asks the node at an address for its cluster's directory, until it answers.
///
/// # Errors
/// It answers, but its cluster can't be joined.
pub async fn fetch_directory(addresses: &[String]) -> Result<Genesis, PeerError> {
    let mut delay = FIRST_DELAY;
    loop {
        for address in addresses {
            let asked = tokio::time::timeout(ANSWER_TIMEOUT, ask_directory(address)).await;
            match asked.unwrap_or(Err(PeerError::Silent)) {
                Ok(genesis) => return Ok(genesis),
                Err(error) if error.is_final() => return Err(error),
                Err(error) => tracing::warn!(%address, %error, "can't join yet"),
            }
        }
        tokio::time::sleep(jitter(delay)).await;
        delay = (delay * 2).min(LAST_DELAY);
    }
}

async fn ask_directory(address: &str) -> Result<Genesis, PeerError> {
    let greeting_frame =
        Frame { content: Some(Content::Greeting(Greeting { protocol: PROTOCOL, node: 0, directory: None })) };
    let mut client = connect(address).await?;
    let request = tokio_stream::once(SyncRequest { frame: Some(greeting_frame) });
    let mut responses = client.sync(request).await?.into_inner();
    let theirs = greeting(responses.message().await?.and_then(|response| response.frame))?;
    if theirs.protocol != PROTOCOL {
        return Err(PeerError::Protocol { theirs: theirs.protocol });
    }
    Ok(Genesis::from_record(theirs.directory.ok_or(PeerError::NoGreeting)?, Vec::new())?)
}

async fn meet(
    address: &str,
    identity: &Identity,
) -> Result<
    (Link, impl tokio_stream::Stream<Item = Result<Frame, tonic::Status>> + Send + Unpin + use<>),
    PeerError,
> {
    let mut client = connect(address).await?;
    let (frames, outgoing) = mpsc::channel(1);
    // The greeting goes first; the link's frames follow once the peer is known.
    let (rest, link_frames) = tokio::sync::oneshot::channel::<mpsc::Receiver<Frame>>();
    frames.try_send(identity.greeting()).map_err(|_| PeerError::Closing)?;
    drop(frames);
    let requests = ReceiverStream::new(outgoing)
        .chain(after(link_frames))
        .map(|frame| SyncRequest { frame: Some(frame) });
    let mut incoming = client.sync(requests).await?.into_inner();
    let theirs = greeting(incoming.message().await?.and_then(|response| response.frame))?;
    let peer = identity.recognize(&theirs)?;
    let (link, outgoing) = Link::new(peer, identity.node);
    rest.send(outgoing).map_err(|_| PeerError::NoGreeting)?;
    let incoming = incoming.map(|response| response.map(|response| response.frame.unwrap_or_default()));
    Ok((link, incoming))
}

/// The frames of a receiver that is still to come.
fn after(
    receiver: tokio::sync::oneshot::Receiver<mpsc::Receiver<Frame>>,
) -> impl tokio_stream::Stream<Item = Frame> + Send {
    let frames = async move { receiver.await.unwrap_or_else(|_| mpsc::channel(1).1) };
    frames.map(ReceiverStream::new).flatten_stream()
}

async fn connect(address: &str) -> Result<PeerServiceClient<Channel>, PeerError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(2))
        .keep_alive_timeout(Duration::from_secs(4))
        .keep_alive_while_idle(true);
    let client = PeerServiceClient::new(endpoint.connect().await?);
    Ok(client.max_decoding_message_size(MAX_MESSAGE_BYTES))
}

/// Between half and all of a delay, so that nodes don't dial in step.
fn jitter(delay: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    delay.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}

//! Dialling peers, again and again.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use xbook_proto::peer::v1::peer_service_client::PeerServiceClient;
use xbook_proto::peer::v1::{Farewell, Greeting, Proof, SyncRequest, frame::Content};

use super::frame::{self, MAX_FRAME_BYTES};
use super::gate::greeting;
use super::identity::{Meeting, Side, challenge};
use super::link::{Link, LinkEvent, Links, Outgoing, Router};
use super::{Identity, PROTOCOLS, Pace, PeerError, Protocols};
use crate::document::Genesis;
use crate::format::Formats;
use crate::machine::JoinToken;
use crate::types::{Micros, NodeId};

/// Back-off after the first failure; it doubles with each.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// Longest back-off.
const LAST_DELAY: Duration = Duration::from_secs(10);
/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection that lasted so long was a good one: the back-off begins anew after it.
const STEADY: Micros = Micros(10_000_000);

/// How often a node that is not in the directory yet may be refused before it gives up: whom it dials may
/// not have heard of its token yet.
const MAX_REFUSALS: u32 = 6;

/// How long a node may take to tell its directory.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What it takes to dial peers. Cheap to clone.
#[derive(Clone)]
pub struct Dialler<R> {
    /// Who this node is.
    pub identity: Identity,
    /// What lets this node join, if it is not in the directory.
    pub token: Option<JoinToken>,
    /// The connections that there are.
    pub links: watch::Receiver<Links>,
    /// Where connections are announced.
    pub events: mpsc::Sender<LinkEvent>,
    /// Who gets what peers say.
    pub router: R,
    /// How often may be dialled.
    pub pace: Pace,
}

/// Where is dialled, and how it went.
struct Attempts {
    address: String,
    delay: Duration,
    refusals: u32,
    /// What was said last about it.
    said: String,
}

impl<R: Router> Dialler<R> {
    /// Keeps a connection to the node at an address for as long as this node runs, unless there is
    /// one already, whoever dialled. Who is there is learned at the first meeting if `node` does
    /// not say it.
    pub async fn dial(mut self, address: String, mut node: Option<NodeId>) {
        let given = node.is_none();
        let mut attempts = Attempts { address, delay: FIRST_DELAY, refusals: 0, said: String::new() };
        loop {
            if let Some(node) = node
                && self.links.wait_for(|links| !links.contains_key(&node)).await.is_err()
            {
                return;
            }
            let now = self.router.now();
            let turn = self.pace.turn(&attempts.address, now).0.saturating_sub(now.0);
            tokio::time::sleep(Duration::from_micros(turn)).await;
            if self.events.is_closed() {
                return;
            }
            let ended = match self.meet(&attempts.address, node).await {
                Ok((link, incoming)) => {
                    let peer = link.peer;
                    let Self { events, router, .. } = self.clone();
                    let began = router.now();
                    // A task of its own: the connection may outlast the wish to dial this address.
                    let run = async move { link.run(incoming, &events, &router).await };
                    let Ok(ended) = tokio::spawn(run).await else { return };
                    if self.router.now() > began.plus(STEADY) {
                        attempts.delay = FIRST_DELAY;
                    }
                    if !ended.is_refusal() {
                        node.get_or_insert(peer);
                    }
                    ended
                }
                Err(PeerError::Myself) if !given => return,
                Err(error) => error,
            };
            attempts.refusals += u32::from(ended.is_refusal());
            let joins = !self.router.members().borrow().contains(self.identity.node);
            let refused = joins && attempts.refusals >= MAX_REFUSALS;
            // It was given by hand, and never was a peer's.
            if given && node.is_none() && (refused || ended.is_final()) {
                let Attempts { address, .. } = attempts;
                let _ = self.events.send(LinkEvent::Foreign { address, error: ended }).await;
                return;
            }
            attempts.back_off(&ended).await;
        }
    }

    /// Connects, and learns who is there.
    async fn meet(
        &self,
        address: &str,
        expected: Option<NodeId>,
    ) -> Result<(Link, impl Stream<Item = Result<Bytes, Status>> + Send + Unpin + use<R>), PeerError> {
        let identity = &self.identity;
        let mine = challenge()?;
        let (rest, later) = oneshot::channel::<(Proof, Outgoing)>();
        let requests = requests(identity.greeting(mine), later);
        let incoming = connect(address).await?.sync(requests).await?.into_inner();
        let mut incoming = incoming.map(|response| response.map(|response| response.frame));
        let theirs = greeting(&mut incoming).await?;
        let claim = identity.recognize(&theirs)?;
        let meeting = Meeting { dialler: (identity.node, mine), dialled: (claim.node, claim.challenge) };
        if !identity.is_signed(&meeting, Side::Dialled, &claim.key, &theirs.signature) {
            return Err(PeerError::NotProven);
        }
        if expected.is_some_and(|expected| expected != claim.node) {
            return Err(PeerError::OtherNode);
        }
        let members = self.router.members();
        members.borrow().accept(identity.node, (claim.node, &claim.key))?;
        let joins = !members.borrow().contains(identity.node);
        let token = self.token.filter(|_| joins);
        let proof = Proof {
            signature: identity.sign(&meeting, Side::Dialler).to_vec().into(),
            join_token: token.map(|token| token.0.to_vec().into()).unwrap_or_default(),
        };
        let (link, outgoing) = Link::new(claim.node, identity.node);
        rest.send((proof, outgoing)).map_err(|_| PeerError::NoGreeting)?;
        Ok((link, incoming))
    }
}

impl Attempts {
    /// Says what happened, once for each thing that happens again and again, and waits.
    async fn back_off(&mut self, ended: &PeerError) {
        let Self { address, delay, said, .. } = self;
        let (words, retry_in_ms) = (ended.to_string(), delay.as_millis());
        if let PeerError::Connected = ended {
            // The peer dialled this node, which is as good.
            tracing::debug!(%address, "there is a connection to the peer already");
        } else if *said == words {
            tracing::debug!(%address, %ended, retry_in_ms, "no connection to a peer");
        } else {
            tracing::info!(%address, %ended, retry_in_ms, "no connection to a peer");
            *said = words;
        }
        tokio::time::sleep(jitter(*delay)).await;
        *delay = (*delay * 2).min(LAST_DELAY);
    }
}

/// What the node that dials says: its greeting, its proof, and then what goes out on the link. The reason
/// for an end is told in a farewell.
fn requests(
    hello: Greeting,
    later: oneshot::Receiver<(Proof, Outgoing)>,
) -> impl Stream<Item = SyncRequest> + Send + 'static {
    let hello = frame::encode(Content::Greeting(hello));
    let rest = async move {
        match later.await {
            Ok((proof, outgoing)) => {
                let proof = frame::encode(Content::Proof(proof));
                let frames = outgoing.stream().map(|frame| frame.unwrap_or_else(|reason| farewell(&reason)));
                tokio_stream::once(proof).chain(frames).boxed()
            }
            Err(_) => tokio_stream::empty().boxed(),
        }
    };
    tokio_stream::once(hello).chain(rest.flatten_stream()).map(|frame| SyncRequest { frame })
}

fn farewell(reason: &Status) -> Bytes {
    let reason = reason.message().chars().take(256).collect();
    frame::encode(Content::Farewell(Farewell { reason }))
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
    let Protocols { oldest, newest } = PROTOCOLS;
    let question = Greeting { protocol: newest, oldest_protocol: oldest, ..Greeting::default() };
    let request = SyncRequest { frame: frame::encode(Content::Greeting(question)) };
    let responses = connect(address).await?.sync(tokio_stream::once(request)).await?.into_inner();
    let mut frames = responses.map(|response| response.map(|response| response.frame));
    let theirs = greeting(&mut frames).await?;
    PROTOCOLS.agree(Protocols::of(&theirs))?;
    // Generation 0, which names the cluster: what there is by now comes from the replica.
    Ok(Genesis::from_record(theirs.directory.ok_or(PeerError::NoGreeting)?, Vec::new(), Formats::KNOWN)?)
}

async fn connect(address: &str) -> Result<PeerServiceClient<Channel>, PeerError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(2))
        .keep_alive_timeout(Duration::from_secs(4))
        .keep_alive_while_idle(true);
    let client = PeerServiceClient::new(endpoint.connect().await?);
    Ok(client.max_decoding_message_size(MAX_FRAME_BYTES + 64))
}

/// Between half and all of a delay, so that nodes don't dial in step.
fn jitter(delay: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    delay.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}

//! A peer that says what it is told to say.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};
use xbook_proto::peer::v1::document_message::Message as Said;
use xbook_proto::peer::v1::frame::Content;
use xbook_proto::peer::v1::peer_service_client::PeerServiceClient;
use xbook_proto::peer::v1::{DocumentMessage, Frame, Greeting, Proof, SyncRequest, SyncResponse};
use xbook_proto::record::v1 as record;

/// Version of the protocol between nodes.
pub const PROTOCOL: u32 = 2;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a node is listened to that is not expected to end the stream.
const WHILE: Duration = Duration::from_millis(150);

/// Who the fake peer is.
#[derive(Clone)]
pub struct Who {
    pub node: u64,
    pub key: SigningKey,
    pub token: Bytes,
}

/// A stream to a node.
pub struct Fake {
    frames: mpsc::UnboundedSender<SyncRequest>,
    incoming: Streaming<SyncResponse>,
    /// What the node greeted with.
    pub greeting: Greeting,
}

impl Who {
    pub fn new(number: u8) -> Self {
        let node = 0xFA_CE00 + u64::from(number);
        Self { node, key: SigningKey::from_bytes(&[number; 32]), token: Bytes::new() }
    }

    pub fn with_token(self, token: &[u8]) -> Self {
        Self { token: Bytes::copy_from_slice(token), ..self }
    }

    pub fn greeting(&self, directory: &record::Genesis) -> Greeting {
        Greeting {
            protocol: PROTOCOL,
            oldest_protocol: PROTOCOL,
            node: self.node,
            directory: Some(directory.clone()),
            challenge: vec![9; 32].into(),
            key: self.key.verifying_key().to_bytes().to_vec().into(),
            signature: Bytes::new(),
        }
    }

    /// The signature of a meeting with a node that it dialled, as the side "dialler" or "dialled".
    pub fn signature(&self, mine: &Greeting, theirs: &Greeting, side: &str) -> Bytes {
        let cluster = blake3::hash(&mine.directory.clone().unwrap_or_default().encode_to_vec());
        let mut words = b"xbook peer".to_vec();
        words.extend(side.as_bytes());
        words.extend(cluster.as_bytes());
        words.extend(mine.node.to_be_bytes());
        words.extend(theirs.node.to_be_bytes());
        words.extend_from_slice(&mine.challenge);
        words.extend_from_slice(&theirs.challenge);
        Bytes::copy_from_slice(&self.key.sign(&words).to_bytes())
    }

    pub fn proof(&self, mine: &Greeting, theirs: &Greeting) -> Content {
        let signature = self.signature(mine, theirs, "dialler");
        Content::Proof(Proof { signature, join_token: self.token.clone() })
    }
}

impl Fake {
    /// Opens a stream with this first frame.
    pub async fn open(address: SocketAddr, first: Bytes) -> Result<Self, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.map_err(|error| Status::internal(error.to_string()))?;
        let channel = endpoint.connect().await.map_err(|error| Status::internal(error.to_string()))?;
        let mut client = PeerServiceClient::new(channel).max_decoding_message_size(1 << 30);
        let (frames, outgoing) = mpsc::unbounded_channel();
        let _ = frames.send(SyncRequest { frame: first });
        let opened = timeout(PATIENCE, client.sync(UnboundedReceiverStream::new(outgoing))).await;
        let incoming = opened.map_err(|_| Status::internal("no answer came"))??.into_inner();
        let mut fake = Self { frames, incoming, greeting: Greeting::default() };
        match timeout(PATIENCE, fake.next()).await {
            Ok(Ok(Some(Content::Greeting(greeting)))) => fake.greeting = greeting,
            Ok(Ok(other)) => return Err(Status::internal(format!("no greeting but {other:?}"))),
            Ok(Err(status)) => return Err(status),
            Err(_) => return Err(Status::internal("no greeting came")),
        }
        Ok(fake)
    }

    /// Connects as somebody, with a proof.
    pub async fn connect(
        address: SocketAddr,
        who: &Who,
        directory: &record::Genesis,
    ) -> Result<Self, Status> {
        let greeting = who.greeting(directory);
        let fake = Self::open(address, frame(Content::Greeting(greeting.clone()))).await?;
        fake.say(who.proof(&greeting, &fake.greeting));
        Ok(fake)
    }

    pub fn say(&self, content: Content) {
        self.send(frame(content));
    }

    pub fn send(&self, frame: Bytes) {
        // A stream that has ended says so when it is read.
        let _ = self.frames.send(SyncRequest { frame });
    }

    /// The next frame; none if the stream has ended without a reason.
    pub async fn next(&mut self) -> Result<Option<Content>, Status> {
        let response = self.incoming.message().await?;
        let decoded = response.map(|response| Frame::decode(response.frame).map(|frame| frame.content));
        decoded.transpose().map(Option::flatten).map_err(|error| Status::internal(error.to_string()))
    }

    /// Waits for a message about a document that is of interest.
    pub async fn hear<T>(&mut self, document: &str, wanted: impl Fn(u64, Said) -> Option<T>) -> Result<T> {
        let hearing = async {
            loop {
                match self.next().await? {
                    Some(Content::Message(DocumentMessage {
                        document: of,
                        generation,
                        message: Some(said),
                    })) => {
                        if let Some(found) =
                            Some(said).filter(|_| of == document).and_then(|said| wanted(generation, said))
                        {
                            return Ok(found);
                        }
                    }
                    Some(_) => {}
                    None => bail!("the stream ended"),
                }
            }
        };
        timeout(PATIENCE, hearing).await.context("it was not heard in time")?
    }

    /// How the stream ends; nothing if it does not within a short time.
    pub async fn ended(&mut self) -> Option<Status> {
        self.ended_within(WHILE).await
    }

    /// The same, after another time.
    pub async fn ended_within(&mut self, time: Duration) -> Option<Status> {
        let ended = async {
            loop {
                match self.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Status::ok(""),
                    Err(status) => return status,
                }
            }
        };
        timeout(time, ended).await.ok()
    }
}

pub fn frame(content: Content) -> Bytes {
    Frame { content: Some(content) }.encode_to_vec().into()
}

/// A message about a document.
pub fn about(document: &str, generation: u64, message: Said) -> Content {
    Content::Message(DocumentMessage { document: document.to_owned(), generation, message: Some(message) })
}

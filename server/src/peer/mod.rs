//! Peers: one gRPC stream a pair of nodes, for all documents.
//!
//! A node dials the addresses that it was given and all nodes in the directory, and again with
//! back-off when a connection is lost ([`Dialler`]); it is dialled through [`Gate`], the gRPC service. Either way both sides greet, and
//! then there is a [`Link`]: the supervisor hands it to every replica, whose messages go out
//! through it, and what comes in is [delivered](Router) to the replica of its document.
//!
//! Whatever a peer sends, the worst that happens is the end of its stream, with a reason.

mod dial;
mod gate;
mod link;
mod wire;

use xbook_proto::peer::v1::{Frame, Greeting, frame::Content};

pub use dial::{Dialler, fetch_directory};
pub use gate::Gate;
pub use link::{Link, LinkEvent, Links, Router};
pub use wire::encode;

use crate::document::{Genesis, GenesisError};
use crate::types::NodeId;

/// Version of the protocol between nodes.
const PROTOCOL: u32 = 1;

/// Largest message that is taken from a peer, in bytes.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// Who this node is, to its peers.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its id.
    pub node: NodeId,
    /// The genesis of generation 0 of its cluster's directory, which names the cluster.
    pub cluster: Genesis,
}

/// Why a peer is not talked to.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It can't be reached, or the stream broke.
    #[error("{0}")]
    Transport(#[from] tonic::transport::Error),
    /// It refused, or broke the stream off.
    #[error("{}", .0.message())]
    Status(Box<tonic::Status>),
    /// It did not greet.
    #[error("it did not greet first")]
    NoGreeting,
    /// It takes connections and says nothing.
    #[error("it takes the connection and does not answer in time: is it a node?")]
    Silent,
    /// It speaks another version.
    #[error("it speaks version {theirs} of the protocol between nodes, this node speaks {PROTOCOL}")]
    Protocol {
        /// Its version.
        theirs: u32,
    },
    /// It belongs to another cluster.
    #[error("it belongs to another cluster: its directory starts from another genesis")]
    OtherCluster,
    /// It has this node's id.
    #[error("it is this node itself, or a copy of its data directory")]
    Myself,
    /// Its directory can't be used.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// There is a connection to it already.
    #[error("there is a connection to it already")]
    Connected,
    /// The node is ending.
    #[error("the node is shutting down")]
    Closing,
}

impl PeerError {
    /// Whether asking again can't help: what answers is another cluster's node, this node itself, or
    /// speaks otherwise.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Protocol { .. } | Self::OtherCluster | Self::Myself | Self::Genesis(_) => true,
            // So the other side says the same.
            Self::Status(status) => status.code() == tonic::Code::FailedPrecondition,
            Self::Transport(_) | Self::NoGreeting | Self::Silent | Self::Connected | Self::Closing => false,
        }
    }
}

impl From<tonic::Status> for PeerError {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl Identity {
    fn greeting(&self) -> Frame {
        let directory = Some(self.cluster.record().clone());
        let greeting = Greeting { protocol: PROTOCOL, node: self.node.0, directory };
        Frame { content: Some(Content::Greeting(greeting)) }
    }

    /// Who greets, if it is a peer of the same cluster.
    fn recognize(&self, greeting: &Greeting) -> Result<NodeId, PeerError> {
        if greeting.protocol != PROTOCOL {
            return Err(PeerError::Protocol { theirs: greeting.protocol });
        }
        if greeting.node == self.node.0 {
            return Err(PeerError::Myself);
        }
        if greeting.directory.as_ref() != Some(self.cluster.record()) {
            return Err(PeerError::OtherCluster);
        }
        Ok(NodeId(greeting.node))
    }
}

/// The greeting in a stream's first frame.
fn greeting(frame: Option<Frame>) -> Result<Greeting, PeerError> {
    match frame.and_then(|frame| frame.content) {
        Some(Content::Greeting(greeting)) => Ok(greeting),
        _ => Err(PeerError::NoGreeting),
    }
}

//! Peers: one gRPC stream a pair of nodes, for all documents.
//!
//! ```text
//! Dialler ─ greeting ─> Gate        who it says it is, and a challenge
//!         <─ greeting ─             the same, and the challenges signed
//!         ── proof ───>             the challenges signed; a join token, if it is new
//!         <═ messages ═>            a Link
//! ```
//!
//! A node dials the addresses that it was given and all nodes in the directory, and again with
//! back-off when a connection is lost ([`Dialler`]); it is dialled through [`Gate`], the gRPC service, on
//! a [listener](serve) of its own. Each side learns who the other is (`identity`), and speaks with the
//! nodes of the directory only (`members`), or about the directory only with one that shows a token. The
//! supervisor then hands the [`Link`] to every replica, whose messages go out
//! through it, and what comes in is [delivered](Router) to the replica of its document.
//!
//! Whatever a peer sends, the worst that happens is the end of its stream, with a reason.

mod caller;
mod dial;
mod frame;
mod gate;
mod identity;
mod link;
mod members;
mod pace;
mod protocol;
mod server;
mod wire;

use tonic::{Code, Status};

pub use dial::{Dialler, fetch_directory};
pub use gate::Gate;
pub use identity::{Identity, Secret};
pub use link::{Link, LinkEvent, Links, Received, Router};
pub use members::Members;
pub use pace::Pace;
pub use protocol::Protocols;
pub use server::serve;
pub use wire::{decode, encode};

use crate::document::GenesisError;
use protocol::PROTOCOLS;

/// Why a peer is not talked to.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It can't be reached, or the stream broke.
    #[error("{0}")]
    Transport(#[from] tonic::transport::Error),
    /// It refused, or broke the stream off.
    #[error("{}", .0.message())]
    Status(Box<Status>),
    /// It said why it ends the stream.
    #[error("it ended the stream: {0}")]
    Farewell(String),
    /// What answers there has no door for other nodes.
    #[error(
        "no other nodes are let in there: a node serves clients on one port and other nodes on another one, which is \
         100 higher if nothing else was said"
    )]
    NoDoor,
    /// It did not greet.
    #[error("it did not greet first, with a challenge and its key")]
    NoGreeting,
    /// It takes connections and says nothing.
    #[error("it takes the connection and does not answer in time: is it a node?")]
    Silent,
    /// It speaks no version that this node speaks.
    #[error("it speaks {theirs} of the protocol between nodes, this node speaks {mine}")]
    Protocol {
        /// Its versions.
        theirs: Protocols,
        /// This node's.
        mine: Protocols,
    },
    /// It belongs to another cluster.
    #[error("it belongs to another cluster: its directory starts from another genesis")]
    OtherCluster,
    /// It has this node's id.
    #[error("it is this node itself, or a copy of its data directory")]
    Myself,
    /// Another node is at the address.
    #[error("another node is there than the one that the directory knows")]
    OtherNode,
    /// Its signature is not that of the key that it says it has.
    #[error("it did not prove that it has its key")]
    NotProven,
    /// The directory knows its id with another key.
    #[error(
        "the directory knows the node by another key: the id is another node's, or the node lost its disk"
    )]
    OtherKey,
    /// It dialled, and is not in the directory.
    #[error(
        "the node is not in the cluster's directory, and showed no join token that lets it in: make one with `xcli \
         invite` and pass it with --join-token"
    )]
    NotInvited,
    /// It was dialled, and is not in the directory.
    #[error("it is not in the cluster's directory")]
    NoMember,
    /// It connects again and again.
    #[error("it connected more than {most} times within {seconds} s")]
    TooOften {
        /// The limit.
        most: usize,
        /// Within this time.
        seconds: u64,
    },
    /// Too many are being greeted.
    #[error("too many nodes connect at the same time")]
    Busy,
    /// Something can't be decoded.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// A frame is too large.
    #[error("a frame of {bytes} bytes is above the limit of {most}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// A frame has more in it than any node sends.
    #[error("a frame has more than {most} fields")]
    TooManyFields {
        /// The limit.
        most: usize,
    },
    /// Its directory can't be used.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// There is a connection to it already.
    #[error("there is a connection to it already")]
    Connected,
    /// The node is ending.
    #[error("the node is shutting down")]
    Closing,
    /// The system's source of randomness.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

impl PeerError {
    /// Whether asking again can't help: what answers is another cluster's node, this node itself, or
    /// speaks otherwise.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Protocol { .. } | Self::OtherCluster | Self::Myself | Self::NoDoor | Self::Genesis(_) => {
                true
            }
            // So the other side says the same.
            Self::Status(status) => status.code() == Code::FailedPrecondition,
            _ => false,
        }
    }

    /// Whether this node is not let in; it may be that the other one has not heard of it yet.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Status(status) if status.code() == Code::PermissionDenied)
    }

    /// As the other side is told.
    #[must_use]
    pub fn status(&self) -> Status {
        let code = match self {
            Self::Status(status) => return (**status).clone(),
            Self::NoGreeting
            | Self::Malformed(_)
            | Self::TooLarge { .. }
            | Self::TooManyFields { .. }
            | Self::Genesis(_) => Code::InvalidArgument,
            Self::Protocol { .. } | Self::OtherCluster | Self::Myself | Self::OtherNode | Self::NoDoor => {
                Code::FailedPrecondition
            }
            Self::NotProven => Code::Unauthenticated,
            Self::OtherKey | Self::NotInvited | Self::NoMember => Code::PermissionDenied,
            Self::TooOften { .. } | Self::Busy => Code::ResourceExhausted,
            Self::Connected => Code::AlreadyExists,
            Self::Farewell(_) => Code::Cancelled,
            Self::Transport(_) | Self::Silent | Self::Closing | Self::Random(_) => Code::Unavailable,
        };
        Status::new(code, self.to_string())
    }
}

impl From<Status> for PeerError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Unimplemented => Self::NoDoor,
            _ => Self::Status(Box::new(status)),
        }
    }
}

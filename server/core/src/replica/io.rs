//! What goes into a replica, what comes out of it, and how it is.

use std::sync::Arc;

use bytes::Bytes;

use super::memory::Remembered;
use super::message::Envelope;
use crate::document::{Actor, ChangeError, DocumentError, Genesis, GenesisError};
use crate::format::{Format, Formats};
use crate::machine::{Block, Caps, FoldError, Request, StateStart};
use crate::types::{GenerationNumber, Micros, NodeId, Position, Term};

/// What happens to a replica.
#[derive(Debug)]
pub enum Input {
    /// Requests of clients, in the order in which they take effect.
    Submit(Vec<Request>),
    /// All changes of a generation up to this one are on the disk, and so is its genesis.
    Stored {
        /// The generation.
        generation: GenerationNumber,
        /// Its index in the order of storing.
        index: u64,
    },
    /// A connection to a peer is up.
    PeerUp(NodeId),
    /// A connection to a peer is gone.
    PeerDown(NodeId),
    /// A peer said something.
    Message {
        /// Who.
        from: NodeId,
        /// What.
        envelope: Envelope,
    },
    /// Hand the lease to a voter, or ask the holder to.
    HandOver(NodeId),
    /// Go on in a newer format with the next generation, or ask the holder to.
    Upgrade(Format),
    /// Time has passed, or there is more to do.
    Wake,
}

/// What a replica wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Put a change on the disk, then say [`Input::Stored`]. Nobody may hear of it before.
    Store {
        /// The generation that it belongs to.
        generation: GenerationNumber,
        /// Its index in the order of storing within the generation, from 0.
        index: u64,
        /// Its bytes.
        bytes: Bytes,
    },
    /// A generation begins: put its genesis and its first changes on the disk, all or nothing, then
    /// say [`Input::Stored`] for the last of the changes, if there are any. What is on the disk of
    /// earlier generations is not needed any more.
    Roll {
        /// The genesis.
        genesis: Arc<Genesis>,
        /// The changes, from index 0.
        changes: Vec<Bytes>,
    },
    /// Put this on the disk with the next write, in the place of what was remembered before. It needs no sync.
    Remember(Remembered),
    /// A restored directory's node has heard a majority of the others and has what they had: it votes
    /// from now on, and after a restart.
    GateOpened,
    /// The view skipped what was committed while this node was away: there will be no
    /// [`Effect::Committed`] for it. Nobody may see the view before the [`Effect::Roll`] that came before
    /// this is on the disk: else a crash would take back what was shown.
    Skipped {
        /// This node's intents up to this counter were consumed by then.
        through: u64,
        /// Where the view is now.
        start: StateStart,
    },
    /// Something that a person should know of.
    Report(String),
    /// Say something to a peer.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        envelope: Envelope,
    },
    /// End the connection to a peer: it said what no correct node says.
    Disconnect {
        /// Whom.
        peer: NodeId,
        /// Why.
        reason: String,
    },
    /// This node's intents up to this counter are on the disk.
    Accepted {
        /// The counter.
        through: u64,
    },
    /// A batch is committed: show what it did.
    Committed(Arc<Block>),
    /// Say [`Input::Wake`] at this time, or sooner.
    WakeAt(Micros),
}

/// Why a replica can't go on. What is on the disk stands.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The document refused something.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A tape batch does not fit.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// A stored change can't be read.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A peer has changes of this node that this node does not have.
    #[error(
        "peer {peer} has changes of this node that are not on its disk: this data directory is an old copy. A node \
         that lost changes has forgotten what it promised: start a new node with an empty directory"
    )]
    Forgotten {
        /// The peer.
        peer: NodeId,
    },
    /// A peer remembers an acknowledgement of this node that its disk does not bear out.
    #[error(
        "peer {peer} remembers what this node acknowledged in generation {generation}, and its disk has less: this \
         data directory is an old copy. A node that lost what it acknowledged would take commits back: start a new \
         node with an empty directory"
    )]
    Outdated {
        /// The peer.
        peer: NodeId,
        /// The generation of the acknowledgement.
        generation: GenerationNumber,
    },
    /// A genesis can't be used.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A stored entry that its actor can't have written.
    #[error("the stored {what} of {actor} is not its actor's to write")]
    Stored {
        /// The actor.
        actor: Actor,
        /// The kind of the entry.
        what: &'static str,
    },
    /// A batch of intents that does not follow its node's last, or can't be read.
    #[error("intents {first} of node {node} do not follow its intent {last}")]
    Intents {
        /// The node.
        node: NodeId,
        /// The batch's first counter.
        first: u64,
        /// The last counter before it.
        last: u64,
    },
}

/// How a replica is, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicaStatus {
    /// The generation.
    pub generation: GenerationNumber,
    /// Its format.
    pub format: Format,
    /// The voters.
    pub voters: Vec<NodeId>,
    /// Term of the fold's head; zero before the first lease.
    pub term: Term,
    /// Who holds that lease.
    pub holder: Option<NodeId>,
    /// Position of the view.
    pub position: Position,
    /// Tape time of the view.
    pub tape_time: Micros,
    /// Batches in the view.
    pub committed_batches: u64,
    /// Changes in the document.
    pub changes: u64,
    /// Their bytes.
    pub bytes: u64,
    /// This node's unconsumed intents.
    pub pending: u64,
    /// The view's running digest.
    pub digest: [u8; 32],
}

/// How the lease is, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseStatus {
    /// Its term; zero before the first.
    pub term: Term,
    /// Who holds it, or held it last.
    pub holder: Option<NodeId>,
    /// When this process first saw it, by the node's clock.
    pub since: Micros,
    /// The voters that promised it, ascending; none if it came with the generation's beginning.
    pub promised_by: Vec<NodeId>,
    /// Until when it is held: on its holder, as a majority renewed it; elsewhere, as its holder said last.
    pub held_until: Option<Micros>,
}

impl LeaseStatus {
    /// Whether it is held at a time.
    #[must_use]
    pub fn is_held(&self, now: Micros) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }
}

/// What a replica keeps until others have done their part. Each has a cap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Buffers {
    /// Bytes of changes that wait for one they depend on; at most [`MAX_EARLY_BYTES`](super::MAX_EARLY_BYTES).
    pub early_bytes: usize,
    /// Most bytes on their way to one peer; at most [`WINDOW_BYTES`](super::WINDOW_BYTES) and one change.
    pub unacknowledged_bytes: usize,
    /// Unconsumed intents of this node; at most [`MAX_PENDING`](super::MAX_PENDING).
    pub pending: usize,
    /// Own changes on their way to the disk.
    pub in_flight: usize,
}

/// What a replica is told when it opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Now.
    pub now: Micros,
    /// How long a lease lasts without renewal.
    pub lease: Micros,
    /// Seed of the random back-off.
    pub seed: u64,
    /// Size in bytes at which a document is sealed and the next generation begins; a large genesis
    /// makes it larger.
    pub roll_at: u64,
    /// How much the state keeps; the same on all nodes.
    pub caps: Caps,
    /// A position up to which an earlier process of this node has shown the document. It is shown at
    /// once, whoever can be reached.
    pub shown: Position,
    /// What this node's acknowledgements are marked with; a secret of its data directory.
    pub secret: [u8; 32],
    /// Whether the data directory was copied from another place, and may be an old copy.
    pub restored: bool,
    /// The formats that this node can read.
    pub formats: Formats,
}

impl Default for Settings {
    /// At the beginning of time, with a lease of a second and documents that are never sealed.
    fn default() -> Self {
        Self {
            now: Micros(0),
            lease: Micros(1_000_000),
            seed: 0,
            roll_at: u64::MAX,
            caps: Caps::default(),
            shown: Position(0),
            secret: [0; 32],
            restored: false,
            formats: Formats::KNOWN,
        }
    }
}

//! One document's fault stays its own.
//!
//! ```text
//! fold, digest, history, a panic ──> the document alone ──> quarantined: the others go on
//! a failed disk, a forgotten promise ──> the node ──> it ends
//! ```
//!
//! A quarantine is not stored. A node that starts opens the document again, and meets the fault again.

use std::any::Any;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinError;

use super::NodeError;
use crate::document::GenesisError;
use crate::history::HistoryError;
use crate::replica::ReplicaError;
use crate::store::StoreError;

/// Most characters that are told of why a document is quarantined, or of what another node said: many
/// documents' words are in one answer. The log has them whole.
const MAX_WORDS: usize = 500;

/// The first words of a text.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Whether a document is quarantined, and why. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Quarantine(watch::Sender<Option<Cause>>);

/// Why a document is quarantined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cause {
    /// In words.
    pub words: Arc<str>,
    /// Whether nothing is wrong with it, but it is in a format that only a newer program can read.
    pub unreadable: bool,
}

impl From<String> for Cause {
    fn from(words: String) -> Self {
        Self { words: words.into(), unreadable: false }
    }
}

impl Quarantine {
    /// Quarantines the document, unless it is already.
    pub fn raise(&self, cause: &Cause) {
        self.0.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(Cause { words: cut(&cause.words).into(), ..*cause });
            }
            first
        });
    }

    /// Quarantines the document if an end was by its fault.
    pub fn raise_on<T>(&self, end: &Result<T, Fault>) {
        if let Err(Fault::Document(cause)) = end {
            self.raise(cause);
        }
    }

    /// Why, if it is.
    pub fn cause(&self) -> Option<Cause> {
        self.0.borrow().clone()
    }

    /// Why the replica of a document has ended.
    pub fn closed(&self, document: &Arc<str>) -> Closed {
        let document = Arc::clone(document);
        match self.cause() {
            Some(Cause { words, unreadable: true }) => Closed::Unreadable { document, reason: words },
            Some(Cause { words, .. }) => Closed::Quarantined { document, reason: words },
            None => Closed::Ended,
        }
    }

    /// Completes once it is.
    pub async fn raised(&self) {
        // This is a sender, so this can't fail.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }
}

/// The replica has ended.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Closed {
    /// With its node, which is shutting down, or whose disk failed.
    #[error("the node takes no more requests")]
    Ended,
    /// Alone, by a fault of its document.
    #[error(
        "{document} is quarantined on this node: {reason}. What is stored of it stays as it is; ask another node"
    )]
    Quarantined {
        /// The document.
        document: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
    /// Alone, since its document goes on in a format that this node can't read.
    #[error(
        "this node can't read {document} any more: {reason}. Start it with a newer program, and ask another node until \
         then"
    )]
    Unreadable {
        /// The document.
        document: Arc<str>,
        /// Which format, and what this node reads.
        reason: Arc<str>,
    },
}

/// How a task of a document ended: its document, and the error if there was one.
pub(super) type TaskEnd = (Arc<str>, Result<(), Fault>);

/// Why a task of a document ended.
#[derive(Debug)]
pub(super) enum Fault {
    /// The node can't go on: its disk failed, or it has forgotten a promise.
    Node(NodeFault),
    /// The document can't go on.
    Document(Cause),
}

/// Why a node can't go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum NodeFault {
    /// It has forgotten what it promised or acknowledged.
    #[error(transparent)]
    Replica(Box<ReplicaError>),
    /// A history can't be read or written.
    #[error(transparent)]
    History(HistoryError),
    /// Its store can't be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store's writer has ended, and says why elsewhere.
    #[error("the disk failed")]
    Disk,
    /// The publisher has ended, and says why elsewhere.
    #[error("its history failed")]
    Publisher,
    /// A task was stopped.
    #[error(transparent)]
    Stopped(JoinError),
}

impl From<ReplicaError> for Fault {
    fn from(error: ReplicaError) -> Self {
        match error {
            ReplicaError::Forgotten { .. } | ReplicaError::Outdated { .. } => {
                Self::Node(NodeFault::Replica(Box::new(error)))
            }
            _ => Self::Document(Cause { words: error.to_string().into(), unreadable: is_unreadable(&error) }),
        }
    }
}

/// Whether a document is in a format that this program can't read.
fn is_unreadable(error: &ReplicaError) -> bool {
    matches!(error, ReplicaError::Genesis(GenesisError::Format { .. }))
}

impl From<HistoryError> for Fault {
    fn from(error: HistoryError) -> Self {
        match &error {
            HistoryError::Io { .. } | HistoryError::Format { .. } => Self::Node(NodeFault::History(error)),
            _ => Self::Document(error.to_string().into()),
        }
    }
}

impl From<JoinError> for Fault {
    fn from(error: JoinError) -> Self {
        match error.try_into_panic() {
            Ok(panic) => panicked(panic.as_ref()),
            Err(error) => Self::Node(NodeFault::Stopped(error)),
        }
    }
}

/// The fault of a task that panicked.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Fault {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words");
    Fault::Document(format!("its task panicked: {words}").into())
}

impl NodeError {
    /// The reason to quarantine a document, if the error is only that document's.
    pub(super) fn of_document(&self) -> Option<Cause> {
        match self {
            Self::Replica { error, .. } => {
                let forgotten = matches!(**error, ReplicaError::Forgotten { .. });
                let unreadable = is_unreadable(error);
                (!forgotten).then(|| Cause { words: error.to_string().into(), unreadable })
            }
            Self::Faulty(reason) => Some(reason.clone().into()),
            Self::History(HistoryError::Io { .. } | HistoryError::Format { .. }) => None,
            Self::History(error) => Some(error.to_string().into()),
            Self::Store(error) => {
                let unreadable = matches!(error, StoreError::Genesis(GenesisError::Format { .. }));
                error.of_document().then(|| Cause { words: error.to_string().into(), unreadable })
            }
            _ => None,
        }
    }
}

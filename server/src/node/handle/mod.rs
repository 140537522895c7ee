//! How the rest of the process speaks with a document's task.
//!
//! A [`DocumentHandle`] is what all documents have. A market's handle has its rules and its history beside it, and the
//! directory's is the directory's. What is asked often and by many (status, best prices, leases) is in the
//! [`Summary`], for which nobody waits; [`DocumentHandle::read`] waits for its turn in the task.

mod market;

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::clock::WRONG_US;
use super::publish::{BlockReceiver, Shown};
use super::quarantine::{Cause, Closed, Quarantine};
use super::summary::{Summaries, Summary};
use super::waiting::{Caller, SessionNews, SubmitError};
use crate::format::Format;
use crate::machine::{Block, Request};
use crate::peer::Received;
use crate::replica::Replica;
use crate::replica::message::Envelope;
use crate::types::{Micros, NodeId, Position};

pub use market::{DirectoryHandle, Listed, MarketHandle};

/// A read between two steps.
pub(super) type Reader = Box<dyn FnOnce(&Replica) + Send>;

/// What a handle hands to the task.
pub(super) enum ToTask {
    /// A session's requests.
    Submit {
        requests: Vec<Request>,
        session: UnboundedSender<SessionNews>,
        taken: oneshot::Sender<Result<(), SubmitError>>,
    },
    /// A call's request.
    Ask {
        request: Request,
        caller: Caller,
    },
    Read(Reader),
    HandOver(NodeId),
    /// Go on in a newer format.
    Upgrade(Format),
    /// A peer said something.
    Hear {
        from: NodeId,
        envelope: Envelope,
        received: Received,
    },
}

/// A document's task, seen from outside. Cheap to clone.
#[derive(Clone)]
pub struct DocumentHandle {
    pub(super) shared: Arc<Shared>,
}

/// What all handles of a document share.
pub(super) struct Shared {
    pub name: Arc<str>,
    pub task: mpsc::Sender<ToTask>,
    pub summaries: Summaries,
    pub blocks: broadcast::Sender<Arc<Block>>,
    pub shown: watch::Receiver<Shown>,
    pub closing: watch::Sender<bool>,
    pub quarantine: Quarantine,
}

impl DocumentHandle {
    /// "directory", or the market's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// A document that can't be used, with the reason: nothing of it runs.
    pub(super) fn quarantined(name: &str, cause: &Cause) -> Self {
        let quarantine = Quarantine::default();
        quarantine.raise(cause);
        let shared = Shared {
            name: name.into(),
            // Nobody receives, and nothing is published.
            task: mpsc::channel(1).0,
            summaries: Summaries::none(),
            blocks: broadcast::Sender::new(1),
            shown: watch::Sender::<Shown>::default().subscribe(),
            closing: watch::Sender::new(false),
            quarantine,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The document as its task saw it after its last step. Nothing of what anyone was told is missing in it, and
    /// nobody waits for it.
    ///
    /// # Errors
    /// [`Closed`] if the document is quarantined, or the replica has ended.
    pub fn summary(&self) -> Result<Arc<Summary>, Closed> {
        let usable = self.quarantine().is_none();
        self.shared.summaries.newest().filter(|_| usable).ok_or_else(|| self.closed())
    }

    /// Why the document is quarantined on this node, if it is.
    #[must_use]
    pub fn quarantine(&self) -> Option<Arc<str>> {
        self.shared.quarantine.cause().map(|cause| cause.words)
    }

    /// Quarantines the document: its replica hears and does nothing any more.
    pub(super) fn fault(&self, cause: &Cause) {
        self.shared.quarantine.raise(cause);
    }

    /// Whether the document can be used.
    ///
    /// # Errors
    /// [`Closed::Quarantined`] or [`Closed::Unreadable`].
    pub fn check_usable(&self) -> Result<(), Closed> {
        if self.quarantine().is_some() { Err(self.closed()) } else { Ok(()) }
    }

    /// Completes when the document is quarantined.
    pub async fn faulted(&self) -> Closed {
        self.shared.quarantine.raised().await;
        self.closed()
    }

    /// Why the replica has ended.
    pub(super) fn closed(&self) -> Closed {
        self.shared.quarantine.closed(&self.shared.name)
    }

    /// Hands in a session's requests. They take effect in this order, and their outcomes come in it, as many
    /// at a time as there are.
    ///
    /// # Errors
    /// Nothing was taken if this fails.
    pub async fn submit(
        &self,
        requests: Vec<Request>,
        session: UnboundedSender<SessionNews>,
    ) -> Result<(), SubmitError> {
        let (taken, answer) = oneshot::channel();
        let submitted = ToTask::Submit { requests, session, taken };
        self.shared.task.send(submitted).await.map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())?
    }

    /// Hands in the request of a [call](super::call).
    ///
    /// # Errors
    /// [`Closed`] if the replica has ended.
    pub async fn ask(&self, request: Request, caller: Caller) -> Result<(), Closed> {
        self.shared.task.send(ToTask::Ask { request, caller }).await.map_err(|_| self.closed())
    }

    /// Reads from the replica between two of its steps.
    ///
    /// # Errors
    /// [`Closed`] if the replica has ended.
    pub async fn read<R, F>(&self, read: F) -> Result<R, Closed>
    where
        R: Send + 'static,
        F: FnOnce(&Replica) -> R + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let reader: Reader = Box::new(move |replica| {
            // The asking side may have gone; then nobody needs the result.
            let _ = reply.send(read(replica));
        });
        self.shared.task.send(ToTask::Read(reader)).await.map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())
    }

    /// Waits until all that is committed now is shown.
    pub(super) async fn settled(&self) -> Result<(), Closed> {
        let committed = self.summary()?.committed;
        self.reached(committed).await
    }

    /// Asks for the lease to be handed to a voter, whoever holds it.
    ///
    /// # Errors
    /// [`Closed`] if the replica has ended.
    pub async fn hand_over(&self, to: NodeId) -> Result<(), Closed> {
        self.shared.task.send(ToTask::HandOver(to)).await.map_err(|_| self.closed())
    }

    /// Asks for the document to go on in a newer format, whoever holds the lease.
    ///
    /// # Errors
    /// [`Closed`] if the replica has ended.
    pub async fn upgrade(&self, to: Format) -> Result<(), Closed> {
        self.shared.task.send(ToTask::Upgrade(to)).await.map_err(|_| self.closed())
    }

    /// A peer said something.
    pub(super) async fn hear(&self, from: NodeId, envelope: Envelope, received: Received) {
        // A replica that has ended hears nothing.
        let _ = self.shared.task.send(ToTask::Hear { from, envelope, received }).await;
    }

    /// Asks the replica to finish what it has taken and to end.
    pub(super) fn close(&self) {
        self.shared.closing.send_replace(true);
    }

    /// Waits until everything up to a position is shown: in the view, in the history, on streams.
    ///
    /// # Errors
    /// [`Closed`] if the replica has ended.
    pub async fn reached(&self, position: Position) -> Result<(), Closed> {
        let mut shown = self.shared.shown.clone();
        shown.wait_for(|shown| shown.position >= position).await.map(|_| ()).map_err(|_| self.closed())
    }

    /// Position up to which everything is shown.
    #[must_use]
    pub fn shown(&self) -> Position {
        self.shared.shown.borrow().position
    }

    /// How far tape time is ahead of a clock, if by so much that clocks were wrong.
    #[must_use]
    pub fn tape_wrong(&self, now: Micros) -> Option<Micros> {
        Some(self.tape_ahead(now)).filter(|ahead| ahead.0 > WRONG_US)
    }

    /// How far the tape time of what is shown is ahead of a clock; zero if it is behind. It is so
    /// where clocks differ, or one was set back.
    #[must_use]
    pub fn tape_ahead(&self, now: Micros) -> Micros {
        Micros(self.shared.shown.borrow().time.0.saturating_sub(now.0))
    }

    /// The committed blocks from now on. A reader that falls too far behind is told so by the
    /// channel and goes on from the history.
    #[must_use]
    pub fn subscribe(&self) -> BlockReceiver {
        self.shared.blocks.subscribe()
    }
}

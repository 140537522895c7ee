//! How the rest of the process speaks with a replica's task.

use std::sync::{Arc, OnceLock};

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use xbook_proto::peer::v1::HistoryPart;

use super::backfill::Parts;
use super::clock_watch::WRONG_US;
use super::quarantine::{Cause, Quarantine};
use super::task::{Command, Reader};
use crate::format::Format;
use crate::history::History;
use crate::machine::{Answer, Block, Change, Repeated, Request, Rules};
use crate::peer::Received;
use crate::replica::Replica;
use crate::replica::message::Envelope;
use crate::types::{Micros, NodeId, OrderId, Position};

/// Where committed blocks come from as they are shown.
pub type BlockReceiver = broadcast::Receiver<Arc<Block>>;

/// A replica's task, seen from outside. Cheap to clone.
#[derive(Clone)]
pub struct ReplicaHandle {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub name: Arc<str>,
    pub rules: Option<Rules>,
    pub commands: mpsc::Sender<Command>,
    pub blocks: broadcast::Sender<Arc<Block>>,
    pub shown: watch::Receiver<Shown>,
    pub history: Option<Arc<History>>,
    pub closing: watch::Sender<bool>,
    /// Where parts of the history go that this node was away for; `None` for the directory.
    pub parts: Option<Parts>,
    pub quarantine: Quarantine,
}

/// How far everything is shown.
#[derive(Clone, Copy, Default)]
pub(super) struct Shown {
    pub position: Position,
    pub time: Micros,
}

/// What a session learns of its requests.
pub enum SessionNews {
    /// The next outcomes.
    Outcomes(Vec<Outcome>),
    /// The next ones were committed while this node was away; it does not know their outcomes.
    Away,
}

/// The one word that a call with one request waits for. A replica wakes a call once.
pub enum CallNews {
    /// It was not taken.
    Refused(SubmitError),
    /// It was not taken: another request of its account has its id.
    Reused,
    /// It was not taken: it repeats this request, whose outcome is committed.
    Known(Repeated),
    /// It is on this node's disk. This is its intent, or that of the first one that it repeats, if that is
    /// still on its way. Only told to whoever [wants](call) no more than that.
    Accepted(OrderId),
    /// Its outcome is committed.
    Committed(Outcome),
}

/// A call, as its replica has it.
pub struct Caller {
    news: oneshot::Sender<CallNews>,
    /// Set when the request is accepted, which wakes nobody.
    accepted: Arc<OnceLock<OrderId>>,
    on_acceptance: bool,
}

/// A call's request on its way.
pub struct Asked {
    news: oneshot::Receiver<CallNews>,
    accepted: Arc<OnceLock<OrderId>>,
}

/// A call that waits for a word: that its request is accepted, or that its outcome is committed.
#[must_use]
pub fn call(on_acceptance: bool) -> (Caller, Asked) {
    let (sender, news) = oneshot::channel();
    let accepted = Arc::<OnceLock<OrderId>>::default();
    (Caller { news: sender, accepted: Arc::clone(&accepted), on_acceptance }, Asked { news, accepted })
}

impl Caller {
    /// Whether nobody waits for the word any more.
    pub(super) fn is_gone(&self) -> bool {
        self.news.is_closed()
    }

    /// Tells the word; one that has gone needs none.
    pub(super) fn tell(self, news: CallNews) {
        let _ = self.news.send(news);
    }

    /// The request is accepted; returns the call if it waits for more than that.
    pub(super) fn accept(self, intent: OrderId) -> Option<Self> {
        // It is accepted once.
        let _ = self.accepted.set(intent);
        if self.on_acceptance {
            self.tell(CallNews::Accepted(intent));
            return None;
        }
        Some(self)
    }
}

impl Asked {
    /// The word; nothing if the replica has ended, or the outcome was committed while this node was away.
    pub async fn news(&mut self) -> Option<CallNews> {
        (&mut self.news).await.ok()
    }

    /// The request's intent, or that of the first one that it repeats, if it is on this node's disk.
    #[must_use]
    pub fn accepted(&self) -> Option<OrderId> {
        self.accepted.get().copied()
    }
}

/// The committed outcome of one request: an answer in the block that gave it.
#[derive(Clone)]
pub struct Outcome {
    block: Arc<Block>,
    at: usize,
}

/// Why requests were not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubmitError {
    /// Too many requests wait; none of these was taken.
    #[error("too many requests wait to be sequenced")]
    Overloaded,
    /// The replica has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
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

impl ReplicaHandle {
    /// "directory", or the market's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The market's rules; `None` for the directory.
    #[must_use]
    pub fn rules(&self) -> Option<&Rules> {
        self.shared.rules.as_ref()
    }

    /// The market's history; `None` for the directory.
    #[must_use]
    pub fn history(&self) -> Option<&Arc<History>> {
        self.shared.history.as_ref()
    }

    /// A document that can't be used, with the reason: nothing of it runs.
    pub(super) fn quarantined(name: &str, cause: &Cause) -> Self {
        let quarantine = Quarantine::default();
        quarantine.raise(cause);
        let (closing, shown) = (watch::Sender::new(false), watch::Sender::<Shown>::default());
        Self {
            shared: Arc::new(Shared {
                name: name.into(),
                rules: None,
                // Nobody receives.
                commands: mpsc::channel(1).0,
                blocks: broadcast::Sender::new(1),
                shown: shown.subscribe(),
                history: None,
                closing,
                parts: None,
                quarantine,
            }),
        }
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

    /// The document, unless it is quarantined.
    ///
    /// # Errors
    /// [`Closed::Quarantined`] or [`Closed::Unreadable`].
    pub fn usable(self) -> Result<Self, Closed> {
        if self.quarantine().is_some() { Err(self.closed()) } else { Ok(self) }
    }

    /// Completes when the document is quarantined.
    pub async fn faulted(&self) -> Closed {
        self.shared.quarantine.raised().await;
        self.closed()
    }

    /// Why the replica has ended.
    pub(super) fn closed(&self) -> Closed {
        let document = Arc::clone(&self.shared.name);
        match self.shared.quarantine.cause() {
            Some(Cause { words, unreadable: true }) => Closed::Unreadable { document, reason: words },
            Some(Cause { words, .. }) => Closed::Quarantined { document, reason: words },
            None => Closed::Ended,
        }
    }

    /// Hands in a session's requests. They take effect in this order, and their outcomes come in it, as many
    /// at a time as there are.
    ///
    /// # Errors
    /// Nothing was taken if this fails.
    pub async fn submit(
        &self,
        requests: Vec<Request>,
        session: mpsc::UnboundedSender<SessionNews>,
    ) -> Result<(), SubmitError> {
        let (taken, answer) = oneshot::channel();
        let command = Command::Submit { requests, session, taken };
        self.shared.commands.send(command).await.map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())?
    }

    /// Hands in the request of a [call].
    ///
    /// # Errors
    /// [`Closed`] if the replica has ended.
    pub async fn ask(&self, request: Request, caller: Caller) -> Result<(), Closed> {
        self.shared.commands.send(Command::Ask { request, caller }).await.map_err(|_| self.closed())
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
        self.shared.commands.send(Command::Read(reader)).await.map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())
    }

    /// Waits until all that is committed now is shown.
    pub(super) async fn settled(&self) -> Result<(), Closed> {
        let committed = self.read(|replica| replica.committed_position()).await?;
        self.reached(committed).await
    }

    /// Asks for the lease to be handed to a voter, whoever holds it.
    ///
    /// # Errors
    /// [`Closed`] if the replica has ended.
    pub async fn hand_over(&self, to: NodeId) -> Result<(), Closed> {
        self.shared.commands.send(Command::HandOver(to)).await.map_err(|_| self.closed())
    }

    /// Asks for the document to go on in a newer format, whoever holds the lease.
    ///
    /// # Errors
    /// [`Closed`] if the replica has ended.
    pub async fn upgrade(&self, to: Format) -> Result<(), Closed> {
        self.shared.commands.send(Command::Upgrade(to)).await.map_err(|_| self.closed())
    }

    /// A peer said something.
    pub(super) async fn hear(&self, from: NodeId, envelope: Envelope, received: Received) {
        // A replica that has ended hears nothing.
        let _ = self.shared.commands.send(Command::Hear { from, envelope, received }).await;
    }

    /// Takes a part of the history from a peer.
    pub(super) fn take_history(&self, from: NodeId, part: HistoryPart) {
        if let Some(parts) = &self.shared.parts {
            // A part more than was asked for is not wanted.
            let _ = parts.try_send((from, part));
        }
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

impl Outcome {
    pub(super) fn new(block: Arc<Block>, at: usize) -> Self {
        Self { block, at }
    }

    /// What became of the request.
    #[must_use]
    pub fn answer(&self) -> &Answer {
        &self.block.answers[self.at]
    }

    /// Tape time of its block.
    #[must_use]
    pub fn time(&self) -> Micros {
        self.block.time
    }

    /// The changes that it made.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        self.block.changes_of(self.answer())
    }
}

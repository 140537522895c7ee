//! The way of a request that changes something, from admission to its answer.
//!
//! ```text
//! hand in ──> the task judges ──known──> the first one's outcome, from the history
//!                  │ new
//!             accepted (on this node's disk) ──> committed ──> the outcome
//!                  │ the answer is due                │ it was a repeat after all
//!                PENDING                            the first one's outcome, from the history
//! ```
//!
//! The task tells a call one word and wakes it once; nothing is asked before or after. Only a call whose time is over, or
//! whose outcome came while the node was away, looks once more before it says PENDING.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use xbook_proto::v1::{AnswerWhen, Reason};

use crate::api::Api;
use crate::api::access::Deadline;
use crate::api::convert;
use crate::api::error::Refusal;
use crate::history::{History, StoredOutcome};
use crate::machine::{Change, Order, Origin, Repeated, Request};
use crate::node::{self, CallNews, DirectoryHandle, DocumentHandle, MarketHandle, Outcome};
use crate::types::{self, Micros, OrderId, Position};

/// How long a call waits for the word why the node ends.
const ENDING: Duration = Duration::from_millis(500);

/// Where a request goes.
#[derive(Clone)]
pub(in crate::api) enum Addressee {
    /// To the directory, which keeps no history: its state tells what there is.
    Directory(DirectoryHandle),
    /// To a market.
    Market(MarketHandle),
}

impl Deref for Addressee {
    type Target = DocumentHandle;

    fn deref(&self) -> &DocumentHandle {
        match self {
            Self::Directory(directory) => directory,
            Self::Market(market) => market,
        }
    }
}

impl From<&DirectoryHandle> for Addressee {
    fn from(directory: &DirectoryHandle) -> Self {
        Self::Directory(directory.clone())
    }
}

impl From<&MarketHandle> for Addressee {
    fn from(market: &MarketHandle) -> Self {
        Self::Market(market.clone())
    }
}

/// How far a request came before it had to be answered.
pub(in crate::api) enum Reached {
    /// Its outcome is committed.
    Committed(Settled),
    /// It, or the first one that it repeats, is on this node's disk.
    Accepted(OrderId),
}

/// The committed outcome of a request, or of the first one that it repeats.
pub(in crate::api) struct Settled {
    /// The intent.
    pub intent: OrderId,
    /// Why it was refused.
    pub refused: Reason,
    /// Position of the last event.
    pub position: Position,
    source: Source,
}

enum Source {
    Now(Outcome),
    Before(StoredOutcome),
    /// The directory keeps no history: its state tells what there is.
    Unknown,
}

impl Settled {
    /// Whether it is that of this very request, not of an earlier one.
    pub fn is_new(&self) -> bool {
        matches!(self.source, Source::Now(_))
    }

    /// Tape time at which it had its turn.
    pub fn time(&self) -> Micros {
        match &self.source {
            Source::Now(outcome) => outcome.time(),
            Source::Before(outcome) => outcome.time,
            Source::Unknown => Micros(0),
        }
    }

    /// The changes that it made.
    pub fn changes(&self) -> &[Change] {
        match &self.source {
            Source::Now(outcome) => outcome.changes(),
            Source::Before(outcome) => &outcome.changes,
            Source::Unknown => &[],
        }
    }

    /// An order as it left it.
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.changes().iter().rev().filter_map(Change::order).find(|order| order.id == id)
    }
}

impl Api {
    /// Hands a request in and waits for its outcome, or for less if that is all that is wanted or
    /// all that there is time for.
    pub(in crate::api) async fn submit(
        &self,
        addressee: impl Into<Addressee>,
        request: Request,
        when: AnswerWhen,
        deadline: Deadline,
    ) -> Result<Reached, Refusal> {
        let addressee = addressee.into();
        match self.submit_to(&addressee, request, when, deadline).await {
            Err(refusal) => Err(self.explain(of_market(&addressee, refusal)).await),
            reached => reached,
        }
    }

    /// Hands a request in and waits for its committed outcome.
    pub(in crate::api) async fn committed(
        &self,
        market: &MarketHandle,
        request: Request,
        deadline: Deadline,
    ) -> Result<Settled, Refusal> {
        match self.submit(market, request, AnswerWhen::Committed, deadline).await? {
            Reached::Committed(settled) => Ok(settled),
            Reached::Accepted(_) => Err(Refusal::deadline()),
        }
    }

    /// Says why the node ends, if that is why a call is refused.
    pub(in crate::api) async fn explain(&self, refusal: Refusal) -> Refusal {
        if refusal.reason() != Reason::ShuttingDown {
            return refusal;
        }
        // A replica ends a moment before its node says why.
        let ending = tokio::time::timeout(ENDING, self.node.ended()).await;
        ending.map_or(refusal, Refusal::from)
    }

    /// What is known here of a request that is not admitted now, but may have been before: its outcome,
    /// or the first one's intent if that waits for its turn.
    pub(in crate::api) async fn known_before(
        &self,
        market: &MarketHandle,
        asked: &Request,
        deadline: Deadline,
    ) -> Result<Option<Reached>, Refusal> {
        match self.settled_before(&market.into(), asked, deadline).await {
            Ok(Some(settled)) => return Ok(Some(Reached::Committed(settled))),
            Ok(None) => {}
            // Another request under the same id is judged by itself.
            Err(refusal) if refusal.reason() == Reason::RequestIdReused => return Ok(None),
            Err(refusal) => return Err(refusal),
        }
        let sought = asked.clone();
        let pending = market.read(move |replica| {
            let same = |first: &Request| first.account == sought.account && first.origin == sought.origin;
            let found = replica.pending().find(|(_, intent)| same(&intent.request));
            found.map(|(id, intent)| (intent.request.body_hash, id))
        });
        match deadline.wait(pending).await?? {
            Some((body_hash, first)) if body_hash == asked.body_hash => Ok(Some(Reached::Accepted(first))),
            _ => Ok(None),
        }
    }

    async fn submit_to(
        &self,
        addressee: &Addressee,
        request: Request,
        when: AnswerWhen,
        deadline: Deadline,
    ) -> Result<Reached, Refusal> {
        let known = request.clone();
        let (caller, mut asked) = node::call(when == AnswerWhen::Accepted);
        let told = async {
            addressee.ask(request, caller).await?;
            Ok::<_, Refusal>(asked.news().await)
        };
        let news = match deadline.wait(told).await {
            Ok(news) => news?,
            // What is on the disk is not refused.
            Err(late) => match asked.accepted() {
                Some(intent) => return self.first_of(addressee, &known, intent).await,
                None => return Err(late),
            },
        };
        match news {
            Some(CallNews::Committed(outcome)) => {
                self.settle(addressee, &known, outcome).await.map(Reached::Committed)
            }
            Some(CallNews::Accepted(intent)) => Ok(Reached::Accepted(intent)),
            Some(CallNews::Known(first)) => {
                self.first_outcome(addressee, first, deadline).await.map(Reached::Committed)
            }
            Some(CallNews::Reused) => Err(reused(&known)),
            Some(CallNews::Refused(error)) => Err(error.into()),
            None => match asked.accepted().filter(|_| self.node.is_serving()) {
                // It was committed while this node was away.
                Some(intent) => self.first_of(addressee, &known, intent).await,
                None => Err(Refusal::shutting_down()),
            },
        }
    }

    /// What is known of an accepted request whose outcome did not come in time, or came while this node was away: it
    /// may be a repeat of one that is committed.
    async fn first_of(
        &self,
        addressee: &Addressee,
        request: &Request,
        intent: OrderId,
    ) -> Result<Reached, Refusal> {
        let Origin::Request(id) = &request.origin else {
            return Ok(Reached::Accepted(intent));
        };
        let (account, id) = (request.account.clone(), Arc::clone(id));
        let read = addressee.read(move |replica| replica.view().ledger.request(&account, &id));
        match read.await? {
            Some((body_hash, _)) if body_hash != request.body_hash => Err(reused(request)),
            Some((_, first)) if first.intent != intent => {
                addressee.reached(first.position).await?;
                self.outcome_at(addressee, first.intent, first.position).await.map(Reached::Committed)
            }
            _ => Ok(Reached::Accepted(intent)),
        }
    }

    /// The outcome of the first request with the same account and id, if there was one.
    async fn settled_before(
        &self,
        addressee: &Addressee,
        request: &Request,
        deadline: Deadline,
    ) -> Result<Option<Settled>, Refusal> {
        let Origin::Request(id) = &request.origin else {
            return Ok(None);
        };
        let (account, id) = (request.account.clone(), Arc::clone(id));
        let read = addressee.read(move |replica| replica.view().ledger.request(&account, &id));
        let Some((body_hash, first)) = deadline.wait(read).await?? else {
            return Ok(None);
        };
        if body_hash != request.body_hash {
            return Err(reused(request));
        }
        self.first_outcome(addressee, first, deadline).await.map(Some)
    }

    /// The outcome of the first of a request's repeats, which is committed.
    async fn first_outcome(
        &self,
        addressee: &Addressee,
        first: Repeated,
        deadline: Deadline,
    ) -> Result<Settled, Refusal> {
        // The view may know of it a moment before the history does.
        deadline.wait(addressee.reached(first.position)).await??;
        self.outcome_at(addressee, first.intent, first.position).await
    }

    async fn settle(
        &self,
        addressee: &Addressee,
        request: &Request,
        outcome: Outcome,
    ) -> Result<Settled, Refusal> {
        let answer = outcome.answer();
        if answer.refused == types::Reason::RequestIdReused {
            return Err(reused(request));
        }
        if let Some(first) = &answer.repeats {
            return self.outcome_at(addressee, first.intent, first.position).await;
        }
        let (intent, refused, position) = (answer.intent, convert::reason(answer.refused), answer.position);
        Ok(Settled { intent, refused, position, source: Source::Now(outcome) })
    }

    /// An outcome from the history; in the directory, which has none, without its changes.
    async fn outcome_at(
        &self,
        addressee: &Addressee,
        intent: OrderId,
        position: Position,
    ) -> Result<Settled, Refusal> {
        let Addressee::Market(market) = addressee else {
            return Ok(Settled { intent, refused: Reason::Unspecified, position, source: Source::Unknown });
        };
        let found = read_history(market.history(), move |history| history.lookup().outcome(position)).await?;
        let outcome = found.ok_or_else(|| {
            let words = "the first request's outcome is no longer kept";
            Refusal::new(Reason::Position, words).field("position").value(position)
        })?;
        let refused = convert::reason(outcome.outcome.refused);
        Ok(Settled { intent, refused, position, source: Source::Before(outcome) })
    }
}

/// Reads from a history where blocking on the disk is allowed.
pub(in crate::api) async fn read_history<T, F>(history: &Arc<History>, read: F) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: FnOnce(&History) -> Result<T, crate::history::HistoryError> + Send + 'static,
{
    let history = Arc::clone(history);
    let task = tokio::task::spawn_blocking(move || read(&history));
    // The task does not panic; if it is gone, so is the runtime.
    Ok(task.await.map_err(|_| Refusal::shutting_down())??)
}

/// Says that the document is quarantined, if that is why a call is refused.
pub(in crate::api) fn of_market(document: &DocumentHandle, refusal: Refusal) -> Refusal {
    match document.check_usable() {
        Err(closed) if refusal.reason() == Reason::ShuttingDown => closed.into(),
        _ => refusal,
    }
}

fn reused(request: &Request) -> Refusal {
    match &request.origin {
        Origin::Request(id) => Refusal::request_id_reused(id),
        Origin::Command { .. } => Refusal::request_id_reused(""),
    }
}

//! The `Trade` stream: numbered commands at high rates.
//!
//! ```text
//! requests ──> admission ──> submit ──> (replica) ──> outcomes ──> results
//!    ^            └── which numbers were submitted ──────^            │
//!    └────────────── room for so many outstanding commands <──────────┘
//! ```
//!
//! Two tasks: the intake reads, checks and submits; the other writes results, which come in the
//! order of the commands. When too many commands are outstanding, or the replica has no room, the
//! intake stops reading, and the client feels it through flow control. When the intake ends, for
//! whatever reason, the results of all that was submitted are still written.

mod intake;
mod keeper;
mod results;

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tonic::Streaming;
use tracing::Instrument;
use xbook_proto::v1::{self, Reason};

use crate::api::Api;
use crate::api::admission::{self};
use crate::api::error::Refusal;
use crate::api::markets::units;
use crate::api::streams::Answers;
use crate::api::streams::outlet::{self, Outlet, Stop};
use crate::api::streams::unread::Unread;
use crate::api::submit::{of_market, read_history};
use crate::machine::{Account, Session, SessionId, Target};
use crate::node::{MarketHandle, SessionNews};
use intake::{Batch, Gate, Intake, unreadable};
use keeper::Keeper;

/// Most commands of a session without a result.
const MAX_OUTSTANDING: usize = 65_536;

/// Most results and fills in a message, which keeps it well under the usual 4 MiB. A result with more
/// fills is alone in its message.
const MAX_RESULTS: usize = 4_096;

/// Most messages that wait for a reader.
const BUFFERED: u32 = 16;

type Opened = Result<(Intake, v1::TradeRequest, Option<Keeper>), Stop>;

/// Serves a session.
pub(in crate::api) fn open(
    api: Api,
    account: Account,
    mut requests: Streaming<v1::TradeRequest>,
    unread: Unread,
) -> Result<Answers<v1::TradeResponse>, Refusal> {
    let (outlet, answers) = outlet::channel(BUFFERED, unread)?;
    let task = async move {
        let result = match Box::pin(begin(&api, account, &mut requests, &outlet)).await {
            Ok((intake, first, keeper)) => {
                let served = serve(intake, first, requests, &outlet).await;
                if let Some(keeper) = keeper {
                    keeper.end(served.is_ok());
                }
                served
            }
            Err(stop) => Err(stop),
        };
        outlet.end(result);
    };
    tokio::spawn(task.in_current_span());
    Ok(answers)
}

/// Reads the first message and tells the session's next number.
async fn begin(
    api: &Api,
    account: Account,
    requests: &mut Streaming<v1::TradeRequest>,
    outlet: &Outlet<v1::TradeResponse>,
) -> Opened {
    let missing = || Refusal::new(Reason::MissingField, "must be set in the first message").field("open");
    let mut stopping = api.stopping.clone();
    let first = tokio::select! {
        refusal = stopping.requested() => return Err(refusal.into()),
        first = requests.message() => first,
    };
    let mut first = match first {
        Ok(Some(first)) => first,
        Ok(None) => return Err(missing().into()),
        Err(status) => return Err(unreadable(&status)),
    };
    let open = first.open.take().ok_or_else(missing)?;
    let name = admission::session_name(&open.session).map_err(|refusal| refusal.within("open"))?;
    let market = api.find_market(&open.market).map_err(|refusal| refusal.within("open"))?;
    let session = Session::new(&account, name);
    let id = session.id;
    let read =
        market.read(move |replica| (replica.last_command(&id), replica.view().ledger.forgot_session()));
    let (last, forgot) = read.await.map_err(Refusal::from)?;
    let next = last + 1;
    if next == 1 && forgot && read_history(market.history(), move |history| history.knows_session(id)).await?
    {
        let words =
            "the market has forgotten this session, since many others were used after it: open another one";
        let refusal = Refusal::new(Reason::SessionForgotten, words).field("session").value(name);
        return Err(refusal.within("open").into());
    }
    let keeper = match &open.cancel_on_disconnect {
        None => None,
        Some(after) => {
            let after = admission::cancel_on_disconnect(after).map_err(|refusal| refusal.within("open"))?;
            // Before anything is placed: what is told to be protected is.
            Some(Keeper::begin(api.clone(), market.clone(), &account, &session, after).await?)
        }
    };
    let opened = v1::TradeOpened { next_number: next };
    outlet.send(v1::TradeResponse { opened: Some(opened), results: Vec::new() }).await?;
    let intake = Intake { api: api.clone(), market, account, session, next, stopping };
    Ok((intake, first, keeper))
}

async fn serve(
    mut intake: Intake,
    first: v1::TradeRequest,
    requests: Streaming<v1::TradeRequest>,
    outlet: &Outlet<v1::TradeResponse>,
) -> Result<(), Stop> {
    let (told, outcomes) = mpsc::unbounded_channel();
    let (submitted, batches) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(MAX_OUTSTANDING));
    let (api, market) = (intake.api.clone(), intake.market.clone());
    let gate = Gate { told, submitted, room: Arc::clone(&room) };
    let owner = (intake.account.clone(), intake.session.id);
    let reading = async move { intake.run(first, requests, gate).await };
    let reading = tokio::spawn(reading.in_current_span());
    let results = Results { owner, batches, waiting: VecDeque::new(), room };
    // Without this end of the channels the intake stops by itself.
    if results.write(&market, outcomes, outlet).await? == Answered::Partly {
        return Err(api.explain(of_market(&market, Refusal::shutting_down())).await.into());
    }
    reading.await.unwrap_or(Err(Stop::Gone))
}

/// A command that an outcome is to be told of.
struct Told {
    number: u64,
    /// Why it was not valid.
    invalid: Option<Refusal>,
    /// The order that it amends, cancels or replaces.
    target: Option<Target>,
}

/// Writes results in the order of the commands.
struct Results {
    owner: (Account, SessionId),
    batches: mpsc::UnboundedReceiver<Batch>,
    waiting: VecDeque<Batch>,
    room: Arc<Semaphore>,
}

/// Whether all that was submitted is answered.
#[derive(PartialEq, Eq)]
enum Answered {
    All,
    Partly,
}

impl Drop for Results {
    fn drop(&mut self) {
        // The intake may wait for room that nobody will make.
        self.room.close();
    }
}

impl Results {
    /// Writes until the intake has ended and everything that it submitted is answered.
    async fn write(
        mut self,
        market: &MarketHandle,
        mut outcomes: mpsc::UnboundedReceiver<SessionNews>,
        outlet: &Outlet<v1::TradeResponse>,
    ) -> Result<Answered, Stop> {
        let units = units(market);
        loop {
            let received = tokio::select! {
                received = outcomes.recv() => received,
                () = outlet.gone() => return Err(Stop::Gone),
            };
            let outcomes = match received {
                None => break,
                Some(SessionNews::Outcomes(outcomes)) => outcomes,
                // The session's next number tells what was done once it is opened again.
                Some(SessionNews::Away) => return Err(Refusal::away(market.name()).into()),
            };
            for outcomes in outcomes.chunks(MAX_RESULTS) {
                let mut answered = Vec::with_capacity(outcomes.len());
                for outcome in outcomes {
                    let Some(told) = self.next_told().await else {
                        return Err(Stop::Gone);
                    };
                    answered.push((told, outcome));
                }
                self.send(results::of(market, &units, &self.owner, answered).await?, outlet).await?;
            }
        }
        // The replica drops who waits only when it ends.
        Ok(if self.next_told().await.is_some() { Answered::Partly } else { Answered::All })
    }

    /// Sends results, in messages of a bounded size.
    async fn send(
        &self,
        results: Vec<v1::TradeResult>,
        outlet: &Outlet<v1::TradeResponse>,
    ) -> Result<(), Stop> {
        let size_of = |result: &v1::TradeResult| 1 + result.fills.len();
        let (mut message, mut size) = (Vec::new(), 0);
        let mut results = results.into_iter().peekable();
        while let Some(result) = results.next() {
            size += size_of(&result);
            message.push(result);
            if results.peek().is_none_or(|next| size + size_of(next) > MAX_RESULTS) {
                let answered = message.len();
                let results = std::mem::take(&mut message);
                outlet.send(v1::TradeResponse { opened: None, results }).await?;
                self.room.add_permits(answered);
                size = 0;
            }
        }
        Ok(())
    }

    /// The command that the next outcome belongs to.
    async fn next_told(&mut self) -> Option<Told> {
        if self.waiting.is_empty() {
            self.waiting.push_back(self.batches.recv().await?);
        }
        let batch = self.waiting.front_mut()?;
        let number = batch.first;
        batch.first += 1;
        batch.count -= 1;
        let invalid = match batch.invalid.front() {
            Some((first, _)) if *first == number => batch.invalid.pop_front().map(|(_, refusal)| refusal),
            _ => None,
        };
        let target = match batch.targets.front() {
            Some((first, _)) if *first == number => batch.targets.pop_front().map(|(_, target)| target),
            _ => None,
        };
        if batch.count == 0 {
            self.waiting.pop_front();
        }
        Some(Told { number, invalid, target })
    }
}

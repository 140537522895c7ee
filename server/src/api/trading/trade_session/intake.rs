//! Reading, checking and submitting a session's commands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tonic::Streaming;
use xbook_proto::v1::{self, Reason};

use crate::api::admission::{self, Times};
use crate::api::error::{Refusal, reason_name};
use crate::api::streams::outlet::Stop;
use crate::api::{Api, Stopping, text_of};
use crate::machine::{Account, Action, Origin, Request, Rules, Session, Target};
use crate::node::{MarketHandle, SessionNews, SubmitError};

/// Most commands in a message.
const MAX_COMMANDS: usize = 4_096;

/// How long a replica without room is asked again, and how often.
const OVERLOADED_FOR: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Reads, checks and submits commands.
pub(super) struct Intake {
    pub api: Api,
    pub market: MarketHandle,
    pub account: Account,
    pub session: Session,
    pub next: u64,
    pub stopping: Stopping,
}

/// What the intake hands on.
pub(super) struct Gate {
    pub told: mpsc::UnboundedSender<SessionNews>,
    pub submitted: mpsc::UnboundedSender<Batch>,
    pub room: Arc<Semaphore>,
}

/// The commands of one message, as they were submitted.
pub(super) struct Batch {
    pub first: u64,
    pub count: usize,
    /// Those that were not valid, by number.
    pub invalid: VecDeque<(u64, Refusal)>,
    /// The orders that amends, cancels and replaces name, by number.
    pub targets: VecDeque<(u64, Target)>,
}

impl Intake {
    /// Reads until the client ends, or says what can't be.
    pub async fn run(
        &mut self,
        first: v1::TradeRequest,
        mut requests: Streaming<v1::TradeRequest>,
        gate: Gate,
    ) -> Result<(), Stop> {
        self.take(&first, &gate).await?;
        loop {
            let received = tokio::select! {
                biased;
                refusal = self.stopping.requested() => return Err(refusal.into()),
                () = gate.submitted.closed() => return Err(Stop::Gone),
                received = requests.message() => received,
            };
            let Some(message) = received.map_err(|status| unreadable(&status))? else {
                return Ok(());
            };
            if message.open.is_some() {
                let limit = "must be set in the first message only";
                return Err(Refusal::new(Reason::ConflictingFields, limit).field("open").into());
            }
            self.take(&message, &gate).await?;
        }
    }

    /// Takes a message's commands, when there is room.
    async fn take(&mut self, message: &v1::TradeRequest, gate: &Gate) -> Result<(), Stop> {
        let count = message.commands.len();
        if count == 0 {
            return Ok(());
        }
        let last = self.check(message)?;
        let permits = u32::try_from(count).unwrap_or(u32::MAX);
        // Closed when the results are no longer written.
        gate.room.acquire_many(permits).await.map_err(|_| Stop::Gone)?.forget();
        let mut asked = Duration::ZERO;
        loop {
            let (requests, batch) = self.admit(message)?;
            match self.market.submit(requests, gate.told.clone()).await {
                Ok(()) => {
                    self.next = self.next.max(last + 1);
                    return gate.submitted.send(batch).map_err(|_| Stop::Gone);
                }
                Err(SubmitError::Overloaded) if asked < OVERLOADED_FOR => {
                    tokio::time::sleep(ASK_AGAIN).await;
                    asked += ASK_AGAIN;
                }
                Err(error) => return Err(self.api.explain(error.into()).await.into()),
            }
        }
    }

    /// Checks a message's numbers; returns its last.
    fn check(&self, message: &v1::TradeRequest) -> Result<u64, Refusal> {
        let (first, count) = (message.first_number, message.commands.len());
        if count > MAX_COMMANDS {
            let limit = format!("must be at most {MAX_COMMANDS} in a message");
            return Err(Refusal::new(Reason::AboveMaximum, limit).field("commands").value(count));
        }
        if first == 0 {
            return Err(Refusal::new(Reason::MissingField, "must be set").field("first_number"));
        }
        if first > self.next {
            let limit = format!("must be at most {}, the session's next number", self.next);
            return Err(Refusal::new(Reason::SessionGap, limit).field("first_number").value(first));
        }
        Ok(first + (count as u64 - 1))
    }

    /// A message's commands as requests. One that is not valid only uses up its number.
    fn admit(&self, message: &v1::TradeRequest) -> Result<(Vec<Request>, Batch), Refusal> {
        let rules = self.market.rules();
        let now = self.api.clock_now();
        let times = Times { now, deadline: None, tape_ahead: self.market.tape_ahead(now) };
        let (requests, batch) = admit(message, rules, times, &self.account, &self.session);
        for (number, refusal) in &batch.invalid {
            let (market, reason) = (self.market.name(), reason_name(refusal.reason()));
            tracing::debug!(market, account = %self.account, number, reason, words = %refusal, "a command is refused");
        }
        Ok((requests, batch))
    }
}

fn admit(
    message: &v1::TradeRequest,
    rules: &Rules,
    times: Times,
    account: &Account,
    session: &Session,
) -> (Vec<Request>, Batch) {
    let mut batch = Batch {
        first: message.first_number,
        count: message.commands.len(),
        invalid: VecDeque::new(),
        targets: VecDeque::new(),
    };
    let requests = message.commands.iter().zip(message.first_number..).map(|(command, number)| {
        let action = admission::trade_command(command, rules, times).unwrap_or_else(|refusal| {
            batch.invalid.push_back((number, refusal));
            Action::Invalid
        });
        batch.targets.extend(match &action {
            Action::Amend(amend) => Some((number, amend.target)),
            Action::Cancel(target) => Some((number, *target)),
            Action::Place(place) => place.replaces.as_deref().map(|target| (number, *target)),
            _ => None,
        });
        // A session's repeats are told by their numbers.
        let origin = Origin::Command { session: session.clone(), number };
        Request { account: account.clone(), origin, body_hash: 0, action }
    });
    (requests.collect(), batch)
}

/// A message that can't be read: broken off, too large or not a message.
pub(super) fn unreadable(status: &tonic::Status) -> Stop {
    match status.code() {
        tonic::Code::OutOfRange => {
            Stop::Told(Refusal::new(Reason::AboveMaximum, text_of(status)).field("message"))
        }
        tonic::Code::Internal => {
            Stop::Told(Refusal::new(Reason::MalformedText, text_of(status)).field("message"))
        }
        _ => Stop::Gone,
    }
}

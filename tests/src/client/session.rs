//! A client that sends numbered commands down a `Trade` stream.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

use futures::SinkExt;
use futures::channel::mpsc;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use xbook_proto::v1::order_ref::Order as OrderName;
use xbook_proto::v1::trade_command::Command;
use xbook_proto::v1::trading_service_client::TradingServiceClient;
use xbook_proto::v1::{
    CommandOutcome, OrderRef, TradeCancel, TradeCommand, TradeRequest, TradeResponse, TradeResult,
    TradeSession,
};

use super::promises::check;
use super::{Broken, Flow, Promises, Random, Record, Refused, request_of};

/// How fast a session sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Most commands without a result, beside a message's.
    pub outstanding: usize,
    /// Most commands in a message; each has a number of them from 1 on.
    pub message: u64,
    /// The wait after each message.
    pub pause: Duration,
}

impl Default for Window {
    fn default() -> Self {
        Self { outstanding: 100, message: 20, pause: Duration::ZERO }
    }
}

/// What happened in a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moved {
    /// So many commands are about to be sent.
    Sent(usize),
    /// The next commands were answered.
    Answered {
        /// So many.
        commands: usize,
        /// So many of them were refused.
        refused: usize,
    },
}

/// How far back a command names an order, in commands.
const MOST_BACK: usize = 50;

/// A client with an account and a session of its own.
pub struct SessionTrader {
    account: AsciiMetadataValue,
    market: String,
    random: Random,
    flow: Flow,
    window: Window,
    promises: Promises,
    /// All commands that were ever sent; the first has number 1.
    commands: Vec<TradeCommand>,
    /// Results so far, in the order of the commands.
    results: Vec<Option<TradeResult>>,
    /// Results as they came, which are looked at once the connection has ended: a client that is measured
    /// shall not be slow.
    unread: Vec<TradeResponse>,
    /// The last orders that were placed and not cancelled.
    placed: VecDeque<u64>,
    broken: Option<Broken>,
}

impl SessionTrader {
    /// A client that will act by these random numbers.
    ///
    /// # Panics
    /// If the account's name can't be sent.
    #[must_use]
    pub fn new(account: &str, market: &str, random: Random) -> Self {
        Self {
            account: account.parse().expect("a plain account name"),
            market: market.to_owned(),
            random,
            flow: Flow::WILD,
            window: Window::default(),
            promises: Promises::default(),
            commands: Vec::new(),
            results: Vec::new(),
            unread: Vec::new(),
            placed: VecDeque::new(),
            broken: None,
        }
    }

    /// Places these orders, this fast.
    #[must_use]
    pub fn with_flow(mut self, flow: Flow, window: Window) -> Self {
        (self.flow, self.window) = (flow, window);
        self
    }

    /// Whose orders these are.
    #[must_use]
    pub fn account(&self) -> &AsciiMetadataValue {
        &self.account
    }

    /// What it was promised.
    #[must_use]
    pub fn promises(&self) -> &Promises {
        &self.promises
    }

    /// Goes on with the session until the connection is lost, or until it is told, whenever something
    /// happens, not to go on.
    pub async fn trade(&mut self, channel: Channel, moved: impl FnMut(Moved) -> ControlFlow<()>) {
        self.read_results();
        let ran = self.run(channel, moved).await;
        self.read_results();
        if let Err(broken) = ran {
            self.broken.get_or_insert(broken);
        }
    }

    async fn run(
        &mut self,
        channel: Channel,
        mut moved: impl FnMut(Moved) -> ControlFlow<()>,
    ) -> Result<(), Broken> {
        let mut client = TradingServiceClient::new(channel);
        let (mut requests, sent) = mpsc::channel(0);
        let session =
            TradeSession { market: self.market.clone(), session: "s-1".into(), ..Default::default() };
        let open = TradeRequest { open: Some(session), ..TradeRequest::default() };
        let call = request_of(&self.account, sent);
        let (opened, sent) = tokio::join!(client.trade(call), requests.send(open));
        let Ok(opened) = opened.map_err(|status| lost(&status)) else { return Ok(()) };
        let mut responses = opened.into_inner();
        let Some(first) = next(&mut responses).await else { return Ok(()) };
        let next_number = first.opened.map(|opened| opened.next_number).unwrap_or_default();
        if sent.is_err() {
            return Ok(());
        }
        self.resume(next_number, &mut requests).await?;
        let mut waiting = self.waiting();
        loop {
            // One message, then all answers but so many: there is always something on its way.
            let message = self.next_message();
            let going_on = moved(Moved::Sent(message.commands.len())).is_continue();
            waiting += message.commands.len();
            if requests.send(message).await.is_err() {
                return Ok(());
            }
            if !self.window.pause.is_zero() {
                tokio::time::sleep(self.window.pause).await;
            }
            // When it is over, all answers are waited for.
            let most = if going_on { self.window.outstanding } else { 0 };
            while waiting > most {
                let Some(response) = next(&mut responses).await else { return Ok(()) };
                let commands = response.results.len();
                let is_refused = |result: &&TradeResult| result.outcome() == CommandOutcome::Refused;
                let refused = response.results.iter().filter(is_refused).count();
                waiting = waiting.saturating_sub(commands);
                self.unread.push(response);
                if moved(Moved::Answered { commands, refused }).is_break() && going_on {
                    return Ok(());
                }
            }
            if !going_on {
                return Ok(());
            }
        }
    }

    /// The node names the next number: what it was promised lies before it, nothing that was not
    /// sent does, and what lies behind it is sent again.
    async fn resume(&mut self, next: u64, requests: &mut mpsc::Sender<TradeRequest>) -> Result<(), Broken> {
        let answered = self.results.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let (low, high) = (answered as u64 + 1, self.commands.len() as u64 + 1);
        check((low..=high).contains(&next), || {
            format!("the session goes on at {next}, but {low} to {high} was to be expected")
        })?;
        let consumed = usize::try_from(next - 1).unwrap_or_default();
        let again = self.commands.split_off(consumed);
        self.results.truncate(consumed);
        if !again.is_empty() {
            self.commands.extend(again.iter().cloned());
            self.results.resize(self.commands.len(), None);
            let message = TradeRequest { open: None, first_number: next, commands: again };
            // If the connection is lost again, so is everything after this.
            let _ = requests.send(message).await;
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        let answered = self.results.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.results.len() - answered
    }

    fn next_message(&mut self) -> TradeRequest {
        let first_number = self.commands.len() as u64 + 1;
        let count = 1 + self.random.below(self.window.message);
        let commands: Vec<TradeCommand> = (0..count).map(|at| self.next_command(first_number + at)).collect();
        self.commands.extend(commands.iter().cloned());
        self.results.resize(self.commands.len(), None);
        TradeRequest { open: None, first_number, commands }
    }

    fn next_command(&mut self, number: u64) -> TradeCommand {
        let cancels = number > 1 && self.random.below(100) < self.flow.cancels;
        let command = match cancels.then(|| self.next_cancelled(number)).flatten() {
            Some(cancelled) => {
                let order = Some(OrderName::CommandNumber(cancelled));
                Command::Cancel(TradeCancel { order: Some(OrderRef { order }) })
            }
            None => {
                self.placed.push_back(number);
                if self.placed.len() > MOST_BACK {
                    self.placed.pop_front();
                }
                Command::Place(self.flow.order(&mut self.random))
            }
        };
        TradeCommand { command: Some(command) }
    }

    /// An order of this session, perhaps one that is still on its way; in the wild any command, which may
    /// have placed none.
    fn next_cancelled(&mut self, number: u64) -> Option<u64> {
        if self.flow.wild {
            return Some(number - 1 - self.random.below((number - 1).min(MOST_BACK as u64)));
        }
        let at = self.random.below((self.placed.len() as u64).max(1));
        self.placed.remove(usize::try_from(at).unwrap_or_default())
    }

    /// Looks at all results that came; after a session that was cut off too.
    pub(super) fn read_results(&mut self) {
        let unread = std::mem::take(&mut self.unread);
        let mut results = unread.iter().flat_map(|response| &response.results);
        if let Err(broken) = results.try_for_each(|result| self.note(result)) {
            self.broken.get_or_insert(broken);
        }
    }

    fn note(&mut self, result: &TradeResult) -> Result<(), Broken> {
        let at = usize::try_from(result.number).unwrap_or_default();
        let slot = at.checked_sub(1).and_then(|at| self.results.get_mut(at));
        let slot = slot.ok_or_else(|| Broken(format!("a result of a command never sent: {result:?}")))?;
        check(slot.is_none(), || format!("a second result: {result:?}"))?;
        *slot = Some(result.clone());
        self.promises.note_position(result.position);
        if result.outcome() == CommandOutcome::Done {
            let TradeResult { order_id, position, open_quantity, .. } = result;
            self.promises.note_standing(order_id, *position, result.status(), open_quantity);
            for fill in &result.fills {
                let (maker, at) = (&fill.maker_order_id, fill.position);
                self.promises.note_fill(order_id, at, maker, &fill.price, &fill.quantity);
                self.promises.note_fill(maker, at, order_id, &fill.price, &fill.quantity);
            }
        }
        let known = matches!(result.outcome(), CommandOutcome::Done | CommandOutcome::Refused);
        check(known, || format!("a valid new command was answered: {result:?}"))
    }

    /// Checks that each number that placed an order placed one, and that results were right.
    ///
    /// # Errors
    /// A command was done twice, or not as it was told.
    pub fn holds_in(&self, record: &Record) -> Result<(), Broken> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        self.promises.hold_in(record)?;
        let account = self.account.to_str().unwrap_or_default();
        let mut placed = vec![0_u32; self.commands.len()];
        for order in record.orders.values().filter(|order| order.account == account) {
            let at = usize::try_from(order.command_number).unwrap_or_default().wrapping_sub(1);
            let slot = placed.get_mut(at);
            *slot.ok_or_else(|| Broken(format!("an order that nobody placed: {order:?}")))? += 1;
            let result = self.results.get(at).and_then(Option::as_ref);
            check(result.is_none_or(|result| result.order_id == order.order_id), || {
                format!("told: {result:?}\nplaced: {order:?}")
            })?;
        }
        for (at, (times, result)) in placed.iter().zip(&self.results).enumerate() {
            check(*times <= 1, || format!("command {} placed {times} orders", at + 1))?;
            let is_place = matches!(self.commands[at].command, Some(Command::Place(_)));
            let done = result.as_ref().is_some_and(|result| result.outcome() == CommandOutcome::Done);
            check(!(is_place && done) || *times == 1, || format!("placed and gone: {result:?}"))?;
        }
        Ok(())
    }
}

/// The next message; nothing if the connection is lost.
async fn next(responses: &mut Streaming<TradeResponse>) -> Option<TradeResponse> {
    responses.message().await.map_err(|status| lost(&status)).ok().flatten()
}

/// A session ends by a lost connection only.
fn lost(status: &Status) {
    let refused = Refused::of(status);
    assert!(!matches!(refused, Refused::Finally(_)), "the session was refused: {status:?}");
}

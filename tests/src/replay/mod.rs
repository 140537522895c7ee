//! Workload E1 through a running node, over one `Trade` stream.
//!
//! ```text
//! messages ──> commands ──> window ──> Trade stream ──> node
//!                             ^                           │
//! report, its hash <── Reader <┴────────── results <──────┘
//! ```
//!
//! The commands go out in the workload's order, as many in a message as the [`Pace`] says, and no more
//! are outstanding than its window. The results come in the same order; the `Reader`
//! makes the report of them as an engine would have written it.

mod command;
mod kill;
mod reader;
mod rest;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;
use xbook_proto::v1::market_data_service_client::MarketDataServiceClient;
use xbook_proto::v1::trading_service_client::TradingServiceClient;
use xbook_proto::v1::{
    CreateMarketRequest, GetMarketRequest, MarketRules, SelfTradePrevention, TradeRequest, TradeResponse,
    TradeSession,
};

use crate::workload::e1::Message;
use command::Commands;
pub use kill::{THROUGH, replay_killing};
use reader::Reader;
pub use rest::{rest, rest_in};

/// The workload's tick, in the quote currency.
const TICK: &str = "0.005";

/// The session's name; each replay has a market of its own.
const SESSION: &str = "replay";

/// How often a node that has just joined is asked.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Messages that wait for the transport.
const BUFFERED: usize = 2;

/// How fast commands are sent.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Most commands without a result.
    pub window: u32,
    /// Commands in a message.
    pub batch: u32,
}

/// What came of a replay.
pub struct Replayed {
    /// How many commands were sent and answered.
    pub commands: u64,
    /// From the first command to the last result.
    pub took: Duration,
    /// From a message's sending to the result of each of its commands, in nanoseconds.
    pub latencies: Histogram<u64>,
    /// The lines of the report.
    pub lines: u64,
    /// The SHA-256 of the report.
    pub hash: String,
}

/// Makes a market for a replay, under a name that is free on this node, and returns the name. Without
/// voters it gets the directory's.
///
/// # Errors
/// The node refuses, or has gone.
pub async fn create_market(channel: Channel, voters: Vec<String>) -> Result<String> {
    let mut data = MarketDataServiceClient::new(channel.clone());
    let mut number = 1_u32;
    let market = loop {
        let market = format!("E1R{number}/USDT");
        match data.get_market(GetMarketRequest { market: market.clone() }).await {
            Ok(_) => number += 1,
            Err(status) if status.code() == tonic::Code::NotFound => break market,
            // It has just joined, and does not know yet.
            Err(status) if status.code() == tonic::Code::Unavailable => tokio::time::sleep(ASK_AGAIN).await,
            Err(status) => return Err(status).context("can't ask for markets"),
        }
    };
    // Accounts trade with themselves here.
    let rules = MarketRules {
        tick_size: TICK.into(),
        lot_size: "1".into(),
        default_self_trade_prevention: SelfTradePrevention::Allow.into(),
        ..MarketRules::default()
    };
    let request = CreateMarketRequest {
        request_id: format!("replay-{number}"),
        market: market.clone(),
        rules: Some(rules),
        voters,
    };
    ClusterServiceClient::new(channel).create_market(request).await.context("can't create the market")?;
    Ok(market)
}

/// Sends all messages to a market where nobody has traded yet, and reads all results.
///
/// `clock` tells the time since any fixed moment; `progress` is told how many commands are answered;
/// before a message is sent, `gate` is waited for with the number of its last command.
///
/// # Errors
/// The node refused what it must not, answered what nobody asked, or has gone.
pub async fn replay(
    channel: Channel,
    market: &str,
    messages: &[Message],
    pace: Pace,
    clock: impl Fn() -> Duration,
    progress: impl Fn(u64),
    gate: impl AsyncFn(u64),
) -> Result<Replayed> {
    ensure!((1..=pace.window).contains(&pace.batch), "a batch is at least 1 and at most the window");
    let (sender, requests) = mpsc::channel(BUFFERED);
    let session =
        TradeSession { market: market.to_owned(), session: SESSION.to_owned(), ..Default::default() };
    let open = TradeRequest { open: Some(session), ..TradeRequest::default() };
    sender.send(open).await.context("the stream's own end has gone")?;
    let mut client = TradingServiceClient::new(channel);
    let opened = client.trade(ReceiverStream::new(requests)).await.context("the session was refused")?;
    let mut results = opened.into_inner();
    let first = next(&mut results).await?.opened.context("the session was not opened")?;
    ensure!(first.next_number == 1, "the session is at number {}, not at its start", first.next_number);

    let flight =
        Flight { clock: &clock, sent: RefCell::default(), room: Semaphore::new(pace.window as usize) };
    let begin = clock();
    let sending = async {
        flight.send(messages, pace.batch, sender, gate).await?;
        // The results tell how it ends.
        std::future::pending::<Result<()>>().await
    };
    let (reader, latencies) = tokio::select! {
        biased;
        received = flight.receive(messages, &mut results, progress) => received?,
        failed = sending => return Err(failed.err().context("sending ended")?),
    };
    let took = clock().saturating_sub(begin);
    if results.message().await.context("the stream's end")?.is_some() {
        bail!("there were more results than commands");
    }
    let commands = messages.len() as u64;
    let (lines, hash) = reader.finish();
    Ok(Replayed { commands, took, latencies, lines, hash })
}

/// The commands that are on their way.
struct Flight<'a, C> {
    clock: &'a C,
    /// Messages with commands that have no result yet: the last command's number, and when it was sent.
    sent: RefCell<VecDeque<(u64, Duration)>>,
    room: Semaphore,
}

impl<C: Fn() -> Duration> Flight<'_, C> {
    async fn send(
        &self,
        messages: &[Message],
        batch: u32,
        sender: mpsc::Sender<TradeRequest>,
        gate: impl AsyncFn(u64),
    ) -> Result<()> {
        let mut commands = Commands::new(messages.len())?;
        let mut first_number = 1;
        for messages in messages.chunks(batch as usize) {
            let request = commands.request(first_number, messages);
            first_number += messages.len() as u64;
            let count = u32::try_from(messages.len())?;
            gate(first_number - 1).await;
            self.room.acquire_many(count).await?.forget();
            self.sent.borrow_mut().push_back((first_number - 1, (self.clock)()));
            if sender.send(request).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn receive(
        &self,
        messages: &[Message],
        results: &mut Streaming<TradeResponse>,
        progress: impl Fn(u64),
    ) -> Result<(Reader, Histogram<u64>)> {
        let mut reader = Reader::new(messages.len())?;
        let mut latencies = Histogram::new(3)?;
        let mut messages = messages.iter();
        let mut answered = 0;
        while !messages.as_slice().is_empty() {
            let response = next(results).await?;
            let now = (self.clock)();
            for result in &response.results {
                let message = messages.next().context("there were more results than commands")?;
                reader
                    .read(message, result)
                    .with_context(|| format!("{message:?} was answered {result:?}"))?;
            }
            let count = response.results.len();
            self.time(answered, answered + count as u64, now, &mut latencies)?;
            answered += count as u64;
            self.room.add_permits(count);
            progress(answered);
        }
        Ok((reader, latencies))
    }

    /// Notes how long the commands after `from` up to `through` were on their way.
    fn time(&self, mut from: u64, through: u64, now: Duration, latencies: &mut Histogram<u64>) -> Result<()> {
        let mut sent = self.sent.borrow_mut();
        while let Some((last, at)) = sent.front().copied().filter(|_| from < through) {
            let upto = last.min(through);
            let took = u64::try_from(now.saturating_sub(at).as_nanos()).unwrap_or(u64::MAX);
            latencies.record_n(took, upto - from)?;
            from = upto;
            if upto == last {
                sent.pop_front();
            }
        }
        Ok(())
    }
}

/// The next message of a stream that must not end here.
async fn next(results: &mut Streaming<TradeResponse>) -> Result<TradeResponse> {
    results.message().await.context("the stream broke")?.context("the stream ended early")
}

//! Clients that load a market: closed loops of calls and of a session, and open loops.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::sync::{Mutex, mpsc};
use tonic::transport::Channel;
use xbook_proto::v1::trading_service_client::TradingServiceClient;
use xbook_tests::client::{Flow, Moved, Random, SessionTrader, Trader, Window};
use xbook_tests::clock::Stopwatch;
use xbook_tests::process::Address;

/// Chooses the orders, the same in each run.
const SEED: u64 = 23;

/// The longest latency that is told apart from longer ones, in nanoseconds.
const LONGEST_NS: u64 = 100_000_000_000;

/// Most arrivals of an open loop that are served at once; more wait, and their waiting counts.
const SERVERS: usize = 512;

/// How requests come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Load {
    /// So many clients with one call at a time.
    Calls(u32),
    /// One session a node with about so many commands without a result.
    Session(u32),
    /// Calls at fixed times, whether earlier ones are answered or not, timed from when they were to be made.
    Open {
        /// Calls a second.
        rate: u32,
    },
}

/// When it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Before.
    pub warm_up: Duration,
    /// From then on, so long.
    pub measured: Duration,
}

/// What was measured, and the clients with all that they were told.
pub struct Measured {
    /// Requests that were answered within the span.
    pub answered: u64,
    /// How many of them were refused.
    pub refused: u64,
    /// What they took, in nanoseconds.
    pub latencies: Histogram<u64>,
    /// Clients who called.
    pub traders: Vec<Trader>,
    /// Clients with sessions.
    pub sessions: Vec<SessionTrader>,
}

impl Load {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calls(_) => "unary",
            Self::Session(_) => "stream",
            Self::Open { .. } => "open loop",
        }
    }

    /// Requests without an answer, or calls a second.
    pub fn clients(self) -> u32 {
        match self {
            Self::Calls(clients) | Self::Session(clients) => clients,
            Self::Open { rate } => rate,
        }
    }

    /// Loads a market through these nodes.
    ///
    /// # Errors
    /// A connection is lost.
    pub async fn run(self, market: &str, nodes: &[Address], flow: Flow, span: Span) -> Result<Measured> {
        let channels = try_join_all(nodes.iter().map(Address::connect)).await?;
        let mut random = Random::new(SEED);
        match self {
            Self::Calls(clients) => {
                let traders = traders(market, &mut random, flow, clients as usize);
                calls(traders, &channels, span).await
            }
            Self::Session(outstanding) => {
                sessions(market, &channels, &mut random, flow, outstanding, span).await
            }
            Self::Open { rate } => {
                let traders = traders(market, &mut random, flow, SERVERS);
                open_loop(traders, &channels, rate, span).await
            }
        }
    }
}

fn traders(market: &str, random: &mut Random, flow: Flow, count: usize) -> Vec<Trader> {
    let trader = |at| Trader::new(&format!("caller-{at}"), market, random.fork()).with_flow(flow);
    (0..count).map(trader).collect()
}

/// What is measured while it runs, by all clients.
struct Meter {
    watch: Stopwatch,
    span: Span,
    latencies: RefCell<Histogram<u64>>,
    refused: Cell<u64>,
}

impl Meter {
    fn new(span: Span) -> Result<Self> {
        let latencies = Histogram::new_with_bounds(1, LONGEST_NS, 3)?.into();
        Ok(Self { watch: Stopwatch::start(), span, latencies, refused: Cell::new(0) })
    }

    /// Notes requests that were answered now and had begun then; says whether it goes on.
    fn note(&self, begun: Duration, requests: u64) -> ControlFlow<()> {
        let now = self.watch.elapsed();
        let end = self.end();
        if requests > 0 && self.measures(now) {
            let took = u64::try_from(now.saturating_sub(begun).as_nanos()).unwrap_or(u64::MAX);
            self.latencies.borrow_mut().saturating_record_n(took, requests);
        }
        if now < end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Notes that so many of the requests that were answered now were refused.
    fn note_refused(&self, requests: u64) {
        if requests > 0 && self.measures(self.watch.elapsed()) {
            self.refused.set(self.refused.get() + requests);
        }
    }

    fn end(&self) -> Duration {
        self.span.warm_up + self.span.measured
    }

    fn measures(&self, now: Duration) -> bool {
        now >= self.span.warm_up && now < self.end()
    }

    /// A client ended.
    fn check_end(&self) -> Result<()> {
        ensure!(self.note(Duration::ZERO, 0).is_break(), "a connection was lost");
        Ok(())
    }

    fn finish(self, traders: Vec<Trader>, sessions: Vec<SessionTrader>) -> Measured {
        let latencies = self.latencies.into_inner();
        Measured { answered: latencies.len(), refused: self.refused.get(), latencies, traders, sessions }
    }
}

async fn calls(mut traders: Vec<Trader>, channels: &[Channel], span: Span) -> Result<Measured> {
    let meter = Meter::new(span)?;
    let clients = traders.iter_mut().zip(channels.iter().cycle()).map(async |(trader, channel)| {
        let mut begun = meter.watch.elapsed();
        let mut refused_before = trader.refused();
        let answered = |refused| {
            meter.note_refused(refused - refused_before);
            refused_before = refused;
            let goes_on = meter.note(begun, 1);
            begun = meter.watch.elapsed();
            goes_on
        };
        trader.trade(channel.clone(), answered).await;
        meter.check_end()
    });
    try_join_all(clients).await?;
    Ok(meter.finish(traders, Vec::new()))
}

async fn sessions(
    market: &str,
    channels: &[Channel],
    random: &mut Random,
    flow: Flow,
    outstanding: u32,
    span: Span,
) -> Result<Measured> {
    // Its messages have up to half as many commands as may be outstanding, on average a quarter.
    let window = Window {
        outstanding: outstanding as usize * 3 / 4,
        message: u64::from(outstanding / 2),
        pause: Duration::ZERO,
    };
    let session =
        |at| SessionTrader::new(&format!("session-{at}"), market, random.fork()).with_flow(flow, window);
    let mut sessions: Vec<SessionTrader> = (0..channels.len()).map(session).collect();
    let meter = Meter::new(span)?;
    let clients = sessions.iter_mut().zip(channels).map(async |(session, channel)| {
        let mut sent = VecDeque::new();
        let moved = |moved| match moved {
            Moved::Sent(commands) => {
                sent.push_back((commands, meter.watch.elapsed()));
                meter.note(Duration::ZERO, 0)
            }
            Moved::Answered { mut commands, refused } => {
                meter.note_refused(refused as u64);
                while let Some((waiting, begun)) = sent.front_mut().filter(|_| commands > 0) {
                    let answered = commands.min(*waiting);
                    // How it ends is decided when something is sent.
                    let _ = meter.note(*begun, answered as u64);
                    (*waiting, commands) = (*waiting - answered, commands - answered);
                    if *waiting == 0 {
                        sent.pop_front();
                    }
                }
                ControlFlow::Continue(())
            }
        };
        session.trade(channel.clone(), moved).await;
        meter.check_end()
    });
    try_join_all(clients).await?;
    Ok(meter.finish(Vec::new(), sessions))
}

async fn open_loop(
    mut traders: Vec<Trader>,
    channels: &[Channel],
    rate: u32,
    span: Span,
) -> Result<Measured> {
    let meter = Meter::new(span)?;
    let watch = meter.watch;
    let (arrivals, arrived) = mpsc::unbounded_channel();
    // A thread of its own: the runtime's timers are as coarse as a millisecond.
    let arriving = std::thread::spawn(move || arrive(watch, rate, span, &arrivals));
    let arrived = &Mutex::new(arrived);
    let servers = traders.iter_mut().zip(channels.iter().cycle()).map(async |(trader, channel)| {
        let mut client = TradingServiceClient::new(channel.clone());
        loop {
            let next = arrived.lock().await.recv().await;
            let Some(scheduled) = next else { return Ok(()) };
            let refused = trader.refused();
            ensure!(trader.call(&mut client).await, "a connection was lost");
            meter.note_refused(trader.refused() - refused);
            // The arrivals end by themselves.
            let _ = meter.note(scheduled, 1);
        }
    });
    try_join_all(servers).await?;
    arriving.join().ok().context("the arrivals' thread panicked")?;
    Ok(meter.finish(traders, Vec::new()))
}

/// Tells of each arrival at its time.
fn arrive(watch: Stopwatch, rate: u32, span: Span, arrivals: &mpsc::UnboundedSender<Duration>) {
    let end = span.warm_up + span.measured;
    for number in 0_u32.. {
        let scheduled = Duration::from_secs(number.into()) / rate;
        std::thread::sleep(scheduled.saturating_sub(watch.elapsed()));
        if scheduled >= end || arrivals.send(scheduled).is_err() {
            return;
        }
    }
}

//! Many clients of one market, who trade while something happens to the nodes.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;

use super::{Broken, Flow, Random, Record, SessionTrader, Trader, Watcher, Window};
use crate::process::Address;

/// How long clients may take to finish what they are at when it is over. Whoever hangs on a node
/// that does not answer is cut off, and has an open question.
const FINISH: Duration = Duration::from_secs(3);

/// How long a client waits before it connects again.
const BACK_OFF: Duration = Duration::from_millis(20);

/// Clients of one market.
pub struct Crowd {
    market: String,
    random: Random,
    traders: Vec<Trader>,
    sessions: Vec<SessionTrader>,
    watchers: Vec<Watcher>,
    /// Accounts of others, who were there before.
    bystanders: Vec<AsciiMetadataValue>,
}

/// How far the clients are, for whoever does something to the nodes meanwhile.
#[derive(Default)]
pub struct Progress {
    answered: watch::Sender<u64>,
    over: watch::Sender<bool>,
}

impl Progress {
    /// Waits for so many more answers to calls; sessions send many commands beside each.
    pub async fn answers(&self, more: u64) {
        let mut answered = self.answered.subscribe();
        let reached = *answered.borrow_and_update() + more;
        // The sender is here.
        let _ = answered.wait_for(|answered| *answered >= reached).await;
    }

    fn add_one(&self) -> ControlFlow<()> {
        self.answered.send_modify(|count| *count += 1);
        self.goes_on()
    }

    fn goes_on(&self) -> ControlFlow<()> {
        if *self.over.borrow() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    async fn over(&self) {
        // The sender is here.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }
}

impl Crowd {
    /// So many clients who call and who have sessions, and one watcher for each node.
    #[must_use]
    pub fn new(random: &mut Random, market: &str, callers: usize, sessions: usize, nodes: usize) -> Self {
        let trader = |at| Trader::new(&format!("caller-{at}"), market, random.fork());
        let traders = (0..callers).map(trader).collect();
        let session = |at| SessionTrader::new(&format!("session-{at}"), market, random.fork());
        let sessions = (0..sessions).map(session).collect();
        let watchers = (0..nodes).map(|_| Watcher::new(market)).collect();
        Self {
            market: market.to_owned(),
            random: random.fork(),
            traders,
            sessions,
            watchers,
            bystanders: Vec::new(),
        }
    }

    /// These clients, who have traded already.
    #[must_use]
    pub fn of(market: &str, traders: Vec<Trader>, sessions: Vec<SessionTrader>) -> Self {
        let (market, random) = (market.to_owned(), Random::new(0));
        Self { market, random, traders, sessions, watchers: Vec::new(), bystanders: Vec::new() }
    }

    /// Others have orders in the market, in the accounts of whoever names none.
    #[must_use]
    pub fn beside_unnamed(mut self) -> Self {
        self.bystanders.push(AsciiMetadataValue::from_static(xbook::api::DEFAULT_ACCOUNT));
        self
    }

    /// Sessions are this fast, and all do this.
    #[must_use]
    pub fn with_flow(mut self, flow: Flow, window: Window) -> Self {
        self.traders = self.traders.into_iter().map(|trader| trader.with_flow(flow)).collect();
        let sessions = self.sessions.into_iter();
        self.sessions = sessions.map(|session| session.with_flow(flow, window)).collect();
        self
    }

    /// Everyone trades until `act` is done, spread over the nodes; whoever loses the connection
    /// connects with the same node again.
    pub async fn trade_while<T>(&mut self, nodes: &[Address], act: impl AsyncFnOnce(&Progress) -> T) -> T {
        let progress = &Progress::default();
        let Self { traders, sessions, watchers, .. } = self;
        let callers = traders.iter_mut().zip(nodes.iter().cycle()).map(|(trader, node)| async move {
            let trade = async |channel| trader.trade(channel, |_| progress.add_one()).await;
            stay(node, progress, trade).await;
        });
        let sessions = sessions.iter_mut().zip(nodes.iter().cycle()).map(|(session, node)| async move {
            let trade = async |channel| session.trade(channel, |_| progress.goes_on()).await;
            stay(node, progress, trade).await;
        });
        let watchers = watchers.iter_mut().zip(nodes).map(|(watcher, node)| async move {
            tokio::select! {
                () = stay(node, progress, async |channel| watcher.watch(channel).await) => {}
                () = progress.over() => {}
            }
        });
        let trading = async { tokio::join!(join_all(callers), join_all(sessions), join_all(watchers)) };
        let acting = async {
            let done = act(progress).await;
            progress.over.send_replace(true);
            done
        };
        let finishing = async {
            tokio::pin!(trading);
            tokio::select! {
                _ = &mut trading => return,
                () = progress.over() => {}
            }
            // Whoever is cut off does not know, and asks again later.
            let _ = timeout(FINISH, trading).await;
        };
        let (done, ()) = tokio::join!(acting, finishing);
        self.sessions.iter_mut().for_each(SessionTrader::read_results);
        done
    }

    /// Afterwards, and while nobody trades: every open question is answered, and repeats of
    /// answered calls change nothing, by whichever of these nodes.
    ///
    /// # Errors
    /// A client gets no answer, or another one than before.
    pub async fn recover(&mut self, nodes: &[Channel]) -> Result<()> {
        for trader in &mut self.traders {
            let channel = self.random.pick(nodes).clone();
            trader.recover(channel).await?;
        }
        Ok(())
    }

    /// All that a node shows of the market to these clients, which agrees with itself.
    ///
    /// # Errors
    /// It does not, or the node does not answer.
    pub async fn record(&self, node: &Channel) -> Result<Record> {
        let traders = self.traders.iter().map(|trader| trader.account().clone());
        let sessions = self.sessions.iter().map(|session| session.account().clone());
        let all = traders.chain(sessions).chain(self.bystanders.iter().cloned());
        let accounts: Vec<AsciiMetadataValue> = all.collect();
        let record = Record::read(node, &self.market, &accounts).await.context("reading the record")?;
        record.agrees_with_itself()?;
        Ok(record)
    }

    /// Checks that everything that anyone was told is so.
    ///
    /// # Errors
    /// The first promise that does not hold.
    pub fn holds_in(&self, record: &Record) -> Result<(), Broken> {
        self.traders.iter().try_for_each(|trader| trader.promises().hold_in(record))?;
        self.sessions.iter().try_for_each(|session| session.holds_in(record))?;
        self.watchers.iter().try_for_each(|watcher| watcher.holds_in(record))
    }

    /// How many orders and fills calls were promised, and sessions.
    #[must_use]
    pub fn promised(&self) -> [(usize, usize); 2] {
        let sum = |sum: (usize, usize), one: (usize, usize)| (sum.0 + one.0, sum.1 + one.1);
        let calls = self.traders.iter().map(|trader| trader.promises().count()).fold((0, 0), sum);
        let sessions = self.sessions.iter().map(|session| session.promises().count()).fold((0, 0), sum);
        [calls, sessions]
    }
}

/// Does something on a connection with a node, and again on another one whenever it ends.
async fn stay(node: &Address, progress: &Progress, mut act: impl AsyncFnMut(Channel)) {
    while progress.goes_on().is_continue() {
        if let Ok(channel) = node.connect().await {
            act(channel).await;
        }
        if progress.goes_on().is_continue() {
            sleep(BACK_OFF).await;
        }
    }
}

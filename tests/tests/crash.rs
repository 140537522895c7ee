//! A real node under load, killed again and again: whatever a client was told stays true.

use anyhow::{Context, Result};
use futures::future::{OptionFuture, join_all};
use tokio::sync::watch;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;
use xbook_proto::v1::{CreateMarketRequest, MarketRules};
use xbook_tests::client::{Random, Record, SessionTrader, Trader, Watcher};
use xbook_tests::process::{Home, Xnode};

const MARKET: &str = "BTC/USDT";
const ROUNDS: usize = 8;

/// All clients of the market.
struct Clients {
    traders: Vec<Trader>,
    sessions: Vec<SessionTrader>,
    watcher: Watcher,
}

impl Clients {
    fn new(random: &mut Random) -> Self {
        let trader = |at| Trader::new(&format!("caller-{at}"), MARKET, random.fork());
        let traders = (0..8).map(trader).collect();
        let session = |at| SessionTrader::new(&format!("session-{at}"), MARKET, random.fork());
        let sessions = (0..2).map(session).collect();
        Self { traders, sessions, watcher: Watcher::new(MARKET) }
    }

    fn accounts(&self) -> Vec<AsciiMetadataValue> {
        let traders = self.traders.iter().map(|trader| trader.account().clone());
        traders.chain(self.sessions.iter().map(|session| session.account().clone())).collect()
    }

    /// Everyone trades until `end` has ended the node in the middle of it, which it does once so
    /// many calls were answered.
    async fn trade_until<T>(
        &mut self,
        node: Xnode,
        answers: usize,
        end: impl AsyncFnOnce(Xnode) -> Result<T>,
    ) -> Result<T> {
        let mut channels = Vec::new();
        for _ in 0..=self.traders.len() + self.sessions.len() {
            channels.push(node.connect().await?);
        }
        let count = &Count::default();
        let ending = async {
            count.reached(answers).await;
            end(node).await
        };
        let (ended, ()) = tokio::join!(ending, self.trade(channels, count));
        ended
    }

    /// Everyone trades on a connection of their own until it is lost.
    async fn trade(&mut self, channels: Vec<Channel>, count: &Count) {
        let Self { traders, sessions, watcher } = self;
        let mut channels = channels.into_iter();
        let watching = channels.next().map(|channel| watcher.watch(channel));
        let callers = traders.iter_mut().zip(&mut channels).collect::<Vec<_>>();
        let calls = callers.into_iter().map(|(trader, channel)| trader.trade(channel, || count.add_one()));
        let sessions = sessions.iter_mut().zip(&mut channels).collect::<Vec<_>>();
        let streams = sessions.into_iter().map(|(session, channel)| session.trade(channel, |_| {}));
        tokio::join!(OptionFuture::from(watching), join_all(calls), join_all(streams));
    }

    /// How many orders and fills calls were promised, and sessions.
    fn promised(&self) -> [(usize, usize); 2] {
        let sum = |sum: (usize, usize), one: (usize, usize)| (sum.0 + one.0, sum.1 + one.1);
        let calls = self.traders.iter().map(|trader| trader.promises().count()).fold((0, 0), sum);
        let sessions = self.sessions.iter().map(|session| session.promises().count()).fold((0, 0), sum);
        [calls, sessions]
    }

    /// After a restart: every open question is answered, and every promise holds.
    async fn check(&mut self, node: &Xnode) -> Result<Record> {
        let channel = node.connect().await?;
        for trader in &mut self.traders {
            trader.recover(channel.clone()).await?;
        }
        let record = Record::read(&channel, MARKET, &self.accounts()).await?;
        record.agrees_with_itself()?;
        for trader in &self.traders {
            trader.promises().hold_in(&record)?;
        }
        for session in &self.sessions {
            session.holds_in(&record)?;
        }
        self.watcher.holds_in(&record)?;
        Ok(record)
    }
}

/// Counts the answers to calls; sessions send many commands beside each.
#[derive(Default)]
struct Count(watch::Sender<usize>);

impl Count {
    fn add_one(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    async fn reached(&self, answers: usize) {
        let _ = self.0.subscribe().wait_for(|count| *count >= answers).await;
    }
}

async fn create_market(node: &Xnode) -> Result<()> {
    let rules = MarketRules { tick_size: "1".into(), lot_size: "1".into(), ..MarketRules::default() };
    let request = CreateMarketRequest {
        request_id: "market".into(),
        market: MARKET.into(),
        rules: Some(rules),
        voters: Vec::new(),
    };
    ClusterServiceClient::new(node.connect().await?).create_market(request).await?;
    Ok(())
}

/// A node with the market, and the random numbers of this run.
#[allow(clippy::print_stdout, reason = "whoever repeats a failed run needs the seed")]
async fn begin() -> Result<(Home, Xnode, Random)> {
    let seed = Random::seed();
    println!("XBOOK_SEED={seed} chooses the same orders and the same moments again");
    let mut home = Home::new()?;
    let node = Xnode::start(&mut home).await?;
    create_market(&node).await?;
    Ok((home, node, Random::new(seed)))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_promised_is_lost_when_the_node_is_killed_again_and_again() -> Result<()> {
    let (mut home, mut node, mut random) = begin().await?;
    let mut clients = Clients::new(&mut random);
    let id = node.id().to_owned();
    for round in 1..=ROUNDS {
        let answers = 10 + usize::try_from(random.below(100))?;
        clients.trade_until(node, answers, async |node| node.kill().await).await?;
        node = Xnode::start(&mut home).await.with_context(|| format!("round {round}"))?;
        assert_eq!(node.id(), id, "it is the same node");
        let record = clients.check(&node).await.with_context(|| format!("round {round}:\n{}", home.log()))?;
        println!(
            "round {round}: killed after {answers} answered calls; position {}, {} orders, {} trades",
            record.position,
            record.orders.len(),
            record.trades.len()
        );
    }
    let promised = clients.promised();
    println!("promised orders and fills, by calls and by sessions: {promised:?}");
    assert!(promised.iter().all(|(orders, fills)| *orders > 0 && *fills > 0), "{promised:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_end_under_load_exits_with_0_and_loses_nothing() -> Result<()> {
    let (mut home, node, mut random) = begin().await?;
    let mut clients = Clients::new(&mut random);
    let exit = clients.trade_until(node, 100, async |node| node.terminate(&home).await).await?;
    assert_eq!(exit.code, Some(0), "{}", exit.log);
    assert!(!exit.log.contains("cut off"), "calls end by themselves: {}", exit.log);
    let node = Xnode::start(&mut home).await?;
    clients.check(&node).await?;
    Ok(())
}

//! `xbench recover`: how long it takes until a cluster of three real nodes is whole again.
//!
//! From the kill of the lease's holder to the next committed fill; then, after many orders that one
//! node missed, and while trading goes on: until that node, another one that was only started again,
//! and an empty new one show everything that was committed when they started.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use xbook_proto::v1::{MarketRules, SelfTradePrevention};
use xbook_tests::client::{Crowd, Flow, Progress, Random, Window, next_trade};
use xbook_tests::clock::Stopwatch;
use xbook_tests::cluster::Cluster;
use xbook_tests::process::Home;
use xbook_tests::replay::{Pace, create_market, replay};
use xbook_tests::workload::e1::{Scenario, messages};

use crate::output::{Format, Rates, machine};

/// Trades while something happens.
const MARKET: &str = "LIVE/USDT";

/// Sessions trade steadily, not as fast as they can.
const WINDOW: Window = Window { outstanding: 100, message: 20, pause: Duration::from_millis(20) };

/// Arguments of `xbench recover`.
#[derive(clap::Args)]
pub struct Args {
    /// Orders of workload E1, about two commands each, before nodes catch up.
    #[arg(long, default_value = "500000", value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    orders: u32,
    /// How often the holder is killed.
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    kills: u32,
    /// 20,000 orders, 3 kills.
    #[arg(long, conflicts_with_all = ["orders", "kills"])]
    quick: bool,
    /// How results are printed.
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

/// One result.
#[derive(Serialize)]
struct Row {
    workload: &'static str,
    /// Commands that had been committed before.
    commands: u64,
    /// The median of the repeats.
    seconds: f64,
    seconds_min: f64,
    seconds_max: f64,
    repeats: usize,
    /// Size of the documents that the node has then.
    document_bytes: u64,
    /// What its data directory takes then.
    disk_bytes: u64,
    /// Whether every promise was checked and all nodes agree.
    verified: bool,
}

/// Runs the benchmark.
///
/// # Errors
/// A node fails, or a promise does not hold.
pub fn run(args: &Args) -> Result<()> {
    let (orders, kills) = if args.quick { (20_000, 3) } else { (args.orders, args.kills) };
    let build = if cfg!(debug_assertions) { "DEBUG BUILD: figures mean nothing" } else { "release build" };
    if args.output == Format::Table {
        print(&format!("{}\n{build}; three nodes and their clients share this machine", machine()));
        print(&format!(
            "{:<44} {:>10} {:>9} {:>18} {:>9} {:>8}  verified",
            "workload", "commands", "seconds", "range", "docs MB", "disk MB"
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for row in runtime.block_on(measure(orders, kills))? {
        show(&row, args.output);
    }
    Ok(())
}

async fn measure(orders: u32, kills: u32) -> Result<Vec<Row>> {
    let mut cluster = Cluster::start(3).await?;
    // Accounts trade with themselves here.
    let rules = MarketRules {
        tick_size: "1".into(),
        lot_size: "1".into(),
        default_self_trade_prevention: SelfTradePrevention::Allow.into(),
        ..MarketRules::default()
    };
    cluster.create_market(MARKET, rules, &[0, 1, 2]).await?;
    let mut clients = Crowd::new(&mut Random::new(23), MARKET, 3, 3, 0).with_flow(Flow::MIXED, WINDOW);
    let addresses = cluster.addresses();
    let mut rows = Vec::new();
    let act = async |progress: &Progress| -> Result<Cluster> {
        progress.answers(20).await;
        rows.push(failover(&mut cluster, progress, kills).await?);
        catch_up(&mut cluster, orders, &mut rows).await?;
        Ok(cluster)
    };
    let cluster = clients.trade_while(&addresses, act).await?;
    cluster.agree(MARKET).await?;
    let mut channels = Vec::new();
    for node in cluster.running() {
        channels.push(cluster.connect(node).await?);
    }
    clients.recover(&channels).await?;
    cluster.agree(MARKET).await?;
    for channel in &channels {
        clients.holds_in(&clients.record(channel).await?)?;
    }
    // An error would have ended it.
    rows.iter_mut().for_each(|row| row.verified = true);
    Ok(rows)
}

/// Kills the holder again and again, and waits for the next fill.
async fn failover(cluster: &mut Cluster, progress: &Progress, kills: u32) -> Result<Row> {
    let mut seconds = Vec::new();
    for _ in 0..kills {
        let holder = cluster.holder(MARKET).await?;
        cluster.kill(holder).await?;
        let watch = Stopwatch::start();
        next_trade(&cluster.address((holder + 1) % cluster.len()), MARKET).await?;
        seconds.push(watch.elapsed().as_secs_f64());
        cluster.restart(holder).await?;
        progress.answers(20).await;
    }
    row(cluster, 0, "kill of the holder to the next fill", 0, seconds).await
}

/// Sends many orders while a node is away, then has nodes catch up.
async fn catch_up(cluster: &mut Cluster, orders: u32, rows: &mut Vec<Row>) -> Result<()> {
    let messages = messages(Scenario::Normal, orders);
    let commands = messages.len() as u64;
    let channel = cluster.connect(0).await?;
    let voters = (0..cluster.len()).map(|node| cluster.id(node).to_owned()).collect();
    let market = create_market(channel.clone(), voters).await?;
    cluster.holder(&market).await?;
    cluster.kill(2).await?;
    let watch = Stopwatch::start();
    let pace = Pace { window: 16_384, batch: 1_024 };
    let replayed =
        replay(channel, &market, &messages, pace, || watch.elapsed(), |_| {}, async |_| {}).await?;
    ensure!(Scenario::Normal.known_hash(orders).is_none_or(|known| known == replayed.hash), "a wrong report");

    let away = timed(cluster, &market, async |cluster| cluster.restart(2).await.map(|()| 2)).await?;
    rows.push(row(cluster, 2, "a node that missed them catches up", commands, vec![away]).await?);
    cluster.kill(1).await?;
    let again = timed(cluster, &market, async |cluster| cluster.restart(1).await.map(|()| 1)).await?;
    rows.push(row(cluster, 1, "a node that had them starts again", commands, vec![again]).await?);
    let empty = timed(cluster, &market, async |cluster| cluster.add(Home::new()?).await).await?;
    rows.push(row(cluster, 3, "an empty new node catches up", commands, vec![empty]).await?);
    cluster.agree(&market).await?;
    Ok(())
}

/// Seconds from a node's start until it shows what was committed in both markets when it started.
async fn timed(
    cluster: &mut Cluster,
    market: &str,
    start: impl AsyncFnOnce(&mut Cluster) -> Result<usize>,
) -> Result<f64> {
    let mut targets = Vec::new();
    for market in [market, MARKET] {
        let status = cluster.status(0, market).await?.context("no market")?;
        targets.push((market, status.position));
    }
    let watch = Stopwatch::start();
    let node = start(cluster).await?;
    for (market, position) in targets {
        cluster.shows(node, market, position).await?;
    }
    Ok(watch.elapsed().as_secs_f64())
}

async fn row(
    cluster: &Cluster,
    node: usize,
    workload: &'static str,
    commands: u64,
    seconds: Vec<f64>,
) -> Result<Row> {
    let repeats = seconds.len();
    let seconds = Rates::new(seconds);
    let (seconds_min, seconds_max) = seconds.range();
    Ok(Row {
        workload,
        commands,
        seconds: seconds.median(),
        seconds_min,
        seconds_max,
        repeats,
        document_bytes: cluster.describe(node).await?.documents.iter().map(|status| status.bytes).sum(),
        disk_bytes: cluster.home(node).disk_bytes()?,
        verified: false,
    })
}

fn show(row: &Row, format: Format) {
    let range = format!("[{:.2}, {:.2}]", row.seconds_min, row.seconds_max);
    match format {
        Format::Json => print(&serde_json::to_string(row).unwrap_or_default()),
        Format::Table => print(&format!(
            "{:<44} {:>10} {:>9.2} {range:>18} {:>9.1} {:>8.1}  {}",
            row.workload,
            row.commands,
            row.seconds,
            row.document_bytes as f64 / 1e6,
            row.disk_bytes as f64 / 1e6,
            if row.verified { "yes" } else { "NO" },
        )),
    }
}

fn print(text: &str) {
    // A closed pipe must not stop the benchmark half-way with a panic.
    let _closed = writeln!(io::stdout(), "{text}");
}

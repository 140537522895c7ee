//! `xbench grow`: workload E1 through three real nodes whose documents are sealed when they are still
//! small, so that there are many generations on the way. Its book stays small, so the cost of a
//! command and the memory should stay what they were. Then orders are added that only rest: what each
//! costs, and what a node needs with all of them, also while E1 runs once more beside them.

use std::cell::RefCell;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use xbook::book::Book;
use xbook_tests::clock::Stopwatch;
use xbook_tests::cluster::Cluster;
use xbook_tests::process::{Home, Usage};
use xbook_tests::replay::{Pace, THROUGH, replay_killing, rest};
use xbook_tests::workload::e1::{Message, Scenario, messages};
use xbook_tests::workload::report::report_hash;

use crate::output::{Format, machine};

/// Arguments of `xbench grow`.
#[derive(clap::Args)]
pub struct Args {
    /// How many orders; about two commands each.
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u32).range(20_000..=10_000_000))]
    orders: u32,
    /// 20,000 orders, and documents of 256 KiB.
    #[arg(long, conflicts_with = "orders")]
    quick: bool,
    /// At which size documents are sealed.
    #[arg(long, default_value = "4MiB")]
    document_size: String,
    /// How many orders rest at the end, in a market of their own.
    #[arg(long, default_value = "100000", value_parser = clap::value_parser!(u32).range(1_000..=500_000))]
    open: u32,
    /// How results are printed.
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

/// How commands are sent.
const PACE: Pace = Pace { window: 16_384, batch: 1_024 };

/// A tenth of the commands.
#[derive(Serialize)]
struct Row {
    workload: &'static str,
    /// Commands that were answered by its end.
    commands: u64,
    commands_per_s: f64,
    /// Processor seconds of all nodes for a million commands.
    cpu_s_per_million: f64,
    /// As a multiple of the first row's.
    cpu_ratio: f64,
    /// The largest node's memory at its end, in bytes.
    resident_bytes: u64,
    /// Of the market's document at the end of all.
    generations: u64,
    /// Whether the report has the hash that it must have and all nodes agree.
    verified: bool,
}

/// What orders cost that only rest.
#[derive(Serialize)]
struct Resting {
    workload: &'static str,
    open_orders: u32,
    /// What the largest node's memory grew by, for each: its document's part included.
    bytes_an_order: u64,
    /// Size of the market's document.
    document_bytes: u64,
    /// The largest node's memory with all of them, in bytes.
    resident_bytes: u64,
    /// The most that any node ever had, E1 beside them included, in bytes.
    peak_bytes: u64,
}

/// How it was at one moment.
#[derive(Clone, Copy)]
struct Mark {
    commands: u64,
    at: Duration,
    cpu: Duration,
    resident: u64,
}

/// Runs the benchmark.
///
/// # Errors
/// A node fails, or the report is not what it must be.
pub fn run(args: &Args) -> Result<()> {
    let (orders, size) =
        if args.quick { (20_000, "256KiB") } else { (args.orders, args.document_size.as_str()) };
    if args.output == Format::Table {
        let build =
            if cfg!(debug_assertions) { "DEBUG BUILD: figures mean nothing" } else { "release build" };
        print(&format!(
            "{}\n{build}; three nodes, E1 normal with {orders} orders, documents of {size}",
            machine()
        ));
        print(&format!(
            "{:>10} {:>11} {:>12} {:>6} {:>8}  verified",
            "commands", "commands/s", "cpu s a M", "ratio", "RSS MB"
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let open = if args.quick { 2_000 } else { args.open };
    runtime.block_on(measure(orders, size, open, args.output))
}

async fn measure(orders: u32, size: &str, open: u32, format: Format) -> Result<()> {
    let homes = (0..3).map(|_| Ok(Home::new()?.with_document_size(size))).collect::<Result<_>>()?;
    let mut cluster = Cluster::start_at(homes).await?;
    let messages = messages(Scenario::Normal, orders);
    let expected = match Scenario::Normal.known_hash(orders) {
        Some(known) => known.to_owned(),
        None => {
            let mut book = Book::new();
            report_hash(&messages, |command, events| {
                (book.get(command.id()).map(|order| order.price), book.apply(command, events))
            })
            .map_err(|message| anyhow::anyhow!("a new order was refused: {message:?}"))?
        }
    };
    let processes = cluster.processes();
    let usage = || -> Result<(Duration, u64)> {
        let all = processes.iter().map(|process| Usage::of(*process)).collect::<Result<Vec<_>>>()?;
        let cpu = all.iter().map(|usage| usage.cpu).sum();
        Ok((cpu, all.iter().map(|usage| usage.resident).max().unwrap_or_default()))
    };
    let watch = Stopwatch::start();
    let tenth = (messages.len() as u64 / 10).max(1);
    let marks = RefCell::new(Vec::new());
    let told = |commands: u64| {
        let mut marks = marks.borrow_mut();
        if commands >= tenth * marks.len() as u64
            && let Ok((cpu, resident)) = usage()
        {
            marks.push(Mark { commands, at: watch.elapsed(), cpu, resident });
        }
    };
    let replayed = replay_killing(&mut cluster, &messages, PACE, 0, || watch.elapsed(), told).await?;
    let verified = replayed.hash == expected;
    let documents = cluster.describe(THROUGH).await?.documents;
    let market = documents.iter().find(|status| status.name != "directory").context("no market")?;
    let marks = marks.into_inner();
    let mut first = None;
    for pair in marks.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let commands = (after.commands - before.commands) as f64;
        let cpu = (after.cpu - before.cpu).as_secs_f64() * 1e6 / commands;
        let row = Row {
            workload: "grow E1 normal",
            commands: after.commands,
            commands_per_s: commands / (after.at - before.at).as_secs_f64(),
            cpu_s_per_million: cpu,
            cpu_ratio: cpu / *first.get_or_insert(cpu),
            resident_bytes: after.resident,
            generations: market.generation + 1,
            verified,
        };
        show(&row, format);
    }
    if format == Format::Table {
        print(&format!(
            "{} generations; {} commands in {:?}",
            market.generation + 1,
            replayed.commands,
            replayed.took
        ));
    }
    ensure!(verified, "the report is not what it must be");
    measure_resting(&mut cluster, open, &messages, format).await
}

/// What orders cost that only rest, in a market of their own.
async fn measure_resting(
    cluster: &mut Cluster,
    open: u32,
    messages: &[Message],
    format: Format,
) -> Result<()> {
    let processes = cluster.processes();
    let largest = |of: fn(&Usage) -> u64| -> Result<u64> {
        let all = processes.iter().map(|process| Ok(of(&Usage::of(*process)?)));
        Ok(all.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or_default())
    };
    let before = largest(|usage| usage.resident)?;
    let voters = (0..cluster.len()).map(|node| cluster.id(node).to_owned()).collect();
    let market = rest(cluster.connect(THROUGH).await?, voters, open).await?;
    cluster.agree(&market).await?;
    let after = largest(|usage| usage.resident)?;
    let documents = cluster.describe(THROUGH).await?.documents;
    let document = documents.iter().find(|status| status.name == market).context("no market")?;
    let watch = Stopwatch::start();
    replay_killing(cluster, messages, PACE, 0, || watch.elapsed(), |_| ()).await?;
    let resting = Resting {
        workload: "grow resting",
        open_orders: open,
        bytes_an_order: after.saturating_sub(before) / u64::from(open),
        document_bytes: document.bytes,
        resident_bytes: after,
        peak_bytes: largest(|usage| usage.peak)?,
    };
    match format {
        Format::Json => print(&serde_json::to_string(&resting).unwrap_or_default()),
        Format::Table => print(&format!(
            "{open} orders rest: {} bytes each, in a document of {} kB; RSS {} MB, {} MB at most with E1 beside",
            resting.bytes_an_order,
            resting.document_bytes / 1_000,
            resting.resident_bytes / 1_000_000,
            resting.peak_bytes / 1_000_000
        )),
    }
    Ok(())
}

fn show(row: &Row, format: Format) {
    match format {
        Format::Json => print(&serde_json::to_string(row).unwrap_or_default()),
        Format::Table => print(&format!(
            "{:>10} {:>11.0} {:>12.2} {:>6.2} {:>8}  {}",
            row.commands,
            row.commands_per_s,
            row.cpu_s_per_million,
            row.cpu_ratio,
            row.resident_bytes / 1_000_000,
            if row.verified { "yes" } else { "NO" },
        )),
    }
}

fn print(text: &str) {
    // A closed pipe must not stop the benchmark half-way with a panic.
    let _closed = writeln!(io::stdout(), "{text}");
}

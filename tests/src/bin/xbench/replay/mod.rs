//! `xbench replay`: workload E1 through a whole node, over one gRPC stream.
//!
//! Nodes of its own start for each run, in new directories, unless a running one is named. What they
//! answer is turned into the workload's report, whose hash must be the published one.

mod row;
mod target;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use xbook::book::Book;
use xbook_tests::replay::Pace;
use xbook_tests::workload::e1::{FULL_COUNT, Message, QUICK_COUNT, Scenario, messages};
use xbook_tests::workload::report::report_hash;

use crate::output::Format;
use row::{Row, Run};
use target::Target;
use xbook_tests::clock::Stopwatch;

const COUNT: std::ops::RangeInclusive<i64> = 1..=10_000_000;
const WINDOW: std::ops::RangeInclusive<i64> = 1..=65_536;
const BATCH: std::ops::RangeInclusive<i64> = 1..=4_096;

/// Arguments of `xbench replay`.
#[derive(clap::Args)]
pub struct Args {
    /// Which order flow.
    #[arg(long, value_enum, default_value = "all")]
    scenario: Which,
    /// How many orders; about two commands each. There are published hashes for 1,000,000 and for
    /// 20,000; for other numbers the engine alone says what is right.
    #[arg(long, value_parser = clap::value_parser!(u32).range(COUNT))]
    count: Option<u32>,
    /// Most commands without a result.
    #[arg(long, default_value = "16384", value_parser = clap::value_parser!(u32).range(WINDOW))]
    window: u32,
    /// Commands in a message.
    #[arg(long, default_value = "1024", value_parser = clap::value_parser!(u32).range(BATCH))]
    batch: u32,
    /// How often each scenario is run.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: u32,
    /// 20,000 orders.
    #[arg(long, conflicts_with = "count")]
    quick: bool,
    /// How many nodes, each a voter; everything is sent through one.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u8).range(1..=7), conflicts_with = "node")]
    nodes: u8,
    /// How often the lease is brought to another node, which is killed and started again; takes 3 nodes.
    #[arg(long, value_name = "TIMES", default_value = "0", value_parser = clap::value_parser!(u32).range(0..=1000))]
    kill_holder: u32,
    /// A running node, such as http://127.0.0.1:7001; else one is started in a temporary directory.
    #[arg(long, value_name = "URL")]
    node: Option<String>,
    /// How results are printed.
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Static,
    Normal,
    #[value(name = "swing-25")]
    Swing25,
    All,
}

impl Which {
    fn scenarios(self) -> Vec<Scenario> {
        match self {
            Self::Static => vec![Scenario::Static],
            Self::Normal => vec![Scenario::Normal],
            Self::Swing25 => vec![Scenario::Swing25],
            Self::All => Scenario::ALL.to_vec(),
        }
    }
}

/// Runs the benchmark.
///
/// # Errors
/// The node fails, or its report is not what it must be.
pub fn run(args: &Args) -> Result<()> {
    let pace = Pace { window: args.window, batch: args.batch.min(args.window) };
    ensure!(
        args.kill_holder == 0 || args.nodes >= 3,
        "--kill-holder: fewer than 3 nodes have no majority left"
    );
    let count = args.count.unwrap_or(if args.quick { QUICK_COUNT } else { FULL_COUNT });
    let printer = row::Printer::new(args.output, pace, count, args.nodes);
    // One thread: the node needs the others.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut wrong = Vec::new();
    for scenario in args.scenario.scenarios() {
        let messages = messages(scenario, count);
        let expected = expected(scenario, count, &messages)?;
        let mut runs = Vec::new();
        for _ in 0..args.repeats {
            runs.push(runtime.block_on(run_once(args, scenario, &messages, pace))?);
        }
        let row = Row::new(scenario, (args.nodes, args.kill_holder), pace, &runs, &expected);
        printer.row(&row);
        if !row.verified {
            wrong.push(scenario.name());
        }
    }
    ensure!(wrong.is_empty(), "the report is not what it must be: {}", wrong.join(", "));
    Ok(())
}

/// The hash that the report must have.
fn expected(scenario: Scenario, count: u32, messages: &[Message]) -> Result<String> {
    if let Some(known) = scenario.known_hash(count) {
        return Ok(known.to_owned());
    }
    let mut book = Book::new();
    report_hash(messages, |command, events| {
        (book.get(command.id()).map(|order| order.price), book.apply(command, events))
    })
    .map_err(|message| anyhow::anyhow!("a new order was refused: {message:?}"))
}

async fn run_once(args: &Args, scenario: Scenario, messages: &[Message], pace: Pace) -> Result<Run> {
    let mut target = Target::new(args.node.as_deref(), args.nodes.into()).await?;
    let bar = progress(scenario, messages.len() as u64);
    let watch = Stopwatch::start();
    let told = |answered| bar.set_position(answered);
    let replayed = target.replay(messages, pace, args.kill_holder, || watch.elapsed(), told).await;
    bar.finish_and_clear();
    Ok(Run { replayed: replayed?, disk: target.end().await? })
}

/// A bar on stderr; nothing if that is no terminal.
fn progress(scenario: Scenario, commands: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} commands, {per_sec}, {eta} left");
    ProgressBar::new(commands)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(scenario.name())
}

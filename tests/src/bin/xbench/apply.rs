//! `xbench apply`: what it costs a replica to receive what another one wrote, as the document grows.
//!
//! Two replicas in this process, without disks and network: the sole voter of a market is given
//! requests in batches, half of them orders and half their cancels, so that the book stays small and
//! only the document grows; it is never sealed. Everything that the other one does is timed.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use xbook::decimal::Grid;
use xbook::document::{Actor, Genesis};
use xbook::machine::{Action, NewMarket, Origin, Place, Request, Rules, Session, Target};
use xbook::replica::{Effect, Input, Remembered, Replica, Settings};
use xbook::types::{BatchIndex, Lots, Micros, NodeId, Side, Ticks, TimeInForce};
use xbook_tests::clock::Stopwatch;

use crate::output::{Format, machine};

const NODES: [NodeId; 2] = [NodeId(1), NodeId(2)];

/// Arguments of `xbench apply`.
#[derive(clap::Args)]
pub struct Args {
    /// How many requests.
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(20_000..=100_000_000))]
    orders: u64,
    /// 100,000 requests.
    #[arg(long, conflicts_with = "orders")]
    quick: bool,
    /// Requests in a batch.
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u64).range(2..=4_096))]
    batch: u64,
    /// How results are printed.
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

/// One result: requests from some number on, each received in a batch.
#[derive(Serialize)]
struct Row {
    workload: String,
    /// Requests that were in the document when these came.
    after: u64,
    batch: u64,
    /// Nanoseconds that one of these took.
    ns_per_order: f64,
    /// As a multiple of the first.
    ratio: f64,
    /// Whether both replicas have the same digest.
    verified: bool,
}

/// Runs the benchmark.
///
/// # Errors
/// A replica refuses what it must not, or the two don't agree.
pub fn run(args: &Args) -> Result<()> {
    let orders = if args.quick { 100_000 } else { args.orders };
    if args.output == Format::Table {
        let build =
            if cfg!(debug_assertions) { "DEBUG BUILD: figures mean nothing" } else { "release build" };
        print(&format!("{}\n{build}, one thread, no disk, no network; batches of {}", machine(), args.batch));
        print(&format!("{:<16} {:>10} {:>12} {:>7}  verified", "workload", "after", "ns an order", "ratio"));
    }
    // As many orders each time, at the start, then after ten, a hundred, … times as many.
    let width = 10_000;
    let starts = std::iter::successors(Some(width), |start| Some(start * 10))
        .take_while(|start| start + width <= orders);
    let starts: Vec<u64> = starts.chain([orders - width]).collect();
    let mut pair = Pair::new()?;
    let mut first = None;
    let mut sent = 0;
    for start in starts {
        pair.send_until(start, &mut sent, args.batch)?;
        let (before, from) = (pair.received, sent);
        pair.send_until(start + width, &mut sent, args.batch)?;
        let ns = (pair.received - before).as_nanos() as f64 / (sent - from).max(1) as f64;
        let base = *first.get_or_insert(ns);
        let verified = pair.agree();
        show(
            &Row {
                workload: "remote apply".into(),
                after: from,
                batch: args.batch,
                ns_per_order: ns,
                ratio: ns / base,
                verified,
            },
            args.output,
        );
        ensure!(verified, "the replicas don't agree");
    }
    Ok(())
}

/// A voter and an observer of one market.
struct Pair {
    replicas: [Replica; 2],
    now: Micros,
    /// What the observer spent.
    received: Duration,
}

impl Pair {
    fn new() -> Result<Self> {
        let grid = || Grid::new("1".parse()?).context("a grid");
        let rules = Rules::new(grid()?, grid()?);
        let now = Micros(1_000_000);
        let open = |node: NodeId| {
            let genesis = Genesis::market(&NewMarket {
                name: "BTC/USDT".into(),
                rules: rules.clone(),
                voters: vec![NODES[0]],
            });
            let settings = Settings { now, seed: node.0, ..Settings::default() };
            Replica::open(genesis, Actor::new(now, node, 0), settings, Vec::new(), Remembered::default())
        };
        let mut pair = Self { replicas: [open(NODES[0])?, open(NODES[1])?], now, received: Duration::ZERO };
        pair.input(0, Input::PeerUp(NODES[1]))?;
        pair.input(1, Input::PeerUp(NODES[0]))?;
        Ok(pair)
    }

    /// Sends requests until there were so many.
    fn send_until(&mut self, end: u64, sent: &mut u64, batch: u64) -> Result<()> {
        while *sent < end {
            let requests = (*sent + 1..=*sent + batch).map(request).collect();
            self.input(0, Input::Submit(requests))?;
            *sent += batch;
        }
        Ok(())
    }

    /// Gives an input, and all that follows from it on either side.
    fn input(&mut self, to: usize, input: Input) -> Result<()> {
        self.now.0 += 100;
        let mut inputs = VecDeque::from([(to, input)]);
        let mut effects = Vec::new();
        while let Some((at, input)) = inputs.pop_front() {
            let watch = Stopwatch::start();
            self.replicas[at].handle(self.now, input, &mut effects)?;
            if at == 1 {
                self.received += watch.elapsed();
            }
            for effect in effects.drain(..) {
                match effect {
                    Effect::Store { generation, index, .. } => {
                        inputs.push_back((at, Input::Stored { generation, index }));
                    }
                    Effect::Send { envelope, .. } => {
                        inputs.push_back((1 - at, Input::Message { from: NODES[at], envelope }));
                    }
                    Effect::Disconnect { reason, .. } => anyhow::bail!("disconnected: {reason}"),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Whether both show the same.
    fn agree(&mut self) -> bool {
        // What is committed is told with the next heartbeat at the latest.
        for _ in 0..20 {
            self.now.0 += 100_000;
            if self.input(0, Input::Wake).is_err() || self.input(1, Input::Wake).is_err() {
                return false;
            }
        }
        let [voter, observer] = &self.replicas;
        voter.view().batches() > BatchIndex(0) && voter.view().digest() == observer.view().digest()
    }
}

/// An order for an odd number, its cancel for the even one that follows.
fn request(number: u64) -> Request {
    let action = if number % 2 == 1 {
        let (side, limit) = match number % 4 {
            1 => (Side::Buy, 1_000 - number % 20),
            _ => (Side::Sell, 1_001 + number % 20),
        };
        Action::Place(Place::new(side, Some(Ticks(limit)), Lots(1 + number % 7), TimeInForce::Gtc))
    } else {
        Action::Cancel(Target::Command(number - 1))
    };
    let session = Session::new("main", "apply");
    let account: Arc<str> = "main".into();
    Request { account, origin: Origin::Command { session, number }, body_hash: 0, action }
}

fn show(row: &Row, format: Format) {
    match format {
        Format::Json => print(&serde_json::to_string(row).unwrap_or_default()),
        Format::Table => print(&format!(
            "{:<16} {:>10} {:>12.0} {:>7.2}  {}",
            row.workload,
            row.after,
            row.ns_per_order,
            row.ratio,
            if row.verified { "yes" } else { "NO" },
        )),
    }
}

fn print(text: &str) {
    // A closed pipe must not stop the benchmark half-way with a panic.
    let _closed = writeln!(io::stdout(), "{text}");
}

//! `xbench unary`: how long one call takes when nothing else is going on, beside what it consists of.
//!
//! A PlaceOrder is answered when the order is on the disk, matched and committed: so at the least one
//! call and one sync. The floor is measured in turn with it, since machines are noisy: a health check
//! on the same connection, which is a call and nothing more, and 4 KiB written and synced on the same
//! disk, at the end of a file and within one.

use std::io::{self, Write};

use anyhow::{Context, Result, ensure};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use xbook_proto::v1::trading_service_client::TradingServiceClient;
use xbook_proto::v1::{NewOrder, OrderStatus, PlaceOrderRequest, Side};
use xbook_tests::process::{Home, Xnode};
use xbook_tests::replay::create_market;

use crate::disk::Blocks;
use crate::output::{Format, Latencies, Row, machine, short};
use xbook_tests::clock::{self, Stopwatch};

/// How often it is each one's turn.
const TURNS: u32 = 10;

/// Arguments of `xbench unary`.
#[derive(clap::Args)]
pub struct Args {
    /// How many of each.
    #[arg(long, default_value = "5000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    count: u32,
    /// 500 of each.
    #[arg(long, conflicts_with = "count")]
    quick: bool,
    /// How results are printed.
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

/// Runs the benchmark.
///
/// # Errors
/// The node or the disk fails, or an order is not answered as it must be.
pub fn run(args: &Args) -> Result<()> {
    let count = if args.quick { 500 } else { args.count };
    if args.output == Format::Table {
        let build =
            if cfg!(debug_assertions) { "DEBUG BUILD: figures mean nothing" } else { "release build" };
        print(&format!("{}\n{build}; {count} of each, one after the other", machine()));
        print(&format!(
            "{:<26} {:<10} {:>8} {:>8} {:>8} {:>8} {:>8}  verified",
            "workload", "engine", "a second", "p50 us", "p99 us", "p99.9", "max us"
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(count, args.output))
}

async fn measure(count: u32, format: Format) -> Result<()> {
    let turn = count.div_ceil(TURNS);
    let mut home = Home::new()?;
    let node = Xnode::start(&mut home).await?;
    let channel = node.connect().await?;
    let market = create_market(channel.clone(), Vec::new()).await?;
    let mut orders =
        Orders { client: TradingServiceClient::new(channel.clone()), market, sent: 0, last: None };
    let mut health = HealthClient::new(channel);
    let (mut appended, mut within) =
        (Blocks::new(&home.data(), 0)?, Blocks::new(&home.data(), (turn * TURNS).into())?);

    // The first calls of a connection are not what is meant.

    orders.place(turn, &mut Timed::default()).await?;
    check(&mut health, turn, &mut Timed::default()).await?;

    let mut timed: [Timed; 4] = Default::default();
    for _ in 0..TURNS {
        orders.place(turn, &mut timed[0]).await?;
        check(&mut health, turn, &mut timed[1]).await?;
        write(&mut appended, turn, &mut timed[2])?;
        write(&mut within, turn, &mut timed[3])?;
    }
    let names = [
        ("PlaceOrder, one at a time", "xnode"),
        ("health check", "tonic"),
        ("4 KiB appended, fdatasync", "disk"),
        ("4 KiB within, fdatasync", "disk"),
    ];
    for ((workload, engine), timed) in names.into_iter().zip(timed) {
        show(&timed.row(workload, engine), format);
    }
    ensure!(node.terminate(&home).await?.code == Some(0), "xnode did not end well");
    Ok(())
}

/// What a number of operations took, in nanoseconds.
#[derive(Default)]
struct Timed(Vec<u64>);

impl Timed {
    /// Adds what has passed.
    fn push(&mut self, watch: Stopwatch) {
        self.0.push(watch.elapsed_ns());
    }

    fn row(self, workload: &str, engine: &str) -> Row {
        let rate = self.0.len() as f64 * 1e9 / self.0.iter().sum::<u64>() as f64;
        let mut row = Row {
            workload: workload.into(),
            engine: engine.into(),
            ops_per_s: rate,
            ops_per_s_min: rate,
            ops_per_s_max: rate,
            repeats: 1,
            // What is not answered as it must be has ended the run.
            verified: true,
            ..Row::default()
        };
        let mut latencies = Latencies::with_capacity(self.0.len());
        self.0.into_iter().for_each(|ns| latencies.push(ns));
        latencies.fill(&mut row, clock::overhead_ns());
        row
    }
}

/// Orders that rest, one a call.
struct Orders {
    client: TradingServiceClient<Channel>,
    market: String,
    sent: u32,
    last: Option<u64>,
}

impl Orders {
    /// Places orders. Each is to be open, and the event after the one before.
    async fn place(&mut self, count: u32, timed: &mut Timed) -> Result<()> {
        for _ in 0..count {
            let request = self.next();
            let watch = Stopwatch::start();
            let answer = self.client.place_order(request).await.context("PlaceOrder")?.into_inner();
            timed.push(watch);
            let status = answer.order.as_ref().map(|order| order.status());
            let follows = self.last.is_none_or(|last| answer.position == last + 1);
            ensure!(status == Some(OrderStatus::Open) && follows, "after {:?}: {answer:?}", self.last);
            self.last = Some(answer.position);
        }
        Ok(())
    }

    fn next(&mut self) -> PlaceOrderRequest {
        self.sent += 1;
        let order = NewOrder {
            side: Side::Buy.into(),
            // Some levels, all on one side.
            price: (100 + self.sent % 50).to_string(),
            quantity: "7".into(),
            ..NewOrder::default()
        };
        PlaceOrderRequest {
            request_id: format!("unary-{}", self.sent),
            market: self.market.clone(),
            order: Some(order),
            ..PlaceOrderRequest::default()
        }
    }
}

async fn check(client: &mut HealthClient<Channel>, count: u32, timed: &mut Timed) -> Result<()> {
    for _ in 0..count {
        let watch = Stopwatch::start();
        client.check(HealthCheckRequest::default()).await.context("the health check")?;
        timed.push(watch);
    }
    Ok(())
}

fn write(blocks: &mut Blocks, count: u32, timed: &mut Timed) -> Result<()> {
    for _ in 0..count {
        let watch = Stopwatch::start();
        blocks.write_one()?;
        timed.push(watch);
    }
    Ok(())
}

fn show(row: &Row, format: Format) {
    let us = |ns: u64| ns / 1_000;
    match format {
        Format::Json => print(&serde_json::to_string(row).unwrap_or_default()),
        Format::Table => print(&format!(
            "{:<26} {:<10} {:>8} {:>8} {:>8} {:>8} {:>8}  yes",
            row.workload,
            row.engine,
            short(row.ops_per_s),
            us(row.p50_ns),
            us(row.p99_ns),
            us(row.p999_ns),
            us(row.max_ns)
        )),
    }
}

fn print(text: &str) {
    // A closed pipe must not stop the benchmark half-way with a panic.
    let _closed = writeln!(io::stdout(), "{text}");
}

//! What a replay printed: one row for each scenario.

use std::io::{self, Write};

use serde::Serialize;
use xbook_tests::replay::{Pace, Replayed};
use xbook_tests::workload::e1::Scenario;

use super::target::Disk;
use crate::output::{Format, Rates, machine, short};

/// One run of a scenario.
pub struct Run {
    /// What came of it.
    pub replayed: Replayed,
    /// What the node left behind, if it was the benchmark's own.
    pub disk: Option<Disk>,
}

/// One result.
#[derive(Serialize)]
pub struct Row {
    workload: String,
    engine: &'static str,
    /// Commands a second: the median of the repeats.
    ops_per_s: f64,
    ops_per_s_min: f64,
    ops_per_s_max: f64,
    repeats: usize,
    /// From the sending of a message to the result of each of its commands, of the first run.
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
    /// Whether every run's report had the hash that it must have.
    pub verified: bool,
    nodes: u8,
    /// How often the holder of the lease was killed on the way.
    kills: u32,
    commands: u64,
    /// Of the first run.
    seconds: f64,
    window: u32,
    batch: u32,
    /// Whether everything was on the disk before it was answered.
    durable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fsyncs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_bytes: Option<u64>,
    report_lines: u64,
    hash: String,
}

impl Row {
    /// The result of at least one run.
    pub fn new(
        scenario: Scenario,
        (nodes, kills): (u8, u32),
        pace: Pace,
        runs: &[Run],
        expected: &str,
    ) -> Self {
        let rate = |run: &Run| run.replayed.commands as f64 / run.replayed.took.as_secs_f64();
        let rates = Rates::new(runs.iter().map(rate).collect());
        let (slowest, fastest) = rates.range();
        let Run { replayed, disk } = &runs[0];
        let latency = |share| replayed.latencies.value_at_quantile(share);
        Self {
            workload: format!("replay {}", scenario.name()),
            engine: "xnode",
            ops_per_s: rates.median(),
            ops_per_s_min: slowest,
            ops_per_s_max: fastest,
            repeats: runs.len(),
            p50_ns: latency(0.5),
            p99_ns: latency(0.99),
            p999_ns: latency(0.999),
            max_ns: replayed.latencies.max(),
            verified: runs.iter().all(|run| run.replayed.hash == expected),
            nodes,
            kills,
            commands: replayed.commands,
            seconds: replayed.took.as_secs_f64(),
            window: pace.window,
            batch: pace.batch,
            // A node answers nothing before that; it has no setting for it.
            durable: true,
            fsyncs: disk.map(|disk| disk.fsyncs),
            disk_bytes: disk.map(|disk| disk.bytes),
            report_lines: replayed.lines,
            hash: replayed.hash.clone(),
        }
    }
}

/// Prints results as they come.
pub struct Printer(Format);

impl Printer {
    /// Says what the benchmark runs on.
    pub fn new(format: Format, pace: Pace, count: u32, nodes: u8) -> Self {
        let printer = Self(format);
        if format == Format::Table {
            let build =
                if cfg!(debug_assertions) { "DEBUG BUILD: figures mean nothing" } else { "release build" };
            print(&format!("{}\n{build}, {nodes} nodes and one client on this machine", machine()));
            print(&format!(
                "E1, {count} orders over one Trade stream: at most {} commands outstanding, {} in a message;\n\
                 each is synced to the disk, committed and in the history before its result is sent\n",
                pace.window, pace.batch
            ));
            print(&format!(
                "{:<24} {:>11} {:>20} {:>8} {:>9} {:>9} {:>9} {:>9} {:>7} {:>8}  verified",
                "workload",
                "commands/s",
                "range",
                "seconds",
                "p50 ms",
                "p99 ms",
                "p99.9 ms",
                "max ms",
                "fsyncs",
                "disk MB"
            ));
        }
        printer
    }

    /// Prints a result.
    pub fn row(&self, row: &Row) {
        match self.0 {
            Format::Table => print(&table_line(row)),
            Format::Json => {
                if let Ok(line) = serde_json::to_string(row) {
                    print(&line);
                }
            }
        }
    }
}

fn table_line(row: &Row) -> String {
    let range = format!("[{}, {}]", short(row.ops_per_s_min), short(row.ops_per_s_max));
    let ms = |ns: u64| format!("{:.2}", ns as f64 / 1e6);
    let known = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    format!(
        "{:<24} {:>11} {range:>20} {:>8.2} {:>9} {:>9} {:>9} {:>9} {:>7} {:>8}  {}",
        if row.kills == 0 { row.workload.clone() } else { format!("{}, {} kills", row.workload, row.kills) },
        short(row.ops_per_s),
        row.seconds,
        ms(row.p50_ns),
        ms(row.p99_ns),
        ms(row.p999_ns),
        ms(row.max_ns),
        known(row.fsyncs),
        known(row.disk_bytes.map(|bytes| bytes / 1_000_000)),
        if row.verified { "yes" } else { "NO" },
    )
}

fn print(text: &str) {
    // A closed pipe must not stop the benchmark half-way with a panic.
    let _closed = writeln!(io::stdout(), "{text}");
}

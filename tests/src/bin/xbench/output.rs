//! Results, as a table for people or as one line of JSON each for programs.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use xbook_tests::clock;

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON object a line.
    Json,
}

/// One result.
#[derive(Clone, Serialize, Default)]
pub struct Row {
    /// What was run.
    pub workload: String,
    /// Whose engine ran it.
    pub engine: String,
    /// Operations a second: the median of the repeats.
    pub ops_per_s: f64,
    /// The slowest repeat.
    pub ops_per_s_min: f64,
    /// The fastest repeat.
    pub ops_per_s_max: f64,
    /// How many repeats.
    pub repeats: usize,
    /// Nanoseconds an operation, the clock's cost taken off.
    pub p50_ns: u64,
    /// The same.
    pub p99_ns: u64,
    /// The same.
    pub p999_ns: u64,
    /// The same.
    pub max_ns: u64,
    /// Whether the output was compared with what is known to be right, and equal.
    pub verified: bool,
    /// Bytes allocated for the book by resting order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_order: Option<f64>,
    /// Heap allocations an operation, warm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocs_per_op: Option<f64>,
    /// What a reader should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The rates of some repeats.
pub struct Rates(Vec<f64>);

impl Rates {
    /// From operations a second.
    pub fn new(mut rates: Vec<f64>) -> Self {
        rates.sort_by(f64::total_cmp);
        Self(rates)
    }

    /// Puts median and range into a row.
    pub fn fill(&self, row: &mut Row) {
        row.ops_per_s = self.median();
        (row.ops_per_s_min, row.ops_per_s_max) = self.range();
        row.repeats = self.0.len();
    }

    /// The slowest and the fastest.
    pub fn range(&self) -> (f64, f64) {
        self.0.first().copied().zip(self.0.last().copied()).unwrap_or_default()
    }

    /// The median.
    pub fn median(&self) -> f64 {
        let (low, high) = (self.0.len().saturating_sub(1) / 2, self.0.len() / 2);
        (self.0.get(low).copied().unwrap_or(0.0) + self.0.get(high).copied().unwrap_or(0.0)) / 2.0
    }
}

/// Durations of single operations, in nanoseconds as measured, with the clock's own cost.
pub struct Latencies(Vec<u64>);

impl Latencies {
    /// With room for this many.
    pub fn with_capacity(operations: usize) -> Self {
        Self(Vec::with_capacity(operations))
    }

    /// Adds one.
    #[inline]
    pub fn push(&mut self, ns: u64) {
        self.0.push(ns);
    }

    /// Puts the percentiles into a row.
    pub fn fill(mut self, row: &mut Row, clock_ns: u64) {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        let at = |share: f64| {
            let ns = self.0.get((last as f64 * share).round() as usize).copied().unwrap_or(0);
            ns.saturating_sub(clock_ns)
        };
        (row.p50_ns, row.p99_ns, row.p999_ns, row.max_ns) = (at(0.5), at(0.99), at(0.999), at(1.0));
    }
}

/// Prints results as they come.
pub struct Printer {
    format: Format,
    progress: ProgressBar,
    /// The clock's cost for a single operation.
    pub clock_ns: u64,
}

impl Printer {
    /// Says what the benchmark runs on. `steps` is how far the progress bar goes.
    pub fn new(format: Format, steps: u64) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
        let progress = ProgressBar::with_draw_target(Some(steps), target)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let printer = Self { format, progress, clock_ns: clock::overhead_ns() };
        if format == Format::Table {
            printer.say(&format!("{}\n{}", machine(), build()));
            printer.say(&format!(
                "rates: median [slowest, fastest] of the repeats, nothing else timed; percentiles: from a run \
                 of its own that reads the clock around each operation, whose cost ({} ns) is taken off",
                printer.clock_ns
            ));
        }
        printer
    }

    /// Prints a line or a title for people.
    pub fn say(&self, text: &str) {
        if self.format == Format::Table {
            self.print(text);
        }
    }

    /// A title and the columns' names.
    pub fn title(&self, text: &str) {
        self.say(&format!(
            "\n{text}\n{:<34} {:<13} {:>10} {:>23} {:>7} {:>7} {:>7} {:>9}  verified",
            "workload", "engine", "ops/s", "range", "p50 ns", "p99 ns", "p99.9", "max ns"
        ));
    }

    /// What is being done now.
    pub fn doing(&self, text: &str) {
        self.progress.set_message(text.to_owned());
    }

    /// A step of the progress bar is done.
    pub fn step(&self) {
        self.progress.inc(1);
    }

    /// Prints a result.
    pub fn row(&self, row: &Row) {
        match self.format {
            Format::Json => {
                if let Ok(line) = serde_json::to_string(row) {
                    self.print(&line);
                }
            }
            Format::Table => self.print(&table_line(row)),
        }
    }

    fn print(&self, text: &str) {
        self.progress.suspend(|| {
            // A closed pipe must not stop the benchmark half-way with a panic.
            let _closed = writeln!(io::stdout(), "{text}");
        });
    }

    /// Takes the progress bar away.
    pub fn finish(&self) {
        self.progress.finish_and_clear();
    }
}

fn table_line(row: &Row) -> String {
    let range = format!("[{}, {}]", short(row.ops_per_s_min), short(row.ops_per_s_max));
    let mut line = format!(
        "{:<34} {:<13} {:>10} {range:>23} {:>7} {:>7} {:>7} {:>9}  {}",
        row.workload,
        row.engine,
        short(row.ops_per_s),
        row.p50_ns,
        row.p99_ns,
        row.p999_ns,
        row.max_ns,
        if row.verified { "yes" } else { "INVALID" },
    );
    if let Some(bytes) = row.bytes_per_order {
        line.push_str(&format!("  {bytes:.0} B/order"));
    }
    if let Some(allocations) = row.allocs_per_op {
        line.push_str(&format!("  {allocations:.2} allocations/op"));
    }
    if let Some(note) = &row.note {
        line.push_str(&format!("  ({note})"));
    }
    line
}

/// A rate for people.
pub fn short(rate: f64) -> String {
    if rate >= 1e6 { format!("{:.2} M", rate / 1e6) } else { format!("{:.1} k", rate / 1e3) }
}

/// What the benchmark runs on.
pub fn machine() -> String {
    let cpu_info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info
        .lines()
        .find_map(|line| line.strip_prefix("model name").and_then(|rest| rest.split(": ").nth(1)))
        .unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    format!("{model}, {cores} cores, {}, load before the start {load}", std::env::consts::OS)
}

fn build() -> String {
    let kind = if cfg!(debug_assertions) { "DEBUG BUILD: figures mean nothing" } else { "release build" };
    format!("{kind}, one thread, system allocator, in memory: nothing is durable here")
}

//! What a replicated workload printed.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::Sample;
use crate::output::{Format, machine, short};

/// One result.
#[derive(Serialize)]
pub struct Row {
    workload: String,
    /// Nodes of the cluster; 0 for a floor.
    nodes: usize,
    /// Requests that may be outstanding at once; of an open loop, arrivals a second.
    clients: u32,
    /// Requests that had an effect.
    orders_per_s: f64,
    /// Requests that were refused at their turn.
    refused_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    /// Of the lease holder.
    fsyncs_per_s: f64,
    /// Requests a committed batch; unknown if a generation began meanwhile.
    batch_mean: Option<f64>,
    /// Whether every promise was checked and held, and the digests of all nodes agree.
    verified: bool,
    #[serde(skip)]
    max_us: f64,
    #[serde(skip)]
    nodes_used: Option<Used>,
}

/// What a workload took of the nodes.
struct Used {
    /// Processor seconds of all nodes for a million requests.
    cpu_s: f64,
    /// Resident memory of the largest node, in bytes.
    resident: u64,
    /// The most that any node ever had, since it was started.
    peak: u64,
    /// Bytes that the document grew by a request: what each peer is sent, and each disk stores. Unknown if a
    /// generation began meanwhile.
    document_bytes: Option<f64>,
}

impl Row {
    /// A result whose answers were checked; latencies are in nanoseconds.
    pub fn new(
        workload: &str,
        nodes: usize,
        clients: u32,
        answered: u64,
        span: Duration,
        latencies: &Histogram<u64>,
    ) -> Self {
        let us = |share| latencies.value_at_quantile(share) as f64 / 1e3;
        Self {
            workload: workload.to_owned(),
            nodes,
            clients,
            orders_per_s: answered as f64 / span.as_secs_f64(),
            refused_per_s: 0.0,
            p50_us: us(0.5),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: latencies.max() as f64 / 1e3,
            fsyncs_per_s: 0.0,
            batch_mean: Some(1.0),
            verified: true,
            nodes_used: None,
        }
    }

    /// Every operation was a sync.
    pub fn with_syncs(self) -> Self {
        Self { fsyncs_per_s: self.orders_per_s, ..self }
    }

    /// So many of the answers were refusals.
    pub fn with_refused(self, refused: u64, span: Duration) -> Self {
        let refused_per_s = refused as f64 / span.as_secs_f64();
        Self { orders_per_s: self.orders_per_s - refused_per_s, refused_per_s, ..self }
    }

    /// What the nodes did meanwhile.
    pub fn with_nodes(mut self, before: &Sample, after: &Sample, answered: u64, span: Duration) -> Self {
        self.fsyncs_per_s = (after.holder.syncs - before.holder.syncs) as f64 / span.as_secs_f64();
        let same = after.generation == before.generation;
        let grown = |after: u64, before: u64| same.then(|| after.saturating_sub(before) as f64);
        self.batch_mean =
            grown(after.batches, before.batches).map(|batches| answered as f64 / batches.max(1.0));
        let cpu = |sample: &Sample| sample.usage.iter().map(|usage| usage.cpu).sum::<Duration>();
        self.nodes_used = Some(Used {
            cpu_s: (cpu(after) - cpu(before)).as_secs_f64() * 1e6 / answered as f64,
            resident: after.usage.iter().map(|usage| usage.resident).max().unwrap_or_default(),
            peak: after.usage.iter().map(|usage| usage.peak).max().unwrap_or_default(),
            document_bytes: grown(after.document_bytes, before.document_bytes)
                .map(|bytes| bytes / answered as f64),
        });
        self
    }
}

/// Prints results as they come.
pub struct Printer(Format);

impl Printer {
    /// Says what the benchmark runs on.
    pub fn new(format: Format, span: Duration) -> Self {
        let build =
            if cfg!(debug_assertions) { "DEBUG BUILD: figures mean nothing" } else { "release build" };
        let printer = Self(format);
        if format == Format::Table {
            print(&format!(
                "{}\n{build}; nodes and clients share this machine, {} s each\n\
                 a request counts when its outcome is committed, on the disks of a majority, and was told;\n\
                 verified: every promise was checked and the digests of all nodes agree\n",
                machine(),
                span.as_secs()
            ));
            print(&format!(
                "{:<30} {:>5} {:>7} {:>10} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>9} {:>7} {:>7} {:>8}  verified",
                "workload",
                "nodes",
                "clients",
                "orders/s",
                "refused/s",
                "p50 us",
                "p99 us",
                "p99.9",
                "max us",
                "fsyncs/s",
                "batch",
                "cpu s/M",
                "RSS MB",
                "peak MB",
                "B/order"
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
    let used = row.nodes_used.as_ref().map_or_else(
        || format!("{:>9} {:>7} {:>7} {:>8}", "-", "-", "-", "-"),
        |used| {
            let document = used.document_bytes.map_or("-".to_owned(), |bytes| format!("{bytes:.0}"));
            let (resident, peak) = (used.resident / 1_000_000, used.peak / 1_000_000);
            format!("{:>9.1} {resident:>7} {peak:>7} {document:>8}", used.cpu_s)
        },
    );
    let batch = row.batch_mean.map_or("-".to_owned(), |mean| format!("{mean:.1}"));
    format!(
        "{:<30} {:>5} {:>7} {:>10} {:>9.0} {:>8.0} {:>8.0} {:>8.0} {:>8.0} {:>8.0} {batch:>7} {used}  {}",
        row.workload,
        row.nodes,
        row.clients,
        short(row.orders_per_s),
        row.refused_per_s,
        row.p50_us,
        row.p99_us,
        row.p999_us,
        row.max_us,
        row.fsyncs_per_s,
        if row.verified { "yes" } else { "NO" },
    )
}

fn print(text: &str) {
    // A closed pipe must not stop the benchmark half-way with a panic.
    let _closed = writeln!(io::stdout(), "{text}");
}

//! `xsim`: the simulator on the command line.
//!
//! Runs seed after seed, each a history of real replicas in a simulated world, and stops at the
//! first that violates an oracle: with the violation, the seed, and the command that replays it.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use xbook_tests::sim::{self, BUGS, Bug, Options, Report};

/// Simulate nodes of xbook with faults, and check that nothing is lost, filled twice or reordered.
#[derive(Parser, Debug)]
#[command(version, after_help = bugs())]
struct Args {
    /// How many seeds to run
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many voters; each seed chooses 3 or 5 without it
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: Option<u16>,
    /// How many observers; each seed chooses 0 or 1 without it
    #[arg(long, value_parser = clap::value_parser!(u16).range(0..=4))]
    observers: Option<u16>,
    /// A bug to plant; the run then ought to fail
    #[arg(long, value_name = "BUG")]
    plant: Option<Bug>,
    /// Simulated minutes of chaos in each seed
    #[arg(long, default_value_t = 1.0 / 3.0, value_name = "MINUTES")]
    minutes: f64,
    /// How many seeds run at a time
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// Print all that happens, and the hash of it; for one seed
    #[arg(long)]
    log: bool,
}

fn bugs() -> String {
    let lines = BUGS.iter().map(|bug| format!("  {:<20} {}", bug.name(), bug.what()));
    format!("Bugs that can be planted:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

fn main() -> ExitCode {
    let args = Args::parse();
    let options = Options {
        voters: args.nodes.map(usize::from),
        observers: args.observers.map(usize::from),
        chaos: (args.minutes.max(0.01) * 60e6) as u64,
        bug: args.plant,
        log: args.log,
    };
    let bar = ProgressBar::new(args.seeds);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} seeds, {eta} left") {
        bar.set_style(style);
    }
    let mut sum = Sum::default();
    let found = run_all(&args, &options, |report| {
        sum.add(report);
        bar.inc(1);
    });
    let elapsed = bar.elapsed();
    bar.finish_and_clear();
    sum.print(elapsed);
    match found {
        None => ExitCode::SUCCESS,
        Some(report) => {
            explain(&args, &report);
            ExitCode::FAILURE
        }
    }
}

/// Runs the seeds; the violating one with the lowest number.
fn run_all(args: &Args, options: &Options, mut each: impl FnMut(&Report)) -> Option<Report> {
    let (next, stop) = (AtomicU64::new(args.from), AtomicBool::new(false));
    let (reports, arriving) = mpsc::channel();
    let end = args.from.saturating_add(args.seeds);
    let mut found: Option<Report> = None;
    std::thread::scope(|threads| {
        for _ in 0..args.jobs.max(1) {
            let (reports, next, stop) = (reports.clone(), &next, &stop);
            threads.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || reports.send(sim::run(seed, options)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(reports);
        for mut report in arriving {
            each(&report);
            print_log(&mut report);
            if report.violation.is_some() {
                stop.store(true, Ordering::Relaxed);
                if found.as_ref().is_none_or(|found| report.seed < found.seed) {
                    found = Some(report);
                }
            }
        }
    });
    found
}

#[expect(clippy::print_stdout, reason = "the log is what was asked for")]
fn print_log(report: &mut Report) {
    for line in report.log.drain(..) {
        println!("{line}");
    }
}

/// What all seeds together did.
#[derive(Default)]
struct Sum {
    seeds: u64,
    simulated: u64,
    events: u64,
    consumed: usize,
    batches: u64,
    terms: usize,
    overlaps: u64,
    generations: usize,
    snapshots: u64,
    lost_disks: u64,
    copies: (u64, u64),
    upgraded: u64,
    stopped: u64,
    slowest: u64,
    trace: u64,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.simulated += report.simulated;
        self.events += report.events;
        self.consumed += report.consumed;
        self.batches += report.batches;
        self.terms += report.terms;
        self.overlaps += report.overlaps;
        self.generations += report.generations;
        self.snapshots += report.snapshots;
        self.lost_disks += report.lost_disks;
        self.copies = (self.copies.0 + report.copies.0, self.copies.1 + report.copies.1);
        self.upgraded += u64::from(report.upgraded);
        self.stopped += report.stopped;
        self.slowest = self.slowest.max(report.resumed.unwrap_or(0));
        self.trace ^= report.trace;
    }

    #[expect(clippy::print_stdout, reason = "the result of the program")]
    fn print(&self, elapsed: Duration) {
        let simulated = self.simulated as f64 / 1e6;
        println!(
            "{} seeds, {:.2} simulated hours in {:.1} s: {:.0} times real time",
            self.seeds,
            simulated / 3600.0,
            elapsed.as_secs_f64(),
            simulated / elapsed.as_secs_f64().max(0.001)
        );
        println!(
            "{} events, {} requests consumed in {} batches, {} leases, trace {:016x}",
            self.events, self.consumed, self.batches, self.terms, self.trace
        );
        println!(
            "{} generations, {} snapshots, {} disks lost for good, {} old copies put back and {} refused",
            self.generations, self.snapshots, self.lost_disks, self.copies.0, self.copies.1
        );
        println!(
            "{} documents went on in a newer format, {} times a node could not read one",
            self.upgraded, self.stopped
        );
        println!(
            "slowest majority after a cut: {:.2} s; moments with two believed leases: {}",
            self.slowest as f64 / 1e6,
            self.overlaps
        );
    }
}

#[expect(clippy::print_stderr, reason = "the result of the program")]
fn explain(args: &Args, report: &Report) {
    let Some(violation) = &report.violation else {
        return;
    };
    let run = "cargo run --release -p xbook-tests --bin xsim --";
    let mut replay = format!("{run} --log --seeds 1 --from {} --minutes {}", report.seed, args.minutes);
    let options = [
        args.nodes.map(|nodes| format!(" --nodes {nodes}")),
        args.observers.map(|observers| format!(" --observers {observers}")),
        args.plant.map(|bug| format!(" --plant {bug}")),
    ];
    options.into_iter().flatten().for_each(|option| replay.push_str(&option));
    eprintln!("violated: {}", violation.oracle());
    eprintln!("{violation}");
    eprintln!("seed {}, after {:.3} simulated seconds", report.seed, report.simulated as f64 / 1e6);
    eprintln!("replay: {replay}");
}

//! `xbench engine`: the matching engine alone, one thread, nothing around it.

mod e1;
mod e2;
mod e3;
mod memory;
mod peers;

use crate::output::{Format, Printer};
use clap::ValueEnum;

/// Arguments of `xbench engine`.
#[derive(clap::Args)]
pub struct Args {
    /// Which workloads; all if none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    workload: Vec<Workload>,
    /// Smaller and fewer runs: under a minute, and rougher.
    #[arg(long)]
    quick: bool,
    /// How often each measurement is repeated.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: Option<u32>,
    /// How results are printed.
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// The public order flow, three scenarios, against its published hashes.
    E1,
    /// Public engines on the same messages in the same run.
    E2,
    /// Single operations on books of many sizes.
    E3,
}

/// How much is run.
#[derive(Clone, Copy)]
struct Effort {
    quick: bool,
    repeats: usize,
}

/// Runs the benchmark.
///
/// # Errors
/// A result that is not what it must be, for our own engine.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let wanted = |workload| args.workload.is_empty() || args.workload.contains(&workload);
    let repeats = args.repeats.unwrap_or(if args.quick { 3 } else { 11 }) as usize;
    let effort = Effort { quick: args.quick, repeats };
    let mut steps = 0;
    if wanted(Workload::E1) {
        steps += e1::steps(effort);
    }
    if wanted(Workload::E2) {
        steps += e2::steps(effort);
    }
    if wanted(Workload::E3) {
        steps += e3::steps(effort);
    }
    let printer = Printer::new(args.output, steps);
    if wanted(Workload::E1) {
        e1::run(&printer, effort)?;
    }
    if wanted(Workload::E2) {
        e2::run(&printer, effort)?;
    }
    if wanted(Workload::E3) {
        e3::run(&printer, effort)?;
    }
    printer.finish();
    Ok(())
}

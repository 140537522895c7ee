//! Makes inputs for what comes from outside, until one breaks a promise.

#![allow(clippy::print_stdout, reason = "results are this program's output")]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use xbook_tests::clock::Stopwatch;
use xbook_tests::fuzz::{TARGETS, Target};

/// Makes up a peer's words, records, files and texts, and looks whether a promise breaks
#[derive(Parser, Debug)]
#[command(name = "cargo xfuzz", version)]
struct Args {
    /// What to try; all if none is named
    #[arg(value_parser = TARGETS.map(|target| target.name))]
    targets: Vec<String>,
    /// How many inputs for each
    #[arg(long, default_value_t = 1_000_000)]
    inputs: u64,
    /// The first one's seed; the others follow
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Stop each after so many seconds
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let named =
        |target: &&Target| args.targets.is_empty() || args.targets.iter().any(|name| name == target.name);
    let broken = TARGETS.iter().filter(named).find_map(|target| {
        let seed = try_out(target, &args).err()?;
        Some(format!("again: cargo xfuzz {} --from {seed} --inputs 1", target.name))
    });
    match broken {
        None => ExitCode::SUCCESS,
        Some(words) => {
            println!("A promise broke; {words}");
            ExitCode::FAILURE
        }
    }
}

/// Tries a target; the error is the seed of the input that breaks a promise.
fn try_out(target: &Target, args: &Args) -> Result<(), u64> {
    let style = ProgressStyle::with_template("{prefix:>12} {bar:30} {pos}/{len} {per_sec} {eta}");
    let bar = ProgressBar::new(args.inputs).with_prefix(target.name);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (begun, most) = (Stopwatch::start(), args.seconds.map(Duration::from_secs));
    let seeds = args.from..args.from.saturating_add(args.inputs);
    let tried = target.try_seeds(seeds, |tried| {
        bar.set_position(tried);
        most.is_none_or(|most| begun.elapsed() < most)
    });
    bar.finish_and_clear();
    println!("{}: {} inputs from seed {}, and every promise held", target.name, tried?, args.from);
    Ok(())
}

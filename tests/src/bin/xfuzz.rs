//! Makes inputs for what comes from outside, until one breaks a promise.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
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
    for target in TARGETS.iter().filter(named) {
        let style = ProgressStyle::with_template("{prefix:>12} {bar:30} {pos}/{len} {per_sec} {eta}");
        let bar = ProgressBar::new(args.inputs).with_prefix(target.name);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let until = args.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let seeds = args.from..args.from.saturating_add(args.inputs);
        let outcome = target.try_seeds(seeds, |tried| {
            bar.set_position(tried);
            until.is_none_or(|until| Instant::now() < until)
        });
        bar.finish_and_clear();
        match outcome {
            Ok(tried) => {
                println!("{}: {tried} inputs from seed {}, and every promise held", target.name, args.from)
            }
            Err(seed) => {
                let name = target.name;
                eprintln!(
                    "{name}: the input of seed {seed} breaks a promise; again: cargo xfuzz {name} --from {seed} --inputs 1"
                );
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

//! `xbench`: the benchmarks of xbook. Each subcommand is one of them.
#![allow(clippy::print_stdout, reason = "results are this program's output")]

mod disk;
mod engine;
mod output;
mod replay;
mod replicated;
mod unary;

use clap::{Parser, Subcommand};

/// Benchmarks of xbook. Run them on a quiet machine and with `--release`.
#[derive(Parser)]
#[command(name = "xbench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The matching engine alone: workloads E1 (public order flow), E2 (peers), E3 (grid of sizes).
    Engine(engine::Args),
    /// A whole node: workload E1 over one gRPC stream, against the published hashes.
    Replay(replay::Args),
    /// Three nodes and one: workloads R, beside bare calls and bare syncs.
    Replicated(replicated::Args),
    /// A whole node: one call at a time, beside bare calls and bare syncs.
    Unary(unary::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Engine(args) => engine::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Replicated(args) => replicated::run(&args),
        Command::Unary(args) => unary::run(&args),
    }
}

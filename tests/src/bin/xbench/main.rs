//! `xbench`: the benchmarks of xbook. Each subcommand is one of them.
#![allow(clippy::print_stdout, reason = "results are this program's output")]

mod apply;
mod disk;
mod engine;
mod grow;
mod output;
mod recover;
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
    /// A replica alone: what it costs to receive what another one wrote, as the document grows.
    Apply(apply::Args),
    /// Three nodes: workload E1 with many small documents; does the cost stay flat?
    Grow(grow::Args),
    /// Three nodes: how long until it goes on after a kill, and until a node has caught up.
    Recover(recover::Args),
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
        Command::Apply(args) => apply::run(&args),
        Command::Grow(args) => grow::run(&args),
        Command::Recover(args) => recover::run(&args),
        Command::Engine(args) => engine::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Replicated(args) => replicated::run(&args),
        Command::Unary(args) => unary::run(&args),
    }
}

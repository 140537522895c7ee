//! `xmodel`: explores the model of the lease further than the test run does.
//!
//! Exit code 0 if every property holds, 1 with the counterexample in words if one is broken.

use std::{process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};
use indicatif::{HumanCount, ProgressBar};
use xbook_tests::model::{Bounds, Disk, Explored, Protocol, Rule, Rules, Walk, mask, plant};

/// Explore the model of lease, fold, commit and seal.
#[derive(Debug, Parser)]
struct Options {
    /// The voters, as letters; with a change of generation: `ABC-ADE`.
    #[arg(long, default_value = "ABC")]
    voters: String,
    /// The highest term, of each generation if there are two. The start is term 1, held by A.
    #[arg(long, value_delimiter = ',', num_args = 1..=2, default_value = "3")]
    terms: Vec<u8>,
    /// Takers that want the one resting order.
    #[arg(long, default_value_t = 1)]
    takers: u8,
    /// Restarts in all.
    #[arg(long, default_value_t = 0)]
    restarts: u8,
    /// Nodes without a vote, besides the voters.
    #[arg(long, default_value_t = 0)]
    observers: u8,
    /// When a write becomes durable and may be sent.
    #[arg(long, value_enum, default_value = "eager")]
    disk: Disk,
    /// Who may be a candidate, for the terms from 2 on: `C,A,C`. Everyone by default.
    #[arg(long, value_delimiter = ',')]
    candidates: Vec<String>,
    /// Nodes that are dead from the start.
    #[arg(long, default_value = "")]
    dead: String,
    /// Leave this rule out; may be repeated.
    #[arg(long, value_enum)]
    plant: Vec<Rule>,
    /// Leave out each rule in turn, within the bounds that are known to show it (ignores the others).
    #[arg(long)]
    all_plants: bool,
    /// Stop after about so many states.
    #[arg(long)]
    most: Option<usize>,
    /// Walk at random from this seed, `--most` states in all (10 million by default).
    #[arg(long)]
    random: Option<u64>,
    /// Ask instead whether the book can go on from every state; these nodes may die together for good
    /// at any moment: `A,B,C` for one of three.
    #[arg(long, value_delimiter = ',', num_args = 0..)]
    recovery: Option<Vec<String>>,
    /// Threads; with more than one a counterexample need not be the shortest.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let plant = |rule: &Rule| Protocol { rules: Rules::ALL.without(*rule), bounds: plant::bounds(*rule) };
    if options.all_plants {
        let found = Rule::value_variants().iter().filter(|rule| {
            say(&format!("without {rule:?}"));
            let recovery = plant::needs_recovery(**rule);
            if recovery {
                recover(&plant(rule), &[])
            } else {
                explore(&plant(rule), Walk::All, options.threads)
            }
        });
        return if found.count() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let rules = options.plant.iter().fold(Rules::ALL, |rules, rule| rules.without(*rule));
    let protocol = Protocol { rules, bounds: bounds(&options) };
    let broken = match (&options.recovery, options.random, options.most) {
        (Some(deaths), ..) => recover(&protocol, &deaths.iter().map(|dead| mask(dead)).collect::<Vec<_>>()),
        (_, Some(seed), most) => {
            explore(&protocol, Walk::Random(seed, most.unwrap_or(10_000_000)), options.threads)
        }
        (_, _, Some(most)) => explore(&protocol, Walk::Some(most), options.threads),
        _ => explore(&protocol, Walk::All, options.threads),
    };
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn bounds(options: &Options) -> Bounds {
    let (first, second) = options.voters.split_once('-').unwrap_or((&options.voters, ""));
    let terms = (options.terms[0], *options.terms.last().unwrap_or(&options.terms[0]));
    let candidates: Vec<&str> = options.candidates.iter().map(String::as_str).collect();
    Bounds::new(terms.0, options.takers)
        .voters(first, second)
        .terms(terms.0, terms.1)
        .observers(options.observers)
        .restarts(options.restarts)
        .disk(options.disk)
        .candidates(&candidates)
        .dead(&options.dead)
}

fn explore(protocol: &Protocol, walk: Walk, threads: usize) -> bool {
    let bar = ProgressBar::new_spinner().with_message("exploring");
    let outcome = protocol.explore(walk, threads, |states| {
        bar.set_message(format!("{} states", HumanCount(states as u64)));
        bar.tick();
    });
    bar.finish_and_clear();
    report(&outcome, bar.elapsed());
    outcome.broken.is_some()
}

fn report(outcome: &Explored, elapsed: Duration) {
    let Explored { reached, states, depth, complete, broken, unseen } = outcome;
    let extent = if *complete { "all within the bounds" } else { "not all" };
    let counts = (HumanCount(*states as u64), HumanCount(*reached as u64));
    say(&format!("{} states ({extent}), reached {} times, depth {depth}, {elapsed:.1?}", counts.0, counts.1));
    if !unseen.is_empty() {
        say(&format!("never seen: {}", unseen.join(", ")));
    }
    say(&broken.as_ref().map_or("every property holds".to_owned(), ToString::to_string));
}

fn recover(protocol: &Protocol, deaths: &[u8]) -> bool {
    let bar = ProgressBar::new_spinner();
    let recovery = protocol.recovery(deaths);
    let (states, hopeful) = (HumanCount(recovery.states as u64), HumanCount(recovery.hopeful as u64));
    say(&format!("{states} states, {hopeful} of them with a term to spare, {:.1?}", bar.elapsed()));
    bar.finish_and_clear();
    say(&recovery.stuck.as_ref().map_or("the book can always go on".to_owned(), ToString::to_string));
    recovery.stuck.is_some()
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn say(line: &str) {
    println!("{line}");
}

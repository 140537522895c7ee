//! Each way in with made-up inputs for some seconds; `xfuzz` makes as many as one wants.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says what it tried, and may fail by a panic"
)]

use std::time::Duration;

use xbook_tests::clock::Stopwatch;
use xbook_tests::fuzz::{TARGETS, Target};

/// How long each target is tried at most.
const SPAN: Duration = Duration::from_secs(8);

/// From where the seeds are counted; `XBOOK_SEED` names another.
fn first_seed() -> u64 {
    std::env::var("XBOOK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

fn try_out(name: &str) {
    let target: &Target = TARGETS.iter().find(|target| target.name == name).unwrap();
    (target.samples)().iter().for_each(|sample| (target.take)(sample));
    let (begin, seeds) = (Stopwatch::start(), first_seed()..first_seed() + 20_000);
    match target.try_seeds(seeds, |_| begin.elapsed() < SPAN) {
        Ok(tried) => println!("{name}: {tried} inputs"),
        Err(seed) => {
            panic!("{name}: the input of seed {seed} breaks a promise; XBOOK_SEED={seed} tries it first")
        }
    }
}

#[test]
fn changes() {
    try_out("change");
}

#[test]
fn conversations() {
    try_out("conversation");
}

#[test]
fn geneses() {
    try_out("genesis");
}

#[test]
fn histories() {
    try_out("history");
}

#[test]
fn tapes() {
    try_out("tape");
}

#[test]
fn texts() {
    try_out("texts");
}

#[test]
fn each_target_is_tried() {
    let here = include_str!("fuzz.rs");
    for target in TARGETS {
        assert!(here.contains(&format!("try_out(\"{}\")", target.name)), "{}", target.name);
    }
}

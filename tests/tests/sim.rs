//! The simulator: seeds that must hold, and planted bugs that must be found.
//!
//! `xsim` runs more seeds, and says how to replay one that fails.

use xbook_tests::sim::{self, Bug, Options};

/// Runs seeds, each of which must hold.
fn hold(seeds: std::ops::Range<u64>) {
    let mut withdrawn = 0;
    for seed in seeds {
        let report = sim::run(seed, &Options::default());
        if let Some(violation) = report.violation {
            panic!("{violation}\nreplay: xsim --seeds 1 --from {seed}");
        }
        assert!(report.batches > 0, "seed {seed} committed nothing");
        withdrawn += report.withdrawn;
    }
    assert!(withdrawn > 0, "no order was withdrawn before its turn");
}

/// A planted bug must be found within so many seeds.
fn found(bug: Bug, within: u64) {
    let options = Options { bug: Some(bug), ..Options::default() };
    let violation = (0..within).find_map(|seed| sim::run(seed, &options).violation);
    assert!(violation.is_some(), "{bug} was not found within {within} seeds");
}

#[test]
fn the_first_hundred_seeds_hold() {
    hold(0..100);
}

#[test]
fn the_second_hundred_seeds_hold() {
    hold(100..200);
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let options = Options { log: true, chaos: 8_000_000, ..Options::default() };
    for seed in [1, 2, 3] {
        let (one, two) = (sim::run(seed, &options), sim::run(seed, &options));
        assert_eq!((one.trace, one.events, one.log), (two.trace, two.events, two.log));
    }
    assert_ne!(sim::run(1, &options).trace, sim::run(2, &options).trace);
}

#[test]
fn a_promise_below_what_was_applied_is_found() {
    found(Bug::PromiseBelow, 200);
}

#[test]
fn an_acknowledgement_without_a_label_is_found() {
    found(Bug::AckUnlabelled, 100);
}

#[test]
fn an_acknowledgement_of_what_is_not_synced_is_found() {
    found(Bug::AckUnsynced, 200);
}

#[test]
fn an_adopted_batch_committed_without_its_activation_is_found() {
    found(Bug::AdoptedAlone, 300);
}

#[test]
fn a_promise_forgotten_in_a_restart_is_found() {
    found(Bug::ForgottenPromise, 200);
}

#[test]
fn a_holder_that_is_a_node_is_found() {
    found(Bug::HolderByNode, 20);
}

#[test]
fn observers_that_count_is_found() {
    found(Bug::WrongVoters, 50);
}

#[test]
fn an_intent_consumed_out_of_order_is_found() {
    found(Bug::OutOfOrder, 5);
}

#[test]
fn changes_sent_before_they_are_synced_is_found() {
    found(Bug::FsyncSkipped, 20);
}

#[test]
fn a_commit_told_without_its_term_is_found() {
    found(Bug::CommitWithoutTerm, 200);
}

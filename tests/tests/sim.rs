//! The simulator: seeds that must hold, and planted bugs that must be found.
//!
//! `xsim` runs more seeds, and says how to replay one that fails.

use proptest::prelude::*;
use proptest::sample::Index;
use xbook::types::GenerationNumber;
use xbook_tests::sim::{self, Bug, Options};

/// Runs seeds, each of which must hold.
fn hold(seeds: std::ops::Range<u64>) {
    let (mut withdrawn, mut generations, mut snapshots, mut lost_disks, mut refused) = (0, 0, 0, 0, 0);
    let (mut upgraded, mut stopped, mut quarantines) = (0, 0, 0);
    for seed in seeds {
        let report = sim::run(seed, &Options::default());
        if let Some(violation) = report.violation {
            panic!(
                "{violation}\nreplay: cargo run --release -p xbook-tests --bin xsim -- --log --seeds 1 --from {seed}"
            );
        }
        assert!(report.batches > 0, "seed {seed} committed nothing");
        withdrawn += report.withdrawn;
        generations += report.generations;
        snapshots += report.snapshots;
        lost_disks += report.lost_disks;
        refused += report.copies.1;
        upgraded += u32::from(report.upgraded);
        stopped += report.stopped;
        quarantines += report.quarantines;
    }
    assert!(withdrawn > 0, "no order was withdrawn before its turn");
    assert!(
        upgraded > 10 && stopped > 0,
        "few formats change: {upgraded} seeds, {stopped} nodes that can't read"
    );
    let roughly = (generations, snapshots, lost_disks, refused, quarantines);
    let enough = generations > 500 && snapshots > 300 && lost_disks > 30 && refused > 20 && quarantines > 30;
    assert!(enough, "too little happens: {roughly:?}");
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

/// Some parts of what machines have, in some order: which, and how many percent of it.
fn parts() -> impl Strategy<Value = Vec<(Index, u64)>> {
    let percent = prop_oneof![2 => Just(100), 1 => 0_u64..100];
    proptest::collection::vec((any::<Index>(), percent), 1..7)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_is_merged_of_a_generation_folds_and_fills_nothing_twice(
        seed in 1_000_000_u64..,
        merges in proptest::collection::vec((any::<Index>(), parts()), 40),
    ) {
        let mut world = sim::begin(seed, &Options::default());
        prop_assert_eq!(world.run_until(8_000_000), Ok(()));
        let (machines, generations) = world.size();
        for (generation, parts) in merges {
            let generation = generation.index(usize::try_from(generations)?) as u64;
            let parts: Vec<_> = parts.iter().map(|(at, percent)| (at.index(machines), *percent)).collect();
            prop_assert_eq!(world.merge(GenerationNumber(generation), &parts), Ok(()), "seed {} {:?}", seed, parts);
        }
    }
}

#[test]
fn an_acknowledgement_counted_across_generations_is_found() {
    found(Bug::AckAcross, 60);
}

#[test]
fn a_generation_that_begins_on_an_uncommitted_seal_is_found() {
    found(Bug::SealUncommitted, 10);
}

#[test]
fn a_genesis_made_from_more_than_its_seals_past_is_found() {
    found(Bug::GenesisOfMore, 500);
}

#[test]
fn a_promise_below_what_was_applied_is_found() {
    found(Bug::PromiseBelow, 200);
}

#[test]
fn an_acknowledgement_without_a_label_is_found() {
    found(Bug::AckUnlabelled, 300);
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
    found(Bug::WrongVoters, 200);
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
fn an_order_matched_after_its_time_is_found() {
    found(Bug::LateOrder, 20);
}

#[test]
fn a_switch_that_a_new_holder_forgets_is_found() {
    found(Bug::ForgottenSwitch, 20);
}

#[test]
fn a_trade_of_an_account_with_itself_is_found() {
    found(Bug::SelfTrade, 20);
}

#[test]
fn stops_that_are_triggered_out_of_turn_are_found() {
    found(Bug::StopsOutOfTurn, 60);
}

#[test]
fn an_uncross_that_forgets_the_last_trade_is_found() {
    found(Bug::UncrossedLow, 60);
}

#[test]
fn a_restart_that_takes_back_what_was_shown_is_found() {
    found(Bug::TakenBack, 20);
}

#[test]
fn an_old_copy_that_goes_on_though_it_was_told_is_found() {
    found(Bug::ForgottenAck, 40);
}

#[test]
fn a_format_that_a_voter_only_says_it_can_read_is_found() {
    found(Bug::FormatsOverstated, 20);
}

#[test]
fn a_commit_told_without_its_term_is_found() {
    found(Bug::CommitWithoutTerm, 200);
}

//! The model of the lease: exhaustive within small bounds, and each planted bug found.
//!
//! `cargo run --release -p xbook-tests --bin xmodel -- --help` goes further.

use std::collections::{BTreeSet, HashSet};

use clap::ValueEnum;
use stateright::{Checker, Model};
use xbook_tests::model::{
    Bounds, Change, Disk, Explored, Kind, Protocol, Rule, Rules, Set, State, Walk, always, mask, plant,
    returning, sequence,
};

/// Explores the protocol with all its rules; every property holds and everything possible is seen.
fn holds(bounds: Bounds) -> Explored {
    let outcome = Protocol { rules: Rules::ALL, bounds }.explore(Walk::All, 1, |_| {});
    assert!(outcome.broken.is_none(), "{}", outcome.broken.expect("a trace"));
    assert_eq!(outcome.unseen, Vec::<&str>::new());
    assert!(outcome.complete);
    outcome
}

/// From every state within the bounds the book can go on, also if any of these sets of nodes dies.
fn recovers(bounds: Bounds, deaths: &[&str]) {
    let deaths: Vec<u8> = deaths.iter().map(|nodes| mask(nodes)).collect();
    let recovery = Protocol { rules: Rules::ALL, bounds }.recovery(&deaths);
    assert!(recovery.stuck.is_none(), "{}", recovery.stuck.expect("a trace"));
    assert!(recovery.hopeful > 0);
}

#[test]
fn three_voters_and_three_terms() {
    assert!(holds(Bounds::new(3, 1)).states > 100_000);
}

#[test]
fn two_takers_and_a_restart() {
    holds(Bounds::new(2, 2).restarts(1));
}

#[test]
fn unsynced_writes_are_lost() {
    holds(Bounds::new(2, 1).restarts(1).disk(Disk::Stored));
}

#[test]
fn batches_may_be_sent_before_they_are_durable() {
    holds(Bounds::new(2, 1).restarts(1).disk(Disk::Early).candidates(&["BC"]));
}

#[test]
fn four_terms_between_two_candidates() {
    holds(Bounds::new(4, 1).candidates(&["C", "A", "C"]));
}

#[test]
fn random_walks_with_four_terms() {
    let bounds = Bounds::new(4, 2).restarts(2).disk(Disk::Early);
    let outcome = Protocol { rules: Rules::ALL, bounds }.explore(Walk::Random(1, 200_000), 1, |_| {});
    assert!(outcome.broken.is_none(), "{}", outcome.broken.expect("a trace"));
}

#[test]
fn one_voter_is_replaced() {
    holds(Bounds::new(2, 1).voters("ABC", "ABD").terms(2, 2).candidates(&["CD"]));
}

#[test]
fn two_voters_are_replaced() {
    holds(Bounds::new(2, 1).voters("ABC", "ADE").terms(2, 2).candidates(&["BD"]));
}

#[test]
fn voters_change_while_nodes_restart() {
    holds(Bounds::new(1, 1).voters("ABC", "ABD").terms(1, 2).restarts(1).disk(Disk::Stored));
}

#[test]
fn one_and_two_voters() {
    for (before, after) in [("A", "AB"), ("AB", "A"), ("AB", "ABC")] {
        holds(Bounds::new(2, 1).voters(before, after).restarts(1));
    }
}

#[test]
fn the_book_goes_on_from_every_state() {
    recovers(Bounds::new(3, 1), &["A", "B", "C"]);
    recovers(Bounds::new(2, 1).restarts(1).disk(Disk::Stored), &["A", "B", "C"]);
    recovers(Bounds::new(2, 1).voters("ABC", "ABD").terms(1, 2), &["D"]);
    recovers(Bounds::new(2, 1).voters("ABC", "ADE").dead("DE"), &[]);
    recovers(Bounds::new(2, 1).voters("ABC", "ABC").candidates(&["C"]), &["A"]);
}

#[test]
fn each_planted_bug_is_found() {
    for rule in Rule::value_variants() {
        let protocol = Protocol { rules: Rules::ALL.without(*rule), bounds: plant::bounds(*rule) };
        let found = match plant::needs_recovery(*rule) {
            true => protocol.recovery(&[]).stuck,
            false => protocol.explore(Walk::All, 1, |_| {}).broken,
        };
        let trace = found.unwrap_or_else(|| panic!("nothing shows without {rule:?}"));
        println!("without {rule:?}: {trace}");
    }
}

/// The bounds of a plant are not what breaks.
#[test]
fn the_plants_hold_with_the_rule() {
    for rule in [Rule::PromiseByVoter, Rule::OwnVoters, Rule::HolderIsActor, Rule::SealAckLabel] {
        let protocol = Protocol { rules: Rules::ALL, bounds: plant::bounds(rule) };
        let outcome = protocol.explore(Walk::Some(300_000), 1, |_| {});
        assert!(outcome.broken.is_none(), "{rule:?}: {}", outcome.broken.expect("a trace"));
    }
    for rule in Rule::value_variants().iter().filter(|rule| plant::needs_recovery(**rule)) {
        recovers(plant::bounds(*rule), &[]);
    }
}

#[test]
fn a_trace_tells_the_story() {
    let protocol =
        Protocol { rules: Rules::ALL.without(Rule::AckLabelled), bounds: plant::bounds(Rule::AckLabelled) };
    let trace = protocol.explore(Walk::All, 1, |_| {}).broken.expect("a trace");
    assert_eq!(trace.property, always::KEPT);
    assert!(trace.steps.iter().any(|step| step.contains("this commits")), "{trace}");
}

/// What an outsider can tell: what is committed under which term, and the newest lease with its tape.
fn seen(state: &State) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for change in state.log.iter().filter(|change| change.committed != 0) {
        seen.push(format!("{change} committed under {}", change.committed));
    }
    let leases = state.log.iter().filter(|change| change.kind.is_head());
    if let Some(lease) = leases.max_by_key(|change| (change.generation, change.term)) {
        let names = |rows: Set| rows.rows().map(|row| state.log[row].to_string()).collect::<Vec<_>>();
        seen.push(format!("{lease} adopts {:?}", names(lease.adopts)));
        let own = |change: &&Change| {
            matches!(change.kind, Kind::Tape { .. })
                && (change.author, change.term) == (lease.author, lease.term)
        };
        seen.extend(state.log.iter().filter(own).map(ToString::to_string));
    }
    seen
}

fn all_seen(protocol: &Protocol) -> (usize, BTreeSet<Vec<String>>) {
    let mut waiting = protocol.init_states();
    let mut known: HashSet<State> = waiting.iter().cloned().collect();
    let mut sights = BTreeSet::new();
    while let Some(state) = waiting.pop() {
        sights.insert(seen(&state));
        let next = protocol.next_states(&state).into_iter().filter(|next| known.insert(next.clone()));
        waiting.extend(next);
    }
    (known.len(), sights)
}

/// With whole documents, passed on by everyone to everyone, the same can happen.
#[test]
fn pruning_hides_nothing() {
    let all = [
        Bounds::new(2, 1),
        Bounds::new(2, 2).voters("AB", "A").restarts(1),
        Bounds::new(2, 1).voters("AB", "").restarts(1).disk(Disk::Early),
    ];
    for bounds in all {
        let pruned = all_seen(&Protocol { rules: Rules::ALL, bounds: bounds.clone() });
        let whole = all_seen(&Protocol { rules: Rules::ALL, bounds: bounds.whole() });
        assert!(pruned.0 < whole.0);
        assert_eq!(pruned.1, whole.1);
    }
}

#[test]
fn intents_keep_their_order_and_their_numbers() {
    use sequence::{Rule, Sequence};
    let check = |without| Sequence { without, orders: 3, crashes: 2 }.checker().spawn_bfs().join();
    check(None).assert_properties();
    for (rule, broken) in [
        (Rule::ConsumeNext, "no accepted order vanishes"),
        (Rule::SentStored, "no accepted order vanishes"),
        (Rule::ToldStored, "no accepted order vanishes"),
        (Rule::OldNumber, "no order is consumed twice"),
    ] {
        assert!(check(Some(rule)).discovery(broken).is_some(), "nothing shows without {rule:?}");
    }
}

/// What a search of the model of returning voters breaks.
fn broken(without: &[returning::Rule], noticed: bool) -> Vec<&'static str> {
    let model = returning::Returning { without: without.to_vec(), batches: 3, restarts: 2, noticed };
    let checker = model.checker().spawn_bfs().join();
    assert!(checker.is_done());
    for name in returning::SOMETIMES.iter().filter(|_| without.is_empty()) {
        assert!(checker.discovery(name).is_some(), "never seen: {name}");
    }
    let always = [returning::always::REMEMBERED, returning::always::KEPT];
    always.into_iter().filter(|name| checker.discovery(name).is_some()).collect()
}

#[test]
fn an_old_copy_takes_back_no_commit_that_anyone_remembers() {
    use returning::{Rule, always};
    // What nobody remembers only the gate keeps: two of three disks are old then.
    assert_eq!(broken(&[], false), [always::KEPT]);
    assert_eq!(broken(&[], true), Vec::<&str>::new());
    assert_eq!(broken(&[Rule::Remembered], false), [always::REMEMBERED, always::KEPT]);
    assert_eq!(broken(&[Rule::JudgedFirst], false), [always::REMEMBERED, always::KEPT]);
    assert_eq!(broken(&[Rule::Gate], true), [always::KEPT]);
    assert_eq!(broken(&[Rule::GateCovers], true), [always::KEPT]);
    // With both, the gate alone is enough against acknowledgements that were forgotten.
    assert_eq!(broken(&[Rule::Remembered], true), Vec::<&str>::new());
}

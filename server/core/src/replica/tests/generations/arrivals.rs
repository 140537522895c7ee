//! A node that has just joined or started does not know what the others knew before it shows that.

use super::*;
use crate::types::GenerationNumber;

impl Group {
    fn position(&self, node: u64) -> Position {
        self.replica(node).view().position()
    }

    fn has_arrived(&self, node: u64) -> bool {
        self.replica(node).has_arrived()
    }

    /// Runs until a node has arrived, which is never before it shows a position.
    fn run_until_arrived(&mut self, node: u64, position: Position) {
        for _ in 0..5_000 {
            if self.has_arrived(node) {
                assert!(self.position(node) >= position, "{:?} of {position:?}", self.position(node));
                return;
            }
            self.run(1);
        }
        panic!("{node} never arrived");
    }
}

/// Voters that have traded through generations while an observer, 4, was away.
fn trading(roll_at: u64) -> Group {
    let mut group = Group::new(&[1, 2, 3], &[4], roll_at);
    group.run(400);
    group.stop(4);
    for round in 0..20 {
        let holder = group.holder().unwrap();
        group.submit(holder, rest(round * 20, 20));
        group.run(50);
    }
    group
}

#[test]
fn a_node_that_joins_has_arrived_when_it_shows_what_the_others_had() {
    for roll_at in [u64::MAX, 2_000] {
        let mut group = trading(roll_at);
        let generations = group.replica(1).generation();
        assert_eq!(generations > GenerationNumber(1), roll_at < u64::MAX, "{generations}");
        group.start(4);
        let had = group.position(1);
        assert!(had > group.position(4));
        group.run_until_arrived(4, had);
    }
}

#[test]
fn a_node_that_reaches_no_voter_has_not_arrived() {
    let mut group = trading(u64::MAX);
    group.start(4);
    group.leave(&[(1, 2), (2, 3), (1, 3)]);
    group.run(2_000);
    assert!(!group.has_arrived(4));
    let had = group.position(1);
    group.connect(id(3), id(4));
    group.run_until_arrived(4, had);
}

#[test]
fn a_node_that_hears_of_a_newer_generation_has_to_arrive_there() {
    let mut group = trading(u64::MAX);
    group.start(4);
    group.run(200);
    assert!(group.has_arrived(4));
    // Cut off, it can't know better; linked again, it hears at once that it is behind.
    group.leave(&[(1, 2), (2, 3), (1, 3)]);
    for voter in 1..=3 {
        group.members.get_mut(&id(voter)).unwrap().replica.as_mut().unwrap().roll_at = 1_000;
    }
    for round in 100..120 {
        let holder = group.holder().unwrap();
        group.submit(holder, rest(round * 20, 20));
        group.run(50);
    }
    assert!(group.replica(1).generation() > group.replica(4).generation());
    let had = group.position(1);
    group.connect(id(1), id(4));
    group.run(3);
    assert!(!group.has_arrived(4));
    group.run_until_arrived(4, had);
}

#[test]
fn a_single_voter_has_nobody_to_hear() {
    let mut group = Group::new(&[1], &[], u64::MAX);
    assert!(group.has_arrived(1));
    group.run(300);
    group.stop(1);
    group.start(1);
    assert!(group.has_arrived(1));
}

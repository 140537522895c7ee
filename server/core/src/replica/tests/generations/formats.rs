//! Formats: a newer one begins with a generation, when it was told to and all voters can read it.

use super::*;
use crate::format::Format;

const NEWER: Format = Format(2);

/// What a node with the newer program reads.
const BOTH: Formats = Formats { oldest: Format::FIRST, newest: NEWER };

/// A group of which these nodes have the newer program.
fn group(voters: &[u64], observers: &[u64], newer: &[u64]) -> Group {
    let mut group = Group::new(voters, observers, u64::MAX);
    newer.iter().for_each(|node| group.replace_program(*node, BOTH));
    group.run(1_000);
    group
}

impl Group {
    /// Starts a node again, with a program that reads these formats.
    fn replace_program(&mut self, node: u64, formats: Formats) {
        self.stop(node);
        self.formats.insert(id(node), formats);
        self.start(node);
    }

    fn tell(&mut self, node: u64, to: Format) {
        self.input(id(node), Input::Upgrade(to));
    }

    /// Generation and format of a node.
    fn stand(&self, node: u64) -> (u64, Format) {
        (self.replica(node).generation().0, self.replica(node).format())
    }

    /// Why a node went no further.
    fn refused(&self, node: u64) -> Option<String> {
        self.members[&id(node)].refused.as_ref().map(ToString::to_string)
    }
}

#[test]
fn a_newer_format_begins_when_its_holder_was_told_to_and_not_before() {
    let mut group = group(&[1, 2, 3], &[4], &[1, 2, 3, 4]);
    group.submit(1, rest(0, 5));
    group.run(500);
    assert_eq!(group.stand(1), (0, Format::FIRST), "nobody was told");
    let other = if group.holder() == Some(2) { 3 } else { 2 };
    group.tell(other, NEWER);
    group.run(50);
    group.assert_agreed();
    for node in 1..=4 {
        assert_eq!(group.stand(node), (1, NEWER));
    }
    group.submit(4, rest(5, 5));
    group.run(50);
    group.assert_agreed();
    assert_eq!(group.replica(4).view().machine.market().unwrap().book().len(), 10);
    // It is in it already, and no program has an older one to go back to.
    for to in [NEWER, Format::FIRST, Format(0)] {
        group.tell(other, to);
        group.run(50);
        assert_eq!(group.stand(1), (1, NEWER));
    }
}

#[test]
fn the_next_generation_has_the_format_of_the_one_before() {
    let mut group = group(&[1, 2, 3], &[4], &[1, 2, 3, 4]);
    group.tell(1, NEWER);
    group.run(50);
    let add = Action::ChangeVoters(VoterChange::Add(id(4)));
    group.submit(1, vec![request("add", add)]);
    group.run(50);
    assert_eq!(group.stand(4), (2, NEWER));
}

#[test]
fn a_voter_that_can_not_read_it_is_waited_for() {
    let mut group = group(&[1, 2, 3], &[], &[1, 2]);
    let holder = group.holder().unwrap();
    group.tell(holder, NEWER);
    group.run(50);
    assert_eq!(group.stand(1), (0, Format::FIRST));
    let unready = Unready { voter: id(3), reads: Some(Formats::KNOWN) };
    assert_eq!(group.replica(holder).unready(NEWER), Some(unready));
    group.replace_program(3, BOTH);
    group.run(1_000);
    let holder = group.holder().unwrap();
    assert_eq!(group.replica(holder).unready(NEWER), None);
    group.tell(holder, NEWER);
    group.run(50);
    assert_eq!(group.stand(3), (1, NEWER));
}

#[test]
fn a_voter_that_is_not_there_is_not_taken_at_an_earlier_word() {
    let mut group = group(&[1, 2, 3], &[], &[1, 2, 3]);
    let gone = group.holder().map_or(1, |holder| holder % 3 + 1);
    let holder = group.holder().unwrap();
    group.stop(gone);
    group.tell(holder, NEWER);
    group.run(50);
    assert_eq!(group.stand(holder), (0, Format::FIRST));
    assert_eq!(group.replica(holder).unready(NEWER), Some(Unready { voter: id(gone), reads: None }));
    // It comes back with the older program.
    group.replace_program(gone, Formats::KNOWN);
    group.tell(holder, NEWER);
    group.run(50);
    assert_eq!(group.stand(holder), (0, Format::FIRST));
}

#[test]
fn a_new_voter_must_be_able_to_read_it_too() {
    let mut group = group(&[1, 2, 3], &[4], &[1, 2, 3]);
    let holder = group.holder().unwrap();
    // It is told to once the change is consumed, and before the Seal is written.
    group.submit(holder, vec![request("add", Action::ChangeVoters(VoterChange::Add(id(4))))]);
    group.tell(holder, NEWER);
    group.run(50);
    assert_eq!(group.stand(4), (1, Format::FIRST), "the old format, with the new voter");
    group.replace_program(4, BOTH);
    group.run(50);
    group.tell(holder, NEWER);
    group.run(50);
    assert_eq!(group.stand(4), (2, NEWER));
}

#[test]
fn a_wish_is_forgotten_when_nobody_waits_for_it_any_more() {
    let mut group = group(&[1, 2, 3], &[], &[1, 2]);
    let holder = group.holder().unwrap();
    group.tell(holder, NEWER);
    group.run(20_000);
    group.replace_program(3, BOTH);
    group.run(1_000);
    assert!((1..=3).all(|node| group.stand(node) == (0, Format::FIRST)));
}

#[test]
fn an_observer_that_can_not_read_it_says_so_and_goes_on_with_a_newer_program() {
    let mut group = group(&[1, 2, 3], &[4], &[1, 2, 3]);
    group.submit(4, rest(0, 5));
    group.run(100);
    group.tell(1, NEWER);
    group.run(100);
    let words = "generation 1 of BTC/USDT has format 2, and this node reads format 1";
    assert_eq!(group.refused(4).as_deref(), Some(words));
    let position = group.replica(1).view().position();
    assert!(group.members[&id(4)].blocks.iter().all(|block| block.last <= position));
    group.submit(1, rest(100, 5));
    group.run(50);
    // With its old program it comes no further, whether it has the Seal or is only told of the genesis.
    group.start(4);
    group.run(1_000);
    assert_eq!(group.refused(4).as_deref(), Some(words));
    group.replace_program(4, BOTH);
    group.run(1_000);
    group.assert_agreed();
    assert_eq!(group.stand(4), (1, NEWER));
}

#[test]
fn who_was_away_does_not_guess_at_a_genesis_that_it_can_not_read() {
    let mut group = group(&[1, 2, 3], &[4], &[1, 2, 3]);
    group.stop(4);
    group.tell(1, NEWER);
    group.run(50);
    assert_eq!(group.stand(1), (1, NEWER));
    group.start(4);
    group.run(1_000);
    assert!(group.members[&id(4)].replica.is_none());
    assert!(group.refused(4).unwrap().contains("has format 2"), "{:?}", group.refused(4));
    assert_eq!(group.members[&id(4)].rolls, 0);
}

#[test]
fn what_is_on_the_disk_is_not_guessed_at_by_an_older_program() {
    let mut group = group(&[1, 2, 3], &[], &[1, 2, 3]);
    group.tell(1, NEWER);
    group.run(50);
    let Disk { genesis, changes, remembered } = group.members[&id(2)].disk.clone();
    let actor = Actor::new(Micros(group.now), id(2), 99);
    let opened = Replica::open(genesis, actor, Settings::default(), changes, remembered);
    let refused = opened.expect_err("another format");
    assert!(matches!(refused, ReplicaError::Genesis(GenesisError::Format { .. })), "{refused}");
}

#[test]
fn who_holds_the_lease_in_the_old_format_holds_it_in_the_new_one() {
    let mut group = group(&[1, 2, 3], &[], &[1, 2, 3]);
    let (holder, term) = (group.holder(), group.replica(1).status().term);
    group.tell(1, NEWER);
    group.run(50);
    assert_eq!((group.holder(), group.replica(1).status().term), (holder, term));
}

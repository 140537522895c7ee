//! Old copies of a disk: refused by name if anyone can tell, held back until enough others were heard.

use super::super::super::message::{Ack, HeardAck, Message};
use super::*;
use crate::types::{GenerationNumber, Term};

/// Voters, trading, with a holder; the copy is of a voter that only acknowledges from then on.
fn trading(voters: &[u64], roll_at: u64) -> (Group, u64, Vec<u64>) {
    let mut group = Group::new(voters, &[], roll_at);
    group.run(400);
    let holder = group.holder().unwrap();
    group.submit(holder, rest(0, 5));
    group.run(50);
    let others = voters.iter().copied().filter(|voter| *voter != holder).collect();
    (group, holder, others)
}

impl Group {
    /// Takes down a node and puts a copy of its disk back; `known` if its node sees that it is a copy.
    fn restore(&mut self, node: u64, copy: &Disk, known: bool) {
        self.stop(node);
        let member = self.members.get_mut(&id(node)).unwrap();
        (member.disk, member.restored) = (copy.clone(), known);
        member.blocks.clear();
    }

    fn disk(&self, node: u64) -> Disk {
        self.members[&id(node)].disk.clone()
    }

    fn is_outdated(&self, node: u64) -> bool {
        matches!(self.members[&id(node)].refused, Some(ReplicaError::Outdated { .. }))
    }

    /// Cuts the links of a node to all but these.
    fn only(&mut self, node: u64, with: &[u64]) {
        self.links.retain(|(a, b)| {
            let other = if *a == id(node) { b } else { a };
            ![*a, *b].contains(&id(node)) || with.contains(&other.0)
        });
    }
}

#[test]
fn a_copy_that_has_only_acknowledged_is_refused_by_whoever_heard_it() {
    let (mut group, holder, others) = trading(&[1, 2, 3], u64::MAX);
    let copy = group.disk(others[0]);
    group.submit(holder, rest(100, 5));
    group.run(50);
    group.assert_agreed();
    // Nothing of its own is missing: it only acknowledged.
    assert!(copy.changes.len() < group.disk(others[0]).changes.len());
    let committed = group.replica(holder).view().position();
    group.restore(others[0], &copy, false);
    group.stop(holder);
    group.start(others[0]);
    group.run(1_000);
    assert!(group.is_outdated(others[0]), "{:?}", group.members[&id(others[0])].refused);
    let last = group.replica(others[1]);
    assert_eq!((last.view().position(), last.may_match(Micros(group.now))), (committed, false));
}

#[test]
fn what_was_heard_is_remembered_after_a_restart() {
    let (mut group, holder, others) = trading(&[1, 2, 3], u64::MAX);
    let copy = group.disk(others[0]);
    group.submit(holder, rest(100, 5));
    group.run(50);
    // Stored with what is written next.
    group.submit(others[1], rest(200, 1));
    group.run(50);
    group.stop(holder);
    group.restore(others[0], &copy, false);
    group.stop(others[1]);
    group.start(others[1]);
    group.start(others[0]);
    group.run(1_000);
    assert!(group.is_outdated(others[0]));
}

#[test]
fn a_copy_of_an_earlier_generation_is_refused() {
    let (mut group, holder, others) = trading(&[1, 2, 3], 2_000);
    let copy = group.disk(others[0]);
    while group.replica(holder).generation() < copy.genesis.generation().next().next() {
        group.submit(holder, rest(group.now, 5));
        group.run(20);
    }
    group.submit(holder, rest(group.now, 5));
    group.run(50);
    group.restore(others[0], &copy, false);
    group.stop(holder);
    group.start(others[0]);
    group.run(1_000);
    assert!(group.is_outdated(others[0]), "{:?}", group.members[&id(others[0])].refused);
}

#[test]
fn restarts_and_generations_accuse_nobody() {
    let (mut group, ..) = trading(&[1, 2, 3], 2_000);
    for round in 1..40 {
        group.submit(1 + round % 3, rest(round * 100, 7));
        group.run(round % 7);
        let node = 1 + round / 2 % 3;
        group.stop(node);
        group.start(node);
        group.run(round * 13 % 200);
    }
    group.run(1_000);
    group.assert_agreed();
    assert!(group.members.values().all(|member| member.refused.is_none()));
}

#[test]
fn a_made_up_acknowledgement_stops_nobody() {
    let (mut group, holder, others) = trading(&[1, 2, 3], u64::MAX);
    let told = others[0];
    let genesis = group.replica(told).genesis().digest();
    let real = group.replica(told).own_ack();
    let made_up = [
        (0, Ack { label: Term(u64::MAX), ..real.clone() }),
        (7, real.clone()),
        (u64::MAX, Ack { mark: None, ..real.clone() }),
        (0, Ack { vector: [(Actor::new(Micros(1), id(told), 1), u64::MAX)].into(), ..real }),
    ];
    for (generation, ack) in made_up {
        let heard = Some(HeardAck { generation: GenerationNumber(generation), ack: ack.clone() });
        let message = Message::Hello { genesis, ack, heard, answer: true, formats: Formats::KNOWN };
        // Of another generation, since what it says of its own disk is another matter.
        let envelope = Envelope { generation: GenerationNumber(9), message };
        group.input(id(told), Input::Message { from: id(others[1]), envelope });
    }
    group.run(1);
    assert!(group.members[&id(told)].refused.is_none());
    group.stop(others[1]);
    group.submit(holder, rest(100, 5));
    group.run(100);
    assert_eq!(group.replica(holder).status().pending, 0, "it goes on acknowledging");
}

#[test]
fn a_restored_directory_votes_once_it_has_what_a_majority_of_the_others_had() {
    for (voters, enough) in [(&[1, 2][..], 1), (&[1, 2, 3], 2), (&[1, 2, 3, 4, 5], 3)] {
        let (mut group, holder, others) = trading(voters, u64::MAX);
        let moved = others[0];
        // A copy that lacks nothing: the directory was moved.
        let copy = group.disk(moved);
        group.restore(moved, &copy, true);
        let mut reached: Vec<u64> = others[1..].to_vec();
        reached.push(holder);
        group.start(moved);
        group.only(moved, &reached[..enough - 1]);
        group.run(50);
        assert!(!group.replica(moved).may_vote(), "{voters:?}");
        group.submit(moved, rest(300, 1));
        group.run(50);
        assert_eq!(group.replica(moved).pending().count(), 0, "nothing is accepted before");
        group.connect(id(moved), id(reached[enough - 1]));
        group.run(50);
        assert!(group.replica(moved).may_vote(), "{voters:?}");
        for other in reached {
            group.connect(id(moved), id(other));
        }
        group.run(1_000);
        group.assert_agreed();
        let book = group.replica(moved).view().machine.market().unwrap().book().len();
        assert_eq!(book, 6, "what was asked for meanwhile is done then");
    }
}

#[test]
fn a_held_back_voter_makes_no_majority() {
    // Who heard it is gone: only the gate helps.
    let (mut group, holder, others) = trading(&[1, 2, 3], u64::MAX);
    let (copied, slow) = (others[0], others[1]);
    let copy = group.disk(copied);
    group.only(slow, &[]);
    group.submit(holder, rest(100, 5));
    group.run(50);
    let committed = group.replica(holder).view().position();
    group.stop(holder);
    group.restore(copied, &copy, true);
    group.start(copied);
    group.connect(id(copied), id(slow));
    group.run(2_000);
    assert!(!group.replica(copied).may_vote());
    assert_eq!(group.holder(), None, "two old disks are no majority");
    assert!(group.replica(slow).view().position() < committed);
    group.start(holder);
    group.run(2_000);
    // The holder had not stored what it heard, but it has what it committed.
    group.assert_agreed();
    assert!(group.replica(copied).may_vote());
    assert!(group.replica(slow).view().position() >= committed);
}

#[test]
fn a_single_voter_has_nobody_to_ask() {
    let mut group = Group::new(&[1], &[], u64::MAX);
    group.run(50);
    let copy = group.disk(1);
    group.restore(1, &copy, true);
    group.start(1);
    group.submit(1, rest(0, 5));
    group.run(50);
    assert!(group.replica(1).may_vote());
    assert_eq!(group.replica(1).status().pending, 0);
}

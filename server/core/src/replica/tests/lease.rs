//! How a lease is kept and lost, and what it takes into the next generation.

use super::super::generation::Generation;
use super::super::lease::{Holder, Lease, Role};
use super::super::matching::Holding;
use super::super::message::{Echo, Message};
use super::super::tape::Tape;
use super::alone::{Alone, LEASE, said};
use super::*;
use crate::document::LeaseId;
use crate::format::Format;
use crate::types::Term;

const NOW: Micros = Micros(5_000_000);
const ME: NodeId = NodeId(1);

fn me() -> Actor {
    Actor::new(Micros(1), ME, 1)
}

fn tape(voters: &[u64]) -> Tape {
    Tape::new(voters.iter().copied().map(NodeId).collect(), Some(LeaseId { term: Term(3), holder: me() }))
}

fn holder() -> Lease {
    let mut lease = Lease::new(Micros(LEASE), NOW, 7, Term(3));
    let view = genesis().state(Caps::default()).unwrap();
    lease.hold(NOW, Holder::new(Holding::new(Term(3), view, 0, ME), NOW));
    lease
}

fn echo(label: u64, sent: u64, clock: u64) -> Echo {
    Echo { label: Term(label), sent: Micros(sent), clock: Micros(clock) }
}

#[test]
fn a_lease_is_renewed_by_a_majority_for_as_long_as_its_heartbeats_are_fresh() {
    let (mut lease, tape) = (holder(), tape(&[1, 2, 3, 4, 5]));
    assert!(!lease.is_renewed(NOW, ME, &tape));
    lease.hear_echo(NOW, NodeId(2), echo(3, NOW.0 - 10, NOW.0));
    assert!(!lease.is_renewed(NOW, ME, &tape));
    lease.hear_echo(NOW, NodeId(3), echo(0, NOW.0 - 30, NOW.0));
    assert!(lease.is_renewed(NOW, ME, &tape));
    // It lasts from when the older of the two heartbeats was sent.
    let last = NOW.0 - 30 + LEASE;
    assert_eq!(lease.held_until(ME, ME, &tape), Some(Micros(last)));
    assert!(lease.is_renewed(Micros(last - 1), ME, &tape));
    assert!(!lease.is_renewed(Micros(last), ME, &tape));
}

#[test]
fn observers_and_voters_of_a_later_term_renew_nothing() {
    let (mut lease, tape) = (holder(), tape(&[1, 2, 3]));
    lease.hear_echo(NOW, NodeId(9), echo(3, NOW.0, NOW.0));
    lease.hear_echo(NOW, NodeId(2), echo(4, NOW.0, NOW.0));
    assert!(!lease.is_renewed(NOW, ME, &tape));
    // An echo of a heartbeat that is yet to be sent counts as one of now.
    lease.hear_echo(NOW, NodeId(2), echo(3, u64::MAX, NOW.0));
    assert!(lease.is_renewed(Micros(NOW.0 + LEASE - 1), ME, &tape));
    assert!(!lease.is_renewed(Micros(NOW.0 + LEASE), ME, &tape));
}

#[test]
fn one_wrong_clock_of_three_moves_no_tape_time() {
    let (mut lease, tape) = (holder(), tape(&[1, 2, 3]));
    assert_eq!(lease.majority_clock(NOW, ME, &tape), None);
    lease.hear_echo(NOW, NodeId(2), echo(3, NOW.0, u64::MAX));
    lease.hear_echo(NOW, NodeId(3), echo(3, NOW.0, NOW.0 - 40));
    assert_eq!(lease.tape_clock(NOW, ME, &tape), NOW);
    assert_eq!(lease.majority_clock(NOW, ME, &tape), Some(NOW));
    // Of two the earlier one.
    assert_eq!(lease.tape_clock(NOW, ME, &self::tape(&[1, 3])), Micros(NOW.0 - 40));
}

#[test]
fn a_heartbeat_of_an_older_term_than_is_known_is_believed_by_nobody() {
    let mut lease = Lease::new(Micros(LEASE), Micros(0), 7, Term(3));
    let silent = Micros(NOW.0 + LEASE);
    lease.hear_heartbeat(NOW, NodeId(2), Term(2), Term(0));
    assert_eq!(lease.believes(NOW), None);
    lease.hear_heartbeat(NOW, NodeId(2), Term(4), Term(5));
    assert_eq!(lease.believes(NOW), None);
    lease.hear_heartbeat(NOW, NodeId(2), Term(3), Term(3));
    assert_eq!(lease.believes(Micros(silent.0 - 1)), Some(NodeId(2)));
    assert_eq!(lease.believes(silent), None);
    // It stands for the lease itself only after that.
    assert!(lease.timer >= silent);
}

#[test]
fn a_holder_whom_nobody_answers_says_so_for_two_leases_and_then_leaves_it() {
    let mut one = Alone::new(1);
    one.meets(2);
    one.meets(3);
    let view = one.replica.view.clone();
    let Generation { lease, .. } = &mut one.replica.current;
    lease.hold(Micros(one.now), Holder::new(Holding::new(Term(3), view, 0, ME), Micros(one.now)));
    let began = one.now;
    let mut beats = 0;
    while one.replica.holds_lease() {
        let did = one.step(Input::Wake);
        if one.replica.holds_lease() {
            let beat = Message::Heartbeat { term: Term(3), sent: Micros(one.now), majority: None };
            assert_eq!(did.effects, [2, 3].map(|to| said(&one.replica, to, beat.clone())));
            assert_eq!(did.wakes_at, Some(Micros(one.now + LEASE / 5)));
            beats += 1;
        } else {
            assert_eq!(did.effects, []);
        }
        one.now = did.wakes_at.unwrap().0;
    }
    assert_eq!(beats, 10);
    assert!(one.now >= began + 2 * LEASE);
    assert!(matches!(one.replica.current.lease.role, Role::Follower));
}

#[test]
fn the_same_process_goes_on_with_its_lease_in_the_next_generation_and_no_other_does() {
    let before = genesis().state(Caps::default()).unwrap();
    let next = |holder: Actor, voters: &[u64]| {
        let voters: Vec<NodeId> = voters.iter().copied().map(NodeId).collect();
        genesis().after(
            (&before, before.to_parts()),
            Format::FIRST,
            &voters,
            LeaseId { term: Term(3), holder },
        )
    };
    let follow = |former: &mut Lease, genesis: &Genesis| {
        let view = genesis.state(Caps::default()).unwrap();
        Lease::following(former, NOW, genesis, me(), &view)
    };
    let mut former = holder();
    former.hear_echo(NOW, NodeId(2), echo(3, NOW.0, NOW.0));
    let lease = follow(&mut former, &next(me(), &[1, 2, 3]));
    assert_eq!(lease.active_term(), Some(Term(3)));
    assert!(lease.is_renewed(NOW, ME, &tape(&[1, 2, 3])), "the echoes still count");
    assert_eq!((lease.promised, lease.timer, lease.believes(NOW)), (Term(3), NOW, None));
    assert!(matches!(former.role, Role::Follower), "its role went on");

    // One that had lost it meanwhile, one that does not vote any more, and another process' lease.
    let other = Actor::new(Micros(2), NodeId(2), 1);
    let lost = || Lease::new(Micros(LEASE), NOW, 7, Term(3));
    for (mut former, genesis, believed) in [
        (lost(), next(me(), &[1, 2, 3]), Some(ME)),
        (holder(), next(me(), &[2, 3]), None),
        (holder(), next(other, &[1, 2, 3]), Some(NodeId(2))),
    ] {
        let lease = follow(&mut former, &genesis);
        assert!(matches!(lease.role, Role::Follower));
        assert_eq!((lease.promised, lease.believes(NOW)), (Term(3), believed));
        assert_eq!(lease.timer >= NOW.plus(Micros(LEASE)), believed.is_some());
    }
}

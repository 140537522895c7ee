//! Who is promised a lease, when, and what comes of it.

use super::super::lease::Role;
use super::super::message::{Ballot, Candidacy, Message};
use super::alone::{Alone, Did, said, stores};
use super::*;
use crate::types::{GenerationNumber, Term};

fn candidacy(of: &Alone, term: u64, trial: bool) -> Message {
    Message::Candidate(Candidacy { term: Term(term), actor: of.actor(), trial, handed_over_by: None })
}

fn ballot(term: u64, trial: bool, granted: bool, label: u64) -> Message {
    Message::Ballot(Ballot { term: Term(term), trial, granted, label: Term(label) })
}

/// A voter that is connected with both others and believes in nobody: nobody can have promised anything.
fn free_voter(node: u64) -> Alone {
    let mut voter = Alone::new(node);
    for peer in (1..=3).filter(|peer| *peer != node) {
        voter.meets(peer);
    }
    // Its own time to stand comes later.
    assert!(voter.replica.current.lease.timer > Micros(voter.now));
    voter
}

#[test]
fn a_trial_is_answered_and_binds_nobody() {
    let (mut voter, other) = (free_voter(1), Alone::new(2));
    let timer = voter.replica.current.lease.timer;
    for _ in 0..2 {
        let did = voter.hears(2, candidacy(&other, 1, true));
        assert_eq!(did.effects, [said(&voter.replica, 2, ballot(1, true, true, 0))]);
        assert_eq!(did.wakes_at, Some(timer));
    }
    assert_eq!(voter.replica.current.lease.promised, Term(0));
}

#[test]
fn a_term_is_promised_once_and_no_lower_one_after_it() {
    let mut voter = free_voter(1);
    let (two, three) = (Alone::new(2), Alone::new(3));
    let did = voter.hears(2, candidacy(&two, 4, false));
    let [Effect::Store { generation: GenerationNumber(0), index: 0, .. }, answer] = did.effects.as_slice()
    else {
        panic!("{did:?}");
    };
    assert_eq!(*answer, said(&voter.replica, 2, ballot(4, false, true, 4)));
    assert_eq!(voter.replica.current.lease.promised, Term(4));
    assert_eq!(voter.replica.current.tape.promised_to(Term(4), two.actor()), [NodeId(1)]);
    for term in [3, 4] {
        let did = voter.hears(3, candidacy(&three, term, false));
        assert_eq!(did.effects, [said(&voter.replica, 3, ballot(term, false, false, 4))], "term {term}");
    }
    assert_eq!(voter.replica.current.lease.promised, Term(4));
}

#[test]
fn a_term_out_of_reach_an_observer_and_a_stranger_get_no_promise() {
    let (mut voter, two) = (free_voter(1), Alone::new(2));
    let far = (1 << 20) + 1;
    let did = voter.hears(2, candidacy(&two, far, false));
    assert_eq!(did.effects, [said(&voter.replica, 2, ballot(far, false, false, 0))]);
    let did = voter.hears(2, candidacy(&two, far - 1, true));
    assert_eq!(did.effects, [said(&voter.replica, 2, ballot(far - 1, true, true, 0))]);
    // In another's name.
    let did = voter.hears(3, candidacy(&two, 1, false));
    assert_eq!(did.effects, [said(&voter.replica, 3, ballot(1, false, false, 0))]);
    let observer = Alone::new(4);
    voter.meets(4);
    let did = voter.hears(4, candidacy(&observer, 1, false));
    assert_eq!(did.effects, [said(&voter.replica, 4, ballot(1, false, false, 0))]);
    assert_eq!(voter.replica.current.lease.promised, Term(0));
}

#[test]
fn a_candidate_asks_once_its_own_promise_is_on_its_disk() {
    let mut one = free_voter(1);
    one.now = one.replica.current.lease.timer.0;
    let did = one.step(Input::Wake);
    let asks = |replica: &Replica, to, trial| {
        let actor = replica.current.document.me();
        said(replica, to, Message::Candidate(Candidacy { term: Term(1), actor, trial, handed_over_by: None }))
    };
    assert_eq!(did.effects, [asks(&one.replica, 2, true), asks(&one.replica, 3, true)]);
    // One would, which is a majority with itself.
    let did = one.hears(3, ballot(1, true, true, 0));
    let [Effect::Store { generation: GenerationNumber(0), index: 0, .. }] = did.effects.as_slice() else {
        panic!("{did:?}");
    };
    assert!(matches!(one.replica.current.lease.role, Role::Candidate { term: Term(1), asked: false, .. }));
    let did = one.sync();
    assert_eq!(did.effects[0], Effect::Accepted { through: 0 });
    assert_eq!(did.effects[1..3], [asks(&one.replica, 2, false), asks(&one.replica, 3, false)]);
    assert!(matches!(one.replica.current.lease.role, Role::Candidate { term: Term(1), asked: true, .. }));
    // It does not ask again.
    let did = one.step(Input::Wake);
    assert_eq!(did.effects, []);
}

#[test]
fn a_trial_that_no_majority_would_promise_changes_nothing() {
    let mut one = free_voter(1);
    one.now = one.replica.current.lease.timer.0;
    one.step(Input::Wake);
    for (from, said) in [
        (2, ballot(1, true, false, 0)),
        (2, ballot(2, true, true, 0)),
        (3, ballot(1, false, true, 0)),
        (1, ballot(1, true, true, 0)),
    ] {
        let Did { effects, .. } = one.hears(from, said);
        assert_eq!(effects, []);
        assert!(matches!(one.replica.current.lease.role, Role::Trial { term: Term(1), .. }));
    }
    assert_eq!(one.replica.current.lease.promised, Term(0));
}

#[test]
fn a_majority_of_promises_in_the_document_is_a_lease() {
    let (mut one, mut two) = (free_voter(1), free_voter(2));
    one.now = one.replica.current.lease.timer.0;
    one.step(Input::Wake);
    one.hears(2, ballot(1, true, true, 0));
    one.sync();
    let promise = stores(&two.hears(1, candidacy(&one, 1, false)));
    assert_eq!(promise.len(), 1);
    // A ballot is no promise: that comes as a change.
    one.hears(2, ballot(1, false, true, 1));
    assert!(!one.replica.holds_lease());
    let did = one.hears(2, Message::Changes(promise));
    assert!(one.replica.holds_lease());
    // The promise that came, and the activation.
    assert_eq!(stores(&did).len(), 2);
    let status = one.replica.lease_status();
    assert_eq!(
        (status.term, status.holder, status.is_held(Micros(one.now))),
        (Term(1), Some(NodeId(1)), false)
    );
    assert_eq!(status.promised_by, [NodeId(1), NodeId(2)]);
    // Nothing is matched before a majority has answered a heartbeat.
    assert!(!one.replica.may_match(Micros(one.now)));
}

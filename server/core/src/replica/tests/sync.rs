//! Who is sent which changes, and what becomes of those that come early or twice.

use bytes::Bytes;

use super::super::message::{Ack, Message};
use super::super::peers::RELAY_AFTER;
use super::alone::{Alone, said, stores};
use super::*;

/// The changes of a node that has written so many, one order each.
fn changes(node: u64, count: usize) -> Vec<Bytes> {
    let mut author = Alone::new(node);
    let mut written = Vec::new();
    for number in 0..count {
        let requests = vec![limit(&format!("{node}-{number}"), Side::Buy, 1, 10)];
        written.extend(stores(&author.step(Input::Submit(requests))));
        author.sync();
    }
    written
}

fn ack(of: &Alone) -> Ack {
    of.replica.own_ack()
}

#[test]
fn an_own_change_is_sent_once_it_is_on_the_disk_and_only_once() {
    let mut one = Alone::new(1);
    one.meets(2);
    one.meets(3);
    let did = one.step(Input::Submit(vec![limit("a", Side::Buy, 1, 10)]));
    let written = stores(&did);
    assert_eq!(did.effects.len(), 1, "nobody hears of it before");
    let did = one.sync();
    let sent = |to| said(&one.replica, to, Message::Changes(written.clone()));
    let told = Message::Ack(ack(&one));
    // Nobody holds the lease, so each peer may be who waits for the acknowledgement.
    let expected =
        [Effect::Accepted { through: 1 }, said(&one.replica, 2, told.clone()), said(&one.replica, 3, told)];
    assert_eq!(did.effects[..3], expected);
    assert_eq!(did.effects[3..], [sent(2), sent(3)]);
    assert_eq!(one.step(Input::Wake).effects, []);
}

#[test]
fn a_third_nodes_change_is_passed_on_to_whoever_lacks_it_after_a_while() {
    let mut one = Alone::new(1);
    one.meets(2);
    one.meets(3);
    // It does not try for the lease meanwhile.
    one.replica.current.lease.timer = Micros(one.now + 2 * RELAY_AFTER.0);
    let theirs = changes(2, 1);
    let did = one.hears(2, Message::Changes(theirs.clone()));
    assert_eq!(stores(&did), theirs);
    assert_eq!(did.effects.len(), 1);
    let arrived = one.now;
    let said_ack = one.sync().effects;
    assert!(said_ack.iter().all(|effect| matches!(
        effect,
        Effect::Send { envelope: Envelope { message: Message::Ack(_), .. }, .. }
    )));
    // Its author has it, as it says; the third node says nothing.
    one.hears(2, Message::Ack(ack(&one)));
    one.now = arrived + RELAY_AFTER.0 - 1;
    assert_eq!(one.step(Input::Wake).effects, []);
    one.now += 1;
    let did = one.step(Input::Wake);
    assert_eq!(did.effects, [said(&one.replica, 3, Message::Changes(theirs))]);
}

#[test]
fn a_change_that_comes_before_the_one_it_depends_on_waits_for_it() {
    let (mut one, theirs) = (Alone::new(1), changes(2, 3));
    one.meets(2);
    let did = one.hears(2, Message::Changes(theirs[1..].to_vec()));
    assert_eq!(did.effects, []);
    assert!(one.replica.buffers().early_bytes > 0);
    // Twice is once.
    let early = one.replica.buffers().early_bytes;
    one.hears(2, Message::Changes(theirs[1..].to_vec()));
    assert_eq!(one.replica.buffers().early_bytes, early);
    let did = one.hears(2, Message::Changes(theirs[..1].to_vec()));
    assert_eq!(stores(&did), theirs, "in its author's order");
    assert_eq!(one.replica.buffers().early_bytes, 0);
    assert_eq!(one.hears(2, Message::Changes(theirs)).effects, [], "it is known");
}

#[test]
fn whoever_sends_what_nobody_wrote_is_cut_off_and_nothing_of_it_stays() {
    let mut one = Alone::new(1);
    one.meets(2);
    let did = one.hears(2, Message::Changes(vec![Bytes::from_static(b"no change")]));
    let [Effect::Disconnect { peer: NodeId(2), reason }] = did.effects.as_slice() else {
        panic!("{did:?}");
    };
    assert!(!reason.is_empty());
    assert!(one.replica.current.peers.connected.is_empty());
    // It is not heard any more.
    assert_eq!(one.hears(2, Message::Changes(changes(2, 1))).effects, []);
    assert_eq!(one.replica.status().changes, Alone::new(1).replica.status().changes);
}

//! A peer that says what it may not: the others go on as if it had said nothing.

use super::super::super::message::{Ack, Candidacy, Message};
use super::*;

/// The liar: connected, and in no document.
const LIAR: NodeId = NodeId(9);

/// Three voters and an observer with a few orders in the book.
fn trading() -> Group {
    let mut group = Group::new(&[1, 2, 3], &[4], u64::MAX);
    group.run(400);
    group.submit(1, rest(0, 20));
    group.run(100);
    group.assert_agreed();
    group
}

/// Everything that has a number in it, with this one.
fn numbered(number: u64) -> Vec<Message> {
    let actor = Actor::new(Micros(number), LIAR, 1);
    let ack = Ack { label: number, vector: [(actor, number)].into(), mark: Some([7; 16]) };
    vec![
        Message::Ack(ack),
        Message::Heartbeat { term: number, sent: Micros(number), majority: Some(Micros(number)) },
        Message::Echo { label: number, sent: Micros(number), clock: Micros(number) },
        Message::Candidate(Candidacy { term: number, actor, trial: true, handed_over_by: Some(number) }),
        Message::Candidate(Candidacy { term: number, actor, trial: false, handed_over_by: Some(number) }),
        Message::Ballot { term: number, trial: true, granted: true, label: number },
        Message::Committed { term: number, batches: number },
        Message::HandOver { term: number },
        Message::HandOverWish { to: NodeId(number) },
        Message::Fetch { part: u32::MAX },
    ]
}

fn tell(group: &mut Group, generation: u64, messages: &[Message]) {
    for node in 1..=4 {
        group.input(id(node), Input::PeerUp(LIAR));
        for message in messages {
            let envelope = Envelope { generation, message: message.clone() };
            group.input(id(node), Input::Message { from: LIAR, envelope });
        }
    }
}

/// Trading goes on as before, under the same lease.
fn assert_goes_on(mut group: Group, (holder, term): (Option<u64>, u64)) {
    group.submit(4, rest(100, 5));
    group.run(300);
    group.assert_agreed();
    assert_eq!(group.replica(4).view().machine.market().unwrap().book().len(), 25);
    assert_eq!((group.holder(), group.replica(1).status().term), (holder, term));
}

#[test]
fn no_number_of_a_stranger_moves_anything() {
    // A wish to hand over to a voter is a member's to make: who is one is checked at the door.
    for number in [0, 7, 1 << 40, u64::MAX - 1, u64::MAX] {
        let mut group = trading();
        let lease = (group.holder(), group.replica(1).status().term);
        tell(&mut group, 0, &numbered(number));
        group.run(50);
        assert_goes_on(group, lease);
    }
}

#[test]
fn a_generation_that_nobody_is_in_moves_nothing() {
    for generation in [2, u64::MAX] {
        let mut group = trading();
        let lease = (group.holder(), group.replica(1).status().term);
        tell(&mut group, generation, &numbered(u64::MAX));
        group.run(300);
        assert_goes_on(group, lease);
    }
}

#[test]
fn a_voters_label_without_its_promise_moves_no_term() {
    let mut group = trading();
    let lease = (group.holder(), group.replica(1).status().term);
    for (from, to) in [(1, 2), (2, 3), (3, 1)] {
        for message in [
            Message::Echo { label: u64::MAX, sent: Micros(1), clock: Micros(1) },
            Message::Ballot { term: 1, trial: true, granted: true, label: u64::MAX },
            Message::Committed { term: u64::MAX, batches: u64::MAX },
        ] {
            group.input(
                id(to),
                Input::Message { from: id(from), envelope: Envelope { generation: 0, message } },
            );
        }
    }
    assert_goes_on(group, lease);
}

#[test]
fn an_older_hello_is_answered_by_who_is_ahead() {
    let mut group = Group::new(&[1, 2, 3], &[4], 2_000);
    group.run(400);
    while group.replica(1).generation() < 2 {
        group.submit(1, rest(group.now, 20));
        group.run(5);
    }
    group.sent.clear();
    let hello = Message::Hello { genesis: [0; 32], ack: Ack::default(), heard: None, answer: false };
    group.input(id(1), Input::PeerUp(LIAR));
    group.sent.clear();
    group.input(id(1), Input::Message { from: LIAR, envelope: Envelope { generation: 0, message: hello } });
    let answered = group.sent.iter().any(|(_, to, envelope)| {
        *to == LIAR && envelope.generation >= 2 && matches!(envelope.message, Message::Hello { .. })
    });
    assert!(answered, "it hears that there is a newer generation");
}

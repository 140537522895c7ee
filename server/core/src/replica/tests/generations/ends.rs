//! How generations end, and what is kept over it.

use bytes::Bytes;

use super::super::super::message::{Ack, Message};
use super::super::super::tape::Tape;
use super::*;
use crate::document::{Heading, LeaseId, heading};
use crate::format::Format;
use crate::machine::{Batch, Seal};
use crate::types::{BatchIndex, GenerationNumber, Term};

fn batch(first: u64, seals: bool) -> Arc<Batch> {
    let seal = Seal { voters: vec![NODE], holder: [1; 16], genesis: [2; 32], format: Format::FIRST };
    let batch = Batch::new(Term(1), Position(first), Micros(first), Position(0));
    Arc::new(Batch { seal: seals.then_some(seal), ..batch })
}

#[test]
fn nothing_after_a_seal_is_on_the_tape() {
    let holder = Actor::new(Micros(1), NODE, 1);
    let mut tape = Tape::new(vec![NODE], Some(LeaseId { term: Term(1), holder }));
    for (number, seals) in [(1, false), (2, true), (3, false), (4, true), (5, false)] {
        tape.add_batch(Heading { actor: holder, seq: number }, batch(number, seals));
    }
    // Neither before the Seal is applied, nor while its genesis is awaited.
    for applied in [false, true] {
        assert_eq!((tape.len().0, tape.head().unwrap().batches), (2, 2), "applied: {applied}");
        assert!(tape.is_sealed());
        assert_eq!(tape.batch(BatchIndex(1)).is_none(), applied);
        tape.release(BatchIndex(0));
        tape.release(BatchIndex(1));
        assert!(tape.has_ended());
    }
    tape.add_batch(Heading { actor: holder, seq: 6 }, batch(6, false));
    assert_eq!(tape.len(), BatchIndex(2));
}

#[test]
fn a_generation_that_begins_keeps_who_is_further() {
    let mut group = Group::new(&[1, 2], &[3], u64::MAX);
    group.run(300);
    group.leave(&[]);
    group.connect(id(3), id(2));
    let envelope = |generation| Envelope {
        generation,
        message: Message::Hello {
            genesis: [9; 32],
            ack: Ack::default(),
            heard: None,
            answer: false,
            formats: Formats::KNOWN,
        },
    };
    // It is two ahead, and says nothing more.
    group.input(id(3), Input::Message { from: id(2), envelope: envelope(GenerationNumber(2)) });
    let now = Micros(group.now);
    let replica = group.members.get_mut(&id(3)).unwrap().replica.as_mut().unwrap();
    let next = replica.current.genesis.after(
        (&replica.view, replica.view.to_parts()),
        Format::FIRST,
        &[id(1), id(2)],
        LeaseId { term: Term(1), holder: Actor::new(now, id(1), 1) },
    );
    replica.view.next_generation(next.voters(), next.digest());
    let mut effects = Vec::new();
    replica.begin(now, next, &mut effects).unwrap();
    effects.clear();
    let later = now.plus(Micros(100 * LEASE));
    replica.handle(later, Input::Wake, &mut effects).unwrap();
    let asks = |effect: &Effect| matches!(effect, Effect::Send { to, envelope } if *to == id(2) && matches!(envelope.message, Message::Fetch { .. }));
    assert!(effects.iter().any(asks), "{effects:?}");
}

#[test]
fn what_is_known_already_is_not_decoded() {
    let mut group = Group::new(&[1, 2, 3], &[], u64::MAX);
    group.run(300);
    group.place(1, "a");
    group.run(50);
    let known = &group.members[&id(2)].disk.changes;
    let mut other =
        known.iter().find(|change| heading(change).unwrap().actor.node() == id(1)).unwrap().clone();
    let last = other.len() - 1;
    other[last] ^= 0xFF;
    assert!(heading(&other).is_ok() && RawChange::parse(other.clone()).is_err());
    let envelope =
        Envelope { generation: GenerationNumber(0), message: Message::Changes(vec![Bytes::from(other)]) };
    // Were it decoded, the peer would be accused of it.
    group.input(id(2), Input::Message { from: id(3), envelope });
}

#[test]
fn whoever_was_sent_everything_at_once_gets_the_rest_in_its_ordinary_way() {
    let mut group = Group::new(&[1, 2, 3], &[], u64::MAX);
    group.run(400);
    let from = group.holder().unwrap();
    let others: Vec<u64> = (1..=3).filter(|node| *node != from).collect();
    let (to, third) = (others[0], others[1]);
    group.input(id(from), Input::HandOver(id(to)));
    group.run(200);
    assert_eq!(group.holder(), Some(to));
    let mut relayed = 0;
    for round in 0..40 {
        group.place(third, &format!("order-{round}"));
        for _ in 0..5 {
            group.run(1);
            let passed_on = |(by, at, envelope): &&(NodeId, NodeId, Envelope)| {
                let Message::Changes(changes) = &envelope.message else { return false };
                let foreign = |change: &Bytes| heading(change).is_ok_and(|of| of.actor.node() == id(third));
                (*by, *at) == (id(from), id(to)) && changes.iter().any(foreign)
            };
            relayed += group.sent.iter().filter(passed_on).count();
        }
    }
    assert_eq!(relayed, 0, "its author sends it everything");
}

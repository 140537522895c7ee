//! A peer that says what it may not: the others go on as if it had said nothing.

use bytes::Bytes;
use xbook_proto::record::v1 as record;

use super::super::super::message::{Ack, Ballot, Candidacy, Echo, Message, Told};
use super::*;
use crate::document::{Document, Entry};
use crate::format::Format;
use crate::machine::encode_batch;
use crate::types::{BatchIndex, GenerationNumber, Term};

/// The liar: connected, and in no document.
pub(super) const LIAR: NodeId = NodeId(9);

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
    let ack = Ack { label: Term(number), vector: [(actor, number)].into(), mark: Some([7; 16]) };
    vec![
        Message::Ack(ack),
        Message::Heartbeat { term: Term(number), sent: Micros(number), majority: Some(Micros(number)) },
        Message::Echo(Echo { label: Term(number), sent: Micros(number), clock: Micros(number) }),
        Message::Candidate(Candidacy {
            term: Term(number),
            actor,
            trial: true,
            handed_over_by: Some(Term(number)),
        }),
        Message::Candidate(Candidacy {
            term: Term(number),
            actor,
            trial: false,
            handed_over_by: Some(Term(number)),
        }),
        Message::Ballot(Ballot { term: Term(number), trial: true, granted: true, label: Term(number) }),
        Message::Committed(Told { term: Term(number), batches: BatchIndex(number) }),
        Message::HandOver { term: Term(number) },
        Message::HandOverWish { to: NodeId(number) },
        Message::UpgradeWish { to: Format(u32::try_from(number).unwrap_or(u32::MAX)) },
        Message::Fetch { part: u32::MAX },
    ]
}

/// A message of the liar to one node.
fn lie(group: &mut Group, to: u64, generation: GenerationNumber, message: Message) {
    let envelope = Envelope { generation, message };
    group.input(id(to), Input::Message { from: LIAR, envelope });
}

/// Whether a node has ended the liar's connection.
fn is_cut_off(group: &Group, node: u64) -> bool {
    !group.replica(node).current.peers.connected.contains_key(&LIAR)
}

fn tell(group: &mut Group, generation: GenerationNumber, messages: &[Message]) {
    for node in 1..=4 {
        group.input(id(node), Input::PeerUp(LIAR));
        for message in messages {
            let envelope = Envelope { generation, message: message.clone() };
            group.input(id(node), Input::Message { from: LIAR, envelope });
        }
    }
}

/// Trading goes on as before, under the same lease.
fn assert_goes_on(mut group: Group, (holder, term): (Option<u64>, Term)) {
    group.submit(4, rest(100, 5));
    group.run(300);
    group.assert_agreed();
    assert_eq!(group.replica(4).view().machine.market().unwrap().book().len(), 25);
    assert_eq!((group.holder(), group.replica(1).status().term), (holder, term));
}

#[test]
fn no_number_of_a_stranger_moves_anything() {
    for number in [0, 7, 1 << 40, u64::MAX - 1, u64::MAX] {
        let mut group = trading();
        let lease = (group.holder(), group.replica(1).status().term);
        tell(&mut group, GenerationNumber(0), &numbered(number));
        group.run(50);
        assert_goes_on(group, lease);
    }
}

#[test]
fn a_generation_that_nobody_is_in_moves_nothing() {
    for generation in [2, u64::MAX] {
        let mut group = trading();
        let lease = (group.holder(), group.replica(1).status().term);
        tell(&mut group, GenerationNumber(generation), &numbered(u64::MAX));
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
            Message::Echo(Echo { label: Term(u64::MAX), sent: Micros(1), clock: Micros(1) }),
            Message::Ballot(Ballot { term: Term(1), trial: true, granted: true, label: Term(u64::MAX) }),
            Message::Committed(Told { term: Term(u64::MAX), batches: BatchIndex(u64::MAX) }),
        ] {
            group.input(
                id(to),
                Input::Message {
                    from: id(from),
                    envelope: Envelope { generation: GenerationNumber(0), message },
                },
            );
        }
    }
    assert_goes_on(group, lease);
}

#[test]
fn an_older_hello_is_answered_by_who_is_ahead() {
    let mut group = Group::new(&[1, 2, 3], &[4], 2_000);
    group.run(400);
    while group.replica(1).generation() < GenerationNumber(2) {
        group.submit(1, rest(group.now, 20));
        group.run(5);
    }
    group.sent.clear();
    let hello = Message::Hello {
        genesis: [0; 32],
        ack: Ack::default(),
        heard: None,
        answer: false,
        formats: Formats::KNOWN,
    };
    group.input(id(1), Input::PeerUp(LIAR));
    group.sent.clear();
    group.input(
        id(1),
        Input::Message { from: LIAR, envelope: Envelope { generation: GenerationNumber(0), message: hello } },
    );
    let answered = group.sent.iter().any(|(_, to, envelope)| {
        *to == LIAR
            && envelope.generation >= GenerationNumber(2)
            && matches!(envelope.message, Message::Hello { .. })
    });
    assert!(answered, "it hears that there is a newer generation");
}

#[test]
fn a_made_up_generation_empties_no_book() {
    for voters in [vec![LIAR.0], vec![4, LIAR.0], vec![1, 2, 3]] {
        // Also one in a format that nobody can read: it must not make anyone give up.
        for (generation, format) in [(1, 1), (7, 1), (u64::MAX, 1), (1, 77), (7, 77)] {
            let mut group = trading();
            let lease = (group.holder(), group.replica(1).status().term);
            let first = group.replica(1).current.genesis.record().clone();
            let (position, time_us) = (1_000_000, group.now * 2);
            let (term, holder) = (9, Actor::new(Micros(1), LIAR, 1).0.to_vec().into());
            let header = record::Genesis {
                generation,
                voters: voters.clone(),
                term,
                holder,
                position,
                time_us,
                digest: vec![7; 32].into(),
                format,
                ..first
            };
            let genesis = Genesis::digest_of(&header);
            let part = Message::GenesisPart { genesis: Box::new(header), part: 0, content: Bytes::new() };
            for node in 1..=4 {
                group.input(id(node), Input::PeerUp(LIAR));
                let hello = Message::Hello {
                    genesis,
                    ack: Ack::default(),
                    heard: None,
                    answer: false,
                    formats: Formats::KNOWN,
                };
                lie(&mut group, node, GenerationNumber(generation), hello);
            }
            for _ in 0..20 {
                group.run(LEASE / 1_000);
                (1..=4).for_each(|node| lie(&mut group, node, GenerationNumber(generation), part.clone()));
            }
            assert!((1..=4).all(|node| group.replica(node).generation() == GenerationNumber(0)));
            assert_goes_on(group, lease);
        }
    }
}

#[test]
fn who_claims_a_nodes_changes_must_show_one_that_it_made() {
    let mut group = trading();
    let lease = (group.holder(), group.replica(1).status().term);
    let voter = group.holder().map_or(1, |holder| holder % 3 + 1);
    group.input(id(voter), Input::PeerUp(LIAR));
    let older = Actor::new(Micros(1_000), id(voter), 1);
    let ack = Ack { vector: [(older, 5)].into(), ..Ack::default() };
    lie(&mut group, voter, GenerationNumber(0), Message::Ack(ack.clone()));
    assert!(!group.replica(voter).may_vote(), "it waits for the proof");
    group.run(LEASE / 1_000);
    assert!(group.replica(voter).may_vote() && is_cut_off(&group, voter), "and no longer");
    // A change with somebody else's mark is none.
    group.input(id(voter), Input::PeerUp(LIAR));
    let mut document = Document::new(&group.replica(voter).current.genesis, older).unwrap();
    let promise = record::Promise { term: 9, candidate: older.0.to_vec().into(), voter };
    let change = document.append_marked(&[Entry::Promise(promise)], Some("0".repeat(16))).unwrap();
    lie(&mut group, voter, GenerationNumber(0), Message::Changes(vec![change.bytes]));
    assert!(is_cut_off(&group, voter));
    // Again and again, it is not waited for.
    for _ in 0..5 {
        group.input(id(voter), Input::PeerUp(LIAR));
        lie(&mut group, voter, GenerationNumber(0), Message::Ack(ack.clone()));
        group.run(LEASE / 1_000);
    }
    group.input(id(voter), Input::PeerUp(LIAR));
    lie(&mut group, voter, GenerationNumber(0), Message::Ack(ack));
    assert!(group.replica(voter).may_vote());
    // What this very process did not make it need not be shown.
    let mine = group.replica(voter).current.document.me();
    let ack = Ack { vector: [(mine, u64::MAX)].into(), ..Ack::default() };
    group.input(id(voter), Input::PeerUp(LIAR));
    lie(&mut group, voter, GenerationNumber(0), Message::Ack(ack));
    assert!(is_cut_off(&group, voter));
    assert_goes_on(group, lease);
}

#[test]
fn a_wish_of_who_has_no_vote_moves_no_lease_and_changes_no_format() {
    let mut group = trading();
    for node in 1..=4 {
        group.stop(node);
        group.formats.insert(id(node), Formats { oldest: Format(1), newest: Format(2) });
        group.start(node);
    }
    group.run(1_000);
    let lease = (group.holder(), group.replica(1).status().term);
    for node in 1..=4 {
        group.input(id(node), Input::PeerUp(LIAR));
        for to in 1..=3 {
            lie(&mut group, node, GenerationNumber(0), Message::HandOverWish { to: id(to) });
        }
        lie(&mut group, node, GenerationNumber(0), Message::UpgradeWish { to: Format(2) });
    }
    group.run(50);
    assert!((1..=4).all(|node| group.replica(node).format() == Format::FIRST));
    assert_goes_on(group, lease);
}

#[test]
fn no_node_has_more_intents_waiting_than_it_may() {
    let mut group = trading();
    let requests = rest(0, 4_096);
    let actor = Actor::new(Micros(group.now), LIAR, 1);
    let mut document = Document::new(&group.replica(1).current.genesis, actor).unwrap();
    // Nobody sequences them, so that they wait.
    let holder = group.holder().unwrap();
    let other = if holder == 2 { 3 } else { 2 };
    group.input(id(other), Input::PeerUp(LIAR));
    for batch in 0..=MAX_PENDING as u64 / 4_096 {
        let intents = encode_batch(LIAR, 1 + batch * 4_096, Micros(0), Micros(1), &requests);
        let change = document.append(&[Entry::Intents(intents)]).unwrap();
        lie(&mut group, other, GenerationNumber(0), Message::Changes(vec![change.bytes]));
        group.sent.clear();
    }
    assert_eq!(group.replica(other).current.inbox.len_of(LIAR), MAX_PENDING);
    assert!(is_cut_off(&group, other));
}

//! Who is told when of what a disk has, and of what is committed.

use super::*;

/// Counts the acknowledgements that are on their way, by author and receiver.
fn count(group: &Group, counted: &mut BTreeMap<(NodeId, NodeId), u32>) {
    let acks = group.sent.iter().filter(|(.., envelope)| matches!(envelope.message, Message::Ack(_)));
    acks.for_each(|(from, to, _)| *counted.entry((*from, *to)).or_default() += 1);
}

#[test]
fn the_holder_hears_of_each_change_at_once_and_others_of_many_together() {
    const ROUNDS: u32 = 40;
    let mut group = Group::new(&[1, 2, 3], &[4], u64::MAX);
    group.run(500);
    let holder = id(group.holder().unwrap());
    let mut counted = BTreeMap::new();
    for round in 0..ROUNDS {
        group.place(holder.0, &format!("o-{round}"));
        group.run(1);
        count(&group, &mut counted);
    }
    group.run(1);
    count(&group, &mut counted);
    for ((from, to), acks) in counted {
        let expected = if to == holder { ROUNDS - 1..=ROUNDS } else { 1..=5 };
        assert!(expected.contains(&acks), "{from:?} told {to:?} {acks} times");
    }
    // Before anyone passes on what the others have.
    group.run(15);
    for (node, peer) in (1..=4).flat_map(|node| (1..=4).map(move |peer| (node, id(peer)))) {
        if id(node) != peer {
            let known = group.replica(node).current.peers.connected[&peer].acked.clone().unwrap();
            assert_eq!(known.vector, group.replica(peer.0).current.log.ack().vector, "{node} of {peer:?}");
        }
    }
}

#[test]
fn without_a_holder_everyone_hears_at_once() {
    let mut group = Group::new(&[1, 2, 3], &[], u64::MAX);
    let begun = group.now;
    group.place(1, "early");
    let mut counted = BTreeMap::new();
    while group.holder().is_none() {
        assert!(group.now < begun + 10 * LEASE, "nobody holds the lease");
        group.run(1);
        if group.replica(2).current.tape.head().is_none() {
            count(&group, &mut counted);
        }
    }
    assert!(counted.contains_key(&(id(1), id(2))) && counted.contains_key(&(id(1), id(3))), "{counted:?}");
}

#[test]
fn whose_requests_are_committed_is_told_at_once_and_others_soon() {
    let mut group = Group::new(&[1, 2, 3], &[4], u64::MAX);
    group.run(500);
    let holder = id(group.holder().unwrap());
    let others: Vec<NodeId> = (1..=4).map(id).filter(|node| *node != holder).collect();
    let asked = others[0];
    group.place(asked.0, "o-1");
    let told = |group: &Group| -> BTreeSet<NodeId> {
        let told = group.sent.iter().filter(|(.., sent)| matches!(sent.message, Message::Committed(_)));
        told.map(|(_, to, _)| *to).collect()
    };
    let before = group.now;
    while told(&group).is_empty() {
        assert!(group.now < before + 10_000, "it is not committed");
        group.run(1);
    }
    assert_eq!(told(&group), BTreeSet::from([asked]));
    let mut heard = BTreeSet::new();
    for _ in 0..2 {
        group.run(1);
        heard.extend(told(&group));
    }
    assert_eq!(heard, others[1..].iter().copied().collect());
    group.run(1);
    group.assert_agreed();
}

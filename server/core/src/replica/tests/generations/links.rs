//! Where only some links work, the others are enough.

use super::*;

impl Group {
    /// Leaves only these links.
    pub(super) fn leave(&mut self, links: &[(u64, u64)]) {
        let all: Vec<_> = self.links.iter().copied().collect();
        let stays =
            |a: NodeId, b: NodeId| links.iter().any(|(c, d)| [(a.0, b.0), (b.0, a.0)].contains(&(*c, *d)));
        for (a, b) in all.into_iter().filter(|(a, b)| !stays(*a, *b)) {
            self.links.remove(&(a, b));
            self.input(a, Input::PeerDown(b));
            self.input(b, Input::PeerDown(a));
        }
    }
}

#[test]
fn a_holder_that_no_majority_answers_holds_nobody_back() {
    let mut group = Group::new(&[1, 2, 3, 4, 5, 6, 7], &[], u64::MAX);
    group.run(500);
    let holder = group.holder().unwrap();
    let others: Vec<u64> = (1..=7).filter(|node| *node != holder).collect();
    let [near, hub, left, right, behind_left, behind_right] = others[..] else { panic!("{others:?}") };
    // Only the hub is linked with a majority, and that has one which still hears the holder.
    let ways = [(holder, near), (near, hub), (hub, left), (hub, right)];
    group.leave(&[&ways[..], &[(left, behind_left), (right, behind_right)]].concat());
    group.submit(left, rest(0, 5));
    group.run(2_000);
    group.assert_agreed();
    assert_eq!(group.replica(behind_right).view().machine.market().unwrap().book().len(), 5);
    assert_eq!(group.holder(), Some(hub));
}

#[test]
fn who_missed_a_first_word_is_greeted_again() {
    // Each was still opening the document when the other's word came, or only one of them.
    for losers in [&[1, 2][..], &[1], &[2]] {
        let mut group = Group::new(&[1, 2], &[], u64::MAX);
        for _ in 0..100 {
            let hello = |envelope: &Envelope| matches!(envelope.message, Message::Hello { .. });
            group.sent.retain(|(_, to, envelope)| !hello(envelope) || !losers.contains(&to.0));
            group.run(1);
        }
        group.place(1, "a");
        group.place(2, "b");
        group.run(3_000);
        group.assert_agreed();
        assert_eq!(group.replica(2).view().machine.market().unwrap().book().len(), 2);
        for (node, other) in [(1, 2), (2, 1)] {
            assert!(group.replica(node).formats_of(id(other)).is_some(), "{node} never heard {other}");
        }
    }
}

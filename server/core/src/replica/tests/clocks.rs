//! A clock that is wrong is known to its node and to the holder.

use super::generations::Group;

const HOUR: u64 = 3_600_000_000;

/// What a node knows of clocks, in whole seconds: on a perfect network a message takes far less.
fn known(group: &Group, node: u64) -> Vec<(u64, i64)> {
    let differences = group.replica(node).clock_differences(group.clock(node));
    differences.into_iter().map(|(node, ahead)| (node.0, (ahead as f64 / 1e6).round() as i64)).collect()
}

#[test]
fn nobody_is_wrong_where_clocks_agree() {
    let mut group = Group::new(&[1, 2, 3], &[4], u64::MAX);
    group.run(1_000);
    let holder = group.holder_by_clocks().unwrap();
    assert_eq!(known(&group, holder), [(1, 0), (2, 0), (3, 0), (4, 0)]);
    for node in (1..=4).filter(|node| *node != holder) {
        let mut expected = vec![(node, 0), (holder, 0)];
        expected.sort_unstable();
        assert_eq!(known(&group, node), expected);
    }
}

#[test]
fn a_wrong_clock_is_known_to_its_node_and_to_the_holder() {
    let hours = i64::try_from(HOUR / 1_000_000).unwrap();
    for wrong in 1..=4 {
        let mut group = Group::new(&[1, 2, 3], &[4], u64::MAX);
        group.run(1_000);
        group.set_ahead(wrong, HOUR);
        group.run(2_000);
        let holder = group.holder_by_clocks().unwrap();
        let is = |node: u64| (node, if node == wrong { hours } else { 0 });
        assert_eq!(known(&group, holder), [1, 2, 3, 4].map(is), "{wrong} is wrong, {holder} holds");
        for node in (1..=4).filter(|node| *node != holder) {
            let mut expected = vec![is(node), is(holder)];
            expected.sort_unstable();
            assert_eq!(known(&group, node), expected, "{wrong} is wrong, {holder} holds");
        }
    }
}

#[test]
fn one_voter_of_three_knows_no_majority() {
    let mut group = Group::new(&[1, 2, 3], &[], u64::MAX);
    group.run(1_000);
    let holder = group.holder_by_clocks().unwrap();
    for other in (1..=3).filter(|node| *node != holder) {
        group.stop(other);
    }
    let started = if holder == 1 { 2 } else { 1 };
    group.start(started);
    assert_eq!(known(&group, started), []);
}

#[test]
fn two_clocks_that_are_wrong_one_after_the_other_move_no_tape_time() {
    let mut group = Group::new(&[1, 2, 3], &[], u64::MAX);
    group.run(1_000);
    let holder = group.holder_by_clocks().unwrap();
    let others: Vec<u64> = (1..=3).filter(|node| *node != holder).collect();
    group.set_ahead(others[0], HOUR);
    group.run(500);
    // What it said last is not what its clock says now.
    group.stop(others[0]);
    group.run(500);
    group.set_ahead(others[1], HOUR);
    group.run(500);
    group.place(holder, "now");
    group.run(100);
    let replica = group.replica(holder);
    assert_eq!(replica.status().pending, 0);
    assert!(replica.view().time() <= group.clock(holder), "tape time has gone ahead");
}

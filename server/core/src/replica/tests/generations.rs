//! Generations: several replicas on a perfect network seal, roll over, change voters and catch up.

mod arrivals;
mod copies;
mod ends;
mod formats;
mod hostile;
mod links;
mod told;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;
use crate::document::GenesisError;
use crate::format::Formats;
use crate::machine::VoterChange;
use crate::types::GenerationNumber;

const LEASE: u64 = 100_000;

/// What a disk has.
#[derive(Clone)]
struct Disk {
    genesis: Genesis,
    changes: Vec<Vec<u8>>,
    remembered: Remembered,
}

/// A node: its process, and its disk, which syncs at once.
struct Member {
    replica: Option<Replica>,
    disk: Disk,
    /// Why it gave up.
    refused: Option<ReplicaError>,
    /// Whether its disk is known to be a copy.
    restored: bool,
    blocks: Vec<Arc<Block>>,
    skipped: Vec<Position>,
    rolls: u64,
    starts: u16,
}

pub(super) struct Group {
    members: BTreeMap<NodeId, Member>,
    links: BTreeSet<(NodeId, NodeId)>,
    sent: VecDeque<(NodeId, NodeId, Envelope)>,
    now: u64,
    /// Clocks that are wrong: how far they are ahead.
    ahead: BTreeMap<NodeId, u64>,
    roll_at: u64,
    /// What nodes can read that have another program than this one.
    formats: BTreeMap<NodeId, Formats>,
}

fn id(node: u64) -> NodeId {
    NodeId(node)
}

fn first_genesis(voters: &[u64]) -> Genesis {
    let rules = genesis().record().rules.clone().unwrap();
    let voters = voters.iter().copied().map(NodeId).collect();
    Genesis::market(&NewMarket {
        name: "BTC/USDT".into(),
        rules: Rules::from_record(&rules).unwrap(),
        voters,
    })
}

impl Group {
    pub(super) fn new(voters: &[u64], observers: &[u64], roll_at: u64) -> Self {
        let mut group = Self {
            members: BTreeMap::new(),
            links: BTreeSet::new(),
            sent: VecDeque::new(),
            now: 1_000_000,
            ahead: BTreeMap::new(),
            roll_at,
            formats: BTreeMap::new(),
        };
        for node in voters.iter().chain(observers) {
            let member = Member {
                replica: None,
                disk: Disk {
                    genesis: first_genesis(voters),
                    changes: Vec::new(),
                    remembered: Remembered::default(),
                },
                refused: None,
                restored: false,
                blocks: Vec::new(),
                skipped: Vec::new(),
                rolls: 0,
                starts: 0,
            };
            group.members.insert(id(*node), member);
            group.start(*node);
        }
        group
    }

    pub(super) fn start(&mut self, node: u64) {
        self.now += 1_000;
        let member = self.members.get_mut(&id(node)).unwrap();
        let settings = Settings {
            now: Micros(self.now),
            lease: Micros(LEASE),
            seed: self.now * node,
            roll_at: self.roll_at,
            secret: [node as u8; 32],
            restored: member.restored,
            formats: self.formats.get(&id(node)).copied().unwrap_or(Formats::KNOWN),
            ..Settings::default()
        };
        member.starts += 1;
        let actor = Actor::new(Micros(self.now), id(node), member.starts);
        let Disk { genesis, changes, remembered } = member.disk.clone();
        member.replica = Some(Replica::open(genesis, actor, settings, changes, remembered).unwrap());
        self.input(id(node), Input::Wake);
        let others: Vec<NodeId> = self.members.keys().copied().filter(|other| *other != id(node)).collect();
        for other in others {
            self.connect(id(node), other);
        }
    }

    fn connect(&mut self, a: NodeId, b: NodeId) {
        let up = |node: NodeId| self.members[&node].replica.is_some();
        if up(a) && up(b) && self.links.insert((a.min(b), a.max(b))) {
            self.input(a, Input::PeerUp(b));
            self.input(b, Input::PeerUp(a));
        }
    }

    pub(super) fn stop(&mut self, node: u64) {
        self.members.get_mut(&id(node)).unwrap().replica = None;
        self.sent.retain(|(from, to, _)| *from != id(node) && *to != id(node));
        let gone: Vec<_> =
            self.links.iter().copied().filter(|(a, b)| *a == id(node) || *b == id(node)).collect();
        for (a, b) in gone {
            self.links.remove(&(a, b));
            self.input(if a == id(node) { b } else { a }, Input::PeerDown(id(node)));
        }
    }

    fn input(&mut self, node: NodeId, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let member = self.members.get_mut(&node).unwrap();
            let Some(replica) = &mut member.replica else {
                return;
            };
            let mut effects = Vec::new();
            let ahead = self.ahead.get(&node).copied().unwrap_or(0);
            match replica.handle(Micros(self.now + ahead), input, &mut effects) {
                Ok(()) => {}
                Err(
                    error @ (ReplicaError::Forgotten { .. }
                    | ReplicaError::Outdated { .. }
                    | ReplicaError::Genesis(GenesisError::Format { .. })),
                ) => {
                    member.refused = Some(error);
                    return self.stop(node.0);
                }
                Err(error) => panic!("{error}"),
            }
            for effect in effects {
                match effect {
                    Effect::Store { generation, index, bytes } => {
                        assert_eq!(
                            (generation, index),
                            (member.disk.genesis.generation(), member.disk.changes.len() as u64)
                        );
                        member.disk.changes.push(bytes.to_vec());
                        inputs.push_back(Input::Stored { generation, index });
                    }
                    Effect::Roll { genesis, changes } => {
                        member.rolls += 1;
                        member.disk.genesis = genesis.as_ref().clone();
                        member.disk.changes = changes.iter().map(|change| change.to_vec()).collect();
                        if let Some(last) = changes.len().checked_sub(1) {
                            let generation = genesis.generation();
                            inputs.push_back(Input::Stored { generation, index: last as u64 });
                        }
                    }
                    Effect::Remember(remembered) => member.disk.remembered = remembered,
                    Effect::GateOpened => member.restored = false,
                    Effect::Send { to, envelope } => self.sent.push_back((node, to, envelope)),
                    Effect::Committed(block) => member.blocks.push(block),
                    Effect::Skipped { start, .. } => member.skipped.push(start.position),
                    // A stranger may be accused.
                    Effect::Disconnect { peer, .. } if peer == hostile::LIAR => {}
                    Effect::Disconnect { peer, reason } => panic!("{node:?} accuses {peer:?}: {reason}"),
                    Effect::Report(what) => panic!("{what}"),
                    Effect::Accepted { .. } | Effect::WakeAt(_) => {}
                }
            }
        }
    }

    /// Lets time pass, a millisecond at a time.
    pub(super) fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now += 1_000;
            for (from, to, envelope) in std::mem::take(&mut self.sent) {
                if self.links.contains(&(from.min(to), from.max(to))) {
                    self.input(to, Input::Message { from, envelope });
                }
            }
            let nodes: Vec<NodeId> = self.members.keys().copied().collect();
            nodes.into_iter().for_each(|node| self.input(node, Input::Wake));
        }
    }

    fn submit(&mut self, node: u64, requests: Vec<Request>) {
        self.input(id(node), Input::Submit(requests));
    }

    /// A client places an order that rests.
    pub(super) fn place(&mut self, node: u64, id: &str) {
        self.submit(node, vec![limit(id, Side::Buy, 1, 10)]);
    }

    pub(super) fn replica(&self, node: u64) -> &Replica {
        self.members[&id(node)].replica.as_ref().unwrap()
    }

    /// A node's own clock.
    pub(super) fn clock(&self, node: u64) -> Micros {
        Micros(self.now + self.ahead.get(&id(node)).copied().unwrap_or(0))
    }

    /// From now on a node's clock is so far ahead.
    pub(super) fn set_ahead(&mut self, node: u64, ahead: u64) {
        self.ahead.insert(id(node), ahead);
    }

    /// Who holds the lease, by its own clock.
    pub(super) fn holder_by_clocks(&self) -> Option<u64> {
        self.members.keys().map(|node| node.0).find(|node| self.replica(*node).may_match(self.clock(*node)))
    }

    fn holder(&self) -> Option<u64> {
        let holds = |member: &&Member| {
            member.replica.as_ref().is_some_and(|replica| replica.may_match(Micros(self.now)))
        };
        let mut holders = self.members.values().filter(holds);
        let holder = holders.next()?.replica.as_ref()?.node().0;
        assert!(holders.next().is_none(), "two believe in their leases on a perfect network");
        Some(holder)
    }

    /// All running nodes show the same, and nothing is pending.
    fn assert_agreed(&self) {
        let states: BTreeSet<_> = self
            .members
            .values()
            .filter_map(|member| member.replica.as_ref())
            .map(|replica| (replica.generation(), replica.view().position(), replica.view().digest()))
            .collect();
        assert_eq!(states.len(), 1, "{states:?}");
        for member in self.members.values() {
            assert!(member.replica.as_ref().is_none_or(Replica::is_idle));
        }
    }
}

/// Buys that never meet: they all rest.
fn rest(from: u64, count: u64) -> Vec<Request> {
    (from..from + count).map(|number| limit(&format!("r{number}"), Side::Buy, 1, 10 + number % 50)).collect()
}

#[test]
fn a_large_document_is_sealed_and_the_next_one_goes_on() {
    let mut group = Group::new(&[1, 2, 3], &[4], 4_000);
    group.run(400);
    let holder = group.holder().unwrap();
    for round in 0..40 {
        for node in 1..=4 {
            group.submit(node, rest(round * 100 + node * 10, 10));
        }
        group.run(5);
    }
    group.run(300);
    group.assert_agreed();
    let replica = group.replica(holder);
    assert!(replica.generation() >= GenerationNumber(2), "{:?}", replica.status());
    assert_eq!(group.holder(), Some(holder), "the holder goes on without a new term");
    assert_eq!(replica.status().term, replica.genesis().lease().unwrap().term);
    assert_eq!(replica.view().machine.market().unwrap().book().len(), 40 * 40);
    for member in group.members.values() {
        let positions: Vec<_> = member.blocks.iter().map(|block| (block.first, block.last)).collect();
        assert!(positions.windows(2).all(|two| two[1].0 == two[0].1.next()), "positions have no gap");
        assert!(member.skipped.is_empty(), "nobody needed a snapshot");
    }
}

#[test]
fn what_is_accepted_while_the_generation_ends_is_written_again() {
    let mut group = Group::new(&[1, 2, 3], &[], 2_000);
    group.run(400);
    let mut placed = 0;
    while group.replica(1).generation() < GenerationNumber(5) {
        for node in 1..=3 {
            group.submit(node, rest(placed, 7));
            placed += 7;
        }
        group.run(1);
    }
    group.run(300);
    group.assert_agreed();
    let consumed: u64 = (1..=3).map(|node| group.replica(1).view().consumed(id(node))).sum();
    assert_eq!(consumed, placed);
    let answers: u64 = group.members[&id(2)].blocks.iter().map(|block| block.answers.len() as u64).sum();
    assert_eq!(answers, placed, "each is consumed once");
}

#[test]
fn one_voter_becomes_three_and_any_of_them_may_die() {
    let mut group = Group::new(&[1], &[2, 3], u64::MAX);
    group.run(300);
    group.submit(1, example());
    for node in [2, 3] {
        let change = request(&format!("add-{node}"), Action::ChangeVoters(VoterChange::Add(id(node))));
        group.submit(2, vec![change]);
        group.run(50);
    }
    group.run(200);
    group.assert_agreed();
    assert_eq!(group.replica(3).status().voters, [id(1), id(2), id(3)]);
    assert_eq!(group.holder(), Some(1));
    group.stop(1);
    group.run(1_000);
    assert!(group.holder().is_some(), "two of three elect");
    group.submit(3, rest(100, 5));
    group.run(100);
    group.assert_agreed();
    assert_eq!(group.replica(2).view().machine.market().unwrap().book().len(), 6);
    group.start(1);
    group.run(1_000);
    group.assert_agreed();
}

#[test]
fn a_dead_voter_is_replaced() {
    let mut group = Group::new(&[1, 2, 3], &[4], u64::MAX);
    group.run(400);
    let dead = group.holder().unwrap();
    group.stop(dead);
    group.run(1_000);
    let asked = group.holder().unwrap();
    group.submit(asked, vec![request("add", Action::ChangeVoters(VoterChange::Add(id(4))))]);
    group.submit(asked, vec![request("remove", Action::ChangeVoters(VoterChange::Remove(id(dead))))]);
    group.run(1_000);
    group.assert_agreed();
    let voters = group.replica(4).status().voters;
    assert!(voters.contains(&id(4)) && !voters.contains(&id(dead)) && voters.len() == 3, "{voters:?}");
    group.submit(4, rest(1, 5));
    group.run(100);
    assert_eq!(group.replica(asked).view().machine.market().unwrap().book().len(), 5);
    // What comes back has no vote, but it catches up.
    group.start(dead);
    group.run(1_000);
    group.assert_agreed();
}

#[test]
fn a_holder_that_is_removed_leaves_the_lease_to_others() {
    let mut group = Group::new(&[1, 2, 3], &[], u64::MAX);
    group.run(400);
    let removed = group.holder().unwrap();
    group.submit(removed, vec![request("remove", Action::ChangeVoters(VoterChange::Remove(id(removed))))]);
    group.run(1_000);
    let holder = group.holder().unwrap();
    assert_ne!(holder, removed);
    group.submit(removed, rest(1, 5));
    group.run(300);
    group.assert_agreed();
}

#[test]
fn a_generation_is_not_sealed_for_voters_that_are_not_there() {
    let mut group = Group::new(&[1], &[2], u64::MAX);
    group.run(300);
    group.stop(2);
    group.submit(1, vec![request("add", Action::ChangeVoters(VoterChange::Add(id(2))))]);
    group.run(300);
    group.submit(1, rest(1, 5));
    group.run(100);
    assert_eq!(group.replica(1).generation(), GenerationNumber(0));
    assert_eq!(group.replica(1).view().machine.market().unwrap().book().len(), 5, "it goes on as it is");
    group.start(2);
    group.run(500);
    group.assert_agreed();
    assert_eq!(group.replica(2).status().voters, [id(1), id(2)]);
}

#[test]
fn a_node_that_slept_through_generations_gets_the_newest_genesis() {
    let mut group = Group::new(&[1, 2, 3], &[4], 2_000);
    group.run(400);
    // An order that the sleeper accepted and nobody else has heard of.
    group.links.retain(|(a, b)| *a != id(4) && *b != id(4));
    group.submit(4, rest(1, 1));
    group.stop(4);
    for round in 1..60 {
        for node in 1..=3 {
            group.submit(node, rest(round * 100 + node * 10, 10));
        }
        group.run(5);
    }
    group.start(4);
    group.run(500);
    group.assert_agreed();
    let sleeper = &group.members[&id(4)];
    assert_eq!(sleeper.skipped.len(), 1);
    assert_eq!(group.replica(1).view().consumed(id(4)), 1, "its order was taken");
    assert_eq!(group.replica(4).view().machine.market().unwrap().book().len(), 59 * 30 + 1);
}

#[test]
fn all_restart_between_the_seal_and_the_next_generation() {
    for stage in (1..40).step_by(3) {
        let mut group = Group::new(&[1, 2, 3], &[], 1_500);
        group.run(400);
        for node in 1..=3 {
            group.submit(node, rest(node * 100, 60));
        }
        // Somewhere around the Seal everything stops at once.
        for _ in 0..stage {
            let Some((from, to, envelope)) = group.sent.pop_front() else {
                group.run(1);
                continue;
            };
            group.input(to, Input::Message { from, envelope });
        }
        for node in 1..=3 {
            group.stop(node);
        }
        for node in 1..=3 {
            group.start(node);
        }
        group.run(1_500);
        group.assert_agreed();
        assert_eq!(group.replica(1).view().machine.market().unwrap().book().len(), 180);
        assert!(group.holder().is_some());
    }
}

#[test]
fn two_survivors_of_the_seals_author_go_on_by_their_own_words() {
    let mut group = Group::new(&[1, 2, 3], &[], 1_500);
    group.run(400);
    let author = group.holder().unwrap();
    group.submit(author, rest(100, 150));
    // The others get the Seal, and the author dies before it hears of that.
    while group.replica(author).current.tape.seal().is_none() {
        group.now += 100;
        group.input(id(author), Input::Wake);
    }
    let all = std::mem::take(&mut group.sent);
    for (from, to, envelope) in all {
        if from == id(author) {
            group.input(to, Input::Message { from, envelope });
        }
    }
    group.stop(author);
    group.run(60);
    let others: Vec<u64> = (1..=3).filter(|node| *node != author).collect();
    for node in &others {
        assert_eq!(
            group.replica(*node).generation(),
            GenerationNumber(1),
            "the acknowledgements in the document commit the Seal"
        );
    }
    group.run(1_000);
    assert!(group.holder().is_some());
    group.submit(others[0], rest(1_000, 5));
    group.run(100);
    group.start(author);
    group.run(500);
    group.assert_agreed();
    assert_eq!(group.replica(author).view().machine.market().unwrap().book().len(), 155);
}

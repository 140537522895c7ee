//! Who is told when of what is committed.
//!
//! The holder tells a peer at once if requests of its own are in it, whose clients wait. To others the word goes
//! along with the next changes, or alone after a moment. Whoever is not the holder passes it on to a peer that
//! has not heard it for a while, since that may not reach the holder.

use super::generation::Generation;
use super::message::Message;
use super::peers::{Peer, RELAY_AFTER};
use super::{Effect, Replica};
use crate::types::{BatchIndex, Micros, NodeId};

/// How long the word of the holder waits for changes to go along with.
const TELL_AFTER: Micros = Micros(1_000);

impl Generation {
    /// The holder has committed more batches than so many.
    pub fn owe_told(&mut self, now: Micros, since: BatchIndex) {
        let Self { tape, peers, commit, .. } = self;
        for batch in since.until(commit.batches()).filter_map(|at| tape.batch(at)) {
            for (node, ..) in batch.runs() {
                if let Some(peer) = peers.connected.get_mut(&node) {
                    peer.told_at_once = true;
                }
            }
        }
        for peer in peers.connected.values_mut() {
            peer.untold_since.get_or_insert(now);
        }
    }

    /// The peers that don't know all that is committed.
    fn untold(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        let told = self.commit.told();
        let untold = self.peers.connected.iter();
        let untold = untold.filter(move |(_, peer)| peer.acked.is_some() && peer.told < told);
        untold.map(|(id, peer)| (*id, peer))
    }

    /// When a peer is to be told what is committed.
    fn tell_at(&self, peer: &Peer) -> Micros {
        let own = self.lease.held().is_some_and(|holding| holding.term == self.commit.told().term);
        match peer.untold_since.filter(|_| !peer.told_at_once) {
            _ if !own => self.commit.told_since().plus(RELAY_AFTER),
            Some(since) => since.plus(TELL_AFTER),
            None => Micros(0),
        }
    }

    /// When peers are next to be told what is committed.
    pub fn next_tell(&self) -> Option<Micros> {
        self.untold().map(|(_, peer)| self.tell_at(peer)).min()
    }
}

impl Replica {
    /// Tells each peer what is committed whose time for that has come.
    pub(super) fn push_told(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let due = |(peer, known): (NodeId, &Peer)| (now >= self.current.tell_at(known)).then_some(peer);
        let due = self.current.untold().filter_map(due).collect();
        self.tell_to(due, effects);
        // Changes that were sent now took along what there was.
        self.current.peers.connected.values_mut().for_each(|peer| peer.told_at_once = false);
    }

    /// Tells each peer that does not know it what is committed.
    pub(super) fn tell(&mut self, effects: &mut Vec<Effect>) {
        let untold = self.current.untold().map(|(peer, _)| peer).collect();
        self.tell_to(untold, effects);
    }

    fn tell_to(&mut self, peers: Vec<NodeId>, effects: &mut Vec<Effect>) {
        let told = self.current.commit.told();
        for peer in peers {
            if let Some(peer) = self.current.peers.connected.get_mut(&peer) {
                peer.told = told;
                peer.untold_since = None;
            }
            self.send(peer, Message::Committed(told), effects);
        }
    }
}

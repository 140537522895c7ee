//! The first words on a connection.
//!
//! Each side says hello when the connection is up, and answers the other's. A node that opens a document
//! later than its peer has not heard the peer's first hello, and hears the answer to its own. Whatever
//! becomes of that, a peer that was never heard is greeted again: without its word nothing would be sent
//! to it on this connection.

use super::Replica;
use super::io::Effect;
use super::message::Message;
use super::peers::Peer;
use crate::types::{Micros, NodeId};

/// After this without a peer's hello it is greeted again.
const GREET_AGAIN: Micros = Micros(1_000_000);

impl Replica {
    /// A connection to a peer is up.
    pub(super) fn peer_up(&mut self, now: Micros, peer: NodeId, effects: &mut Vec<Effect>) {
        self.current.peers.connected.insert(peer, Peer::greeted(now));
        self.greet(peer, false, effects);
    }

    /// Says which generation this is, what the disk has of it, and what is remembered of the peer.
    pub(super) fn greet(&self, peer: NodeId, answer: bool, effects: &mut Vec<Effect>) {
        let (ack, heard) = (self.own_ack(), self.heard_of(peer));
        let (genesis, formats) = (self.current.genesis_hash, self.formats);
        let hello = Message::Hello { genesis, ack, heard, answer, formats };
        self.send(peer, hello, effects);
    }

    /// Greets again whom this replica has not heard for a while.
    pub(super) fn greet_again(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let mut unheard = Vec::new();
        for (id, peer) in &mut self.current.peers.connected {
            if peer.formats.is_none() && now >= peer.greeted.plus(GREET_AGAIN) {
                peer.greeted = now;
                unheard.push(*id);
            }
        }
        for peer in unheard {
            self.greet(peer, false, effects);
        }
    }

    /// When somebody is next to be greeted again.
    pub(super) fn next_greeting(&self) -> Option<Micros> {
        let unheard = self.current.peers.connected.values().filter(|peer| peer.formats.is_none());
        unheard.map(|peer| peer.greeted.plus(GREET_AGAIN)).min()
    }
}

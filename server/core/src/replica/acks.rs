//! Who is told when of what the disk has.
//!
//! The holder commits by that and waits for it. Others need it for what they still send, and to remember it:
//! they are told of many changes at once.

use super::message::Message;
use super::{Effect, Replica};
use crate::types::{Micros, NodeId};

/// How long whoever does not commit by it waits for an acknowledgement: well below the time after which a third
/// node's change is passed on, or it would be sent again.
const ACK_AFTER: Micros = Micros(10_000);

impl Replica {
    /// The disk has more: peers are to be told.
    pub(super) fn owe_acks(&mut self, now: Micros) {
        for peer in self.peers.connected.values_mut() {
            peer.unheard_since.get_or_insert(now);
        }
    }

    /// Tells peers what the disk has: the holder at once, since it commits by that, and so whom this node promised
    /// the lease, who begins by that, and others after a while, for all that came meanwhile.
    pub(super) fn acknowledge(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        if self.peers.connected.values().all(|peer| peer.unheard_since.is_none()) {
            return;
        }
        let holder = self.tape.head().map(|head| head.actor.node());
        let label = self.tape.promised_by(self.node);
        let due = |peer: NodeId, since: Micros| {
            let waits = holder.is_none_or(|holder| holder == peer) || self.tape.may_hold(label, peer);
            waits || now >= since.plus(ACK_AFTER)
        };
        let mut told = Vec::new();
        for (peer, known) in &mut self.peers.connected {
            if known.unheard_since.take_if(|since| due(*peer, *since)).is_some() {
                told.push(*peer);
            }
        }
        if told.is_empty() {
            return;
        }
        let ack = self.own_ack();
        for peer in told {
            self.send(peer, Message::Ack(ack.clone()), effects);
        }
    }

    /// When a peer is next to be told what the disk has.
    pub(super) fn next_ack(&self) -> Option<Micros> {
        let since = self.peers.connected.values().filter_map(|peer| peer.unheard_since).min();
        since.map(|since| since.plus(ACK_AFTER))
    }
}

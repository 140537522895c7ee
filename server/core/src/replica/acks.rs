//! Who is told when of what the disk has.
//!
//! The holder commits by that and waits for it. Others need it for what they still send, and to remember it:
//! they are told of many changes at once.

use super::generation::Generation;
use super::message::Message;
use super::peers::Peers;
use super::{Effect, Replica};
use crate::types::{Micros, NodeId};

/// How long whoever does not commit by it waits for an acknowledgement: well below the time after which a third
/// node's change is passed on, or it would be sent again.
const ACK_AFTER: Micros = Micros(10_000);

impl Peers {
    /// The disk has more: peers are to be told.
    pub fn owe_acks(&mut self, now: Micros) {
        for peer in self.connected.values_mut() {
            peer.unheard_since.get_or_insert(now);
        }
    }

    /// Those who are to be told now: who waits for it at once, others after a while. They count as told.
    fn take_unheard(&mut self, now: Micros, waits: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
        let due = |peer: NodeId, since: Micros| waits(peer) || now >= since.plus(ACK_AFTER);
        let told = self.connected.iter_mut().filter_map(|(peer, known)| {
            known.unheard_since.take_if(|since| due(*peer, *since)).map(|_| *peer)
        });
        told.collect()
    }

    /// When one is next to be told what the disk has.
    pub fn next_ack(&self) -> Option<Micros> {
        let since = self.connected.values().filter_map(|peer| peer.unheard_since).min();
        since.map(|since| since.plus(ACK_AFTER))
    }
}

impl Replica {
    /// Tells peers what the disk has: the holder at once, since it commits by that, and so whom this node promised
    /// the lease, who begins by that, and others after a while, for all that came meanwhile.
    pub(super) fn acknowledge(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let Generation { tape, peers, .. } = &mut self.current;
        if peers.next_ack().is_none() {
            return;
        }
        let holder = tape.head().map(|head| head.actor.node());
        let label = tape.promised_by(self.node);
        let waits = |peer: NodeId| holder.is_none_or(|holder| holder == peer) || tape.may_hold(label, peer);
        let told = peers.take_unheard(now, waits);
        if told.is_empty() {
            return;
        }
        let ack = self.own_ack();
        for peer in told {
            self.send(peer, Message::Ack(ack.clone()), effects);
        }
    }
}

//! Keeping peers' documents equal: who has what, what to send, what to do with what comes.
//!
//! A change is sent once it is on this node's disk. Own changes go to every peer at once. Those of
//! a third node should reach everyone from there; they are passed on when a peer still lacks them
//! after [`RELAY_AFTER`](super::peers::RELAY_AFTER), so partial connectivity converges too. A change that comes before one it
//! depends on waits in a bounded buffer here, never in Automerge's.

use bytes::Bytes;

use super::generation::Generation;
use super::log::Arrival;
use super::message::{Envelope, Message};
use super::peers::{Available, RELAY_AFTER};
use super::{Effect, Replica, ReplicaError};
use crate::document::{ChangeError, Heading, RawChange, heading};
use crate::types::{Micros, NodeId, Term};

impl Replica {
    /// A connection is gone.
    pub(super) fn peer_down(&mut self, peer: NodeId) {
        self.current.peers.lose(peer);
        self.catch_up.lose(peer);
        self.current.search.lose(peer);
        self.claims.lose(peer);
    }

    /// Takes changes from a peer: applies what can be, keeps what came early. The inner error is
    /// the peer's fault: it sent what no correct node sends.
    pub(super) fn take_changes(
        &mut self,
        now: Micros,
        from: NodeId,
        changes: Vec<Bytes>,
        effects: &mut Vec<Effect>,
    ) -> Result<Result<(), ChangeError>, ReplicaError> {
        for bytes in changes {
            // What is known already is not decoded again.
            let Heading { actor, seq } = match heading(&bytes) {
                Ok(heading) => heading,
                Err(error) => return Ok(Err(error)),
            };
            let known = self.current.document.vector().get(&actor).copied().unwrap_or(0);
            if seq <= known || self.current.peers.waits(actor, seq) {
                continue;
            }
            let raw = match RawChange::parse(bytes.to_vec()) {
                Ok(raw) => raw,
                Err(error) => return Ok(Err(error)),
            };
            // Nobody else can have newer changes of this node than this node itself.
            if actor.node() == self.node {
                if let Err(error) = self.judge_own(from, &raw)? {
                    return Ok(Err(error));
                }
            } else if self.current.document.can_apply(&raw) {
                if let Err(error) = self.apply_change(now, raw, effects)? {
                    return Ok(Err(error));
                }
            } else {
                match self.current.peers.keep_early(from, actor, raw) {
                    Ok(None) => {}
                    Ok(Some(other)) => {
                        let words = "its changes depend on others that do not come, and take all the room";
                        self.disconnect(other, words.to_owned(), effects);
                    }
                    Err(error) => return Ok(Err(error)),
                }
            }
        }
        while let Some(raw) = self.current.peers.next_applicable(&self.current.document) {
            if let Err(error) = self.apply_change(now, raw, effects)? {
                return Ok(Err(error));
            }
        }
        self.current.peers.drop_known(self.current.document.vector());
        Ok(Ok(()))
    }

    fn apply_change(
        &mut self,
        now: Micros,
        raw: RawChange,
        effects: &mut Vec<Effect>,
    ) -> Result<Result<(), ChangeError>, ReplicaError> {
        let (seq, bytes) = (raw.seq(), raw.bytes());
        let mut examined = match self.current.document.examine(raw) {
            Ok(examined) => examined,
            Err(error) => return Ok(Err(error)),
        };
        let (actor, entries) = (examined.actor, std::mem::take(&mut examined.entries));
        let what = entries.first().map_or("nothing", |entry| entry.kind().name());
        let Some(read) = self.read(actor, entries) else {
            return Ok(Err(ChangeError::Content { actor, seq, what }));
        };
        if let Err(error) = self.has_room_for(&read) {
            return Ok(Err(error));
        }
        self.current.document.apply_examined(examined)?;
        self.take(Heading { actor, seq }, read);
        let through = self.current.inbox.last(actor.node());
        let index =
            self.current.log.push(Arrival { actor, seq, at: now, promised: Term(0), through }, bytes.clone());
        effects.push(Effect::Store { generation: self.generation(), index, bytes });
        Ok(Ok(()))
    }

    /// Sends each peer what it lacks and should get from here.
    pub(super) fn push_changes(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        if !self.is_heard() {
            return;
        }
        let Generation { genesis, document, log, inbox, peers, .. } = &mut self.current;
        let generation = genesis.generation();
        let stored = Available { me: self.node, log, document, inbox };
        for (to, peer) in &mut peers.connected {
            while let Some(changes) = peer.next_changes(now, &stored, &mut self.sent_through) {
                let message = Message::Changes(changes);
                effects.push(Effect::Send { to: *to, envelope: Envelope { generation, message } });
            }
        }
    }

    /// When a third node's change is next to be passed on.
    pub(super) fn next_relay(&self) -> Option<Micros> {
        let Generation { peers, log, .. } = &self.current;
        let waiting = peers.connected.values().filter(|_| self.is_heard());
        waiting.filter_map(|peer| peer.first_missing(log)).min().map(|at| at.plus(RELAY_AFTER))
    }
}

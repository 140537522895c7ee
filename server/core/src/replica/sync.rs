//! Keeping peers' documents equal: who has what, what to send, what to do with what comes.
//!
//! A change is sent once it is on this node's disk. Own changes go to every peer at once. Those of
//! a third node should reach everyone from there; they are passed on when a peer still lacks them
//! after [`RELAY_AFTER`], so partial connectivity converges too. A change that comes before one it
//! depends on waits in a bounded buffer here, never in Automerge's.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::log::Arrival;
use super::message::{Ack, Message};
use super::{Effect, Replica, ReplicaError};
use crate::document::{Actor, ChangeError, Heading, MAX_CHANGE_BYTES, RawChange, Vector, heading};
use crate::format::Formats;
use crate::types::{Micros, NodeId};

/// How long a third node's change may be missing at a peer before it is passed on.
pub(super) const RELAY_AFTER: Micros = Micros(30_000);

/// Most bytes on their way to a peer that it has not acknowledged.
pub const WINDOW_BYTES: usize = 4 * 1024 * 1024;

/// Most bytes of one message.
const MESSAGE_BYTES: usize = 512 * 1024;

/// Most bytes of changes that wait for one they depend on.
pub const MAX_EARLY_BYTES: usize = 16 * 1024 * 1024;

/// The connected peers and what came too early.
#[derive(Default, Debug)]
pub(super) struct Peers {
    pub connected: BTreeMap<NodeId, Peer>,
    early: BTreeMap<(Actor, u64), Early>,
    early_bytes: usize,
}

/// A change that came too early.
#[derive(Debug)]
struct Early {
    raw: RawChange,
    /// Who sent it; nobody once that connection is gone.
    from: Option<NodeId>,
}

/// A connected peer.
#[derive(Default, Debug)]
pub(super) struct Peer {
    /// What its disk has, by its word; `None` before its hello.
    pub acked: Option<Ack>,
    /// What it was sent on this connection.
    sent: Vector,
    /// Every change before this index was sent to it, or it has it.
    scanned: usize,
    /// Sent and not acknowledged: actor, number, bytes.
    unacked: Vec<(Actor, u64, usize)>,
    /// It needs everything now: it is to be the next holder.
    urgent: bool,
    /// Since when this side's disk has more than it was told.
    pub unheard_since: Option<Micros>,
    /// What it knows to be committed, by its own word or by this node's: term and batches.
    pub told: (u64, u64),
    /// Since when this side, as the holder, has committed more than it told it.
    pub untold_since: Option<Micros>,
    /// Whether it shall be told at once: some of that is its own, or it is sent changes just now.
    pub told_at_once: bool,
    /// The formats that it can read, by its word; `None` before its hello.
    pub formats: Option<Formats>,
    /// When it was greeted last.
    pub greeted: Micros,
}

impl Peers {
    /// Keeps a change that came too early. If there is no room, that of whoever has taken most of it is
    /// made free: it is returned if it is another one than the sender, whom the error tells.
    fn keep_early(
        &mut self,
        from: NodeId,
        actor: Actor,
        raw: RawChange,
    ) -> Result<Option<NodeId>, ChangeError> {
        let (seq, len) = (raw.seq(), raw.held_bytes());
        let mut freed = None;
        if self.early_bytes + len > MAX_EARLY_BYTES {
            let most = self.takes_most();
            if most == Some(from) || len > MAX_EARLY_BYTES {
                return Err(ChangeError::Dependency { actor, seq });
            }
            self.early.retain(|_, early| early.from != most);
            self.count_early();
            freed = most;
            if self.early_bytes + len > MAX_EARLY_BYTES {
                return Err(ChangeError::Dependency { actor, seq });
            }
        }
        self.early_bytes += len;
        self.early.insert((actor, seq), Early { raw, from: Some(from) });
        Ok(freed)
    }

    /// Whose early changes take most; those of connections that are gone come first.
    fn takes_most(&self) -> Option<NodeId> {
        let mut taken: BTreeMap<Option<NodeId>, usize> = BTreeMap::new();
        for early in self.early.values() {
            *taken.entry(early.from).or_default() += early.raw.held_bytes();
        }
        let most = taken.into_iter().max_by_key(|(from, bytes)| (from.is_none(), *bytes));
        most.and_then(|(from, _)| from)
    }

    fn count_early(&mut self) {
        self.early_bytes = self.early.values().map(|early| early.raw.held_bytes()).sum();
    }

    /// Bytes of changes that wait for one they depend on.
    pub fn early_bytes(&self) -> usize {
        self.early_bytes
    }

    /// Most bytes that any peer was sent and did not acknowledge.
    pub fn unacknowledged_bytes(&self) -> usize {
        self.connected.values().map(Peer::unacked_bytes).max().unwrap_or(0)
    }

    /// A generation begins: nothing is known of what anyone's disk has of it, and nothing of the old one
    /// waits.
    pub fn begin_generation(&mut self) {
        let peers = std::mem::take(self).connected.into_iter();
        self.connected
            .extend(peers.map(|(id, Peer { formats, .. })| (id, Peer { formats, ..Peer::default() })));
    }

    /// A peer said which formats it can read.
    pub fn note_formats(&mut self, peer: NodeId, formats: Formats) {
        if let Some(peer) = self.connected.get_mut(&peer) {
            peer.formats = Some(formats);
        }
    }

    /// What waited here may have come another way.
    fn drop_known(&mut self, applied: &Vector) {
        self.early.retain(|(actor, seq), _| applied.get(actor).is_none_or(|have| have < seq));
        self.count_early();
    }
}

impl Peer {
    /// One whose connection is up, and that is greeted now.
    pub fn greeted(now: Micros) -> Self {
        Self { greeted: now, ..Self::default() }
    }

    fn unacked_bytes(&self) -> usize {
        self.unacked.iter().map(|(.., bytes)| bytes).sum()
    }

    fn has_been_sent(&self, actor: Actor, seq: u64) -> bool {
        let has = self.acked.as_ref().and_then(|ack| ack.vector.get(&actor));
        [has, self.sent.get(&actor)].into_iter().flatten().any(|through| *through >= seq)
    }
}

impl Replica {
    /// A connection is gone.
    pub(super) fn peer_down(&mut self, peer: NodeId) {
        self.peers.connected.remove(&peer);
        for early in self.peers.early.values_mut().filter(|early| early.from == Some(peer)) {
            early.from = None;
        }
        self.catch_up.lose(peer);
        self.claims.lose(peer);
    }

    /// A peer said what its disk has.
    pub(super) fn peer_has(&mut self, from: NodeId, ack: Ack) {
        let Some(peer) = self.peers.connected.get_mut(&from) else {
            return;
        };
        peer.unacked.retain(|(actor, seq, _)| ack.vector.get(actor).is_none_or(|have| have < seq));
        peer.acked = Some(ack);
    }

    /// A peer needs everything at once.
    pub(super) fn hurry(&mut self, peer: NodeId) {
        if let Some(peer) = self.peers.connected.get_mut(&peer) {
            peer.urgent = true;
        }
    }

    /// All peers do.
    pub(super) fn hurry_all(&mut self) {
        self.peers.connected.values_mut().for_each(|peer| peer.urgent = true);
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
            let known = self.document.vector().get(&actor).copied().unwrap_or(0);
            if seq <= known || self.peers.early.contains_key(&(actor, seq)) {
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
            } else if self.document.can_apply(&raw) {
                if let Err(error) = self.apply_change(now, raw, effects)? {
                    return Ok(Err(error));
                }
            } else {
                match self.peers.keep_early(from, actor, raw) {
                    Ok(None) => {}
                    Ok(Some(other)) => {
                        let words = "its changes depend on others that do not come, and take all the room";
                        self.disconnect(other, words.to_owned(), effects);
                    }
                    Err(error) => return Ok(Err(error)),
                }
            }
        }
        while let Some(raw) = self.next_applicable() {
            if let Err(error) = self.apply_change(now, raw, effects)? {
                return Ok(Err(error));
            }
        }
        self.peers.drop_known(self.document.vector());
        Ok(Ok(()))
    }

    /// A change that waited and whose dependencies are all there now.
    fn next_applicable(&mut self) -> Option<RawChange> {
        let found = self
            .peers
            .early
            .iter()
            .find(|(_, early)| self.document.can_apply(&early.raw))
            .map(|(key, _)| *key);
        let early = self.peers.early.remove(&found?)?;
        self.peers.early_bytes -= early.raw.held_bytes();
        Some(early.raw)
    }

    fn apply_change(
        &mut self,
        now: Micros,
        raw: RawChange,
        effects: &mut Vec<Effect>,
    ) -> Result<Result<(), ChangeError>, ReplicaError> {
        let (seq, bytes) = (raw.seq(), raw.bytes());
        let mut examined = match self.document.examine(raw) {
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
        self.document.apply_examined(examined)?;
        self.take((actor, seq), read);
        let through = self.inbox.last(actor.node());
        let index = self.log.push(Arrival { actor, seq, at: now, promised: 0, through }, bytes.clone());
        effects.push(Effect::Store { generation: self.generation(), index, bytes });
        Ok(Ok(()))
    }

    /// Sends each peer what it lacks and should get from here.
    pub(super) fn push_changes(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        if !self.is_heard() {
            return;
        }
        let peers: Vec<NodeId> = self.peers.connected.keys().copied().collect();
        for peer in peers {
            while let Some(changes) = self.next_changes(peer, now) {
                self.send(peer, Message::Changes(changes), effects);
            }
        }
    }

    /// The next message of changes for a peer; `None` if it lacks nothing, or its window is full.
    fn next_changes(&mut self, to: NodeId, now: Micros) -> Option<Vec<Bytes>> {
        let peer = self.peers.connected.get_mut(&to).filter(|peer| peer.acked.is_some())?;
        let mut room = WINDOW_BYTES.checked_sub(peer.unacked_bytes())?.min(MESSAGE_BYTES);
        let (mut changes, mut sent) = (Vec::new(), 0);
        // Whether the message, ended here, would have an order and not the withdraw behind it: whoever
        // gets an order that was withdrawn gets both at once.
        let mut parting = false;
        let mut gapless = true;
        for index in peer.scanned..self.log.durable() {
            let arrival = self.log.get(index)?;
            if !peer.has_been_sent(arrival.actor, arrival.seq) {
                let due =
                    peer.urgent || arrival.actor.node() == self.node || now >= arrival.at.plus(RELAY_AFTER);
                let bytes = self.log.bytes(index, &self.document).filter(|_| due);
                let Some(bytes) = bytes else {
                    gapless = false;
                    continue;
                };
                let full = bytes.len() > room && !changes.is_empty();
                if full && (!parting || sent >= MAX_CHANGE_BYTES) {
                    break;
                }
                room = room.saturating_sub(bytes.len());
                sent += bytes.len();
                parting = self.inbox.parts_withdraw(arrival.actor.node(), arrival.through);
                if arrival.actor.node() == self.node {
                    self.sent_through = self.sent_through.max(arrival.through);
                }
                peer.told_at_once = true;
                peer.sent.insert(arrival.actor, arrival.seq);
                peer.unacked.push((arrival.actor, arrival.seq, bytes.len()));
                changes.push(bytes);
            }
            if gapless {
                peer.scanned = index + 1;
            }
            if room == 0 && !parting {
                break;
            }
        }
        // It was sent everything: what comes from now on takes its ordinary way.
        peer.urgent &= peer.scanned < self.log.durable();
        (!changes.is_empty()).then_some(changes)
    }

    /// When a third node's change is next to be passed on.
    pub(super) fn next_relay(&self) -> Option<Micros> {
        // A peer whose window is full is waited for: its next acknowledgement brings this up again.
        let can_take = |peer: &&Peer| peer.acked.is_some() && peer.unacked_bytes() <= WINDOW_BYTES;
        let waiting = self.peers.connected.values().filter(|_| self.is_heard()).filter(can_take);
        let first = waiting.filter_map(|peer| {
            let missing = (peer.scanned..self.log.durable()).filter_map(|index| self.log.get(index));
            missing
                .filter(|arrival| !peer.has_been_sent(arrival.actor, arrival.seq))
                .map(|arrival| arrival.at)
                .next()
        });
        first.min().map(|at| at.plus(RELAY_AFTER))
    }
}

//! The connected peers: what each has and was sent, and what came too early from them.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::inbox::Inbox;
use super::log::{Arrival, Log};
use super::message::{Ack, Told};
use crate::document::{Actor, ChangeError, Document, MAX_CHANGE_BYTES, RawChange, Vector};
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

/// What there is to send.
pub(super) struct Available<'a> {
    pub me: NodeId,
    /// The order of arrival; what the disk does not have is not sent.
    pub log: &'a Log,
    pub document: &'a Document,
    pub inbox: &'a Inbox,
}

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

/// A change that is on its way to a peer.
#[derive(Clone, Copy, Debug)]
struct Sent {
    actor: Actor,
    seq: u64,
    bytes: usize,
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
    /// Sent and not acknowledged.
    unacked: Vec<Sent>,
    /// It needs everything now: it is to be the next holder.
    urgent: bool,
    /// Since when this side's disk has more than it was told.
    pub unheard_since: Option<Micros>,
    /// What it knows to be committed, by its own word or by this node's.
    pub told: Told,
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
    pub fn keep_early(
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

    /// The same connections in the generation that follows: nothing is known of what anyone's disk has of it, and
    /// nothing of the former one waits.
    pub fn following(former: &Self) -> Self {
        let connected = former.connected.iter();
        let connected =
            connected.map(|(id, Peer { formats, .. })| (*id, Peer { formats: *formats, ..Peer::default() }));
        Self { connected: connected.collect(), ..Self::default() }
    }

    /// What a peer's disk has, by its word; `None` before its hello.
    pub fn acked(&self, peer: NodeId) -> Option<&Ack> {
        self.connected.get(&peer)?.acked.as_ref()
    }

    /// A peer said what its disk has.
    pub fn acknowledged(&mut self, from: NodeId, ack: Ack) {
        if let Some(peer) = self.connected.get_mut(&from) {
            peer.unacked.retain(|sent| ack.vector.get(&sent.actor).is_none_or(|have| *have < sent.seq));
            peer.acked = Some(ack);
        }
    }

    /// A connection is gone; nobody sent what came by it.
    pub fn lose(&mut self, peer: NodeId) {
        self.connected.remove(&peer);
        for early in self.early.values_mut().filter(|early| early.from == Some(peer)) {
            early.from = None;
        }
    }

    /// A peer needs everything at once.
    pub fn hurry(&mut self, peer: NodeId) {
        if let Some(peer) = self.connected.get_mut(&peer) {
            peer.urgent = true;
        }
    }

    /// All peers do.
    pub fn hurry_all(&mut self) {
        self.connected.values_mut().for_each(|peer| peer.urgent = true);
    }

    /// A peer said which formats it can read.
    pub fn note_formats(&mut self, peer: NodeId, formats: Formats) {
        if let Some(peer) = self.connected.get_mut(&peer) {
            peer.formats = Some(formats);
        }
    }

    /// A change that waited and whose dependencies are all there now.
    pub fn next_applicable(&mut self, document: &Document) -> Option<RawChange> {
        let found = self.early.iter().find(|(_, early)| document.can_apply(&early.raw)).map(|(key, _)| *key);
        let early = self.early.remove(&found?)?;
        self.early_bytes -= early.raw.held_bytes();
        Some(early.raw)
    }

    /// Whether a change waits here.
    pub fn waits(&self, actor: Actor, seq: u64) -> bool {
        self.early.contains_key(&(actor, seq))
    }

    /// What waited here may have come another way.
    pub fn drop_known(&mut self, applied: &Vector) {
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
        self.unacked.iter().map(|sent| sent.bytes).sum()
    }

    fn has_been_sent(&self, actor: Actor, seq: u64) -> bool {
        let has = self.acked.as_ref().and_then(|ack| ack.vector.get(&actor));
        [has, self.sent.get(&actor)].into_iter().flatten().any(|through| *through >= seq)
    }

    /// When the first change that it lacks arrived. A peer whose window is full is waited for: its next
    /// acknowledgement brings this up again.
    pub fn first_missing(&self, log: &Log) -> Option<Micros> {
        if self.acked.is_none() || self.unacked_bytes() > WINDOW_BYTES {
            return None;
        }
        let mut missing = (self.scanned..log.durable()).filter_map(|index| log.get(index));
        missing.find(|arrival| !self.has_been_sent(arrival.actor, arrival.seq)).map(|arrival| arrival.at)
    }

    /// The next message of changes for it; `None` if it lacks nothing, or its window is full. `sent_through` is
    /// the last own counter that any peer was sent.
    pub fn next_changes(
        &mut self,
        now: Micros,
        Available { me, log, document, inbox }: &Available<'_>,
        sent_through: &mut u64,
    ) -> Option<Vec<Bytes>> {
        self.acked.as_ref()?;
        let mut room = WINDOW_BYTES.checked_sub(self.unacked_bytes())?.min(MESSAGE_BYTES);
        let (mut changes, mut sent) = (Vec::new(), 0);
        // Whether the message, ended here, would have an order and not the withdraw behind it: whoever
        // gets an order that was withdrawn gets both at once.
        let mut parting = false;
        let mut gapless = true;
        for index in self.scanned..log.durable() {
            let arrival = log.get(index)?;
            if !self.has_been_sent(arrival.actor, arrival.seq) {
                let own = arrival.actor.node() == *me;
                let due = self.urgent || own || now >= arrival.at.plus(RELAY_AFTER);
                let bytes = log.bytes(index, document).filter(|_| due);
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
                parting = inbox.parts_withdraw(arrival.actor.node(), arrival.through);
                if own {
                    *sent_through = arrival.through.max(*sent_through);
                }
                self.note_sent(arrival, bytes.len());
                changes.push(bytes);
            }
            if gapless {
                self.scanned = index + 1;
            }
            if room == 0 && !parting {
                break;
            }
        }
        // It was sent everything: what comes from now on takes its ordinary way.
        self.urgent &= self.scanned < log.durable();
        (!changes.is_empty()).then_some(changes)
    }

    fn note_sent(&mut self, Arrival { actor, seq, .. }: &Arrival, bytes: usize) {
        let (actor, seq) = (*actor, *seq);
        // What is committed goes along.
        self.told_at_once = true;
        self.sent.insert(actor, seq);
        self.unacked.push(Sent { actor, seq, bytes });
    }
}

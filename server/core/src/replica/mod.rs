//! The replica of one document: a state machine without I/O, clock or randomness.
//!
//! [`Replica::handle`] takes an input and a time and appends effects. The way of a request: it is
//! gathered; `tick` writes all that was gathered as intents and, under the lease, what became of
//! them as a tape batch, in one change; the change is stored, then sent to the peers; a majority's
//! acknowledgements under the holder's term commit it; the view applies the committed batch, and
//! the block of changes that this gives is the answer to everyone.
//!
//! - `io`: inputs, effects, errors and status.
//! - `entries`: what entries of the document mean; `inbox`: intents that are not consumed yet.
//! - [`tape`]: which batches count.
//! - `write`: what was gathered becomes a change.
//! - `lease`: its time, heartbeats, hand-over; `candidacy`: promises and activation.
//! - `commit`: matching under the lease, and what acknowledgements commit.
//! - `seal`: the end of a generation and the beginning of the next one; `catch_up`: a node that
//!   was away gets the newest genesis from a peer; `upgrade`: into a newer format.
//! - `claims`: peers that say they have more of this node than its disk.
//! - `memory`: what is remembered of the others' acknowledgements; `gate`: what holds a restored
//!   directory's node back.
//! - `questions`: what others may know of it.
//! - `rematch`: the tape matched again, to verify it.
//! - `log`: the order of arrival, and how far the disk is.
//! - `greeting`: the first words on a connection.
//! - `sync`: what peers have and lack; `acks`, `told`: who is told when of what this node has,
//!   and of what is committed.
//! - [`message`]: what replicas say to each other.

mod acks;
mod arrived;
mod candidacy;
mod catch_up;
mod claims;
mod clocks;
mod commit;
mod entries;
mod gate;
mod greeting;
mod hand_over;
mod inbox;
mod io;
mod lease;
mod log;
mod memory;
pub mod message;
mod questions;
mod rematch;
mod seal;
mod sync;
pub mod tape;
mod told;
mod upgrade;
mod write;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::document::{Actor, Document, Genesis, RawChange};
use crate::format::Formats;
use crate::machine::{Batch, Caps, FoldError, Request, State};
use crate::plant::{Plant, planted};
use crate::types::{Micros, NodeId, Position};

pub use io::{Buffers, Effect, Input, LeaseStatus, ReplicaError, ReplicaStatus, Settings};
pub use memory::Remembered;
pub use rematch::{Rematch, RematchError};
pub use sync::{MAX_EARLY_BYTES, WINDOW_BYTES};
pub use upgrade::Unready;

use arrived::Arrived;
use catch_up::CatchUp;
use claims::Claims;
use gate::Gate;
use inbox::Inbox;
use lease::Lease;
use log::{Arrival, Log};
use memory::Memory;
use message::{Envelope, Message};
use sync::Peers;

use tape::Tape;
use upgrade::Wish;

/// Most requests that one change carries.
pub const MAX_BATCH: usize = 4_096;

/// A document is sealed when it is this many times as large as its genesis, and not before.
const GENESIS_SHARE: u64 = 3;

/// Most changes that may be on their way to the disk. While they are, requests gather.
const MAX_IN_FLIGHT: usize = 2;

/// Most unconsumed intents of this node.
pub const MAX_PENDING: usize = 262_144;

/// How many digests are kept, so that nodes that are not quite level can be compared.
const KEPT_DIGESTS: usize = 4_096;

/// Most batches that the view applies in one step, so that a long catch-up stays responsive.
const MAX_APPLIED: usize = 64;

/// A replica.
#[derive(Debug)]
pub struct Replica {
    node: NodeId,
    genesis: Genesis,
    genesis_hash: [u8; 32],
    document: Document,
    log: Log,
    inbox: Inbox,
    tape: Tape,
    view: State,
    lease: Lease,
    peers: Peers,
    catch_up: CatchUp,
    arrived: Arrived,
    /// Whether a peer is in a newer generation, as far as that may be.
    is_outrun: bool,
    claims: Claims,
    memory: Memory,
    /// What holds this node back while its directory may be an old copy.
    gate: Option<Gate>,
    /// Size in bytes at which a document is sealed, unless its genesis is large.
    roll_at: u64,
    caps: Caps,
    /// What this node can read.
    formats: Formats,
    /// What the holder was told: to go on in a newer format.
    wish: Option<Wish>,
    /// Size in bytes below which no Seal is tried, since the last one could not have been read back.
    seal_from: u64,
    /// How many changes had arrived when the tape's head did.
    head_at: usize,
    /// Since when the tape has ended with a Seal.
    sealed_since: Option<Micros>,
    /// How many batches of the effective tape are known to be committed.
    committed: u64,
    /// What the newest holder that was heard said: its term, and how many batches are committed.
    told: (u64, u64),
    /// When that was heard.
    told_since: Micros,
    /// The digests after the last batches that were shown, across generations.
    digests: VecDeque<(Position, [u8; 32])>,
    gathering: VecDeque<Request>,
    /// The last own counter that is on the disk.
    accepted: u64,
    /// The last own counter that any peer was sent.
    sent_through: u64,
    /// Own changes on their way to the disk: index, and the last own counter in it.
    in_flight: VecDeque<(u64, u64)>,
}

impl Replica {
    /// A replica with what its node has stored of the newest generation that it has begun, in the
    /// order in which it was stored, and with what it had stored of the others' acknowledgements.
    ///
    /// # Errors
    /// What is stored can't be read or does not fit together.
    pub fn open(
        genesis: Genesis,
        me: Actor,
        settings: Settings,
        stored: Vec<Vec<u8>>,
        remembered: Remembered,
    ) -> Result<Self, ReplicaError> {
        let Settings { now, lease, seed, roll_at, caps, shown, secret, restored, formats } = settings;
        genesis.check_format(formats)?;
        let view = genesis.state(caps)?;
        let mut replica = Self {
            node: me.node(),
            genesis_hash: genesis.digest(),
            document: Document::new(&genesis, me)?,
            log: Log::default(),
            inbox: Inbox::after(view.ledger.counters()),
            tape: Tape::new(genesis.voters(), genesis.lease()),
            view,
            lease: Lease::new(lease, now, seed, 0),
            peers: Peers::default(),
            catch_up: CatchUp::default(),
            arrived: Arrived::default(),
            is_outrun: false,
            claims: Claims::default(),
            memory: Memory::new(secret, remembered),
            gate: restored.then(Gate::default),
            roll_at,
            caps,
            formats,
            wish: None,
            seal_from: 0,
            head_at: 0,
            sealed_since: None,
            genesis,
            committed: 0,
            told: (0, 0),
            told_since: now,
            digests: VecDeque::new(),
            gathering: VecDeque::new(),
            accepted: 0,
            sent_through: 0,
            in_flight: VecDeque::new(),
        };
        let mut changes = Vec::with_capacity(stored.len());
        for bytes in stored {
            let raw = RawChange::parse_stored(bytes)?;
            replica.log.push(
                Arrival { actor: raw.actor()?, seq: raw.seq(), at: now, promised: 0, through: 0 },
                raw.bytes(),
            );
            changes.push(raw);
        }
        for (actor, entry) in replica.document.apply(changes)? {
            let what = entry.kind().name();
            let read = replica.read(actor, vec![entry]).ok_or(ReplicaError::Stored { actor, what })?;
            replica.take((actor, 0), read);
        }
        let forgets = planted(Plant::ForgottenPromise);
        let promised =
            if forgets { replica.tape.first_term() } else { replica.tape.promised_by(replica.node) };
        replica.lease = Lease::new(lease, now, seed, promised);
        if replica.genesis.lease().is_none() && replica.document.vector().is_empty() {
            replica.lease.begin_fresh(now);
        }
        replica.log.opened(promised);
        replica.head_at = 0;
        replica.accepted = replica.inbox.last(replica.node);
        // An earlier process may have sent all that it had.
        replica.sent_through = replica.accepted;
        replica.recall_committed(shown);
        Ok(replica)
    }

    /// Takes an input. All effects are appended in the order in which they must be done.
    ///
    /// # Errors
    /// The replica can't go on and must not be used any more.
    pub fn handle(
        &mut self,
        now: Micros,
        input: Input,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let (had, voted) = ((self.generation(), self.log.durable()), self.may_vote());
        match input {
            Input::Submit(requests) => self.gathering.extend(requests),
            // What was stored of an earlier generation is settled.
            Input::Stored { generation, index } if generation == self.generation() => {
                self.stored(index, effects);
            }
            Input::Stored { .. } => {}
            Input::PeerUp(peer) => self.peer_up(now, peer, effects),
            Input::PeerDown(peer) => self.peer_down(peer),
            Input::Message { from, envelope } => self.hear(now, from, envelope, effects)?,
            Input::HandOver(to) => self.hand_over(to, effects),
            Input::Upgrade(to) => self.upgrade(now, to, effects),
            Input::Wake => {}
        }
        self.greet_again(now, effects);
        self.tend_claims(now, effects);
        self.tend_gate(now, effects);
        self.hear_told(now);
        self.recall_told();
        self.count_acks(now);
        if self.show(now, effects)? {
            self.attest_seal(now, effects)?;
            self.tend_lease(now, effects)?;
            self.tick(now, effects)?;
        }
        // What was said while this node did not vote counts for nobody.
        let more = self.log.durable() > had.1 || (!voted && self.may_vote());
        if self.generation() == had.0 && more {
            self.owe_acks(now);
        }
        self.acknowledge(now, effects);
        self.fetch_genesis(now, effects);
        self.tend_arrived(now);
        self.push_changes(now, effects);
        self.push_told(now, effects);
        self.plan_wake(now, effects);
        self.store_memory(effects);
        Ok(())
    }

    /// A peer said something.
    fn hear(
        &mut self,
        now: Micros,
        from: NodeId,
        Envelope { generation, message }: Envelope,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        if !self.peers.connected.contains_key(&from) {
            return Ok(());
        }
        self.remember(from, generation, &message);
        if let Message::Hello { genesis, ack, heard, formats, .. } = &message {
            self.peers.note_formats(from, *formats);
            self.note_generation(now, from, (generation, *genesis));
            // Before anything is taken from the peer, or promised to it.
            heard.as_ref().map_or(Ok(()), |heard| self.check_memory(from, heard))?;
            self.pass_by(from, generation, ack);
        }
        if generation != self.generation() {
            return self.hear_other_generation(now, from, generation, message, effects);
        }
        match message {
            Message::Hello { genesis, .. } if genesis != self.genesis_hash => {
                self.disconnect(from, "its genesis is another one".to_owned(), effects);
            }
            Message::Hello { ack, answer, .. } => {
                if self.bears_out(now, from, &ack, effects) {
                    self.peer_has(from, ack);
                }
                // The peer may have missed this side's hello: it opened the document or began the
                // generation later.
                if !answer {
                    self.greet(from, true, effects);
                }
                self.greet_as_holder(now, from, effects);
            }
            Message::Ack(ack) => {
                if self.bears_out(now, from, &ack, effects) {
                    self.peer_has(from, ack);
                }
            }
            Message::Changes(changes) => {
                if let Err(error) = self.take_changes(now, from, changes, effects)? {
                    self.disconnect(from, error.to_string(), effects);
                }
            }
            Message::Heartbeat { term, sent, majority } => {
                if self.tape.may_hold(term, from) {
                    self.hear_clocks(now, from, sent, majority);
                    self.take_heartbeat(now, from, term, sent, effects);
                }
            }
            Message::Echo { label, sent, clock } => {
                self.take_echo(now, from, (label, sent, clock), effects)?
            }
            Message::Candidate(candidacy) => self.judge(now, from, candidacy, effects)?,
            Message::Ballot { term, trial, granted, label } => {
                self.take_ballot(now, from, (term, trial, granted, label), effects)?;
            }
            Message::Committed { term, batches } => self.take_committed(now, from, term, batches),
            Message::HandOver { term } => self.take_over(now, from, term, effects)?,
            // Asked once more by someone who is wrong about the holder, it ends here. Whoever has no vote has
            // no say in it.
            Message::HandOverWish { to } if self.holds_lease() && self.tape.voters().contains(&from) => {
                self.hand_over(to, effects);
            }
            Message::HandOverWish { .. } => {}
            // As with the lease: it ends with the holder, and only voters have a say.
            Message::UpgradeWish { to } if self.holds_lease() && self.tape.voters().contains(&from) => {
                self.upgrade(now, to, effects);
            }
            Message::UpgradeWish { .. } => {}
            // Only of use between generations.
            Message::Fetch { .. } | Message::GenesisPart { .. } => {}
        }
        Ok(())
    }

    fn send(&self, to: NodeId, message: Message, effects: &mut Vec<Effect>) {
        effects.push(Effect::Send { to, envelope: Envelope { generation: self.generation(), message } });
    }

    fn disconnect(&mut self, peer: NodeId, reason: String, effects: &mut Vec<Effect>) {
        self.peer_down(peer);
        effects.push(Effect::Disconnect { peer, reason });
    }

    /// Changes reached the disk; own intents in them are accepted.
    fn stored(&mut self, index: u64, effects: &mut Vec<Effect>) {
        let mut accepted = None;
        while let Some((_, through)) = self.in_flight.front().filter(|(change, _)| *change <= index).copied()
        {
            accepted = Some(through);
            self.in_flight.pop_front();
        }
        if let Some(through) = accepted {
            self.accepted = through;
            effects.push(Effect::Accepted { through });
        }
        self.log.stored(index);
    }

    /// Applies committed batches to the view; `false` if more are left for the next step. After a
    /// Seal the next generation begins.
    fn show(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<bool, ReplicaError> {
        for _ in 0..MAX_APPLIED {
            if self.view.batches() >= self.committed || self.tape.has_ended() {
                return Ok(true);
            }
            let at = self.view.batches();
            let Some(batch) = self.showable(at).cloned() else {
                return Ok(true);
            };
            let block = self.view.apply(&batch, |id| self.inbox.get(id))?;
            if planted(Plant::DamagedState) {
                return Err(FoldError::Digest { at: self.view.position() }.into());
            }
            for (node, first, count) in batch.runs() {
                self.inbox.release(node, first + count - 1);
            }
            self.tape.release(at);
            if self.digests.len() == KEPT_DIGESTS {
                self.digests.pop_front();
            }
            self.digests.push_back((self.view.position(), self.view.digest()));
            effects.push(Effect::Committed(Arc::new(block)));
            if let Some(seal) = &batch.seal {
                self.roll(now, batch.term, seal, effects)?;
                return Ok(true);
            }
        }
        Ok(self.view.batches() >= self.committed)
    }

    /// A batch of the tape, if it is on this node's own disk, and so is the head, without which it might not
    /// be on the tape. Others' disks may have committed it before, but what this node shows it must show
    /// after a restart too.
    fn showable(&self, at: u64) -> Option<&Arc<Batch>> {
        let (actor, seq) = self.tape.change_of(at)?;
        let stored = self.log.ack().vector.get(&actor).copied().unwrap_or(0);
        self.tape.batch(at).filter(|_| stored >= seq && self.log.durable() >= self.head_at)
    }

    /// Asks to be woken when there is something to do that nothing else would bring up.
    fn plan_wake(&self, now: Micros, effects: &mut Vec<Effect>) {
        let at = self.view.batches();
        let shows = !self.tape.has_ended() && at < self.committed && self.showable(at).is_some();
        let more_to_show = shows.then_some(now);
        let may_write = self.in_flight.len() < MAX_IN_FLIGHT && self.may_match(now) && !self.tape.is_sealed();
        let expiry = self.lease.held().and_then(|holding| holding.ahead.next_due()).filter(|_| may_write);
        // Tape time may differ from this node's clock: it is the span that counts.
        let clock = self.tape_clock(now).0;
        let expiry = expiry.map(|at| Micros(at.plus(now).0.saturating_sub(clock)));
        let wishes = [
            more_to_show,
            expiry,
            self.lease_timer(),
            self.next_relay(),
            self.next_tell(),
            self.next_ack(),
            self.next_attest(),
            self.next_fetch(now),
            self.next_claim(),
            self.next_greeting(),
        ];
        if let Some(at) = wishes.into_iter().flatten().min() {
            effects.push(Effect::WakeAt(at.max(now)));
        }
    }
}

#[cfg(test)]
mod tests;

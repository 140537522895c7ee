//! The replica of one document: a state machine without I/O, clock or randomness.
//!
//! [`Replica::handle`] takes an input and a time and appends effects. The way of a request: it is
//! gathered; `write` makes a change of all that was gathered as intents and, under the lease, what became of
//! them as a tape batch, in one change; the change is stored, then sent to the peers; a majority's
//! acknowledgements under the holder's term commit it; the view applies the committed batch, and
//! the block of changes that this gives is the answer to everyone.
//!
//! - `io`: inputs, effects, errors and status; `open`: what a process begins with; `hear`: who takes what peers say.
//! - `generation`: all that begins with a genesis and ends with its Seal, as one value. Its parts own their
//!   transitions: `lease`, `commit`, `peers`, [`tape`], `log`, `inbox`, `seal`.
//! - `entries`: what entries of the document mean; `inbox`: intents that are not consumed yet.
//! - [`tape`]: which batches count.
//! - `write`: what was gathered becomes a change; `matching`: what the holder makes of it.
//! - `lease`: who may match, and until when; `candidacy`: promises and activation; `heartbeat`: how it is kept;
//!   `hand_over`: from hand to hand; `clocks`: what is told of them.
//! - `commit`: what acknowledgements commit.
//! - `seal`: the end of a generation and the beginning of the next one; `catch_up`: a node that
//!   was away gets the newest genesis from a peer; `upgrade`: into a newer format.
//! - `arrived`: whether this node shows what others had.
//! - `claims`: peers that say they have more of this node than its disk.
//! - `memory`: what is remembered of the others' acknowledgements; `gate`: what holds a restored
//!   directory's node back.
//! - `questions`: what others may know of it.
//! - `rematch`: the tape matched again, to verify it.
//! - `log`: the order of arrival, and how far the disk is.
//! - `greeting`: the first words on a connection.
//! - `peers`: what each has and was sent; `sync`: what peers have and lack; `acks`, `told`: who is told when of what
//!   this node has, and of what is committed.
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
mod generation;
mod greeting;
mod hand_over;
mod hear;
mod heartbeat;
mod inbox;
mod io;
mod lease;
mod log;
mod matching;
mod memory;
pub mod message;
mod open;
mod peers;
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

use crate::document::Heading;
use crate::format::Formats;
use crate::machine::{Batch, Caps, FoldError, Request, State};
use crate::plant::{Plant, planted};
use crate::types::{BatchIndex, Micros, NodeId, Position};

pub use io::{Buffers, Effect, Input, LeaseStatus, ReplicaError, ReplicaStatus, Settings};
pub use memory::Remembered;
pub use peers::{MAX_EARLY_BYTES, WINDOW_BYTES};
pub use rematch::{Rematch, RematchError};
pub use upgrade::Unready;

use arrived::Arrived;
use catch_up::CatchUp;
use claims::Claims;
use gate::Gate;
use generation::Generation;
use memory::Memory;
use message::{Envelope, Message};

/// Most requests that one change carries.
pub const MAX_BATCH: usize = 4_096;

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
    /// The generation that it is in; when the next one begins it is another value.
    current: Generation,
    /// The committed state, which goes on from one generation to the next.
    view: State,
    /// The digests after the last batches that were shown, across generations.
    digests: VecDeque<(Position, [u8; 32])>,
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
    gathering: VecDeque<Request>,
    /// The last own counter that is on the disk.
    accepted: u64,
    /// The last own counter that any peer was sent.
    sent_through: u64,
}

impl Replica {
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
        let (had, voted) = ((self.generation(), self.current.log.durable()), self.may_vote());
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
        self.count_acks(now);
        if self.show(now, effects)? {
            self.attest_seal(now, effects)?;
            self.tend_lease(now, effects)?;
            self.write_next(now, effects)?;
        }
        // What was said while this node did not vote counts for nobody.
        let more = self.current.log.durable() > had.1 || (!voted && self.may_vote());
        if self.generation() == had.0 && more {
            self.current.peers.owe_acks(now);
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

    fn send(&self, to: NodeId, message: Message, effects: &mut Vec<Effect>) {
        effects.push(Effect::Send { to, envelope: Envelope { generation: self.generation(), message } });
    }

    fn disconnect(&mut self, peer: NodeId, reason: String, effects: &mut Vec<Effect>) {
        self.peer_down(peer);
        effects.push(Effect::Disconnect { peer, reason });
    }

    /// Changes reached the disk; own intents in them are accepted.
    fn stored(&mut self, index: u64, effects: &mut Vec<Effect>) {
        if let Some(through) = self.current.in_flight.land(index) {
            self.accepted = through;
            effects.push(Effect::Accepted { through });
        }
        self.current.log.stored(index);
    }

    /// Applies committed batches to the view; `false` if more are left for the next step. After a
    /// Seal the next generation begins.
    fn show(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<bool, ReplicaError> {
        for _ in 0..MAX_APPLIED {
            if self.view.batches() >= self.current.commit.batches() || self.current.tape.has_ended() {
                return Ok(true);
            }
            let at = self.view.batches();
            let Some(batch) = self.showable(at).cloned() else {
                return Ok(true);
            };
            let block = self.view.apply(&batch, |id| self.current.inbox.get(id))?;
            if planted(Plant::DamagedState) {
                return Err(FoldError::Digest { at: self.view.position() }.into());
            }
            for (node, first, count) in batch.runs() {
                self.current.inbox.release(node, first + count - 1);
            }
            self.current.tape.release(at);
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
        Ok(self.view.batches() >= self.current.commit.batches())
    }

    /// A batch of the tape, if it is on this node's own disk, and so is the head, without which it might not
    /// be on the tape. Others' disks may have committed it before, but what this node shows it must show
    /// after a restart too.
    fn showable(&self, at: BatchIndex) -> Option<&Arc<Batch>> {
        let Heading { actor, seq } = self.current.tape.change_of(at)?;
        let stored = self.current.log.ack().vector.get(&actor).copied().unwrap_or(0);
        self.current
            .tape
            .batch(at)
            .filter(|_| stored >= seq && self.current.log.durable() >= self.current.head_at)
    }

    /// Asks to be woken when there is something to do that nothing else would bring up.
    fn plan_wake(&self, now: Micros, effects: &mut Vec<Effect>) {
        let at = self.view.batches();
        let shows = !self.current.tape.has_ended()
            && at < self.current.commit.batches()
            && self.showable(at).is_some();
        let more_to_show = shows.then_some(now);
        let may_write =
            !self.current.in_flight.is_full() && self.may_match(now) && !self.current.tape.is_sealed();
        let expiry =
            self.current.lease.held().and_then(|holding| holding.ahead.next_due()).filter(|_| may_write);
        // Tape time may differ from this node's clock: it is the span that counts.
        let clock = self.tape_clock(now).0;
        let expiry = expiry.map(|at| Micros(at.plus(now).0.saturating_sub(clock)));
        let wishes = [
            more_to_show,
            expiry,
            self.lease_timer(),
            self.next_relay(),
            self.current.next_tell(),
            self.current.peers.next_ack(),
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

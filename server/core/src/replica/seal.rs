//! The end of a generation and the beginning of the next one.
//!
//! The holder writes the Seal as its last batch when the document has grown large or its voters are
//! to change. A Seal can't be withdrawn, so first a majority of the *next* voters must be close
//! behind: else it could be committed and nobody be there to go on. Once the Seal is committed each
//! node makes the same genesis from the state that the Seal left behind, writes its own unconsumed
//! intents into the new document under their old ids, and goes on there; the holder too, under its
//! old term, without any further claim.
//!
//! That the Seal is committed is known from the holder's word, as with any batch, or from the
//! document: each voter that holds the Seal durably, under the term of its head, writes so.

use std::sync::Arc;

use xbook_proto::record::v1 as record;

use super::generation::Generation;
use super::upgrade::Wish;
use super::{Effect, Replica, ReplicaError};
use crate::document::{Actor, Entry, Genesis, GenesisError, LeaseId};
use crate::machine::{BatchBuilder, Intent, Seal};
use crate::plant::{Plant, planted};
use crate::types::{Micros, NodeId, Term};

/// A document is sealed when it is this many times as large as its genesis, and not before.
const GENESIS_SHARE: u64 = 3;

/// How long a Seal may wait for the holder's word before a voter writes its own into the document.
const ATTEST_AFTER: Micros = Micros(30_000);

/// How a generation comes to its end.
#[derive(Default, Debug)]
pub(super) struct Sealing {
    /// Since when the tape has ended with a Seal.
    sealed_since: Option<Micros>,
    /// Size in bytes below which no Seal is tried, since the last one could not have been read back.
    from: u64,
    /// What the holder was told: to go on in a newer format.
    pub wish: Option<Wish>,
}

impl Sealing {
    /// The next genesis could not be read back from a document of this size: tried again when there is a
    /// quarter more.
    fn put_off(&mut self, size: u64) {
        self.from = size.saturating_add(size / 4);
    }

    /// Whether the tape ends with a Seal now; returns since when.
    fn note(&mut self, now: Micros, sealed: bool) -> Option<Micros> {
        self.sealed_since = sealed.then(|| self.sealed_since.unwrap_or(now));
        self.sealed_since
    }
}

impl Replica {
    /// Whether this holder should end the generation now.
    pub(super) fn wants_seal(&self, now: Micros) -> bool {
        let Some(holding) = self.current.lease.held() else {
            return false;
        };
        let changed = holding.ahead.next_voters();
        let next = changed.unwrap_or(self.current.tape.voters());
        let size = self.current.document.bytes();
        let large = size >= self.roll_at.max(self.current.genesis.bytes().saturating_mul(GENESIS_SHARE));
        let upgrades = self.next_format(now, next) != self.format();
        (large || changed.is_some() || upgrades) && size >= self.current.sealing.from && self.are_fresh(next)
    }

    /// Whether a majority of the next voters holds durably what this generation's majority does.
    fn are_fresh(&self, next: &[NodeId]) -> bool {
        let (Some(covered), me) = (self.covered(), self.current.document.me()) else {
            return false;
        };
        let fresh = next.iter().filter(|voter| {
            let acked = self.current.peers.connected.get(voter).and_then(|peer| peer.acked.as_ref());
            let has = acked.map(|ack| ack.vector.get(&me).copied().unwrap_or(0));
            **voter == self.node || has.is_some_and(|has| has >= covered)
        });
        fresh.count() > next.len() / 2
    }

    /// Ends a batch as the generation's last; as an ordinary one if what it consumed has changed who
    /// is to vote next, or if the next genesis could not be read back: then the document goes on.
    pub(super) fn write_seal(
        &mut self,
        now: Micros,
        batch: BatchBuilder,
        effects: &mut Vec<Effect>,
    ) -> Option<Entry> {
        let me = self.current.document.me();
        let next =
            self.current.lease.held().and_then(|holding| holding.ahead.next_voters().map(<[_]>::to_vec));
        let voters = next.unwrap_or_else(|| self.current.tape.voters().to_vec());
        let (fresh, format) = (self.are_fresh(&voters), self.next_format(now, &voters));
        let holding = self.current.lease.holding()?;
        if !fresh {
            return Some(Entry::Tape(Arc::new(holding.ahead.end(batch))));
        }
        let mut survivors = None;
        let mut batch = holding.ahead.seal(batch, voters.clone(), me.0, format, |state| {
            survivors = state.surviving_parts(&voters);
            survivors.is_some()
        });
        let Some(parts) = survivors.filter(|_| batch.seal.is_some()) else {
            self.current.sealing.put_off(self.current.document.bytes());
            let generation = self.current.genesis.generation();
            effects.push(Effect::Report(format!(
                "generation {generation} is not sealed: its state, written and read back, is another one"
            )));
            return Some(Entry::Tape(Arc::new(batch)));
        };
        let genesis = self.current.genesis.after(
            (&holding.ahead, parts),
            format,
            &voters,
            LeaseId { term: holding.term, holder: me },
        );
        if let Some(seal) = &mut batch.seal {
            seal.genesis = genesis.digest();
        }
        holding.sealed = Some(Box::new(genesis));
        Some(Entry::Tape(Arc::new(batch)))
    }

    /// A voter whose fold ends in the Seal, all of it on its disk and under the head's own term,
    /// writes so.
    pub(super) fn attest_seal(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        let Generation { sealing, tape, .. } = &mut self.current;
        let Some(since) = sealing.note(now, tape.seal().is_some()) else {
            return Ok(());
        };
        let term = self.current.lease.promised;
        if now >= since.plus(ATTEST_AFTER) && self.may_attest() {
            let ack = record::SealAck { term: term.0, voter: self.node.0 };
            self.write(now, vec![Entry::SealAck(ack)], effects)?;
        }
        Ok(())
    }

    /// Whether this voter has the Seal on its disk, under the term of the head, and has not said so.
    fn may_attest(&self) -> bool {
        let term = self.current.lease.promised;
        self.votes()
            && self.current.log.durable() == self.current.log.len()
            && self.current.tape.head().is_some_and(|head| head.term == term)
            && !self.current.tape.has_seal_ack(term, self.node)
    }

    /// When this voter is next to write that it holds the Seal. What it still waits for, its disk or
    /// an activation, brings this up again.
    pub(super) fn next_attest(&self) -> Option<Micros> {
        self.current.sealing.sealed_since.filter(|_| self.may_attest()).map(|since| since.plus(ATTEST_AFTER))
    }

    /// The view has applied the Seal of a term: the next generation begins.
    pub(super) fn roll(
        &mut self,
        now: Micros,
        term: Term,
        seal: &Seal,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        if !self.formats.contains(seal.format) {
            // To make the genesis would be to guess. Whoever can read it goes on without this node.
            let (name, generation) = (self.current.genesis.name().to_owned(), self.generation().next());
            let unreadable =
                GenesisError::Format { name, generation, format: seal.format, reads: self.formats };
            return Err(unreadable.into());
        }
        let more = planted(Plant::GenesisOfMore);
        let term = self.current.tape.head().map_or(term, |head| if more { head.term } else { term });
        let made = self.current.lease.holding().and_then(|holding| holding.sealed.take());
        let genesis = match made {
            Some(genesis) if genesis.digest() == seal.genesis => *genesis,
            _ => {
                let sealed = (&self.view, self.view.to_parts());
                self.current.genesis.after(
                    sealed,
                    seal.format,
                    &seal.voters,
                    LeaseId { term, holder: Actor(seal.holder) },
                )
            }
        };
        if genesis.digest() != seal.genesis && !more {
            // Another version of the encoder: who wrote the Seal has the right one.
            effects.push(Effect::Report(format!(
                "the genesis of generation {} differs from the one that the Seal names; it is taken from a peer",
                genesis.generation()
            )));
            return Ok(());
        }
        // The last word in this generation: the Seal, which nobody else has yet if one voter's disk was
        // enough to commit it, and that it is committed, so that the others can go on as well; also who
        // reaches nobody else, and would get it from here only when its time has come.
        self.current.peers.hurry_all();
        self.push_changes(now, effects);
        self.tell(effects);
        if let Some(holding) = self.current.lease.holding()
            && holding.ahead.digest() == self.view.digest()
        {
            // It ends in the same Seal, and goes on as the view does.
            holding.ahead.next_generation(genesis.voters(), genesis.digest());
        }
        self.view.next_generation(genesis.voters(), genesis.digest());
        self.begin(now, genesis, effects)
    }

    /// Begins a generation, whose state is in the view.
    pub(super) fn begin(
        &mut self,
        now: Micros,
        genesis: Genesis,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let consumed = self.view.consumed(self.node);
        let again = self.current.inbox.of(self.node).filter(|(id, _)| id.counter > consumed);
        let again: Vec<Intent> = again.map(|(_, intent)| intent.clone()).collect();
        self.current = Generation::following(&mut self.current, genesis, &self.view, now)?;
        self.memory.forget_others(self.current.tape.voters());
        self.accepted = self.accepted.max(consumed);
        let changes = self.write_again(now, &again)?;
        effects.push(Effect::Roll { genesis: Arc::new(self.current.genesis.clone()), changes });
        let peers: Vec<NodeId> = self.current.peers.connected.keys().copied().collect();
        for peer in peers {
            self.greet(peer, false, effects);
        }
        Ok(())
    }
}

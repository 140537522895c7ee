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

use super::commit::Holding;
use super::lease::{Holder, Role};
use super::log::Log;
use super::tape::Tape;
use super::{Effect, GENESIS_SHARE, Inbox, Replica, ReplicaError};
use crate::document::{Actor, Document, Entry, Genesis, GenesisError};
use crate::machine::{BatchBuilder, Intent, Seal};
use crate::plant::{Plant, planted};
use crate::types::{Micros, NodeId};

/// How long a Seal may wait for the holder's word before a voter writes its own into the document.
const ATTEST_AFTER: Micros = Micros(30_000);

impl Replica {
    /// Whether this holder should end the generation now.
    pub(super) fn wants_seal(&self, now: Micros) -> bool {
        let Some(holding) = self.lease.held() else {
            return false;
        };
        let changed = holding.ahead.next_voters();
        let next = changed.unwrap_or(self.tape.voters());
        let size = self.document.bytes();
        let large = size >= self.roll_at.max(self.genesis.bytes().saturating_mul(GENESIS_SHARE));
        let upgrades = self.next_format(now, next) != self.format();
        (large || changed.is_some() || upgrades) && size >= self.seal_from && self.are_fresh(next)
    }

    /// Whether a majority of the next voters holds durably what this generation's majority does.
    fn are_fresh(&self, next: &[NodeId]) -> bool {
        let (Some(covered), me) = (self.covered(), self.document.me()) else {
            return false;
        };
        let fresh = next.iter().filter(|voter| {
            let acked = self.peers.connected.get(voter).and_then(|peer| peer.acked.as_ref());
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
        let me = self.document.me();
        let next = self.lease.held().and_then(|holding| holding.ahead.next_voters().map(<[_]>::to_vec));
        let voters = next.unwrap_or_else(|| self.tape.voters().to_vec());
        let (fresh, format) = (self.are_fresh(&voters), self.next_format(now, &voters));
        let holding = self.lease.holding()?;
        if !fresh {
            return Some(Entry::Tape(Arc::new(holding.ahead.end(batch))));
        }
        let mut survivors = None;
        let mut batch = holding.ahead.seal(batch, voters.clone(), me.0, format, |state| {
            survivors = state.surviving_parts(&voters);
            survivors.is_some()
        });
        let Some(parts) = survivors.filter(|_| batch.seal.is_some()) else {
            // Tried again when there is a quarter more.
            let size = self.document.bytes();
            self.seal_from = size.saturating_add(size / 4);
            let generation = self.genesis.generation();
            effects.push(Effect::Report(format!(
                "generation {generation} is not sealed: its state, written and read back, is another one"
            )));
            return Some(Entry::Tape(Arc::new(batch)));
        };
        let genesis = self.genesis.after((&holding.ahead, parts), format, &voters, (holding.term, me));
        if let Some(seal) = &mut batch.seal {
            seal.genesis = genesis.digest();
        }
        holding.sealed = Some(Box::new(genesis));
        Some(Entry::Tape(Arc::new(batch)))
    }

    /// A voter whose fold ends in the Seal, all of it on its disk and under the head's own term,
    /// writes so.
    pub(super) fn attest_seal(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        if self.tape.seal().is_none() {
            self.sealed_since = None;
            return Ok(());
        }
        let since = *self.sealed_since.get_or_insert(now);
        let term = self.lease.promised;
        if now >= since.plus(ATTEST_AFTER) && self.may_attest() {
            let ack = record::SealAck { term, voter: self.node.0 };
            self.write(now, vec![Entry::SealAck(ack)], effects)?;
        }
        Ok(())
    }

    /// Whether this voter has the Seal on its disk, under the term of the head, and has not said so.
    fn may_attest(&self) -> bool {
        let term = self.lease.promised;
        self.votes()
            && self.log.durable() == self.log.len()
            && self.tape.head().is_some_and(|head| head.term == term)
            && !self.tape.has_seal_ack(term, self.node)
    }

    /// When this voter is next to write that it holds the Seal. What it still waits for, its disk or
    /// an activation, brings this up again.
    pub(super) fn next_attest(&self) -> Option<Micros> {
        self.sealed_since.filter(|_| self.may_attest()).map(|since| since.plus(ATTEST_AFTER))
    }

    /// The view has applied the Seal of a term: the next generation begins.
    pub(super) fn roll(
        &mut self,
        now: Micros,
        term: u64,
        seal: &Seal,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        if !self.formats.contains(seal.format) {
            // To make the genesis would be to guess. Whoever can read it goes on without this node.
            let (name, generation) = (self.genesis.name().to_owned(), self.generation() + 1);
            let unreadable =
                GenesisError::Format { name, generation, format: seal.format, reads: self.formats };
            return Err(unreadable.into());
        }
        let more = planted(Plant::GenesisOfMore);
        let term = self.tape.head().map_or(term, |head| if more { head.term } else { term });
        let made = self.lease.holding().and_then(|holding| holding.sealed.take());
        let genesis = match made {
            Some(genesis) if genesis.digest() == seal.genesis => *genesis,
            _ => {
                let sealed = (&self.view, self.view.to_parts());
                self.genesis.after(sealed, seal.format, &seal.voters, (term, Actor(seal.holder)))
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
        self.hurry_all();
        self.push_changes(now, effects);
        self.tell(effects);
        if let Some(holding) = self.lease.holding()
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
        let again = self.inbox.of(self.node).filter(|(id, _)| id.counter > consumed);
        let again: Vec<Intent> = again.map(|(_, intent)| intent.clone()).collect();
        self.document = Document::new(&genesis, self.document.me())?;
        self.genesis_hash = genesis.digest();
        self.tape = Tape::new(genesis.voters(), genesis.lease());
        self.log = Log::beginning(self.tape.first_term());
        self.inbox = Inbox::after(self.view.ledger.counters());
        self.peers.begin_generation();
        self.memory.begin_generation(self.tape.voters());
        self.catch_up.begin_generation(now);
        self.committed = 0;
        self.told = (0, 0);
        self.told_since = now;
        self.sealed_since = None;
        self.head_at = 0;
        self.seal_from = 0;
        self.wish = None;
        self.accepted = self.accepted.max(consumed);
        self.in_flight.clear();
        self.begin_lease(now, &genesis);
        self.genesis = genesis;
        let changes = self.write_again(now, &again)?;
        effects.push(Effect::Roll { genesis: Arc::new(self.genesis.clone()), changes });
        let peers: Vec<NodeId> = self.peers.connected.keys().copied().collect();
        for peer in peers {
            self.greet(peer, false, effects);
        }
        Ok(())
    }

    /// The lease of a new generation: its holder goes on if it is this very process and had not lost
    /// the lease meanwhile.
    fn begin_lease(&mut self, now: Micros, genesis: &Genesis) {
        let voters = genesis.voters();
        let Some((term, holder)) = genesis.lease() else {
            return;
        };
        let role = std::mem::replace(&mut self.lease.role, Role::Follower);
        self.lease.begin_generation(now, term, Some(holder.node()).filter(|holder| voters.contains(holder)));
        let goes_on = holder == self.document.me() && voters.contains(&self.node);
        if let Role::Holder(held) = role
            && held.holding.term == term
            && goes_on
        {
            // The last heartbeats' echoes still count: it is the same lease.
            let (echoes, renewed) = (held.echoes, held.renewed);
            // What it matched on goes on too, if it is at the beginning of this generation.
            let ahead = Some(held.holding.ahead).filter(|ahead| ahead.digest() == self.view.digest());
            let ahead = ahead.unwrap_or_else(|| self.view.clone());
            let holding = Holding::new(term, ahead, 0, self.node);
            let holder = Holder { holding, echoes, handed_over: false, renewed };
            self.lease.role = Role::Holder(Box::new(holder));
            self.lease.believed = None;
            self.lease.timer = now;
        }
    }
}

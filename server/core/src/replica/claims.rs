//! A peer says that it has changes of this node that are not on this node's disk.
//!
//! If it is so, the disk is an old copy, and whatever this node wrote would contradict what it wrote
//! before. But anyone can say so. Each change of a node bears a *mark*, a hash keyed with a secret of its
//! data directory, so the change itself is proof, and a peer that has it sends it at once. This node does
//! not vote while it waits for that, for a short while and a few times for each peer.

use std::collections::BTreeMap;

use super::message::Ack;
use super::{Effect, Replica, ReplicaError};
use crate::document::{Actor, ChangeError, RawChange};
use crate::types::{Micros, NodeId};

/// How often a peer is waited for that has shown nothing.
const MAX_WAITS: u32 = 3;

/// What peers claim.
#[derive(Default, Debug)]
pub(super) struct Claims {
    /// Until when each is waited for, and whether this node does not vote meanwhile.
    open: BTreeMap<NodeId, (Micros, bool)>,
    /// How often each was waited for.
    waits: BTreeMap<NodeId, u32>,
}

impl Claims {
    /// A connection is gone.
    pub fn lose(&mut self, peer: NodeId) {
        self.open.remove(&peer);
    }

    /// Whether there is one that may be true.
    pub fn hold(&self) -> bool {
        self.open.values().any(|(_, holds)| *holds)
    }
}

impl Replica {
    /// Whether all that a peer says it has of this node is on this node's disk. If not, it has to show it.
    pub(super) fn bears_out(
        &mut self,
        now: Micros,
        peer: NodeId,
        ack: &Ack,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let mut own = ack.vector.iter().filter(|(actor, _)| actor.node() == self.node);
        let has =
            |(actor, seq): (&_, &u64)| self.document.vector().get(actor).is_some_and(|have| have >= seq);
        let Some((actor, seq)) = own.find(|of| !has(*of)) else {
            // It may have said otherwise before.
            self.claims.lose(peer);
            return true;
        };
        if *actor == self.document.me() {
            let words =
                format!("it says that it has change {seq} of {actor}, which this process has not made");
            self.disconnect(peer, words, effects);
        } else if !self.claims.open.contains_key(&peer) {
            let waits = self.claims.waits.entry(peer).or_default();
            *waits = waits.saturating_add(1);
            let holds = *waits <= MAX_WAITS;
            self.claims.open.insert(peer, (now.plus(Micros(self.lease.duration.0 / 2)), holds));
            // It can show only what it knows to be missing here, and may not have heard this side's hello.
            self.greet(peer, true, effects);
        }
        false
    }

    /// Ends the connections to those that have shown nothing in time.
    pub(super) fn tend_claims(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let late = self.claims.open.iter().filter(|(_, (until, _))| now >= *until);
        let late: Vec<NodeId> = late.map(|(peer, _)| *peer).collect();
        for peer in late {
            let words = "it says that it has changes of this node that are not on its disk, and shows none";
            self.disconnect(peer, words.to_owned(), effects);
        }
    }

    /// When a peer has been waited for.
    pub(super) fn next_claim(&self) -> Option<Micros> {
        self.claims.open.values().map(|(until, _)| *until).min()
    }

    /// A peer shows a change of this node that this node does not have.
    ///
    /// # Errors
    /// This node made it: its disk is an old copy. The inner error is the peer's fault.
    pub(super) fn judge_own(
        &self,
        peer: NodeId,
        raw: &RawChange,
    ) -> Result<Result<(), ChangeError>, ReplicaError> {
        let (actor, seq) = match raw.actor() {
            Ok(actor) => (actor, raw.seq()),
            Err(error) => return Ok(Err(error)),
        };
        if raw.mark() == Some(self.mark_of(actor, seq).as_str()) {
            return Err(ReplicaError::Forgotten { peer });
        }
        Ok(Err(ChangeError::NotMade { actor, seq }))
    }

    /// What only this node can put into a change of its own.
    pub(super) fn mark_of(&self, actor: Actor, seq: u64) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.memory.secret);
        hasher.update(b"change").update(&(self.genesis.name().len() as u64).to_be_bytes());
        hasher.update(self.genesis.name().as_bytes()).update(&self.generation().to_be_bytes());
        hasher.update(&actor.0).update(&seq.to_be_bytes());
        let mut bytes = [0; 8];
        hasher.finalize_xof().fill(&mut bytes);
        format!("{:016x}", u64::from_be_bytes(bytes))
    }
}

//! What a node remembers of the others' acknowledgements, so that an old copy of a disk is told so.
//!
//! A voter that comes back from a copy of its disk on which nothing of its own is missing looks like one
//! that is slow. Its word is gone all the same: with the holder dead it would make a majority without what
//! it had acknowledged. So each node remembers of each voter the newest acknowledgement that it heard. It
//! stores that with its next write, which costs no sync, and says it in its hello.
//!
//! Such a word is proof and not a claim: an acknowledgement bears its author's *mark*, a hash keyed with
//! a secret of the author's data directory. Nobody else can make up one that the author's disk never had,
//! so a peer that lies stops nobody.

use std::collections::BTreeMap;

use bytes::Bytes;
use xbook_proto::record::v1 as record;

use super::message::{Ack, HeardAck, MAX_ACTORS, Mark, Message};
use super::{Effect, Replica, ReplicaError};
use crate::document::Actor;
use crate::plant::{Plant, planted};
use crate::types::{GenerationNumber, NodeId, Term};

/// The newest acknowledgement that was heard of each voter.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Remembered(BTreeMap<NodeId, HeardAck>);

impl Remembered {
    /// The acknowledgements, by node.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &HeardAck)> {
        self.0.iter().map(|(node, heard)| (*node, heard))
    }

    /// What is remembered of a node.
    #[must_use]
    pub fn of(&self, node: NodeId) -> Option<&HeardAck> {
        self.0.get(&node)
    }

    /// Takes what a node said, if it is newer than what is remembered of it; returns whether it is.
    pub fn take(&mut self, node: NodeId, heard: HeardAck) -> bool {
        let newer = self.0.get(&node).is_none_or(|known| *known != heard && heard.follows(known));
        if newer {
            self.0.insert(node, heard);
        }
        newer
    }
}

impl Remembered {
    /// As it is stored.
    #[must_use]
    pub fn to_record(&self) -> record::Remembered {
        record::Remembered { acks: self.iter().map(|(node, heard)| heard.to_record(node)).collect() }
    }

    /// What was stored; `None` if it is malformed.
    #[must_use]
    pub fn from_record(stored: record::Remembered) -> Option<Self> {
        let acks = stored.acks.into_iter().map(|ack| Some((NodeId(ack.node), HeardAck::from_record(ack)?)));
        acks.collect::<Option<_>>().map(Self)
    }
}

impl HeardAck {
    /// As it is stored and sent.
    #[must_use]
    pub fn to_record(&self, node: NodeId) -> record::HeardAck {
        let Self { generation, ack: Ack { label, vector, mark } } = self;
        let changes = |(actor, seq): (&Actor, &u64)| record::ActorChanges {
            actor: Bytes::copy_from_slice(&actor.0),
            seq: *seq,
        };
        record::HeardAck {
            node: node.0,
            generation: generation.0,
            label: label.0,
            changes: vector.iter().map(changes).collect(),
            mark: mark.map_or_else(Bytes::new, |mark| Bytes::copy_from_slice(&mark)),
        }
    }

    /// What was stored or sent; `None` if it is malformed.
    #[must_use]
    pub fn from_record(heard: record::HeardAck) -> Option<Self> {
        if heard.changes.len() > MAX_ACTORS {
            return None;
        }
        let changes = heard.changes.iter();
        let changes =
            changes.map(|changes| Some((Actor(changes.actor.as_ref().try_into().ok()?), changes.seq)));
        let vector = changes.collect::<Option<_>>()?;
        let mark = Some(heard.mark).filter(|mark| !mark.is_empty());
        let mark = mark.map(|mark| mark.as_ref().try_into().ok());
        let mark = if let Some(mark) = mark { Some(mark?) } else { None };
        let ack = Ack { label: Term(heard.label), vector, mark };
        Some(Self { generation: GenerationNumber(heard.generation), ack })
    }
}

/// What a replica remembers.
#[derive(Default, Debug)]
pub(super) struct Memory {
    heard: Remembered,
    /// Whether some of it waits for the next write.
    unstored: bool,
    /// What this node's marks are keyed with.
    pub secret: [u8; 32],
}

impl Memory {
    pub fn new(secret: [u8; 32], heard: Remembered) -> Self {
        Self { heard, unstored: false, secret }
    }

    /// A generation begins: who does not vote in it any more is forgotten.
    pub fn forget_others(&mut self, voters: &[NodeId]) {
        self.heard.0.retain(|node, _| voters.contains(node));
    }

    /// What only this node can say of an acknowledgement of its own.
    fn mark(&self, document: &str, generation: GenerationNumber, ack: &Ack) -> Mark {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(&(document.len() as u64).to_be_bytes()).update(document.as_bytes());
        hasher.update(&generation.0.to_be_bytes()).update(&ack.label.0.to_be_bytes());
        for (actor, seq) in &ack.vector {
            hasher.update(&actor.0).update(&seq.to_be_bytes());
        }
        let mut mark = Mark::default();
        hasher.finalize_xof().fill(&mut mark);
        mark
    }
}

impl Replica {
    /// What this node's disk has, as it is told to others. It bears a mark if anyone can rest on it: before
    /// its first change a generation may not be on the disk itself.
    pub(super) fn own_ack(&self) -> Ack {
        let ack = self.current.log.ack().clone();
        if !self.may_vote() {
            return Ack { label: Term(0), ..ack };
        }
        if ack.vector.is_empty() {
            return ack;
        }
        let mark = self.memory.mark(self.current.genesis.name(), self.generation(), &ack);
        Ack { mark: Some(mark), ..ack }
    }

    /// Remembers what a voter said, in whichever generation.
    pub(super) fn remember(&mut self, from: NodeId, generation: GenerationNumber, message: &Message) {
        let (Message::Ack(ack) | Message::Hello { ack, .. }) = message else {
            return;
        };
        if ack.mark.is_some() && self.current.tape.voters().contains(&from) {
            let heard = HeardAck { generation, ack: ack.clone() };
            self.memory.unstored |= self.memory.heard.take(from, heard);
        }
    }

    /// What is remembered of a peer.
    pub(super) fn heard_of(&self, peer: NodeId) -> Option<HeardAck> {
        self.memory.heard.of(peer).cloned()
    }

    /// A peer says what it remembers of this node. What bears this node's mark was on this node's disk.
    ///
    /// # Errors
    /// It is not any more: the disk is an old copy.
    pub(super) fn check_memory(&self, peer: NodeId, heard: &HeardAck) -> Result<(), ReplicaError> {
        let HeardAck { generation, ack } = heard;
        let has = *generation < self.generation()
            || *generation == self.generation() && self.current.log.ack().covers(ack);
        let proven = ack.mark == Some(self.memory.mark(self.current.genesis.name(), *generation, ack));
        if has || !proven || planted(Plant::ForgottenAck) {
            return Ok(());
        }
        Err(ReplicaError::Outdated { peer, generation: *generation })
    }

    /// Puts what is new before the first of the writes, so that it is stored with it.
    pub(super) fn store_memory(&mut self, effects: &mut Vec<Effect>) {
        let writes = |effect: &Effect| matches!(effect, Effect::Store { .. } | Effect::Roll { .. });
        if self.memory.unstored
            && let Some(at) = effects.iter().position(writes)
        {
            self.memory.unstored = false;
            effects.insert(at, Effect::Remember(self.memory.heard.clone()));
        }
    }
}

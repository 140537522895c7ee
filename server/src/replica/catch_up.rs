//! A node that was away for generations, or is new, gets the newest genesis from a peer.
//!
//! Whoever is only one generation behind usually has the Seal already, or gets it in a moment, and
//! goes on by itself; it asks only if that takes too long. A genesis comes part by part, each asked
//! for, so a slow receiver is never flooded.

use std::collections::BTreeMap;

use bytes::Bytes;
use xbook_proto::record::v1 as record;

use super::message::Message;
use super::{Effect, Replica, ReplicaError};
use crate::document::{Genesis, GenesisDraft, GenesisError};
use crate::types::{Micros, NodeId};

/// What is known of newer generations.
#[derive(Default, Debug)]
pub(super) struct CatchUp {
    /// Peers that are in one, and which.
    ahead: BTreeMap<NodeId, u64>,
    /// Since when there is one.
    since: Micros,
    fetch: Option<Fetch>,
}

/// A genesis on its way.
#[derive(Debug)]
struct Fetch {
    from: NodeId,
    asked: Micros,
    draft: Option<GenesisDraft>,
}

impl CatchUp {
    /// A connection is gone.
    pub fn lose(&mut self, peer: NodeId) {
        self.ahead.remove(&peer);
        if self.fetch.as_ref().is_some_and(|fetch| fetch.from == peer) {
            self.fetch = None;
        }
    }

    /// A generation begins: who is in a newer one still is.
    pub fn begin_generation(&mut self, now: Micros, generation: u64) {
        self.ahead.retain(|_, theirs| *theirs > generation);
        self.since = now;
        self.fetch = None;
    }

    fn note(&mut self, now: Micros, peer: NodeId, generation: u64) {
        if self.ahead.is_empty() {
            self.since = now;
        }
        self.ahead.insert(peer, generation);
    }
}

impl Replica {
    /// A peer speaks from another generation.
    pub(super) fn hear_other_generation(
        &mut self,
        now: Micros,
        from: NodeId,
        generation: u64,
        message: Message,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        if generation < self.generation() {
            match message {
                Message::Fetch { part } => self.serve_genesis(from, part, effects),
                // It may have forgotten, or never heard, that this node is ahead.
                Message::Hello { .. } => self.greet(from, false, effects),
                _ => {}
            }
            return Ok(());
        }
        self.catch_up.note(now, from, generation);
        match message {
            Message::GenesisPart { genesis, part, content } => {
                match self.take_part(now, from, *genesis, (part, content), effects) {
                    Ok(None) => Ok(()),
                    Ok(Some(genesis)) => self.adopt(now, from, genesis, effects),
                    Err(error) => {
                        self.disconnect(from, error.to_string(), effects);
                        Ok(())
                    }
                }
            }
            _ => Ok(()),
        }
    }

    fn serve_genesis(&self, to: NodeId, part: u32, effects: &mut Vec<Effect>) {
        let content = self.genesis.parts().get(part as usize).cloned().unwrap_or_default();
        let genesis = Box::new(self.genesis.record().clone());
        self.send(to, Message::GenesisPart { genesis, part, content }, effects);
    }

    /// Asks for a newer genesis if there is one and this node does not get there by itself.
    pub(super) fn fetch_genesis(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        if self.next_fetch().is_none_or(|at| now < at) {
            return;
        }
        if let Some(silent) = self.catch_up.fetch.take() {
            self.catch_up.ahead.remove(&silent.from);
        }
        // The newest one.
        let newest = self.catch_up.ahead.iter().max_by_key(|(_, generation)| **generation);
        if let Some((from, _)) = newest.map(|(peer, generation)| (*peer, *generation)) {
            self.catch_up.fetch = Some(Fetch { from, asked: now, draft: None });
            self.send(from, Message::Fetch { part: 0 }, effects);
        }
    }

    /// When a genesis is next to be asked for.
    pub(super) fn next_fetch(&self) -> Option<Micros> {
        let patience = self.lease.duration;
        if let Some(fetch) = &self.catch_up.fetch {
            return Some(fetch.asked.plus(patience));
        }
        let newest = self.catch_up.ahead.values().max()?;
        // The next generation may begin here any moment; one after it will not.
        let wait =
            if *newest > self.generation().saturating_add(1) { Micros(0) } else { Micros(patience.0 / 2) };
        Some(self.catch_up.since.plus(wait))
    }

    /// Takes a part; returns the genesis once it is whole.
    fn take_part(
        &mut self,
        now: Micros,
        from: NodeId,
        header: record::Genesis,
        (part, content): (u32, Bytes),
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Genesis>, GenesisError> {
        let (name, generation) = (self.genesis.name(), self.generation());
        let Some(fetch) = self.catch_up.fetch.as_mut().filter(|fetch| fetch.from == from) else {
            return Ok(None);
        };
        if header.name != name || header.generation <= generation {
            return Err(GenesisError::Malformed { name: header.name });
        }
        fetch.asked = now;
        if !fetch.draft.as_ref().is_some_and(|draft| draft.is_of(&header)) {
            // The first one, or the peer has gone on to another generation.
            fetch.draft = Some(GenesisDraft::new(header)?);
        }
        let Some(draft) = &mut fetch.draft else {
            return Ok(None);
        };
        if draft.next() == Some(part) {
            draft.take(content)?;
        }
        if let Some(part) = draft.next() {
            self.send(from, Message::Fetch { part }, effects);
            return Ok(None);
        }
        let whole = self.catch_up.fetch.take().and_then(|fetch| fetch.draft);
        whole.map(GenesisDraft::finish).transpose()
    }

    /// Goes on from a peer's genesis.
    fn adopt(
        &mut self,
        now: Micros,
        from: NodeId,
        genesis: Genesis,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let state = match genesis.state(self.caps) {
            Ok(state) if state.position() >= self.view.position() => state,
            Ok(_) => {
                self.disconnect(from, "its genesis is older than what is committed here".to_owned(), effects);
                return Ok(());
            }
            Err(error) => {
                self.disconnect(from, error.to_string(), effects);
                return Ok(());
            }
        };
        let through = state.consumed(self.node);
        if through > self.inbox.last(self.node) {
            // Nobody can have consumed what this node has never written.
            return Err(ReplicaError::Forgotten { peer: from });
        }
        let start = state.start();
        self.view = state;
        self.begin(now, genesis, effects)?;
        effects.push(Effect::Skipped { through, start });
        Ok(())
    }
}

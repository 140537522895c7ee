//! A node that was away for generations, or is new, gets the newest genesis from a peer.
//!
//! Whoever is only one generation behind usually has the Seal already, or gets it in a moment, and
//! goes on by itself; it asks only if that takes too long. A genesis comes part by part, each asked
//! for, so a slow receiver is never flooded.
//!
//! A genesis replaces all that this node has of a document, so one peer's word is not enough: see
//! [`Replica::stand_of`].

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use xbook_proto::record::v1 as record;

use super::arrived::Arrived;
use super::message::Message;
use super::{Effect, Replica, ReplicaError};
use crate::document::{Genesis, GenesisDraft, GenesisError};
use crate::types::{GenerationNumber, Micros, NodeId, Position};

/// Most generations of a peer that are remembered: others may hear of them a little later.
const MAX_WORDS: usize = 8;

/// A generation that a peer says it is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Word {
    pub generation: GenerationNumber,
    /// Hash of its genesis.
    pub genesis: [u8; 32],
}

/// What is known of newer generations.
#[derive(Default, Debug)]
pub(super) struct CatchUp {
    /// The generations that each connected peer said it was in, the newest last.
    words: BTreeMap<NodeId, VecDeque<Word>>,
}

/// How a generation's successor is looked for, if this node does not get there by itself.
#[derive(Default, Debug)]
pub(super) struct Search {
    /// Since when there is a newer one.
    since: Micros,
    fetch: Option<Fetch>,
    /// When a genesis was last asked for in vain, and whom.
    failed: Option<(Micros, NodeId)>,
}

impl Search {
    /// None is known of before this time.
    pub fn since(now: Micros) -> Self {
        Self { since: now, ..Self::default() }
    }

    /// A connection is gone.
    pub fn lose(&mut self, peer: NodeId) {
        if self.fetch.as_ref().is_some_and(|fetch| fetch.from == peer) {
            self.fetch = None;
        }
    }
}

/// A genesis on its way.
#[derive(Debug)]
struct Fetch {
    from: NodeId,
    word: Word,
    asked: Micros,
    draft: Option<GenesisDraft>,
}

/// What speaks for a genesis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stand {
    /// Enough.
    Proven,
    /// Nothing against it; its own voters may be asked.
    Possible,
    /// It can't be.
    Refuted,
}

impl CatchUp {
    /// A connection is gone.
    pub fn lose(&mut self, peer: NodeId) {
        self.words.remove(&peer);
    }

    /// A peer said in which generation it is.
    fn note(&mut self, peer: NodeId, word: Word) {
        let words = self.words.entry(peer).or_default();
        // A process that has started again may be where it was before.
        words.retain(|known| known.generation < word.generation);
        if words.len() == MAX_WORDS {
            words.pop_front();
        }
        words.push_back(word);
    }

    /// Whether a peer says that it is in a newer generation.
    pub fn is_there(&self, generation: GenerationNumber) -> bool {
        self.newest().any(|(_, theirs)| theirs.generation > generation)
    }

    fn newest(&self) -> impl Iterator<Item = (NodeId, Word)> {
        self.words.iter().filter_map(|(peer, words)| Some((*peer, *words.back()?)))
    }
}

impl Replica {
    /// A peer said in which generation it is, whichever that is.
    pub(super) fn note_generation(&mut self, now: Micros, from: NodeId, word: Word) {
        if word.generation > self.generation() && !self.catch_up.is_there(self.generation()) {
            self.current.search.since = now;
        }
        self.catch_up.note(from, word);
    }

    /// A peer speaks from another generation.
    pub(super) fn hear_other_generation(
        &mut self,
        now: Micros,
        from: NodeId,
        generation: GenerationNumber,
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
        let Message::GenesisPart { genesis, part, content } = message else {
            return Ok(());
        };
        match self.take_part(now, from, *genesis, (part, content), effects) {
            Ok(None) => Ok(()),
            Ok(Some(genesis)) => self.adopt(now, from, genesis, effects),
            // It is proven, and not the peer's fault.
            Err(unreadable @ GenesisError::Format { .. }) => Err(unreadable.into()),
            Err(error) => {
                self.disconnect(from, error.to_string(), effects);
                Ok(())
            }
        }
    }

    fn serve_genesis(&self, to: NodeId, part: u32, effects: &mut Vec<Effect>) {
        let content = self.current.genesis.parts().get(part as usize).cloned().unwrap_or_default();
        let genesis = Box::new(self.current.genesis.record().clone());
        self.send(to, Message::GenesisPart { genesis, part, content }, effects);
    }

    /// What speaks for a genesis of a newer generation. It is proven if
    ///
    /// - the Seal in this node's own document names it, and is known to be committed, or one of the
    ///   document's voters says that it is in it; or
    /// - a majority of the voters that this node knows say that they are in it, or were; or
    /// - the voters that this node knows may have sealed it without this node's hearing so, as still seems
    ///   after some time, and one of its own voters says that it is in it: whoever was away while voters
    ///   were replaced, or reaches few of them, has nobody else to ask; or
    /// - this node has nothing yet of the directory, and goes by the node that it was told to join.
    ///
    /// Each says so on its own connection. `voters` are those of the genesis, if they are known.
    fn stand_of(&self, now: Micros, word: Word, voters: Option<&[u64]>) -> Stand {
        let says = |voter: &NodeId| self.catch_up.words.get(voter).map(|words| words.contains(&word));
        let (known, next) = (self.current.tape.voters(), word.generation == self.generation().next());
        let vouching = known.iter().filter(|voter| says(voter) == Some(true)).count();
        let named = next && self.current.tape.seal().is_some_and(|seal| seal.genesis == word.genesis);
        if named && (vouching > 0 || self.current.tape.has_ended()) {
            return Stand::Proven;
        }
        if vouching >= self.current.tape.majority() {
            return Stand::Proven;
        }
        let joins = self.current.genesis.rules().is_none() && self.generation() == GenerationNumber(0);
        if joins && self.view.position() == Position(0) && !known.contains(&self.node) {
            return Stand::Proven;
        }
        // A voter that is connected and says otherwise has not sealed what leads there, nor has this one; or
        // its Seal comes here any moment. An old copy may have sealed it and forgotten that.
        let mine = self.gate.is_some();
        let may_have_sealed =
            |voter: &&NodeId| if **voter == self.node { mine } else { says(voter) != Some(false) };
        let may = known.iter().filter(may_have_sealed).count() >= self.current.tape.majority();
        if !may && !self.current.tape.is_sealed() {
            return Stand::Refuted;
        }
        let vouch = |voters: &[u64]| voters.iter().any(|voter| says(&NodeId(*voter)) == Some(true));
        let waited = now >= self.current.search.since.plus(self.slow_patience());
        if waited && voters.is_some_and(vouch) { Stand::Proven } else { Stand::Possible }
    }

    /// How long the voters that this node knows are waited for.
    fn slow_patience(&self) -> Micros {
        Micros(self.current.lease.duration.0.saturating_mul(2))
    }

    /// The newest genesis that there may be, and who is in it: what is proven comes first.
    fn best_word(&self, now: Micros) -> Option<(Stand, Word, NodeId)> {
        let newer = self.catch_up.newest().filter(|(_, word)| word.generation > self.generation());
        let found = newer.map(|(peer, word)| (self.stand_of(now, word, None), word, peer));
        let failed = self.current.search.failed.map(|(_, peer)| peer);
        found.filter(|(stand, ..)| *stand != Stand::Refuted).max_by_key(|(stand, word, peer)| {
            (*stand == Stand::Proven, word.generation, Some(*peer) != failed)
        })
    }

    /// Whether there is, or may be, a newer generation.
    pub(super) fn has_newer(&self, now: Micros) -> bool {
        self.best_word(now).is_some()
    }

    /// Asks for a newer genesis if there is one and this node does not get there by itself.
    pub(super) fn fetch_genesis(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        if self.next_fetch(now).is_none_or(|at| now < at) {
            return;
        }
        if let Some(silent) = self.current.search.fetch.take() {
            self.current.search.failed = Some((now, silent.from));
        }
        if let Some((_, word, from)) = self.best_word(now) {
            self.current.search.fetch = Some(Fetch { from, word, asked: now, draft: None });
            self.send(from, Message::Fetch { part: 0 }, effects);
        }
    }

    /// When a genesis is next to be asked for.
    pub(super) fn next_fetch(&self, now: Micros) -> Option<Micros> {
        let patience = self.current.lease.duration;
        if let Some(fetch) = &self.current.search.fetch {
            return Some(fetch.asked.plus(patience));
        }
        let (stand, Word { generation: newest, .. }, _) = self.best_word(now)?;
        let since = self.current.search.since;
        if stand == Stand::Possible {
            let failed = self.current.search.failed.map_or(since, |(at, _)| at.max(since));
            return Some(failed.plus(self.slow_patience()));
        }
        // The next generation may begin here any moment; one after it will not.
        let wait = if newest > self.generation().next() { Micros(0) } else { Micros(patience.0 / 2) };
        Some(since.plus(wait))
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
        let Some(word) =
            self.current.search.fetch.as_ref().filter(|fetch| fetch.from == from).map(|fetch| fetch.word)
        else {
            return Ok(None);
        };
        let asked_for = Genesis::digest_of(&header) == word.genesis && header.generation == word.generation.0;
        let stays = self.catch_up.words.get(&from).and_then(VecDeque::back) == Some(&word);
        if stays && !asked_for {
            return Err(GenesisError::Parts { name: header.name });
        }
        if !asked_for || self.stand_of(now, word, Some(&header.voters)) != Stand::Proven {
            // The peer has gone on to another generation, or there is not enough that speaks for it yet.
            self.current.search.fetch = None;
            self.current.search.failed = Some((now, from));
            return Ok(None);
        }
        let Some(fetch) = &mut self.current.search.fetch else {
            return Ok(None);
        };
        fetch.asked = now;
        if fetch.draft.is_none() {
            if header.name != self.current.genesis.name() {
                return Err(GenesisError::Malformed { name: header.name });
            }
            fetch.draft = Some(GenesisDraft::new(header, self.formats)?);
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
        let whole = self.current.search.fetch.take().and_then(|fetch| fetch.draft);
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
        if through > self.current.inbox.last(self.node) {
            // Nobody can have consumed what this node has never written.
            return Err(ReplicaError::Forgotten { peer: from });
        }
        let start = state.start();
        self.view = state;
        self.begin(now, genesis, effects)?;
        // What the others did since is still on its way.
        self.arrived = Arrived::Unheard;
        effects.push(Effect::Skipped { through, start });
        Ok(())
    }
}

//! One generation of the document, from its genesis to its Seal, as one value.
//!
//! What is here begins and ends with the generation: whoever begins one builds this anew, and what
//! goes on from the former one is named in [`Generation::following`] and nowhere else. What outlives generations
//! (the view, what is remembered, what is gathered) is the [`Replica`](super::Replica)'s.

use super::catch_up::Search;
use super::commit::Commit;
use super::inbox::Inbox;
use super::lease::Lease;
use super::log::Log;
use super::peers::Peers;
use super::seal::Sealing;
use super::tape::Tape;
use super::write::InFlight;
use crate::document::{Actor, Document, DocumentError, Genesis};
use crate::machine::State;
use crate::types::Micros;

/// What a replica has of the generation that it is in.
#[derive(Debug)]
pub(super) struct Generation {
    pub genesis: Genesis,
    pub genesis_hash: [u8; 32],
    pub document: Document,
    /// What arrived, in its order, and how far the disk is.
    pub log: Log,
    /// Intents that the view has not consumed.
    pub inbox: Inbox,
    /// Which batches count.
    pub tape: Tape,
    /// How many changes had arrived when the tape's head did.
    pub head_at: usize,
    pub lease: Lease,
    pub commit: Commit,
    /// What connected peers have of this generation.
    pub peers: Peers,
    /// Own changes on their way to the disk.
    pub in_flight: InFlight,
    /// How the end comes.
    pub sealing: Sealing,
    /// How a newer one is looked for.
    pub search: Search,
}

impl Generation {
    /// The generation that a process opens, before what is stored of it is taken; the view is at its genesis.
    ///
    /// # Errors
    /// The document can't be made of the genesis.
    pub fn opened(
        genesis: Genesis,
        me: Actor,
        view: &State,
        lease: Lease,
        now: Micros,
    ) -> Result<Self, DocumentError> {
        Ok(Self {
            genesis_hash: genesis.digest(),
            document: Document::new(&genesis, me)?,
            log: Log::default(),
            inbox: Inbox::after(view.ledger.counters()),
            tape: Tape::new(genesis.voters(), genesis.lease()),
            head_at: 0,
            lease,
            commit: Commit::beginning(now),
            peers: Peers::default(),
            in_flight: InFlight::default(),
            sealing: Sealing::default(),
            search: Search::default(),
            genesis,
        })
    }

    /// The generation that follows, in the same process; the view is at its genesis. Of the former one go on: who
    /// this process is, the connections, and the lease.
    ///
    /// # Errors
    /// The document can't be made of the genesis.
    pub fn following(
        former: &mut Self,
        genesis: Genesis,
        view: &State,
        now: Micros,
    ) -> Result<Self, DocumentError> {
        let me = former.document.me();
        let tape = Tape::new(genesis.voters(), genesis.lease());
        Ok(Self {
            genesis_hash: genesis.digest(),
            document: Document::new(&genesis, me)?,
            log: Log::beginning(tape.first_term()),
            inbox: Inbox::after(view.ledger.counters()),
            tape,
            head_at: 0,
            lease: Lease::following(&mut former.lease, now, &genesis, me, view),
            commit: Commit::beginning(now),
            peers: Peers::following(&former.peers),
            in_flight: InFlight::default(),
            sealing: Sealing::default(),
            search: Search::since(now),
            genesis,
        })
    }
}

//! What a process begins with: what its node has stored, taken in the order in which it was stored.

use std::collections::VecDeque;

use super::arrived::Arrived;
use super::catch_up::CatchUp;
use super::claims::Claims;
use super::gate::Gate;
use super::generation::Generation;
use super::lease::Lease;
use super::log::Arrival;
use super::memory::{Memory, Remembered};
use super::{Replica, ReplicaError, Settings};
use crate::document::{Actor, Genesis, Heading, RawChange};
use crate::plant::{Plant, planted};
use crate::types::Term;

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
        let beginning = Lease::new(lease, now, seed, Term(0));
        let mut replica = Self {
            node: me.node(),
            current: Generation::opened(genesis, me, &view, beginning, now)?,
            view,
            digests: VecDeque::new(),
            catch_up: CatchUp::default(),
            arrived: Arrived::default(),
            is_outrun: false,
            claims: Claims::default(),
            memory: Memory::new(secret, remembered),
            gate: restored.then(Gate::default),
            roll_at,
            caps,
            formats,
            gathering: VecDeque::new(),
            accepted: 0,
            sent_through: 0,
        };
        let mut changes = Vec::with_capacity(stored.len());
        for bytes in stored {
            let raw = RawChange::parse_stored(bytes)?;
            replica.current.log.push(
                Arrival { actor: raw.actor()?, seq: raw.seq(), at: now, promised: Term(0), through: 0 },
                raw.bytes(),
            );
            changes.push(raw);
        }
        for (actor, entry) in replica.current.document.apply(changes)? {
            let what = entry.kind().name();
            let read = replica.read(actor, vec![entry]).ok_or(ReplicaError::Stored { actor, what })?;
            replica.take(Heading { actor, seq: 0 }, read);
        }
        let forgets = planted(Plant::ForgottenPromise);
        let promised = if forgets {
            replica.current.tape.first_term()
        } else {
            replica.current.tape.promised_by(replica.node)
        };
        replica.current.lease = Lease::new(lease, now, seed, promised);
        if replica.current.genesis.lease().is_none() && replica.current.document.vector().is_empty() {
            replica.current.lease.begin_fresh(now);
        }
        replica.current.log.opened(promised);
        replica.current.head_at = 0;
        replica.accepted = replica.current.inbox.last(replica.node);
        // An earlier process may have sent all that it had.
        replica.sent_through = replica.accepted;
        replica.recall_committed(shown);
        Ok(replica)
    }
}

//! Bugs that can be planted, to prove that the oracles find them.
//!
//! Most are planted at the simulator's seams: messages are rewritten, the disk lies, a restarted
//! process keeps its actor. Those that can only be inside the replica are
//! [`xbook::plant::Plant`]s, which exist under the cargo feature `plant` alone.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use xbook::document::RawChange;
use xbook::plant::{self, Plant};
use xbook::replica::message::{Ack, Ballot, Echo, Envelope, Message};

use super::disk::DiskWrite;
use super::machine::Machine;
use super::programs;

/// A bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A promise that does not depend on all that its voter had applied.
    PromiseBelow,
    /// Acknowledgements carry whatever term their receiver holds.
    AckUnlabelled,
    /// Acknowledgements cover what the disk has not synced.
    AckUnsynced,
    /// Adopted batches are committed without the activation that adopts them (Figure 8).
    AdoptedAlone,
    /// A restarted voter does not remember what it promised.
    ForgottenPromise,
    /// A restarted process goes on as the actor that it was.
    HolderByNode,
    /// Acknowledgements of observers count.
    WrongVoters,
    /// An intent is consumed before the one in front of it.
    OutOfOrder,
    /// Changes are sent and acknowledged before they are synced.
    FsyncSkipped,
    /// What is committed is told without its term.
    CommitWithoutTerm,
    /// Acknowledgements of one generation count in the next.
    AckAcross,
    /// The next generation begins though its Seal is not committed.
    SealUncommitted,
    /// A genesis is made from more than its Seal's past.
    GenesisOfMore,
    /// An order's expiry is not looked at when it has its turn.
    LateOrder,
    /// A new holder knows of no switch that was armed before.
    ForgottenSwitch,
    /// Nothing keeps an order from trading with its own account.
    SelfTrade,
    /// Stops that one trade meets are triggered the farthest first.
    StopsOutOfTurn,
    /// Of the prices that are as good an uncross takes the lowest.
    UncrossedLow,
    /// A restarted node does not remember what it has shown.
    TakenBack,
    /// A node goes on with an old copy of its disk, though it was told so.
    ForgottenAck,
    /// A node says that it can read what it can't.
    FormatsOverstated,
}

/// All of them.
pub const BUGS: [Bug; 21] = [
    Bug::PromiseBelow,
    Bug::AckUnlabelled,
    Bug::AckUnsynced,
    Bug::AdoptedAlone,
    Bug::ForgottenPromise,
    Bug::HolderByNode,
    Bug::WrongVoters,
    Bug::OutOfOrder,
    Bug::FsyncSkipped,
    Bug::CommitWithoutTerm,
    Bug::AckAcross,
    Bug::SealUncommitted,
    Bug::GenesisOfMore,
    Bug::LateOrder,
    Bug::ForgottenSwitch,
    Bug::SelfTrade,
    Bug::StopsOutOfTurn,
    Bug::UncrossedLow,
    Bug::TakenBack,
    Bug::ForgottenAck,
    Bug::FormatsOverstated,
];

impl Bug {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PromiseBelow => "promise-below",
            Self::AckUnlabelled => "ack-unlabelled",
            Self::AckUnsynced => "ack-unsynced",
            Self::AdoptedAlone => "adopted-alone",
            Self::ForgottenPromise => "forgotten-promise",
            Self::HolderByNode => "holder-by-node",
            Self::WrongVoters => "wrong-voters",
            Self::OutOfOrder => "out-of-order",
            Self::FsyncSkipped => "fsync-skipped",
            Self::CommitWithoutTerm => "commit-without-term",
            Self::AckAcross => "ack-across",
            Self::SealUncommitted => "seal-uncommitted",
            Self::GenesisOfMore => "genesis-of-more",
            Self::LateOrder => "late-order",
            Self::ForgottenSwitch => "forgotten-switch",
            Self::SelfTrade => "self-trade",
            Self::StopsOutOfTurn => "stops-out-of-turn",
            Self::UncrossedLow => "uncrossed-low",
            Self::TakenBack => "taken-back",
            Self::ForgottenAck => "forgotten-ack",
            Self::FormatsOverstated => "formats-overstated",
        }
    }

    /// What it is.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::PromiseBelow => "a promise does not depend on all that its voter had applied",
            Self::AckUnlabelled => "acknowledgements carry whatever term their receiver holds",
            Self::AckUnsynced => "acknowledgements cover what the disk has not synced",
            Self::AdoptedAlone => "adopted batches are committed without the activation (Figure 8)",
            Self::ForgottenPromise => "a restarted voter does not remember what it promised",
            Self::HolderByNode => "a restarted process goes on as the actor that it was",
            Self::WrongVoters => "observers' acknowledgements count as voters'",
            Self::OutOfOrder => "an intent is consumed before the one in front of it",
            Self::FsyncSkipped => "changes are sent and acknowledged before they are synced",
            Self::CommitWithoutTerm => "what is committed is told without its term",
            Self::AckAcross => "acknowledgements of one generation count in the next",
            Self::SealUncommitted => "the next generation begins though its Seal is not committed",
            Self::GenesisOfMore => "a genesis is made from more than its Seal's past",
            Self::LateOrder => "an order's expiry is not looked at when it has its turn",
            Self::UncrossedLow => "of the prices that are as good an uncross takes the lowest",
            Self::StopsOutOfTurn => "stops that one trade meets are triggered the farthest first",
            Self::ForgottenSwitch => "a new holder knows of no switch that was armed before",
            Self::SelfTrade => "nothing keeps an order from trading with its own account",
            Self::TakenBack => "a restarted node does not remember what it has shown",
            Self::FormatsOverstated => "a node says that it can read a format that it can't",
            Self::ForgottenAck => "a node goes on with an old copy of its disk, though it was told so",
        }
    }

    /// Whether the disk says that it has what it has not. A process that keeps its actor is only
    /// dangerous with such a disk: otherwise what it lost was never sent.
    #[must_use]
    pub fn lies(self) -> bool {
        matches!(self, Self::FsyncSkipped | Self::HolderByNode)
    }

    fn inside(self) -> Option<Plant> {
        match self {
            Self::PromiseBelow => Some(Plant::PromiseBelow),
            Self::AdoptedAlone => Some(Plant::AdoptedAlone),
            Self::ForgottenPromise => Some(Plant::ForgottenPromise),
            Self::WrongVoters => Some(Plant::WrongVoters),
            Self::OutOfOrder => Some(Plant::OutOfOrder),
            Self::CommitWithoutTerm => Some(Plant::CommitWithoutTerm),
            Self::SealUncommitted => Some(Plant::SealUncommitted),
            Self::GenesisOfMore => Some(Plant::GenesisOfMore),
            Self::LateOrder => Some(Plant::LateOrder),
            Self::ForgottenSwitch => Some(Plant::ForgottenSwitch),
            Self::SelfTrade => Some(Plant::SelfTrade),
            Self::StopsOutOfTurn => Some(Plant::StopsOutOfTurn),
            Self::UncrossedLow => Some(Plant::UncrossedLow),
            Self::TakenBack => Some(Plant::TakenBack),
            Self::ForgottenAck => Some(Plant::ForgottenAck),
            Self::AckUnlabelled
            | Self::AckUnsynced
            | Self::HolderByNode
            | Self::FsyncSkipped
            | Self::AckAcross
            | Self::FormatsOverstated => None,
        }
    }

    /// Rewrites a message on its way.
    pub(super) fn rewrite(self, from: &Machine, to: &Machine, message: &mut Message) {
        match (self, message) {
            (
                Self::AckUnlabelled,
                Message::Ack(Ack { label, .. })
                | Message::Hello { ack: Ack { label, .. }, .. }
                | Message::Echo(Echo { label, .. })
                | Message::Ballot(Ballot { label, .. }),
            ) => {
                let status = to.replica().map(|replica| replica.status());
                if let Some(status) = status.filter(|status| status.holder == Some(to.id)) {
                    *label = status.term;
                }
            }
            (Self::AckUnsynced, Message::Ack(ack) | Message::Hello { ack, .. }) => {
                let changes = from.disk.unsynced().filter_map(DiskWrite::change);
                for raw in changes.filter_map(|bytes| RawChange::parse(bytes.to_vec()).ok()) {
                    if let Ok(actor) = raw.actor() {
                        ack.vector.insert(actor, raw.seq());
                    }
                }
            }
            (Self::FormatsOverstated, Message::Hello { formats, .. }) => *formats = programs::NEWER,
            _ => {}
        }
    }

    /// Rewrites a message as it arrives.
    pub(super) fn receive(self, to: &Machine, envelope: &mut Envelope) {
        if self == Self::AckAcross
            && matches!(envelope.message, Message::Ack(_))
            && let Some(replica) = to.replica()
        {
            envelope.generation = envelope.generation.max(replica.generation());
        }
    }

    /// Takes a node's own changes out of a message: they overtake what it passes on, which is slow.
    /// In one stream, the order alone would put a promise on top of what its voter applied.
    pub(super) fn split(self, from: &Machine, envelope: &mut Envelope) -> Option<Envelope> {
        let Message::Changes(changes) = &mut envelope.message else {
            return None;
        };
        if self != Self::PromiseBelow {
            return None;
        }
        let own = |bytes: &Bytes| {
            let actor = RawChange::parse(bytes.to_vec()).ok().and_then(|raw| raw.actor().ok());
            actor.is_some_and(|actor| actor.node() == from.id)
        };
        let (early, late): (Vec<Bytes>, Vec<Bytes>) = changes.drain(..).partition(own);
        *changes = late;
        (!early.is_empty())
            .then(|| Envelope { generation: envelope.generation, message: Message::Changes(early) })
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        BUGS.into_iter().find(|bug| bug.name() == text).ok_or_else(|| format!("no bug is called {text:?}"))
    }
}

/// Does something with a replica whose state is damaged, or not. What else is planted is out meanwhile.
pub(super) fn damaged<T>(damaged: bool, act: impl FnOnce() -> T) -> T {
    if !damaged {
        return act();
    }
    plant::set(Some(Plant::DamagedState));
    let done = act();
    plant::set(None);
    done
}

/// Plants what is inside the replica for as long as it lives. Replicas of this thread only.
#[derive(Debug)]
pub(super) struct Planted(());

impl Planted {
    pub fn new(bug: Option<Bug>) -> Self {
        plant::set(bug.and_then(Bug::inside));
        Self(())
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        plant::set(None);
    }
}

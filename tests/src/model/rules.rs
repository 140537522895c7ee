//! The rules of the protocol, each of which can be left out.
//!
//! Leaving a rule out is *planting a bug*: the checker must then find a trace that ends in a broken
//! property, or the model does not see what the rule is for.

use clap::ValueEnum;

/// One rule of the protocol, in the form in which the model keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Rule {
    /// A voter promises a term once, and only above every term that it promised before.
    PromiseOnce,
    /// A promise's causal past is everything that its voter had applied.
    PromiseOnTop,
    /// A promise is on the voter's disk before anyone else gets it.
    PromiseStored,
    /// Promises are counted by voter: a promise that a restarted voter repeats under its new actor counts once.
    PromiseByVoter,
    /// Only promises and acknowledgements of the generation's own voters count.
    OwnVoters,
    /// A holder is an actor: a restarted node no longer holds the lease.
    HolderIsActor,
    /// The holder of a term counts only acknowledgements that carry exactly this term.
    AckLabelled,
    /// An acknowledgement's label and version vector are one snapshot: the label is not read before.
    AckSnapshot,
    /// An acknowledgement covers only what is on the voter's disk.
    AckDurable,
    /// The holder of a lease in one generation counts no acknowledgement of another.
    AckGeneration,
    /// Adopted batches are committed only together with the activation, or something after it.
    CommitActivation,
    /// A node shows a committed position only if its own head has at least the term of the commit.
    CommitTerm,
    /// A generation starts only when the Seal of the one before is committed.
    NextCommitted,
    /// The genesis is computed from the Seal's causal past and nothing else.
    GenesisPast,
    /// Nothing is written on the tape after a Seal.
    NothingAfterSeal,
    /// A seal-ack is written only while the label equals the head's term.
    SealAckLabel,
    /// An activation is written, and counts, also where its chain ends in a Seal.
    SealAdopted,
    /// Before it seals, the holder has seen its tip on the disks of a majority of the next voters.
    SealFresh,
}

/// The rules that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules(u32);

impl Rules {
    /// The protocol.
    pub const ALL: Rules = Rules(u32::MAX);

    /// The protocol without this rule.
    #[must_use]
    pub fn without(self, rule: Rule) -> Rules {
        Rules(self.0 & !(1 << rule as u32))
    }

    /// Whether the rule is kept.
    pub fn keep(self, rule: Rule) -> bool {
        self.0 >> rule as u32 & 1 == 1
    }
}

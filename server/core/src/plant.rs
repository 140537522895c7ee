//! Deliberate bugs, so that the simulator can prove that it would find them.
//!
//! Without the cargo feature `plant` nothing can be planted and `planted` is always false. With
//! it, a bug is planted for the replicas of one thread.

/// A bug that can only be inside the replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plant {
    /// A promise depends on its node's own changes alone.
    PromiseBelow,
    /// Adopted batches are committed without the activation that adopts them.
    AdoptedAlone,
    /// A restarted voter does not remember what it promised.
    ForgottenPromise,
    /// Observers' acknowledgements count.
    WrongVoters,
    /// The holder skips an intent, and the fold lets it.
    OutOfOrder,
    /// What is committed is believed whatever the term.
    CommitWithoutTerm,
    /// The next generation begins as soon as there is a Seal.
    SealUncommitted,
    /// A genesis has the term of whoever committed the Seal, which is not in the Seal's past.
    GenesisOfMore,
    /// An order's expiry is not looked at when it has its turn.
    LateOrder,
    /// A new holder knows of none of the switches that were armed before.
    ForgottenSwitch,
    /// Nothing keeps an order from trading with its own account.
    SelfTrade,
    /// Stops that one trade meets are triggered the farthest first.
    StopsOutOfTurn,
    /// Of the prices that are as good an uncross takes the lowest, whatever was traded last.
    UncrossedLow,
    /// A restarted node does not remember what it has shown.
    TakenBack,
    /// A node that is told of an acknowledgement of its own goes on though its disk has less.
    ForgottenAck,
    /// The state is damaged, so that what the next batch leaves behind has another digest. It is planted in
    /// one node alone, and is to be found by that node.
    DamagedState,
}

/// Plants a bug for the replicas of this thread, or takes it out again.
#[cfg(feature = "plant")]
pub fn set(plant: Option<Plant>) {
    PLANTED.set(plant);
}

#[cfg(feature = "plant")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Plant>> = const { std::cell::Cell::new(None) };
}

/// Whether a bug is planted.
#[cfg(feature = "plant")]
pub(crate) fn planted(plant: Plant) -> bool {
    PLANTED.get() == Some(plant)
}

/// Whether a bug is planted: never.
#[cfg(not(feature = "plant"))]
pub(crate) const fn planted(_: Plant) -> bool {
    false
}

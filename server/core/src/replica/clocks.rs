//! Whose clock differs from the majority's: told to people, and used for nothing else.
//!
//! The holder learns every peer's clock from the echoes of its heartbeats, and tells with the next
//! ones what a majority of the voters' clocks say. So it knows all, and everyone else itself and
//! the holder. What a message takes on its way is part of the difference.

use std::collections::BTreeMap;

use super::generation::Generation;
use super::{Replica, lease::Role};
use crate::types::{Micros, NodeId};

/// How far clocks are ahead of the majority's in microseconds, as a follower heard it.
#[derive(Clone, Default, Debug)]
pub(super) struct Clocks {
    ahead: BTreeMap<NodeId, i64>,
}

impl Replica {
    /// How far clocks are ahead of what a majority of the voters' say, in microseconds, as far as this
    /// replica knows.
    #[must_use]
    pub fn clock_differences(&self, now: Micros) -> BTreeMap<NodeId, i64> {
        let Generation { lease, tape, .. } = &self.current;
        let Role::Holder(holder) = &lease.role else {
            return lease.clocks.ahead.clone();
        };
        let Some(majority) = lease.majority_clock(now, self.node, tape) else {
            return BTreeMap::new();
        };
        let mine = ahead_of(now, majority);
        let others = holder.echoes.iter().map(|(node, echoed)| (*node, echoed.ahead.saturating_add(mine)));
        others.chain([(self.node, mine)]).collect()
    }

    /// What tape time would be by this holder's and the voters' clocks.
    pub(super) fn tape_clock(&self, now: Micros) -> Micros {
        self.current.lease.tape_clock(now, self.node, &self.current.tape)
    }

    /// The holder told what the majority's clocks say.
    pub(super) fn hear_clocks(
        &mut self,
        now: Micros,
        holder: NodeId,
        sent: Micros,
        majority: Option<Micros>,
    ) {
        if let Some(majority) = majority {
            let mine = ahead_of(now, majority);
            self.current.lease.clocks.ahead = [(self.node, mine), (holder, ahead_of(sent, majority))].into();
        }
    }
}

fn ahead_of(clock: Micros, other: Micros) -> i64 {
    i64::try_from(clock.0).unwrap_or(i64::MAX).saturating_sub_unsigned(other.0)
}

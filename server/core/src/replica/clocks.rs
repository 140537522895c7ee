//! Whose clock differs from the majority's: told to people, and used for nothing else.
//!
//! The holder learns every peer's clock from the echoes of its heartbeats, and tells with the next
//! ones what a majority of the voters' clocks say. So it knows all, and everyone else itself and
//! the holder. What a message takes on its way is part of the difference.

use std::collections::BTreeMap;

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
        let Role::Holder(holder) = &self.lease.role else {
            return self.lease.clocks.ahead.clone();
        };
        let Some(majority) = self.majority_clock(now) else {
            return BTreeMap::new();
        };
        let mine = ahead_of(now, majority);
        let others = holder.echoes.iter().map(|(node, (_, ahead))| (*node, ahead.saturating_add(mine)));
        others.chain([(self.node, mine)]).collect()
    }

    /// What the clocks of a majority of the voters say; `None` while this holder does not know so many.
    pub(super) fn majority_clock(&self, now: Micros) -> Option<Micros> {
        // Then so many have answered.
        self.renewed(now).then(|| self.tape_clock(now))
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
            self.lease.clocks.ahead = [(self.node, mine), (holder, ahead_of(sent, majority))].into();
        }
    }
}

fn ahead_of(clock: Micros, other: Micros) -> i64 {
    i64::try_from(clock.0).unwrap_or(i64::MAX).saturating_sub_unsigned(other.0)
}

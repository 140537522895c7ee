//! The lease from hand to hand, and how it looks from outside.

use std::cmp::Reverse;

use super::generation::Generation;
use super::lease::Role;
use super::message::Message;
use super::{Effect, LeaseStatus, Replica, ReplicaError};
use crate::types::{Micros, NodeId, Term};

impl Replica {
    /// How the lease is, as far as this replica knows.
    #[must_use]
    pub fn lease_status(&self) -> LeaseStatus {
        let Generation { lease, tape, .. } = &self.current;
        let head = tape.head();
        let holder = head.map(|head| head.actor.node());
        LeaseStatus {
            term: tape.head_term(),
            holder,
            since: lease.seen.since,
            promised_by: head.map_or_else(Vec::new, |head| tape.promised_to(head.term, head.actor)),
            held_until: holder.and_then(|holder| lease.held_until(holder, self.node, tape)),
        }
    }

    /// Whether this process holds the lease, renewed or not.
    #[must_use]
    pub fn holds_lease(&self) -> bool {
        matches!(self.current.lease.role, Role::Holder(_))
    }

    /// Whether this node's lease is still the last one that it knows of: it may have promised the next one, but
    /// nobody began it.
    #[must_use]
    pub fn is_last_holder(&self) -> bool {
        self.current.tape.head().is_some_and(|head| head.actor.node() == self.node)
    }

    /// Who should get the lease from this holder: of the voters that answer, the one that has most of
    /// what this holder wrote.
    #[must_use]
    pub fn successor(&self, now: Micros) -> Option<NodeId> {
        let Generation { lease, peers, document, .. } = &self.current;
        let me = document.me();
        let has = |voter: &NodeId| peers.acked(*voter).and_then(|ack| ack.vector.get(&me).copied());
        let able = lease.answering(now, self.other_voters()).into_iter();
        able.max_by_key(|voter| (has(voter), Reverse(*voter)))
    }

    /// Hands the lease to another voter: stops matching, and asks it to stand. Not under the lease,
    /// asks the holder to do so, which listens to voters only.
    pub(super) fn hand_over(&mut self, to: NodeId, effects: &mut Vec<Effect>) {
        if !self.holds_lease() {
            if let Some(head) = self.current.tape.head().filter(|head| head.actor.node() != self.node) {
                self.send(head.actor.node(), Message::HandOverWish { to }, effects);
            }
            return;
        }
        let able = to != self.node && self.other_voters().contains(&to);
        if let Role::Holder(holder) = &mut self.current.lease.role
            && able
            && !holder.handed_over
        {
            holder.handed_over = true;
            self.current.lease.timer = self.current.lease.timer.plus(self.current.lease.duration);
            let term = holder.holding.term;
            self.current.peers.hurry(to);
            self.send(to, Message::HandOver { term }, effects);
        }
    }

    /// The holder asks this node to take over.
    pub(super) fn take_over(
        &mut self,
        now: Micros,
        from: NodeId,
        term: Term,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let votes = self.votes() && !self.current.tape.has_ended();
        let known =
            self.current.tape.head().is_some_and(|head| head.term == term && head.actor.node() == from);
        if votes && known && matches!(self.current.lease.role, Role::Follower) {
            self.current.lease.wait(now);
            self.stand(now, Some(term), effects)?;
        }
        Ok(())
    }
}

//! The way to the lease: a trial vote, promises, activation.
//!
//! A voter promises a term once, above every term that it promised before, on top of all that it
//! has applied. A candidate promises itself first; once that is on its disk it asks the others.
//! With a majority of promises in its document it writes its activation, which adopts the head of
//! its fold, and matches from then on.

use std::collections::BTreeMap;

use xbook_proto::record::v1 as record;

use super::commit::Holding;
use super::lease::{Holder, Role};
use super::message::{Candidacy, Message};
use super::tape::Head;
use super::{Effect, Replica, ReplicaError};
use crate::document::{Actor, Entry};
use crate::plant::{Plant, planted};
use crate::types::{Micros, NodeId};

impl Replica {
    /// Asks what the voters would promise, so that a node that was cut off disturbs nobody.
    pub(super) fn try_for(
        &mut self,
        now: Micros,
        handed_over_by: Option<u64>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let term = self.next_term();
        self.lease.role = Role::Trial { term, granted: vec![self.node], handed_over_by };
        self.ask(Candidacy { term, actor: self.document.me(), trial: true, handed_over_by }, effects);
        self.count_trial(now, effects)
    }

    fn next_term(&self) -> u64 {
        self.lease.promised.max(self.tape.highest_term()).max(self.lease.highest_heard).saturating_add(1)
    }

    fn count_trial(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        let free = self.lease.believes(now).is_none();
        match &self.lease.role {
            Role::Trial { granted, handed_over_by, .. } if free && granted.len() >= self.tape.majority() => {
                self.stand(now, *handed_over_by, effects)
            }
            _ => Ok(()),
        }
    }

    /// Promises itself a new term; the others are asked for theirs once that is durable.
    pub(super) fn stand(
        &mut self,
        now: Micros,
        handed_over_by: Option<u64>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let (term, actor) = (self.next_term(), self.document.me());
        self.promise(now, term, actor, effects)?;
        self.lease.role = Role::Candidate { term, handed_over_by, asked: false };
        Ok(())
    }

    /// Asks for promises once this voter's own is on its disk.
    pub(super) fn ask_if_promised(&mut self, effects: &mut Vec<Effect>) {
        let durable = self.log.ack().label;
        let actor = self.document.me();
        if let Role::Candidate { term, handed_over_by, asked } = &mut self.lease.role
            && durable >= *term
            && !*asked
        {
            *asked = true;
            let candidacy = Candidacy { term: *term, actor, trial: false, handed_over_by: *handed_over_by };
            self.ask(candidacy, effects);
        }
    }

    fn ask(&mut self, candidacy: Candidacy, effects: &mut Vec<Effect>) {
        for voter in self.other_voters() {
            self.send(voter, Message::Candidate(candidacy), effects);
        }
    }

    pub(super) fn other_voters(&self) -> Vec<NodeId> {
        let others = self.tape.voters().iter().copied().filter(|voter| *voter != self.node);
        others.filter(|voter| self.peers.connected.contains_key(voter)).collect()
    }

    /// Writes this voter's promise on top of all that it has applied.
    pub(super) fn promise(
        &mut self,
        now: Micros,
        term: u64,
        candidate: Actor,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let promise = record::Promise { term, candidate: candidate.0.to_vec().into(), voter: self.node.0 };
        if planted(Plant::PromiseBelow) {
            self.document.write_next_below();
        }
        self.write(now, vec![Entry::Promise(promise)], effects)?;
        self.lease.promised = term;
        Ok(())
    }

    /// A candidate asks for a promise.
    pub(super) fn judge(
        &mut self,
        now: Micros,
        from: NodeId,
        candidacy: Candidacy,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let Candidacy { term, actor, trial, handed_over_by } = candidacy;
        let votes = !self.tape.has_ended()
            && self.votes()
            && self.tape.voters().contains(&from)
            && actor.node() == from;
        let free = match &self.lease.role {
            Role::Holder(holder) => holder.handed_over || !self.renewed(now),
            _ => {
                let released =
                    handed_over_by.is_some() && self.lease.believed.map(|(term, ..)| term) == handed_over_by;
                released || self.lease.believes(now).is_none_or(|holder| holder == from)
            }
        };
        // A term far above any known one is a lie, and would be the last one.
        let granted = votes && free && term > self.lease.promised && term <= self.reachable_term();
        if granted && !trial {
            self.step_down(now);
            self.promise(now, term, actor, effects)?;
            self.hurry(from);
        }
        let label = self.lease.promised;
        self.send(from, Message::Ballot { term, trial, granted, label }, effects);
        Ok(())
    }

    /// A voter's answer to a candidacy.
    pub(super) fn take_ballot(
        &mut self,
        now: Micros,
        from: NodeId,
        (term, trial, granted, label): (u64, bool, bool, u64),
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        if !self.tape.voters().contains(&from) {
            return Ok(());
        }
        self.hear_label(now, label, effects)?;
        if let Role::Trial { term: asked, granted: by, .. } = &mut self.lease.role
            && trial
            && granted
            && *asked == term
            && !by.contains(&from)
        {
            by.push(from);
        }
        self.count_trial(now, effects)
    }

    /// Someone carries a label. A holder that meets a higher one could not commit with its voter
    /// any more, so it runs at that plus one.
    pub(super) fn hear_label(
        &mut self,
        now: Micros,
        label: u64,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        // A label is a promise that its voter has stored, and so one that comes as a change. Before it
        // has come, or if it never does, anyone could have said so.
        if label > self.tape.highest_term() {
            return Ok(());
        }
        self.lease.highest_heard = self.lease.highest_heard.max(label);
        match &self.lease.role {
            Role::Holder(holder) if label > holder.holding.term && !holder.handed_over => {
                self.stand(now, None, effects)
            }
            _ => Ok(()),
        }
    }

    /// Writes the activation once a majority's promises are in the document.
    pub(super) fn activate_if_promised(
        &mut self,
        now: Micros,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let Role::Candidate { term, .. } = self.lease.role else {
            return Ok(());
        };
        let me = self.document.me();
        let older = self.tape.head().is_none_or(|head| head.term < term);
        let Some(promises) =
            self.tape.majority_for(term, me).filter(|_| older && self.lease.promised == term)
        else {
            return Ok(());
        };
        let mut ahead = self.whole_fold(drop)?;
        if planted(Plant::ForgottenSwitch) {
            ahead.forget_switches();
        }
        let adopted = self.tape.head();
        let adopts = adopted.map(|Head { term, actor, batches }| record::Head {
            term,
            actor: actor.0.to_vec().into(),
            batches,
        });
        let activation = record::Activation {
            term,
            promises: promises.iter().map(|actor| actor.0.to_vec().into()).collect(),
            adopts,
            first_batch: self.tape.written(me),
        };
        let change = self.write(now, vec![Entry::Activation(activation)], effects)?;
        let mut holding = Holding::new(term, ahead, change, self.node);
        if planted(Plant::AdoptedAlone) {
            let seq = |head: Head| self.document.vector().get(&head.actor).map(|seq| (head.actor, *seq));
            holding.adopted_from = adopted.and_then(seq);
        }
        let holder = Holder { holding, echoes: BTreeMap::new(), handed_over: false, renewed: now };
        self.lease.role = Role::Holder(Box::new(holder));
        self.lease.believed = None;
        self.lease.timer = now;
        Ok(())
    }
}

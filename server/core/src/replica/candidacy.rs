//! The way to the lease: a trial vote, promises, activation.
//!
//! A voter promises a term once, above every term that it promised before, on top of all that it
//! has applied. A candidate promises itself first; once that is on its disk it asks the others.
//! With a majority of promises in its document it writes its activation, which adopts the head of
//! its fold, and matches from then on.

use xbook_proto::record::v1 as record;

use super::generation::Generation;
use super::lease::{Holder, Lease, Role};
use super::matching::Holding;
use super::message::{Ballot, Candidacy, Message};
use super::tape::{Head, Tape};
use super::{Effect, Replica, ReplicaError};
use crate::document::{Actor, Entry};
use crate::plant::{Plant, planted};
use crate::types::{Micros, NodeId, Term};

impl Lease {
    /// The term that this process would stand for: above all that it knows of.
    fn next_term(&self, tape: &Tape) -> Term {
        self.promised.max(tape.highest_term()).max(self.highest_heard).next()
    }

    /// Asks what would be promised; this voter would.
    fn begin_trial(&mut self, term: Term, me: NodeId, handed_over_by: Option<Term>) {
        self.role = Role::Trial { term, granted: vec![me], handed_over_by };
    }

    /// Has promised itself a term.
    fn begin_candidacy(&mut self, term: Term, handed_over_by: Option<Term>) {
        self.role = Role::Candidate { term, handed_over_by, asked: false };
    }

    /// A voter would promise the term of a trial.
    fn count_trial(&mut self, from: NodeId, term: Term) {
        if let Role::Trial { term: asked, granted, .. } = &mut self.role
            && *asked == term
            && !granted.contains(&from)
        {
            granted.push(from);
        }
    }

    /// Whether a majority would promise what was asked, and nobody is believed in; with the term of the
    /// holder that handed its lease over.
    fn passed_trial(&self, now: Micros, majority: usize) -> Option<Option<Term>> {
        match &self.role {
            Role::Trial { granted, handed_over_by, .. }
                if self.believes(now).is_none() && granted.len() >= majority =>
            {
                Some(*handed_over_by)
            }
            _ => None,
        }
    }

    /// What a candidate asks the others, once, when its own promise is on the disk under this label.
    fn ask_once(&mut self, label: Term, actor: Actor) -> Option<Candidacy> {
        match &mut self.role {
            Role::Candidate { term, handed_over_by, asked } if label >= *term && !*asked => {
                *asked = true;
                Some(Candidacy { term: *term, actor, trial: false, handed_over_by: *handed_over_by })
            }
            _ => None,
        }
    }

    /// Whether this voter may follow a candidate: it promised nothing as high, and no other holder's lease
    /// stands in its way.
    fn is_free_for(&self, now: Micros, me: NodeId, tape: &Tape, candidacy: &Candidacy) -> bool {
        let Candidacy { term, actor, handed_over_by, .. } = candidacy;
        let free = match &self.role {
            Role::Holder(holder) => holder.handed_over || !self.is_renewed(now, me, tape),
            _ => {
                let released = handed_over_by.is_some() && self.believed_term() == *handed_over_by;
                released || self.believes(now).is_none_or(|holder| holder == actor.node())
            }
        };
        free && *term > self.promised
    }

    /// Someone carries a label; returns whether this holder could not commit with its voter any more.
    fn hear_label(&mut self, label: Term) -> bool {
        self.highest_heard = self.highest_heard.max(label);
        self.active_term().is_some_and(|term| label > term)
    }

    /// The term that this process stands for.
    fn candidate_term(&self) -> Option<Term> {
        match &self.role {
            Role::Candidate { term, .. } => Some(*term),
            _ => None,
        }
    }
}

impl Replica {
    /// Asks what the voters would promise, so that a node that was cut off disturbs nobody.
    pub(super) fn try_for(
        &mut self,
        now: Micros,
        handed_over_by: Option<Term>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let Generation { lease, tape, document, .. } = &mut self.current;
        let (term, actor) = (lease.next_term(tape), document.me());
        lease.begin_trial(term, self.node, handed_over_by);
        self.ask(Candidacy { term, actor, trial: true, handed_over_by }, effects);
        self.stand_if_welcome(now, effects)
    }

    fn stand_if_welcome(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        match self.current.lease.passed_trial(now, self.current.tape.majority()) {
            Some(handed_over_by) => self.stand(now, handed_over_by, effects),
            None => Ok(()),
        }
    }

    /// Promises itself a new term; the others are asked for theirs once that is durable.
    pub(super) fn stand(
        &mut self,
        now: Micros,
        handed_over_by: Option<Term>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let Generation { lease, tape, document, .. } = &self.current;
        let (term, actor) = (lease.next_term(tape), document.me());
        self.promise(now, term, actor, effects)?;
        self.current.lease.begin_candidacy(term, handed_over_by);
        Ok(())
    }

    /// Asks for promises once this voter's own is on its disk.
    pub(super) fn ask_if_promised(&mut self, effects: &mut Vec<Effect>) {
        let Generation { lease, log, document, .. } = &mut self.current;
        if let Some(candidacy) = lease.ask_once(log.ack().label, document.me()) {
            self.ask(candidacy, effects);
        }
    }

    fn ask(&mut self, candidacy: Candidacy, effects: &mut Vec<Effect>) {
        for voter in self.other_voters() {
            self.send(voter, Message::Candidate(candidacy), effects);
        }
    }

    pub(super) fn other_voters(&self) -> Vec<NodeId> {
        let others = self.current.tape.voters().iter().copied().filter(|voter| *voter != self.node);
        others.filter(|voter| self.current.peers.connected.contains_key(voter)).collect()
    }

    /// Writes this voter's promise on top of all that it has applied.
    pub(super) fn promise(
        &mut self,
        now: Micros,
        term: Term,
        candidate: Actor,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let promise =
            record::Promise { term: term.0, candidate: candidate.0.to_vec().into(), voter: self.node.0 };
        if planted(Plant::PromiseBelow) {
            self.current.document.write_next_below();
        }
        self.write(now, vec![Entry::Promise(promise)], effects)?;
        self.current.lease.promised = term;
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
        let Candidacy { term, actor, trial, .. } = candidacy;
        let Generation { lease, tape, .. } = &self.current;
        let votes =
            !tape.has_ended() && self.votes() && tape.voters().contains(&from) && actor.node() == from;
        // A term far above any known one is a lie, and would be the last one.
        let granted =
            votes && lease.is_free_for(now, self.node, tape, &candidacy) && term <= self.reachable_term();
        if granted && !trial {
            self.current.lease.step_down(now);
            self.promise(now, term, actor, effects)?;
            self.current.peers.hurry(from);
        }
        let label = self.current.lease.promised;
        self.send(from, Message::Ballot(Ballot { term, trial, granted, label }), effects);
        Ok(())
    }

    /// A voter's answer to a candidacy.
    pub(super) fn take_ballot(
        &mut self,
        now: Micros,
        from: NodeId,
        Ballot { term, trial, granted, label }: Ballot,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        if !self.current.tape.voters().contains(&from) {
            return Ok(());
        }
        self.hear_label(now, label, effects)?;
        if trial && granted {
            self.current.lease.count_trial(from, term);
        }
        self.stand_if_welcome(now, effects)
    }

    /// Someone carries a label. A holder that meets a higher one could not commit with its voter
    /// any more, so it runs at that plus one.
    pub(super) fn hear_label(
        &mut self,
        now: Micros,
        label: Term,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let Generation { lease, tape, .. } = &mut self.current;
        // A label is a promise that its voter has stored, and so one that comes as a change. Before it
        // has come, or if it never does, anyone could have said so.
        if label <= tape.highest_term() && lease.hear_label(label) {
            return self.stand(now, None, effects);
        }
        Ok(())
    }

    /// Writes the activation once a majority's promises are in the document.
    pub(super) fn activate_if_promised(
        &mut self,
        now: Micros,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let Generation { lease, tape, document, .. } = &self.current;
        let Some(term) = lease.candidate_term() else {
            return Ok(());
        };
        let me = document.me();
        let older = tape.head().is_none_or(|head| head.term < term);
        let Some(promises) = tape.majority_for(term, me).filter(|_| older && lease.promised == term) else {
            return Ok(());
        };
        let mut ahead = self.whole_fold(drop)?;
        if planted(Plant::ForgottenSwitch) {
            ahead.forget_switches();
        }
        let adopted = self.current.tape.head();
        let adopts = adopted.map(|Head { term, actor, batches }| record::Head {
            term: term.0,
            actor: actor.0.to_vec().into(),
            batches,
        });
        let activation = record::Activation {
            term: term.0,
            promises: promises.iter().map(|actor| actor.0.to_vec().into()).collect(),
            adopts,
            first_batch: self.current.tape.written(me),
        };
        let change = self.write(now, vec![Entry::Activation(activation)], effects)?;
        let mut holding = Holding::new(term, ahead, change, self.node);
        if planted(Plant::AdoptedAlone) {
            let seq =
                |head: Head| self.current.document.vector().get(&head.actor).map(|seq| (head.actor, *seq));
            holding.adopted_from = adopted.and_then(seq);
        }
        self.current.lease.hold(now, Holder::new(holding, now));
        Ok(())
    }
}

//! The lease: who may match, and since when.
//!
//! A voter promises a term once, above every term that it promised before, on top of all that it
//! has applied. A candidate with a majority of promises in its document writes its activation,
//! which adopts the head of its fold, and matches from then on. Clocks only keep the peace: no
//! voter promises another candidate while it believes in the holder's lease, and a holder that
//! can't renew stops matching. What is committed is decided in [`commit`](super::commit).

use std::collections::BTreeMap;

use xbook_proto::record::v1 as record;

use super::commit::Holding;
use super::message::{Candidacy, Message};
use super::tape::Head;
use super::{Effect, Replica, ReplicaError};
use crate::document::{Actor, Entry};
use crate::plant::{Plant, planted};
use crate::types::{Micros, NodeId};

/// This replica's part in the lease.
#[derive(Debug)]
pub(super) struct Lease {
    /// How long a lease lasts without renewal.
    duration: Micros,
    /// The highest term that this voter promised; in the document, perhaps not on the disk yet.
    pub promised: u64,
    /// The highest label that anyone was heard to carry.
    highest_heard: u64,
    /// Until when this voter believes in a holder's lease, and whose.
    believed: Option<(u64, NodeId, Micros)>,
    role: Role,
    /// When to try for the lease, or to send the next heartbeat.
    timer: Micros,
    random: u64,
}

/// What this replica does about the lease.
#[derive(Debug)]
enum Role {
    /// Leaves it to others.
    Follower,
    /// Asks what a majority would promise.
    Trial { term: u64, granted: Vec<NodeId>, handed_over_by: Option<u64> },
    /// Has promised itself a term, and asks the others once that is on its disk.
    Candidate { term: u64, handed_over_by: Option<u64>, asked: bool },
    /// Holds it.
    Holder(Box<Holder>),
}

/// What only the holder has.
#[derive(Debug)]
struct Holder {
    holding: Holding,
    /// The last heartbeat of each voter's echo: when it was sent, and how far its clock is ahead.
    echoes: BTreeMap<NodeId, (Micros, i64)>,
    /// The lease was handed over: no more matching.
    handed_over: bool,
}

impl Lease {
    /// A lease that nobody holds yet. A restarted voter waits for one duration, since it may have
    /// promised that long to a holder that it has forgotten.
    pub fn new(duration: Micros, now: Micros, seed: u64, promised: u64) -> Self {
        let mut lease = Self {
            duration,
            promised,
            highest_heard: 0,
            believed: Some((0, NodeId(0), now.plus(duration))),
            role: Role::Follower,
            timer: Micros(0),
            random: seed,
        };
        lease.timer = now.plus(duration).plus(lease.back_off());
        lease
    }

    /// Up to one duration, differently each time and on each node.
    fn back_off(&mut self) -> Micros {
        // SplitMix64: the seed comes from outside, so a run can be repeated.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        Micros(mixed % self.duration.0.max(1))
    }

    /// The term that this process matches under, with the state that it matches on.
    pub fn holding(&mut self) -> Option<&mut Holding> {
        match &mut self.role {
            Role::Holder(holder) => Some(&mut holder.holding),
            _ => None,
        }
    }

    /// The same, to look at.
    pub fn held(&self) -> Option<&Holding> {
        match &self.role {
            Role::Holder(holder) => Some(&holder.holding),
            _ => None,
        }
    }

    fn believes(&self, now: Micros) -> Option<NodeId> {
        self.believed.filter(|(.., until)| now < *until).map(|(_, holder, _)| holder)
    }
}

impl Replica {
    /// Does what the lease asks for at this time.
    pub(super) fn tend_lease(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        self.follow_head(now, effects)?;
        if !self.tape.voters().contains(&self.node) {
            return Ok(());
        }
        let alone = self.tape.voters().len() == 1;
        match &self.lease.role {
            Role::Follower if alone => self.stand(now, None, effects)?,
            Role::Follower | Role::Trial { .. } | Role::Candidate { .. } if now >= self.lease.timer => {
                self.lease.timer = now.plus(self.lease.duration).plus(self.lease.back_off());
                if self.lease.believes(now).is_none() {
                    self.try_for(now, None, effects)?;
                }
            }
            Role::Holder(holder) if now >= self.lease.timer => {
                self.lease.timer = now.plus(Micros(self.lease.duration.0 / 5));
                if holder.handed_over {
                    // Nobody took it: then it is anyone's again.
                    self.step_down(now);
                } else {
                    self.heartbeat(now, effects);
                }
            }
            _ => {}
        }
        self.ask_if_promised(effects);
        self.activate_if_promised(now, effects)
    }

    /// When the lease next asks for something.
    pub(super) fn lease_timer(&self) -> Option<Micros> {
        let votes = self.tape.voters().contains(&self.node) && self.tape.voters().len() > 1;
        votes.then_some(self.lease.timer)
    }

    /// A voter that sees a valid activation of a higher term promises that term too; a holder or
    /// candidate of a lower one steps down.
    fn follow_head(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        let Some(head) = self.tape.head().filter(|head| head.actor != self.document.me()) else {
            return Ok(());
        };
        let outdone = match &self.lease.role {
            Role::Follower => false,
            Role::Trial { term, .. } | Role::Candidate { term, .. } => head.term >= *term,
            Role::Holder(holder) => head.term > holder.holding.term,
        };
        if outdone {
            self.step_down(now);
        }
        if head.term > self.lease.promised && self.tape.voters().contains(&self.node) {
            self.promise(now, head.term, head.actor, effects)?;
        }
        Ok(())
    }

    fn step_down(&mut self, now: Micros) {
        self.lease.role = Role::Follower;
        self.lease.timer = now.plus(self.lease.duration).plus(self.lease.back_off());
    }

    /// Asks what the voters would promise, so that a node that was cut off disturbs nobody.
    fn try_for(
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
    fn stand(
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
    fn ask_if_promised(&mut self, effects: &mut Vec<Effect>) {
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

    fn other_voters(&self) -> Vec<NodeId> {
        let others = self.tape.voters().iter().copied().filter(|voter| *voter != self.node);
        others.filter(|voter| self.peers.connected.contains_key(voter)).collect()
    }

    /// Writes this voter's promise on top of all that it has applied.
    fn promise(
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
        let votes = self.tape.voters().contains(&self.node)
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
        let granted = votes && free && term > self.lease.promised;
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
        self.lease.highest_heard = self.lease.highest_heard.max(label);
        match &self.lease.role {
            Role::Holder(holder) if label > holder.holding.term && !holder.handed_over => {
                self.stand(now, None, effects)
            }
            _ => Ok(()),
        }
    }

    /// Writes the activation once a majority's promises are in the document.
    fn activate_if_promised(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
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
        let ahead = self.whole_fold(drop)?;
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
        let holder = Holder { holding, echoes: BTreeMap::new(), handed_over: false };
        self.lease.role = Role::Holder(Box::new(holder));
        self.lease.believed = None;
        self.lease.timer = now;
        Ok(())
    }

    fn heartbeat(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let Some(term) = self.lease.held().map(|holding| holding.term) else {
            return;
        };
        let peers: Vec<NodeId> = self.peers.connected.keys().copied().collect();
        for peer in peers {
            self.send(peer, Message::Heartbeat { term, sent: now }, effects);
        }
    }

    /// The holder of a term lives. A voter counts the lease from here; everyone answers.
    pub(super) fn take_heartbeat(
        &mut self,
        now: Micros,
        from: NodeId,
        term: u64,
        sent: Micros,
        effects: &mut Vec<Effect>,
    ) {
        if term >= self.lease.promised.max(self.tape.head().map_or(0, |head| head.term)) {
            self.lease.believed = Some((term, from, now.plus(self.lease.duration)));
            if !matches!(self.lease.role, Role::Holder(_)) {
                self.lease.timer = now.plus(self.lease.duration).plus(self.lease.back_off());
            }
        }
        let label = self.lease.promised;
        self.send(from, Message::Echo { label, sent, clock: now }, effects);
    }

    /// A heartbeat came back.
    pub(super) fn take_echo(
        &mut self,
        now: Micros,
        from: NodeId,
        (label, sent, clock): (u64, Micros, Micros),
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        if let Role::Holder(holder) = &mut self.lease.role
            && label <= holder.holding.term
        {
            let ahead = i64::try_from(clock.0).unwrap_or(i64::MAX).saturating_sub_unsigned(now.0);
            holder.echoes.insert(from, (sent, ahead));
        }
        if self.tape.voters().contains(&from) { self.hear_label(now, label, effects) } else { Ok(()) }
    }

    /// Whether this holder's lease is renewed: a majority echoed a heartbeat that is not too old.
    /// It counts from when it sent them, voters from when they received them.
    fn renewed(&self, now: Micros) -> bool {
        let Role::Holder(holder) = &self.lease.role else {
            return false;
        };
        let fresh = self.tape.voters().iter().filter(|voter| {
            **voter == self.node
                || holder.echoes.get(voter).is_some_and(|(sent, _)| now < sent.plus(self.lease.duration))
        });
        fresh.count() >= self.tape.majority()
    }

    /// Whether this process may match now.
    #[must_use]
    pub fn may_match(&self, now: Micros) -> bool {
        matches!(&self.lease.role, Role::Holder(holder) if !holder.handed_over) && self.renewed(now)
    }

    /// What the holder's clock and a majority's say: the lower median, so that one wrong clock
    /// can't move tape time.
    pub(super) fn tape_clock(&self, now: Micros) -> Micros {
        let Role::Holder(holder) = &self.lease.role else {
            return now;
        };
        let voters = self.tape.voters().iter().filter(|voter| **voter != self.node);
        let others = voters
            .filter_map(|voter| holder.echoes.get(voter))
            .map(|(_, ahead)| now.0.saturating_add_signed(*ahead));
        let mut clocks: Vec<u64> = others.chain([now.0]).collect();
        clocks.sort_unstable();
        Micros(clocks[(clocks.len() - 1) / 2])
    }

    /// Hands the lease to another voter: stops matching, and asks it to stand.
    pub(super) fn hand_over(&mut self, to: NodeId, effects: &mut Vec<Effect>) {
        let able = to != self.node && self.other_voters().contains(&to);
        if let Role::Holder(holder) = &mut self.lease.role
            && able
        {
            holder.handed_over = true;
            self.lease.timer = self.lease.timer.plus(self.lease.duration);
            let term = holder.holding.term;
            self.hurry(to);
            self.send(to, Message::HandOver { term }, effects);
        }
    }

    /// The holder asks this node to take over.
    pub(super) fn take_over(
        &mut self,
        now: Micros,
        term: u64,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        let votes = self.tape.voters().contains(&self.node);
        let known = self.tape.head().is_some_and(|head| head.term == term);
        if votes && known && matches!(self.lease.role, Role::Follower) {
            self.lease.timer = now.plus(self.lease.duration).plus(self.lease.back_off());
            self.stand(now, Some(term), effects)?;
        }
        Ok(())
    }
}

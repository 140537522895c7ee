//! The lease: who may match, and since when.
//!
//! Clocks only keep the peace: no voter promises another candidate while it believes in the
//! holder's lease, and a holder that can't renew stops matching. How a node comes to the lease is
//! in [`candidacy`](super::candidacy); what is committed under it, in [`commit`](super::commit).

use std::collections::BTreeMap;

use super::clocks::Clocks;
use super::commit::Holding;
use super::message::Message;
use super::{Effect, Replica, ReplicaError};
use crate::types::{Micros, NodeId};

/// This replica's part in the lease.
#[derive(Debug)]
pub(super) struct Lease {
    /// How long a lease lasts without renewal.
    pub duration: Micros,
    /// The highest term that this voter promised; in the document, perhaps not on the disk yet.
    pub promised: u64,
    /// The highest label that anyone was heard to carry.
    pub highest_heard: u64,
    /// Until when this voter believes in a holder's lease, and whose.
    pub believed: Option<(u64, NodeId, Micros)>,
    pub role: Role,
    /// When to try for the lease, or to send the next heartbeat.
    pub timer: Micros,
    /// The head's term, and when this process first saw it.
    pub seen: (u64, Micros),
    /// What this node last heard of clocks from a holder.
    pub(super) clocks: Clocks,
    random: u64,
}

/// What this replica does about the lease.
#[derive(Debug)]
pub(super) enum Role {
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
pub(super) struct Holder {
    pub holding: Holding,
    /// The last heartbeat of each voter's echo: when it was sent, and how far its clock is ahead.
    pub echoes: BTreeMap<NodeId, (Micros, i64)>,
    /// The lease was handed over: no more matching.
    pub handed_over: bool,
    /// When it was last renewed, as far as it was looked at.
    pub renewed: Micros,
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
            seen: (0, now),
            clocks: Clocks::default(),
            random: seed,
        };
        lease.timer = now.plus(duration).plus(lease.back_off());
        lease
    }

    /// A generation begins with a term, whose holder the voters believe in as if they had just heard
    /// it; `None` if it does not vote in this generation.
    pub fn begin_generation(&mut self, now: Micros, term: u64, holder: Option<NodeId>) {
        self.promised = term;
        self.highest_heard = 0;
        self.believed = holder.map(|holder| (term, holder, now.plus(self.duration)));
        self.role = Role::Follower;
        let wait = if holder.is_some() { self.duration } else { Micros(0) };
        self.timer = now.plus(wait).plus(self.back_off());
    }

    /// Nobody can have promised anything in a new document, so there is nothing to wait for.
    pub fn begin_fresh(&mut self, now: Micros) {
        self.believed = None;
        self.timer = now.plus(self.back_off());
    }

    /// Up to one duration, differently each time and on each node.
    pub fn back_off(&mut self) -> Micros {
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

    pub fn believes(&self, now: Micros) -> Option<NodeId> {
        self.believed.filter(|(.., until)| now < *until).map(|(_, holder, _)| holder)
    }
}

impl Replica {
    /// Does what the lease asks for at this time.
    pub(super) fn tend_lease(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        // Whoever waits for the next generation's genesis neither promises nor stands.
        if self.tape.has_ended() {
            return Ok(());
        }
        let term = self.tape.head().map_or(0, |head| head.term);
        if term != self.lease.seen.0 {
            self.lease.seen = (term, now);
        }
        self.follow_head(now, effects)?;
        if !self.votes() {
            return Ok(());
        }
        let alone = self.tape.voters().len() == 1;
        let renewed = self.renewed(now);
        if let Role::Holder(holder) = &mut self.lease.role
            && renewed
        {
            holder.renewed = now;
        }
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
                let silent = holder.renewed.plus(Micros(2 * self.lease.duration.0));
                if holder.handed_over || now >= silent {
                    // Nobody took it: then it is anyone's again. Nor is it held any more if no majority
                    // answers: who still hears this holder shall not believe in it, and follow nobody else.
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
        let votes = self.votes() && self.tape.voters().len() > 1;
        (votes && !self.tape.has_ended()).then_some(self.lease.timer)
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
        if head.term > self.lease.promised && self.votes() {
            self.promise(now, head.term, head.actor, effects)?;
        }
        Ok(())
    }

    pub(super) fn step_down(&mut self, now: Micros) {
        self.lease.role = Role::Follower;
        self.lease.timer = now.plus(self.lease.duration).plus(self.lease.back_off());
    }

    /// A holder shows itself to a peer that has just come to this generation.
    pub(super) fn greet_as_holder(&self, now: Micros, peer: NodeId, effects: &mut Vec<Effect>) {
        if let Role::Holder(holder) = &self.lease.role
            && !holder.handed_over
        {
            let term = holder.holding.term;
            self.send(
                peer,
                Message::Heartbeat { term, sent: now, majority: self.majority_clock(now) },
                effects,
            );
        }
    }

    fn heartbeat(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let Some(term) = self.lease.held().map(|holding| holding.term) else {
            return;
        };
        let peers: Vec<NodeId> = self.peers.connected.keys().copied().collect();
        for peer in peers {
            let majority = self.majority_clock(now);
            self.send(peer, Message::Heartbeat { term, sent: now, majority }, effects);
        }
    }

    /// The holder of a term lives. A voter counts the lease from here; everyone answers. A newer term's
    /// holder is heard once its promises have come.
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
        // A lease that this node could not acknowledge under is not renewed by it.
        if !self.may_vote() {
            return;
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
            // No answer is newer than now, whatever it says.
            holder.echoes.insert(from, (sent.min(now), ahead));
        }
        if self.tape.voters().contains(&from) { self.hear_label(now, label, effects) } else { Ok(()) }
    }

    /// Whether this holder's lease is renewed: a majority echoed a heartbeat that is not too old.
    /// It counts from when it sent them, voters from when they received them.
    pub(super) fn renewed(&self, now: Micros) -> bool {
        let Role::Holder(holder) = &self.lease.role else {
            return false;
        };
        let fresh = |voter: &&NodeId| **voter == self.node || self.fresh_echo(holder, **voter, now).is_some();
        self.tape.voters().iter().filter(fresh).count() >= self.tape.majority()
    }

    /// How far a node's clock is ahead of this one, if it answered within the last lease. What was said
    /// before that may be of a clock that was set right since.
    fn fresh_echo(&self, holder: &Holder, node: NodeId, now: Micros) -> Option<i64> {
        let (sent, ahead) = holder.echoes.get(&node)?;
        (now < sent.plus(self.lease.duration)).then_some(*ahead)
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
            .filter_map(|voter| self.fresh_echo(holder, *voter, now))
            .map(|ahead| now.0.saturating_add_signed(ahead));
        let mut clocks: Vec<u64> = others.chain([now.0]).collect();
        clocks.sort_unstable();
        Micros(clocks[(clocks.len() - 1) / 2])
    }
}

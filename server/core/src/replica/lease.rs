//! The lease: who may match, and since when.
//!
//! Clocks only keep the peace: no voter promises another candidate while it believes in the
//! holder's lease, and a holder that can't renew stops matching. How a node comes to the lease is
//! in [`candidacy`](super::candidacy); how it keeps it, in [`heartbeat`](super::heartbeat); what is committed under
//! it, in [`commit`](super::commit).

use std::collections::BTreeMap;

use super::clocks::Clocks;
use super::matching::Holding;
use super::message::Echo;
use super::tape::Tape;
use crate::document::{Actor, Genesis};
use crate::machine::State;
use crate::types::{Micros, NodeId, Term};

/// This replica's part in the lease.
#[derive(Debug)]
pub(super) struct Lease {
    /// How long a lease lasts without renewal.
    pub duration: Micros,
    /// The highest term that this voter promised; in the document, perhaps not on the disk yet.
    pub promised: Term,
    /// The highest label that anyone was heard to carry.
    pub highest_heard: Term,
    /// Until when this voter believes in a holder's lease, and whose.
    pub believed: Option<Belief>,
    pub role: Role,
    /// When to try for the lease, or to send the next heartbeat.
    pub timer: Micros,
    /// The head's term, and when this process first saw it.
    pub seen: Seen,
    /// What this node last heard of clocks from a holder.
    pub(super) clocks: Clocks,
    random: u64,
}

/// Which holder's lease a voter believes in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Belief {
    term: Term,
    holder: NodeId,
    until: Micros,
}

/// The head's term, as this process saw it come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub term: Term,
    pub since: Micros,
}

/// The newest heartbeat that a node has echoed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Echoed {
    /// When it was sent.
    sent: Micros,
    /// How far the node's clock is ahead of this one, in microseconds.
    pub ahead: i64,
}

/// What this replica does about the lease.
#[derive(Debug)]
pub(super) enum Role {
    /// Leaves it to others.
    Follower,
    /// Asks what a majority would promise.
    Trial { term: Term, granted: Vec<NodeId>, handed_over_by: Option<Term> },
    /// Has promised itself a term, and asks the others once that is on its disk.
    Candidate { term: Term, handed_over_by: Option<Term>, asked: bool },
    /// Holds it.
    Holder(Box<Holder>),
}

/// What only the holder has.
#[derive(Debug)]
pub(super) struct Holder {
    pub holding: Holding,
    /// The last heartbeat of each voter's echo: when it was sent, and how far its clock is ahead.
    pub echoes: BTreeMap<NodeId, Echoed>,
    /// The lease was handed over: no more matching.
    pub handed_over: bool,
    /// When it was last renewed, as far as it was looked at.
    pub renewed: Micros,
}

impl Lease {
    /// A lease that nobody holds yet. A restarted voter waits for one duration, since it may have
    /// promised that long to a holder that it has forgotten.
    pub fn new(duration: Micros, now: Micros, seed: u64, promised: Term) -> Self {
        let mut lease = Self {
            duration,
            promised,
            highest_heard: Term::default(),
            believed: Some(Belief { term: Term(0), holder: NodeId(0), until: now.plus(duration) }),
            role: Role::Follower,
            timer: Micros(0),
            seen: Seen { term: Term(0), since: now },
            clocks: Clocks::default(),
            random: seed,
        };
        lease.timer = now.plus(duration).plus(lease.back_off());
        lease
    }

    /// The lease in a generation that follows: it begins with a term, whose holder the voters believe in as if they
    /// had just heard it. That holder goes on if it is this very process and had not lost the lease meanwhile.
    /// The role in the former generation is taken out of it.
    pub fn following(former: &mut Self, now: Micros, genesis: &Genesis, me: Actor, view: &State) -> Self {
        let role = std::mem::replace(&mut former.role, Role::Follower);
        let (duration, seen, random) = (former.duration, former.seen, former.random);
        let clocks = former.clocks.clone();
        let voters = genesis.voters();
        let lease = genesis.lease();
        let (term, holder) =
            (lease.map_or(Term::default(), |lease| lease.term), lease.map(|lease| lease.holder));
        let votes = holder.map(|holder| holder.node()).filter(|holder| voters.contains(holder));
        let mut lease = Self {
            duration,
            promised: term,
            highest_heard: Term::default(),
            believed: votes.map(|holder| Belief { term, holder, until: now.plus(duration) }),
            role: Role::Follower,
            timer: Micros(0),
            seen,
            clocks,
            random,
        };
        // A holder that does not vote in this generation is not waited for.
        let wait = if votes.is_some() { duration } else { Micros(0) };
        lease.timer = now.plus(wait).plus(lease.back_off());
        if let Role::Holder(held) = role
            && held.holding.term == term
            && holder == Some(me)
            && votes.is_some()
        {
            lease.hold(now, held.following(view, me.node()));
        }
        lease
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

    /// The term whose holder this voter believed in last.
    pub fn believed_term(&self) -> Option<Term> {
        self.believed.map(|belief| belief.term)
    }

    /// The holder that this voter believes in.
    pub fn believes(&self, now: Micros) -> Option<NodeId> {
        self.believed.filter(|belief| now < belief.until).map(|belief| belief.holder)
    }

    /// When it may try for the lease that it leaves to others now.
    pub fn wait(&mut self, now: Micros) {
        self.timer = now.plus(self.duration).plus(self.back_off());
    }

    /// Leaves the lease to others.
    pub fn step_down(&mut self, now: Micros) {
        self.role = Role::Follower;
        self.wait(now);
    }

    /// Holds it from now on: the first heartbeat is due.
    pub fn hold(&mut self, now: Micros, holder: Holder) {
        self.role = Role::Holder(Box::new(holder));
        self.believed = None;
        self.timer = now;
    }

    /// The term that this holder matches under, unless it has handed the lease over.
    pub fn active_term(&self) -> Option<Term> {
        match &self.role {
            Role::Holder(holder) if !holder.handed_over => Some(holder.holding.term),
            _ => None,
        }
    }

    /// Whether a head of another process ends what this one does about the lease.
    pub fn is_outdone_by(&self, head: Term) -> bool {
        match &self.role {
            Role::Follower => false,
            Role::Trial { term, .. } | Role::Candidate { term, .. } => head >= *term,
            Role::Holder(holder) => head > holder.holding.term,
        }
    }

    /// The holder of a term lives, and nobody of a higher term than `known` is known. A voter counts the lease from here.
    pub fn hear_heartbeat(&mut self, now: Micros, from: NodeId, term: Term, known: Term) {
        if term >= self.promised.max(known) {
            self.believed = Some(Belief { term, holder: from, until: now.plus(self.duration) });
            if !matches!(self.role, Role::Holder(_)) {
                self.wait(now);
            }
        }
    }

    /// A heartbeat came back from a node: its label, when that was sent, and the node's clock.
    pub fn hear_echo(&mut self, now: Micros, from: NodeId, Echo { label, sent, clock }: Echo) {
        if let Role::Holder(holder) = &mut self.role
            && label <= holder.holding.term
        {
            let ahead = i64::try_from(clock.0).unwrap_or(i64::MAX).saturating_sub_unsigned(now.0);
            // No answer is newer than now, whatever it says.
            holder.echoes.insert(from, Echoed { sent: sent.min(now), ahead });
        }
    }

    /// Whether this holder's lease is renewed: a majority echoed a heartbeat that is not too old.
    /// It counts from when it sent them, voters from when they received them.
    pub fn is_renewed(&self, now: Micros, me: NodeId, tape: &Tape) -> bool {
        let Role::Holder(holder) = &self.role else {
            return false;
        };
        let fresh = |voter: &&NodeId| **voter == me || self.fresh_echo(holder, **voter, now).is_some();
        tape.voters().iter().filter(fresh).count() >= tape.majority()
    }

    /// Until when the head's holder has the lease: on the holder, as a majority renewed it; elsewhere, as this node
    /// believes.
    pub fn held_until(&self, of: NodeId, me: NodeId, tape: &Tape) -> Option<Micros> {
        let Role::Holder(holder) = &self.role else {
            return self.believed.filter(|belief| belief.holder == of).map(|belief| belief.until);
        };
        let until = |voter: &NodeId| match holder.echoes.get(voter) {
            _ if *voter == me => Some(Micros(u64::MAX)),
            echoed => echoed.map(|echoed| echoed.sent.plus(self.duration)),
        };
        let mut renewed: Vec<Micros> = tape.voters().iter().filter_map(until).collect();
        renewed.sort_unstable_by(|a, b| b.cmp(a));
        renewed.get(tape.majority() - 1).copied().filter(|_| !holder.handed_over)
    }

    /// Whether its holder, with a renewed lease, may match.
    pub fn may_match(&self, now: Micros, me: NodeId, tape: &Tape) -> bool {
        self.active_term().is_some() && self.is_renewed(now, me, tape)
    }

    /// How far a node's clock is ahead of this one, if it answered within the last lease. What was said
    /// before that may be of a clock that was set right since.
    fn fresh_echo(&self, holder: &Holder, node: NodeId, now: Micros) -> Option<i64> {
        let Echoed { sent, ahead } = *holder.echoes.get(&node)?;
        (now < sent.plus(self.duration)).then_some(ahead)
    }

    /// What the holder's clock and a majority's say: the lower median, so that one wrong clock
    /// can't move tape time.
    pub fn tape_clock(&self, now: Micros, me: NodeId, tape: &Tape) -> Micros {
        let Role::Holder(holder) = &self.role else {
            return now;
        };
        let voters = tape.voters().iter().filter(|voter| **voter != me);
        let others = voters
            .filter_map(|voter| self.fresh_echo(holder, *voter, now))
            .map(|ahead| now.0.saturating_add_signed(ahead));
        let mut clocks: Vec<u64> = others.chain([now.0]).collect();
        clocks.sort_unstable();
        Micros(clocks[(clocks.len() - 1) / 2])
    }

    /// What the clocks of a majority of the voters say; `None` while this holder does not know so many.
    pub fn majority_clock(&self, now: Micros, me: NodeId, tape: &Tape) -> Option<Micros> {
        // Then so many have answered.
        self.is_renewed(now, me, tape).then(|| self.tape_clock(now, me, tape))
    }

    /// The voters that answered this holder within the last lease, of those given.
    pub fn answering(&self, now: Micros, voters: Vec<NodeId>) -> Vec<NodeId> {
        let Role::Holder(holder) = &self.role else {
            return Vec::new();
        };
        voters.into_iter().filter(|voter| self.fresh_echo(holder, *voter, now).is_some()).collect()
    }
}

impl Holder {
    /// One that begins a lease, with what it matches on.
    pub fn new(holding: Holding, now: Micros) -> Self {
        Self { holding, echoes: BTreeMap::new(), handed_over: false, renewed: now }
    }

    /// The same lease in the next generation, whose state is in the view: the last heartbeats' echoes still
    /// count, and what it matched on goes on too, if it is at the beginning of this generation.
    fn following(self, view: &State, me: NodeId) -> Self {
        let Self { holding: Holding { term, ahead, .. }, echoes, renewed, .. } = self;
        let ahead = if ahead.digest() == view.digest() { ahead } else { view.clone() };
        Self { holding: Holding::new(term, ahead, 0, me), echoes, handed_over: false, renewed }
    }
}

//! Keeping the lease: heartbeats of whoever holds it, their echoes, and what a voter does when none come.

use super::generation::Generation;
use super::lease::{Role, Seen};
use super::message::{Echo, Message};
use super::{Effect, Replica, ReplicaError};
use crate::types::{Micros, NodeId, Term};

impl Replica {
    /// Does what the lease asks for at this time.
    pub(super) fn tend_lease(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        let Generation { lease, tape, .. } = &mut self.current;
        // Whoever waits for the next generation's genesis neither promises nor stands.
        if tape.has_ended() {
            return Ok(());
        }
        let term = tape.head_term();
        if term != lease.seen.term {
            lease.seen = Seen { term, since: now };
        }
        self.follow_head(now, effects)?;
        if !self.votes() {
            return Ok(());
        }
        let Generation { lease, tape, .. } = &mut self.current;
        let alone = tape.voters().len() == 1;
        let renewed = lease.is_renewed(now, self.node, tape);
        if let Role::Holder(holder) = &mut lease.role
            && renewed
        {
            holder.renewed = now;
        }
        match &lease.role {
            Role::Follower if alone => self.stand(now, None, effects)?,
            Role::Follower | Role::Trial { .. } | Role::Candidate { .. } if now >= lease.timer => {
                lease.wait(now);
                if lease.believes(now).is_none() {
                    self.try_for(now, None, effects)?;
                }
            }
            Role::Holder(holder) if now >= lease.timer => {
                let silent = now >= holder.renewed.plus(Micros(2 * lease.duration.0));
                let over = holder.handed_over || silent;
                lease.timer = now.plus(Micros(lease.duration.0 / 5));
                if over {
                    // Nobody took it: then it is anyone's again. Nor is it held any more if no majority
                    // answers: who still hears this holder shall not believe in it, and follow nobody else.
                    lease.step_down(now);
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
        let votes = self.votes() && self.current.tape.voters().len() > 1;
        (votes && !self.current.tape.has_ended()).then_some(self.current.lease.timer)
    }

    /// A voter that sees a valid activation of a higher term promises that term too; a holder or
    /// candidate of a lower one steps down.
    fn follow_head(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        let Generation { lease, tape, document, .. } = &mut self.current;
        let Some(head) = tape.head().filter(|head| head.actor != document.me()) else {
            return Ok(());
        };
        if lease.is_outdone_by(head.term) {
            lease.step_down(now);
        }
        if head.term > lease.promised && self.votes() {
            self.promise(now, head.term, head.actor, effects)?;
        }
        Ok(())
    }

    /// A holder shows itself to a peer that has just come to this generation.
    pub(super) fn greet_as_holder(&self, now: Micros, peer: NodeId, effects: &mut Vec<Effect>) {
        let Generation { lease, tape, .. } = &self.current;
        if let Some(term) = lease.active_term() {
            let majority = lease.majority_clock(now, self.node, tape);
            self.send(peer, Message::Heartbeat { term, sent: now, majority }, effects);
        }
    }

    fn heartbeat(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let Generation { lease, tape, peers, .. } = &self.current;
        let Some(term) = lease.held().map(|holding| holding.term) else {
            return;
        };
        let majority = lease.majority_clock(now, self.node, tape);
        for peer in peers.connected.keys() {
            self.send(*peer, Message::Heartbeat { term, sent: now, majority }, effects);
        }
    }

    /// The holder of a term lives; everyone answers. A newer term's holder is heard once its promises have come.
    pub(super) fn take_heartbeat(
        &mut self,
        now: Micros,
        from: NodeId,
        term: Term,
        sent: Micros,
        effects: &mut Vec<Effect>,
    ) {
        let Generation { lease, tape, .. } = &mut self.current;
        lease.hear_heartbeat(now, from, term, tape.head_term());
        let label = lease.promised;
        // A lease that this node could not acknowledge under is not renewed by it.
        if self.may_vote() {
            self.send(from, Message::Echo(Echo { label, sent, clock: now }), effects);
        }
    }

    /// A heartbeat came back.
    pub(super) fn take_echo(
        &mut self,
        now: Micros,
        from: NodeId,
        echo: Echo,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        self.current.lease.hear_echo(now, from, echo);
        if self.current.tape.voters().contains(&from) {
            self.hear_label(now, echo.label, effects)
        } else {
            Ok(())
        }
    }

    /// Whether this process may match now.
    #[must_use]
    pub fn may_match(&self, now: Micros) -> bool {
        self.current.lease.may_match(now, self.node, &self.current.tape)
    }
}

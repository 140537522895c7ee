//! What peers say, and who takes it.

use super::catch_up::Word;
use super::message::{Ack, Envelope, Message};
use super::{Effect, Replica, ReplicaError};
use crate::types::{Micros, NodeId};

impl Replica {
    /// A peer said something.
    pub(super) fn hear(
        &mut self,
        now: Micros,
        from: NodeId,
        Envelope { generation, message }: Envelope,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ReplicaError> {
        if !self.current.peers.connected.contains_key(&from) {
            return Ok(());
        }
        self.remember(from, generation, &message);
        if let Message::Hello { genesis, ack, heard, formats, .. } = &message {
            self.current.peers.note_formats(from, *formats);
            self.note_generation(now, from, Word { generation, genesis: *genesis });
            // Before anything is taken from the peer, or promised to it.
            heard.as_ref().map_or(Ok(()), |heard| self.check_memory(from, heard))?;
            self.pass_by(from, generation, ack);
        }
        if generation != self.generation() {
            return self.hear_other_generation(now, from, generation, message, effects);
        }
        match message {
            Message::Hello { genesis, .. } if genesis != self.current.genesis_hash => {
                self.disconnect(from, "its genesis is another one".to_owned(), effects);
            }
            Message::Hello { ack, answer, .. } => self.take_hello(now, from, ack, answer, effects),
            Message::Ack(ack) => {
                if self.bears_out(now, from, &ack, effects) {
                    self.current.peers.acknowledged(from, ack);
                }
            }
            Message::Changes(changes) => {
                if let Err(error) = self.take_changes(now, from, changes, effects)? {
                    self.disconnect(from, error.to_string(), effects);
                }
            }
            Message::Heartbeat { term, sent, majority } => {
                if self.current.tape.may_hold(term, from) {
                    self.hear_clocks(now, from, sent, majority);
                    self.take_heartbeat(now, from, term, sent, effects);
                }
            }
            Message::Echo(echo) => self.take_echo(now, from, echo, effects)?,
            Message::Candidate(candidacy) => self.judge(now, from, candidacy, effects)?,
            Message::Ballot(ballot) => self.take_ballot(now, from, ballot, effects)?,
            Message::Committed(told) => self.take_committed(now, from, told),
            Message::HandOver { term } => self.take_over(now, from, term, effects)?,
            // Asked once more by someone who is wrong about the holder, it ends here. Whoever has no vote has
            // no say in it.
            Message::HandOverWish { to }
                if self.holds_lease() && self.current.tape.voters().contains(&from) =>
            {
                self.hand_over(to, effects);
            }
            Message::HandOverWish { .. } => {}
            // As with the lease: it ends with the holder, and only voters have a say.
            Message::UpgradeWish { to }
                if self.holds_lease() && self.current.tape.voters().contains(&from) =>
            {
                self.upgrade(now, to, effects);
            }
            Message::UpgradeWish { .. } => {}
            // Only of use between generations.
            Message::Fetch { .. } | Message::GenesisPart { .. } => {}
        }
        Ok(())
    }

    /// A peer of this generation says what it has.
    fn take_hello(&mut self, now: Micros, from: NodeId, ack: Ack, answer: bool, effects: &mut Vec<Effect>) {
        if self.bears_out(now, from, &ack, effects) {
            self.current.peers.acknowledged(from, ack);
        }
        // The peer may have missed this side's hello: it opened the document or began the
        // generation later.
        if !answer {
            self.greet(from, true, effects);
        }
        self.greet_as_holder(now, from, effects);
    }
}

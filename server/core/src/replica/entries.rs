//! What the entries of a document mean to a replica.
//!
//! Reading comes first and changes nothing, so that a change with an entry that its actor can't have
//! written is refused whole, before the document has it.

use super::{MAX_PENDING, Replica};
use crate::document::{Actor, ChangeError, Entry, Heading};
use crate::machine::{Intent, MAX_VOTERS, Market, decode_batch, is_admissible};
use crate::types::{NodeId, Term};

/// How far a term may be above every one that the document has: each candidate takes the next one
/// above those that it knows, so a term far above is a lie.
const MAX_TERM_STEP: u64 = 1 << 20;

/// An entry that was read.
pub(super) enum Read {
    /// A node's next intents.
    Intents { node: NodeId, first: u64, intents: Vec<Intent> },
    /// A record of the lease or of the tape.
    Record(Entry),
}

impl Replica {
    /// Reads a change's entries; `None` if one is not its actor's to write.
    pub(super) fn read(&self, actor: Actor, entries: Vec<Entry>) -> Option<Vec<Read>> {
        let mut last = self.current.inbox.last(actor.node());
        let rules = self.view.machine.market().map(Market::rules);
        let read = entries.into_iter().map(|entry| {
            let writer = match &entry {
                Entry::Intents(batch) => NodeId(batch.node),
                Entry::Promise(promise) => NodeId(promise.voter),
                Entry::SealAck(ack) => NodeId(ack.voter),
                Entry::Activation(_) | Entry::Tape(_) => actor.node(),
            };
            if writer != actor.node() {
                return None;
            }
            if !self.is_plausible(actor, &entry) {
                return None;
            }
            let Entry::Intents(batch) = entry else {
                return Some(Read::Record(entry));
            };
            let first = batch.first_counter;
            let intents = decode_batch(batch).filter(|_| last.checked_add(1) == Some(first))?;
            if !intents.iter().all(|intent| is_admissible(intent, rules)) {
                return None;
            }
            last = last.checked_add(intents.len() as u64)?;
            Some(Read::Intents { node: writer, first, intents })
        });
        read.collect()
    }

    /// The highest term that anyone can stand for.
    pub(super) fn reachable_term(&self) -> Term {
        Term(self.current.tape.highest_term().0.saturating_add(MAX_TERM_STEP))
    }

    /// Whether a record of the lease fits what the document has of its writer's past. Terms rise by
    /// promises, one step after another.
    fn is_plausible(&self, actor: Actor, entry: &Entry) -> bool {
        let reachable = self.reachable_term().0;
        match entry {
            Entry::Promise(promise) => promise.term <= reachable,
            Entry::Activation(activation) => {
                let adopted = activation.adopts.as_ref().is_none_or(|head| {
                    let writer = head.actor.as_ref().try_into().map(Actor);
                    writer.is_ok_and(|writer| head.batches <= self.current.tape.written(writer))
                });
                activation.term <= reachable
                    && activation.promises.len() <= MAX_VOTERS
                    && activation.first_batch == self.current.tape.written(actor)
                    && adopted
            }
            Entry::SealAck(ack) => ack.term <= reachable,
            Entry::Intents(_) | Entry::Tape(_) => true,
        }
    }

    /// Whether a change's intents are no more than its node may have waiting. What its node had seen
    /// sequenced when it accepted them is in their past, and so in this document.
    pub(super) fn has_room_for(&self, entries: &[Read]) -> Result<(), ChangeError> {
        for entry in entries {
            if let Read::Intents { node, first, intents } = entry {
                let last = first.saturating_add(intents.len() as u64).saturating_sub(1);
                let waiting = last.saturating_sub(self.current.inbox.settled(*node));
                let most = MAX_PENDING as u64;
                if waiting > most {
                    return Err(ChangeError::TooManyWaiting { node: *node, waiting, most });
                }
            }
        }
        Ok(())
    }

    /// Takes what was read of the change that arrives next, now that the document has it.
    pub(super) fn take(&mut self, Heading { actor, seq }: Heading, entries: Vec<Read>) {
        let head = self.current.tape.head().map(|head| head.term);
        for entry in entries {
            match entry {
                Read::Intents { node, first, intents } => {
                    let next = self.current.inbox.add(node, first, intents);
                    debug_assert!(next, "they were read as the node's next");
                }
                Read::Record(Entry::Promise(promise)) => self.current.tape.add_promise(actor, &promise),
                Read::Record(Entry::Activation(activation)) => {
                    self.current.tape.add_activation(actor, &activation)
                }
                Read::Record(Entry::SealAck(ack)) => self.current.tape.add_seal_ack(actor, &ack),
                Read::Record(Entry::Tape(batch)) => {
                    if self.current.tape.may_hold(batch.term, actor.node()) {
                        batch.runs().for_each(|(node, first, count)| {
                            self.current.inbox.sequenced(node, first.saturating_add(count));
                        });
                    }
                    self.current.tape.add_batch(Heading { actor, seq }, batch);
                }
                Read::Record(Entry::Intents(_)) => {}
            }
        }
        if self.current.tape.head().map(|head| head.term) != head {
            self.current.head_at = self.current.log.len() + 1;
        }
    }
}

//! What was gathered becomes one change: intents and, under the lease, what becomes of them.

use super::log::Arrival;
use super::{Effect, MAX_BATCH, MAX_IN_FLIGHT, Replica, ReplicaError};
use crate::document::Entry;
use crate::machine::{Intent, Request, encode_batch};
use crate::types::Micros;

impl Replica {
    /// Writes what was gathered and, under the lease, what becomes of it, as one change.
    pub(super) fn tick(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            return Ok(());
        }
        let intents = self.write_intents(now)?;
        let batch = self.write_batch(now)?;
        let batches = batch.is_some();
        let entries: Vec<Entry> = intents.into_iter().chain(batch).collect();
        if !entries.is_empty() {
            let seq = self.write(now, entries, effects)?;
            if batches {
                self.batch_written(seq);
            }
        }
        Ok(())
    }

    fn write_intents(&mut self, now: Micros) -> Result<Option<Entry>, ReplicaError> {
        if self.gathering.is_empty() {
            return Ok(None);
        }
        let count = self.gathering.len().min(MAX_BATCH);
        let requests: Vec<Request> = self.gathering.drain(..count).collect();
        let first = self.inbox.last(self.node) + 1;
        let based_on = self.view.time();
        let batch = encode_batch(self.node, first, based_on, now, &requests);
        let intents =
            requests.into_iter().map(|request| Intent { request, based_on, accepted: now }).collect();
        if !self.inbox.add(self.node, first, intents) {
            return Err(ReplicaError::Intents { node: self.node, first, last: self.inbox.last(self.node) });
        }
        Ok(Some(Entry::Intents(batch)))
    }

    /// Writes entries as one change and returns its number.
    pub(super) fn write(
        &mut self,
        now: Micros,
        entries: Vec<Entry>,
        effects: &mut Vec<Effect>,
    ) -> Result<u64, ReplicaError> {
        let change = self.document.append(&entries)?;
        let actor = self.document.me();
        let mut promised = 0;
        for entry in entries {
            match entry {
                // The inbox has them already, as they were before they became a record.
                Entry::Intents(_) => {}
                Entry::Promise(ref promise) => {
                    promised = promise.term;
                    self.take(actor, entry)?;
                }
                entry => self.take(actor, entry)?,
            }
        }
        let arrival = Arrival { actor, seq: change.seq, at: now, promised };
        let index = self.log.push(arrival, change.bytes.clone());
        self.in_flight.push_back((index, self.inbox.last(self.node)));
        effects.push(Effect::Store { index, bytes: change.bytes });
        Ok(change.seq)
    }
}

//! What was gathered becomes one change: intents and, under the lease, what becomes of them.

use std::collections::VecDeque;

use bytes::Bytes;

use super::entries::Read;
use super::log::Arrival;
use super::{Effect, MAX_BATCH, Replica, ReplicaError};
use crate::document::{Entry, Heading, Kind, LocalChange};
use crate::machine::{Intent, Request, encode_batch};
use crate::types::{Micros, Term};

/// Most changes that may be on their way to the disk. While they are, requests gather.
const MAX_IN_FLIGHT: usize = 2;

/// Own changes on their way to the disk.
#[derive(Default, Debug)]
pub(super) struct InFlight(VecDeque<Flight>);

/// An own change on its way to the disk.
#[derive(Debug)]
struct Flight {
    /// Its index in the order of storing.
    index: u64,
    /// The last own counter in it, or before it.
    through: u64,
}

impl InFlight {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there may be no more.
    pub fn is_full(&self) -> bool {
        self.0.len() >= MAX_IN_FLIGHT
    }

    fn push(&mut self, index: u64, through: u64) {
        self.0.push_back(Flight { index, through });
    }

    /// Changes up to an index are on the disk; returns the last own counter that is there since.
    pub fn land(&mut self, index: u64) -> Option<u64> {
        let landed = self.0.iter().take_while(|flight| flight.index <= index).count();
        self.0.drain(..landed).next_back().map(|flight| flight.through)
    }
}

impl Replica {
    /// Writes what was gathered and, under the lease, what becomes of it, as one change.
    pub(super) fn write_next(&mut self, now: Micros, effects: &mut Vec<Effect>) -> Result<(), ReplicaError> {
        if self.current.in_flight.is_full() || !self.is_heard() {
            return Ok(());
        }
        let intents = self.write_intents(now)?;
        let batch = self.write_batch(now, effects)?;
        let batches = batch.is_some();
        let entries: Vec<Entry> = intents.into_iter().chain(batch).collect();
        if !entries.is_empty() {
            let seq = self.write(now, entries, effects)?;
            if let Some(holding) = self.current.lease.holding().filter(|_| batches) {
                holding.wrote(seq);
            }
        }
        Ok(())
    }

    fn write_intents(&mut self, now: Micros) -> Result<Option<Entry>, ReplicaError> {
        if self.gathering.is_empty() {
            return Ok(None);
        }
        let (mut bytes, most) = (0, self.caps.batch_bytes);
        let fits = |request: &&Request| {
            let fits = bytes < most;
            bytes += request.bytes();
            fits
        };
        let count = self.gathering.iter().take(MAX_BATCH).take_while(fits).count();
        let requests: Vec<Request> = self.gathering.drain(..count).collect();
        let first = self.current.inbox.last(self.node) + 1;
        let based_on = self.view.time();
        let batch = encode_batch(self.node, first, based_on, now, &requests);
        let intents =
            requests.into_iter().map(|request| Intent { request, based_on, accepted: now }).collect();
        if !self.current.inbox.add(self.node, first, intents) {
            return Err(ReplicaError::Intents {
                node: self.node,
                first,
                last: self.current.inbox.last(self.node),
            });
        }
        Ok(Some(Entry::Intents(batch)))
    }

    /// Writes entries as one change, to be stored, and returns its number.
    pub(super) fn write(
        &mut self,
        now: Micros,
        entries: Vec<Entry>,
        effects: &mut Vec<Effect>,
    ) -> Result<u64, ReplicaError> {
        let (index, LocalChange { seq, bytes }) = self.append(now, entries)?;
        effects.push(Effect::Store { generation: self.generation(), index, bytes });
        Ok(seq)
    }

    /// Writes the intents that no generation has consumed into the one that begins, under their old
    /// ids, and returns the changes.
    pub(super) fn write_again(
        &mut self,
        now: Micros,
        intents: &[Intent],
    ) -> Result<Vec<Bytes>, ReplicaError> {
        let mut changes = Vec::new();
        for intents in intents.chunks(MAX_BATCH) {
            let mut entries = Vec::new();
            for same in intents.chunk_by(|a, b| (a.based_on, a.accepted) == (b.based_on, b.accepted)) {
                let requests: Vec<Request> = same.iter().map(|intent| intent.request.clone()).collect();
                let first = self.current.inbox.last(self.node) + 1;
                let batch = encode_batch(self.node, first, same[0].based_on, same[0].accepted, &requests);
                if !self.current.inbox.add(self.node, first, same.to_vec()) {
                    return Err(ReplicaError::Intents { node: self.node, first, last: first - 1 });
                }
                entries.push(Entry::Intents(batch));
            }
            changes.push(self.append(now, entries)?.1.bytes);
        }
        Ok(changes)
    }

    /// Puts entries into the document, the log and what they are for; returns the change and its
    /// index in the log.
    fn append(&mut self, now: Micros, entries: Vec<Entry>) -> Result<(u64, LocalChange), ReplicaError> {
        let actor = self.current.document.me();
        let seq = self.current.document.vector().get(&actor).copied().unwrap_or(0) + 1;
        let change = self.current.document.append_marked(&entries, Some(self.mark_of(actor, seq)))?;
        let promises = entries.iter().filter_map(|entry| match entry {
            Entry::Promise(promise) => Some(Term(promise.term)),
            _ => None,
        });
        let promised = promises.max().unwrap_or_default();
        // The inbox has intents already, as they were before they became a record.
        let records = entries.into_iter().filter(|entry| entry.kind() != Kind::Intents);
        self.take(Heading { actor, seq: change.seq }, records.map(Read::Record).collect());
        let through = self.current.inbox.last(self.node);
        let arrival = Arrival { actor, seq: change.seq, at: now, promised, through };
        let index = self.current.log.push(arrival, change.bytes.clone());
        self.current.in_flight.push(index, through);
        Ok((index, change))
    }
}

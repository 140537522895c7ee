//! The order in which changes arrived and were stored, and how far the disk is.
//!
//! Changes are stored in the order of their arrival, so the disk always holds a prefix. What this
//! node acknowledges is that prefix and nothing else.

use std::collections::VecDeque;

use bytes::Bytes;

use super::message::Ack;
use crate::document::{Actor, Document};
use crate::types::{Micros, Term};

/// Bytes of recent changes that are kept as they came; older ones are made again from the document.
const RECENT_BYTES: usize = 8 * 1024 * 1024;

/// Arrivals of one document.
#[derive(Default, Debug)]
pub(super) struct Log {
    arrivals: Vec<Arrival>,
    recent: VecDeque<Bytes>,
    recent_bytes: usize,
    durable: usize,
    ack: Ack,
}

/// A change that arrived, from here or from elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub actor: Actor,
    pub seq: u64,
    pub at: Micros,
    /// The term that this node promised in it; zero if it is not a promise of this node.
    pub promised: Term,
    /// The last counter of its node's intents, these included.
    pub through: u64,
}

impl Log {
    /// The log of a generation that begins, with the label that it begins with.
    pub fn beginning(label: Term) -> Self {
        Self { ack: Ack { label, ..Ack::default() }, ..Self::default() }
    }

    /// How many changes arrived.
    pub fn len(&self) -> usize {
        self.arrivals.len()
    }

    /// Adds a change and returns its index.
    pub fn push(&mut self, arrival: Arrival, bytes: Bytes) -> u64 {
        self.arrivals.push(arrival);
        self.recent_bytes += bytes.len();
        self.recent.push_back(bytes);
        while self.recent_bytes > RECENT_BYTES
            && let Some(oldest) = self.recent.pop_front()
        {
            self.recent_bytes -= oldest.len();
        }
        self.arrivals.len() as u64 - 1
    }

    /// Everything that was pushed so far came from the disk, with the highest promise in it.
    pub fn opened(&mut self, promised: Term) {
        self.ack.label = promised;
        if let Some(last) = self.arrivals.len().checked_sub(1) {
            self.stored(last as u64);
        }
    }

    /// The disk has everything up to an index.
    pub fn stored(&mut self, index: u64) {
        let through = usize::try_from(index).map_or(self.arrivals.len(), |index| index + 1);
        for arrival in self.arrivals.iter().take(through).skip(self.durable) {
            self.ack.vector.insert(arrival.actor, arrival.seq);
            self.ack.label = self.ack.label.max(arrival.promised);
        }
        self.durable = self.durable.max(through.min(self.arrivals.len()));
    }

    /// What the disk has.
    pub fn ack(&self) -> &Ack {
        &self.ack
    }

    /// How many changes the disk has.
    pub fn durable(&self) -> usize {
        self.durable
    }

    /// A change by index.
    pub fn get(&self, index: usize) -> Option<&Arrival> {
        self.arrivals.get(index)
    }

    /// A change's bytes.
    pub fn bytes(&self, index: usize, document: &Document) -> Option<Bytes> {
        let first = self.arrivals.len() - self.recent.len();
        match index.checked_sub(first) {
            Some(at) => self.recent.get(at).cloned(),
            None => {
                let arrival = self.arrivals.get(index)?;
                document.change(arrival.actor, arrival.seq).map(Bytes::from)
            }
        }
    }
}

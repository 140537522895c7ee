//! The hash chain over a market's history: whoever has its head can check, block by block and back to
//! the first one, that what is handed to him is what the tape did.
//!
//! A link is the hash of the head before it and of a block's *content*: all that the history keeps of the
//! block, as plain numbers and texts, so that no encoder has a say in it. Under the lease, where nothing is
//! kept of a block, the same content is written while the batch is made.

use super::{Change, FillOf, Order, Origin, halves};
use crate::decimal::Grid;
use crate::types::{Micros, Position, Reason};

/// The head of a chain.
pub type ChainHead = [u8; 32];

/// Bytes that are hashed at a time: a block may be large.
const PIECE_BYTES: usize = 16 * 1024;

/// What one block adds to the chain.
#[derive(Clone, Default, Debug)]
pub struct Content {
    hasher: blake3::Hasher,
    changes: Vec<u8>,
    /// Bytes of all changes.
    bytes: u64,
    outcomes: Vec<u8>,
}

/// How a request ended, where the changes of its block don't tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestOutcome {
    /// Position of its first event.
    pub first: Position,
    /// Position of its last event.
    pub last: Position,
    /// Why it was refused; unspecified if it was not.
    pub refused: Reason,
}

impl RequestOutcome {
    /// The outcome of a request, if it is one that has to be kept: a refusal that changed nothing, or
    /// several changes. `first` is the position of its first change.
    #[must_use]
    pub fn kept(changes: usize, first: Option<Position>, last: Position, refused: Reason) -> Option<Self> {
        let told = match changes {
            0 => refused == Reason::Unspecified,
            count => count == 1,
        };
        (!told).then_some(Self { first: first.unwrap_or(last), last, refused })
    }
}

/// The head of the chain of a market in which nothing happened yet.
#[must_use]
pub fn chain_start(market: &str) -> ChainHead {
    blake3::Hasher::new().update(b"xbook history ").update(market.as_bytes()).finalize().into()
}

impl Content {
    /// The content of a whole block.
    pub fn of<'a>(
        changes: impl IntoIterator<Item = &'a Change>,
        outcomes: impl IntoIterator<Item = &'a RequestOutcome>,
    ) -> Self {
        let mut content = Self::default();
        for change in changes {
            if let Change::Order { order, fill, placed } = change {
                content.put_change(order, fill.as_ref(), *placed);
            }
        }
        outcomes.into_iter().for_each(|outcome| content.put_outcome(outcome));
        content
    }

    pub(super) fn put_change(&mut self, order: &Order, fill: Option<&FillOf>, placed: bool) {
        let to = &mut self.changes;
        let (by_command, number) = match &order.origin {
            Origin::Request(_) => (false, 0),
            Origin::Command { number, .. } => (true, *number),
        };
        let kind = [
            order.side as u8,
            order.time_in_force as u8,
            order.status as u8,
            fill.map_or(0, |fill| fill.liquidity as u8),
            u8::from(order.post_only) | (order.self_trade as u8) << 1,
            u8::from(placed),
            u8::from(order.limit.is_some())
                | u8::from(order.expires.is_some()) << 1
                | u8::from(!order.prevented.is_zero()) << 2,
            u8::from(fill.is_some())
                | u8::from(by_command) << 1
                | u8::from(order.terms.is_some()) << 2
                | u8::from(fill.is_some_and(|fill| fill.auction)) << 3,
        ];
        let (low, high) = halves(order.value);
        to.extend_from_slice(&kind);
        let numbers = [
            order.id.node.0,
            order.id.counter,
            order.position.0,
            order.reason as u64,
            order.limit.map_or(0, |price| price.0),
            order.quantity.0,
            order.filled.0,
            low,
            high,
            order.accepted.0,
            order.expires.map_or(0, |at| at.0),
            number,
        ];
        put(to, numbers);
        if !order.prevented.is_zero() {
            put(to, [order.prevented.0]);
        }
        if let Some(terms) = &order.terms {
            put(to, terms.numbers());
        }
        put_text(to, &order.account);
        match &order.origin {
            Origin::Request(id) => put_text(to, id),
            Origin::Command { session, .. } => put_text(to, &session.name),
        }
        if let Some(fill) = fill {
            let counter = fill.counter_order;
            let fee = fill.fee.0.cast_unsigned();
            put(to, [counter.node.0, counter.counter, fill.price.0, fill.quantity.0, fee]);
        }
        if to.len() >= PIECE_BYTES {
            self.hash_changes();
        }
    }

    fn hash_changes(&mut self) {
        self.hasher.update(&self.changes);
        self.bytes += self.changes.len() as u64;
        self.changes.clear();
    }

    pub(super) fn put_outcome(&mut self, outcome: &RequestOutcome) {
        put(&mut self.outcomes, [outcome.first.0, outcome.last.0, outcome.refused as u64]);
    }

    /// The head after a block with this content, which is empty then. The sizes say what its numbers
    /// count in.
    #[must_use]
    pub fn link(
        &mut self,
        before: &ChainHead,
        (first, last): (Position, Position),
        time: Micros,
        (tick, lot): (Grid, Grid),
    ) -> ChainHead {
        self.hash_changes();
        let mut rest = Vec::with_capacity(160 + self.outcomes.len());
        put(&mut rest, [self.bytes]);
        rest.extend_from_slice(&self.outcomes);
        put(&mut rest, [self.outcomes.len() as u64, first.0, last.0, time.0]);
        put_text(&mut rest, &tick.to_string());
        put_text(&mut rest, &lot.to_string());
        rest.extend_from_slice(before);
        let head = self.hasher.update(&rest).finalize().into();
        self.clear();
        head
    }

    /// Makes it empty; its room is kept.
    pub(super) fn clear(&mut self) {
        self.hasher.reset();
        self.bytes = 0;
        self.changes.clear();
        self.outcomes.clear();
    }
}

fn put<const N: usize>(to: &mut Vec<u8>, numbers: [u64; N]) {
    for number in numbers {
        to.extend_from_slice(&number.to_le_bytes());
    }
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    put(to, [text.len() as u64]);
    to.extend_from_slice(text.as_bytes());
}

//! Keys of the history log.
//!
//! `market 0 b position` is a block, `market 0 a account 0 position` an account's presence in a
//! block, `market 0 s session number` the block in which a session's command placed an order, for the
//! first of each session in a block, `market 0 o node counter` the position at which an order closed, `market 0 c
//! account 0 name 0 position` that an order came then which has this name of its client's. No name of a market, an account or a
//! client contains a zero byte, and numbers are big-endian, so keys sort as the
//! numbers do.

use crate::machine::SessionId;
use crate::types::{ClientId, OrderId, Position};

/// Makes the keys of one market.
pub(super) struct Keys {
    prefix: Vec<u8>,
}

impl Keys {
    pub fn new(market: &str) -> Self {
        let mut prefix = market.as_bytes().to_vec();
        prefix.push(0);
        Self { prefix }
    }

    pub fn block(&self, first: Position) -> Vec<u8> {
        self.key(b'b', &[&first.0.to_be_bytes()])
    }

    pub fn account_block(&self, account: &str, first: Position) -> Vec<u8> {
        self.key(b'a', &[account.as_bytes(), &[0], &first.0.to_be_bytes()])
    }

    /// The first order that a session's commands placed in a block.
    pub fn session(&self, session: SessionId, number: u64) -> Vec<u8> {
        self.key(b's', &[&session.0, &number.to_be_bytes()])
    }

    pub fn closed(&self, id: OrderId) -> Vec<u8> {
        self.key(b'o', &[&id.node.0.to_be_bytes(), &id.counter.to_be_bytes()])
    }

    /// An order that has this name of its client's and came at a position.
    pub fn client(&self, account: &str, name: ClientId, at: Position) -> Vec<u8> {
        let name = name.as_str().as_bytes();
        self.key(b'c', &[account.as_bytes(), &[0], name, &[0], &at.0.to_be_bytes()])
    }

    /// The position at the end of a block's, an account's or a client's key.
    pub fn position(key: &[u8]) -> Option<Position> {
        key.last_chunk::<8>().map(|bytes| Position(u64::from_be_bytes(*bytes)))
    }

    fn key(&self, kind: u8, parts: &[&[u8]]) -> Vec<u8> {
        let mut key =
            Vec::with_capacity(self.prefix.len() + 1 + parts.iter().map(|part| part.len()).sum::<usize>());
        key.extend_from_slice(&self.prefix);
        key.push(kind);
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key
    }
}

//! Which entries of the index lead to a block. All of them follow from the block alone.

use rustc_hash::FxHashSet;

use super::keys::Keys;
use super::record;
use crate::machine::{Block, Change, Origin, SessionId};
use crate::types::{Position, Reason};

/// A record of the log and how it is found.
pub(super) struct Indexed {
    pub market: String,
    pub first: Position,
    pub last: Position,
    /// The key of the block itself.
    pub key: Vec<u8>,
    pub entries: Vec<(Vec<u8>, u64)>,
}

/// Indexes a record; `None` if it is not a block's.
pub(super) fn of_record(record: &[u8]) -> Option<Indexed> {
    let (market, stored) = record::decode(record)?;
    let (keys, block) = (Keys::new(&market), stored.block);
    let (key, entries) = (keys.block(block.first), entries(&keys, &block));
    Some(Indexed { market, first: block.first, last: block.last, key, entries })
}

/// The entries that lead to a block: by account, by session, by client's name, by closed order.
pub(super) fn entries(keys: &Keys, block: &Block) -> Vec<(Vec<u8>, u64)> {
    let mut entries = Vec::new();
    let mut accounts: FxHashSet<&str> = FxHashSet::default();
    let mut sessions: FxHashSet<SessionId> = FxHashSet::default();
    for change in &block.changes {
        if let Change::Order { order, placed: true, .. } = change
            && let Origin::Command { session, number } = &order.origin
            && sessions.insert(session.id)
        {
            entries.push((keys.session(session.id, *number), block.first.0));
        }
    }
    for change in &block.changes {
        if let Change::Order { order, placed: true, .. } = change
            && let Some(name) = order.client_id()
            && order.reason != Reason::ClientIdInUse
        {
            entries.push((keys.client(&order.account, name, order.position), order.position.0));
        }
    }
    for order in block.changes.iter().filter_map(Change::order) {
        if accounts.insert(&order.account) {
            entries.push((keys.account_block(&order.account, block.first), 0));
        }
        if !order.is_live() {
            entries.push((keys.closed(order.id), order.position.0));
        }
    }
    entries
}

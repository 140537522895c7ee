//! Writing parts: each is closed before it would exceed its limit.

use bytes::Bytes;
use prost::Message;
use xbook_proto::record::v1 as record;

use super::MAX_PART_BYTES;
use crate::machine::intent::side_to_wire;
use crate::machine::table::{Table, halves};
use crate::machine::{Account, MarketEntry, NewMarket, NodeEntry, Order, Origin, Repeated, SessionId};
use crate::types::{Micros, NodeId, OrderId, Position, Ticks};

/// More than an entry takes at most: its fields with their tags, its length, and what it adds to the
/// part's tables; texts are counted as they are.
const SMALL_BYTES: usize = 80;
const ORDER_BYTES: usize = 224;

/// Gathers a state into parts.
#[derive(Default)]
pub(in crate::machine) struct Writer {
    done: Vec<record::StatePart>,
    part: record::StatePart,
    /// At least what the open part takes.
    bytes: usize,
    nodes: Table<NodeId>,
    accounts: Table<Account>,
    sessions: Table<SessionId>,
    /// Position and time that the next request's, and the time that the next session's, are
    /// counted from.
    last_request: (Position, Micros),
    last_session: Micros,
}

impl Writer {
    pub fn consumed(&mut self, node: NodeId, counter: u64) {
        self.make_room(SMALL_BYTES);
        let node = self.nodes.index(&node);
        self.part.consumed.push(record::ConsumedCounter { node, counter });
    }

    pub fn floor(&mut self, floor: Option<Micros>) {
        self.make_room(SMALL_BYTES);
        self.part.floor_us = floor.map(|floor| floor.0);
    }

    pub fn request(&mut self, key: [u8; 16], body_hash: u64, first: Repeated, time: Micros) {
        self.make_room(SMALL_BYTES);
        let (position, since) = self.last_request;
        self.last_request = (first.position, time);
        self.part.requests.push(record::RememberedRequest {
            key: Bytes::copy_from_slice(&key),
            body_hash,
            node: self.nodes.index(&first.intent.node),
            counter: first.intent.counter,
            position_step: first.position.0.wrapping_sub(position.0),
            time_step_us: time.0.wrapping_sub(since.0),
        });
    }

    pub fn session(&mut self, session: SessionId, last_number: u64, last_use: Micros) {
        self.make_room(SMALL_BYTES);
        let time_step_us = last_use.0.wrapping_sub(self.last_session.0);
        self.last_session = last_use;
        let session = Bytes::copy_from_slice(&session.0);
        self.part.remembered_sessions.push(record::RememberedSession { session, last_number, time_step_us });
    }

    pub fn withdrawn(&mut self, OrderId { node, counter }: OrderId, account: &Account) {
        self.make_room(SMALL_BYTES + account.len());
        let (node, account) = (self.nodes.index(&node), self.accounts.index(account));
        self.part.withdrawn.push(record::WithdrawnOrder { node, counter, account });
    }

    pub fn last_price(&mut self, price: Option<Ticks>) {
        self.make_room(SMALL_BYTES);
        self.part.last_price = price.map(|price| price.0);
    }

    /// A resting order, which has a price.
    pub fn order(&mut self, order: &Order, price: Ticks) {
        let request_id = match &order.origin {
            Origin::Request(id) => id.to_string(),
            Origin::Command { .. } => String::new(),
        };
        self.make_room(ORDER_BYTES + order.account.len() + request_id.len());
        let (session, number) = match &order.origin {
            Origin::Request(_) => (0, 0),
            Origin::Command { session, number } => (1 + self.sessions.index(session), *number),
        };
        let OrderId { node, counter } = order.id;
        let (value_low, value_high) = halves(order.value);
        self.part.orders.push(record::OpenOrder {
            node: self.nodes.index(&node),
            counter,
            account: self.accounts.index(&order.account),
            request_id,
            session,
            number,
            side: side_to_wire(order.side).into(),
            price: price.0,
            time_in_force: order.time_in_force.into(),
            post_only: order.post_only,
            quantity: order.quantity.0,
            filled: order.filled.0,
            value_low,
            value_high,
            accepted_us: order.accepted.0,
            expires_us: order.expires.map_or(0, |at| at.0),
            updated_us: order.updated.0,
            position: order.position.0,
        });
    }

    pub fn market(&mut self, market: &MarketEntry) {
        let MarketEntry { name, rules, voters, position } = market.clone();
        let record = NewMarket { name, rules, voters }.to_record();
        self.make_room(SMALL_BYTES + record.encoded_len());
        self.part.markets.push(record::DirectoryMarket { market: Some(record), position: position.0 });
    }

    pub fn cluster_node(&mut self, entry: &NodeEntry) {
        self.make_room(SMALL_BYTES + entry.address.len());
        self.part.cluster_nodes.push(record::DirectoryNode {
            node: entry.node.0,
            address: entry.address.to_string(),
            position: entry.position.0,
        });
    }

    pub fn finish(mut self) -> Vec<record::StatePart> {
        self.close();
        self.done
    }

    /// Makes room for an entry of at most so many bytes. Called before the entry, which refers to
    /// the part's tables.
    fn make_room(&mut self, bytes: usize) {
        if self.bytes + bytes > MAX_PART_BYTES {
            self.close();
        }
        self.bytes += bytes;
    }

    fn close(&mut self) {
        let mut part = std::mem::take(&mut self.part);
        part.nodes = self.nodes.values().iter().map(|node| node.0).collect();
        part.accounts = self.accounts.values().iter().map(|account| account.to_string()).collect();
        part.sessions = self.sessions.values().iter().map(|id| Bytes::copy_from_slice(&id.0)).collect();
        if part != record::StatePart::default() {
            self.done.push(part);
        }
        let done = std::mem::take(&mut self.done);
        *self = Self { done, ..Self::default() };
    }
}

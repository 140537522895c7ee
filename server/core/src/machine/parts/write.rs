//! Writing parts: each is closed before it would exceed its limit.

use bytes::Bytes;
use prost::Message;
use prost::encoding::message;
use xbook_proto::record::v1 as record;

use super::MAX_PART_BYTES;
use crate::book::Auction;
use crate::machine::intent::side_to_wire;
use crate::machine::market::{Armed, SwitchOf};
use crate::machine::table::{Table, halves};
use crate::machine::{
    Account, Invitation, Limits, MarketEntry, NewMarket, NodeEntry, Order, Origin, Repeated, Session,
    SessionId, Terms,
};
use crate::types::{MarketState, Micros, NodeId, OrderId, Position, SelfTrade, Ticks};

/// More than an entry takes at most: its fields with their tags, its length, and what it adds to the
/// part's tables; texts are counted as they are.
const SMALL_BYTES: usize = 80;
const COMMAND_BYTES: usize = 61;
const ORDER_BYTES: usize = 204;

/// The same for what few orders have.
const PREVENTION_BYTES: usize = 15;
const TERMS_BYTES: usize = 152;

/// The number of an order in its part.
const ORDER_FIELD: u32 = 9;

/// Gathers a state into parts.
#[derive(Default)]
pub(in crate::machine) struct Writer {
    done: Vec<Bytes>,
    /// The open part, but for its orders. Its room is kept for the next one.
    part: record::StatePart,
    /// The open part's orders, encoded one by one: a large state has little else.
    orders: Vec<u8>,
    /// At least what the open part takes.
    bytes: usize,
    nodes: Table<NodeId>,
    accounts: Table<Account>,
    sessions: Table<Session>,
    /// Position and time that the next request's, and the next session's, are counted from.
    last_request: (Position, Micros),
    last_session: (Position, Micros),
    /// Sessions of remembered commands, and the position that the next one's is counted from.
    commanding: Table<SessionId>,
    last_command: Position,
}

impl Writer {
    pub fn consumed(&mut self, node: NodeId, counter: u64) {
        self.make_room(SMALL_BYTES);
        let node = self.nodes.index(&node);
        self.part.consumed.push(record::ConsumedCounter { node, counter });
    }

    /// Down to which time requests are forgotten, and whether a session ever was.
    pub fn floor(&mut self, floor: Option<Micros>, forgot_session: bool) {
        self.make_room(SMALL_BYTES);
        self.part.floor_us = floor.map(|floor| floor.0);
        self.part.forgot_session = forgot_session;
    }

    pub fn request(&mut self, key: [u8; 16], body_hash: u64, first: Repeated, time: Micros) {
        self.remembered(first, time, |_, record| {
            record.key = Bytes::copy_from_slice(&key);
            record.body_hash = body_hash;
        });
    }

    /// An intent that repeated a request.
    pub fn repeat(&mut self, id: OrderId, first: Repeated, time: Micros) {
        self.remembered(first, time, |nodes, record| {
            record.repeat = Some(record::Repeat { node: nodes.index(&id.node), counter: id.counter });
        });
    }

    fn remembered(
        &mut self,
        first: Repeated,
        time: Micros,
        what: impl FnOnce(&mut Table<NodeId>, &mut record::RememberedRequest),
    ) {
        self.make_room(SMALL_BYTES);
        let (position, since) = self.last_request;
        self.last_request = (first.position, time);
        let mut record = record::RememberedRequest {
            node: self.nodes.index(&first.intent.node),
            counter: first.intent.counter,
            position_step: signed_step(position, first.position),
            time_step_us: time.0.wrapping_sub(since.0),
            ..record::RememberedRequest::default()
        };
        what(&mut self.nodes, &mut record);
        self.part.requests.push(record);
    }

    pub fn session(&mut self, session: SessionId, last_number: u64, last_use: (Position, Micros)) {
        self.make_room(SMALL_BYTES);
        let (position, since) = std::mem::replace(&mut self.last_session, last_use);
        self.part.remembered_sessions.push(record::RememberedSession {
            session: Bytes::copy_from_slice(&session.0),
            last_number,
            time_step_us: last_use.1.0.wrapping_sub(since.0),
            position_step: last_use.0.0.wrapping_sub(position.0),
        });
    }

    /// A session's command that is remembered.
    pub fn command(&mut self, session: SessionId, hash: u32, first: Repeated) {
        self.make_room(COMMAND_BYTES);
        let position = std::mem::replace(&mut self.last_command, first.position);
        self.part.commands.push(record::RememberedCommand {
            session: self.commanding.index(&session),
            hash,
            node: self.nodes.index(&first.intent.node),
            counter: first.intent.counter,
            position_step: signed_step(position, first.position),
        });
    }

    pub fn withdrawn(
        &mut self,
        OrderId { node, counter }: OrderId,
        account: &Account,
        request: Option<[u8; 16]>,
    ) {
        self.make_room(SMALL_BYTES + account.len());
        let (node, account) = (self.nodes.index(&node), self.accounts.index(account));
        let request = request.map(|key| Bytes::copy_from_slice(&key)).unwrap_or_default();
        self.part.withdrawn.push(record::WithdrawnOrder { node, counter, account, request });
    }

    /// The market's state, unless it is the usual one.
    pub fn state(&mut self, state: MarketState) {
        if state != MarketState::Continuous {
            self.make_room(SMALL_BYTES);
            self.part.state = state.into();
        }
    }

    pub fn last_price(&mut self, price: Option<Ticks>) {
        self.make_room(SMALL_BYTES);
        self.part.last_price = price.map(|price| price.0);
    }

    /// Price of the last uncross, and what the next one would give.
    pub fn auction(&mut self, uncrossed: Option<Ticks>, indicated: Option<Auction>) {
        if uncrossed.is_none() && indicated.is_none() {
            return;
        }
        self.make_room(SMALL_BYTES);
        self.part.uncrossed_price = uncrossed.map(|price| price.0);
        self.part.indication = indicated.map(|Auction { price, volume, surplus }| record::Indication {
            price: price.0,
            volume: volume.0,
            surplus,
        });
    }

    /// When an auction ends by itself and whether that was put off; up to when the market has changed its state.
    pub fn changes(&mut self, ends: Option<Micros>, extended: bool, scheduled: Micros) {
        if ends.is_some() || extended || scheduled > Micros(0) {
            self.make_room(SMALL_BYTES);
            self.part.auction_end_us = ends.map_or(0, |at| at.0);
            (self.part.extended, self.part.scheduled_us) = (extended, scheduled.0);
        }
    }

    /// What the dynamic band of triggered orders that are still to run is around.
    pub fn root_price(&mut self, price: Ticks) {
        self.make_room(SMALL_BYTES);
        self.part.root_price = Some(price.0);
    }

    /// A market order that waits for an uncross.
    pub fn at_market(&mut self, order: &Order) {
        let record = self.open_order(order, Ticks(0));
        self.part.at_market.push(record);
    }

    /// A resting order, which has a price.
    pub fn order(&mut self, order: &Order, price: Ticks) {
        let record = self.open_order(order, price);
        message::encode(ORDER_FIELD, &record, &mut self.orders);
    }

    /// An order that waits outside the book.
    pub fn waiting(&mut self, order: &Order) {
        let record = self.open_order(order, order.limit.unwrap_or_default());
        self.part.waiting.push(record);
    }

    fn open_order(&mut self, order: &Order, price: Ticks) -> record::OpenOrder {
        let request_id = match &order.origin {
            Origin::Request(id) => id.to_string(),
            Origin::Command { .. } => String::new(),
        };
        let session = match &order.origin {
            Origin::Request(_) => 0,
            Origin::Command { session, .. } => session.name.len(),
        };
        let prevents = order.self_trade != SelfTrade::Unspecified || !order.prevented.is_zero();
        let few =
            if prevents { PREVENTION_BYTES } else { 0 } + if order.terms.is_some() { TERMS_BYTES } else { 0 };
        self.make_room(ORDER_BYTES + few + order.account.len() + request_id.len() + session);
        let (session, number) = match &order.origin {
            Origin::Request(_) => (0, 0),
            Origin::Command { session, number } => (1 + self.sessions.index(session), *number),
        };
        let OrderId { node, counter } = order.id;
        let (value_low, value_high) = halves(order.value);
        record::OpenOrder {
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
            self_trade: order.self_trade.into(),
            prevented: order.prevented.0,
            terms: order.terms.as_deref().map(Terms::to_record),
        }
    }

    /// A switch that is armed.
    pub fn switch(&mut self, of: &SwitchOf, armed: &Armed) {
        let (account, session) = of;
        self.make_room(SMALL_BYTES + account.len());
        let OrderId { node, counter } = armed.set_by;
        self.part.switches.push(record::ArmedSwitch {
            account: self.accounts.index(account),
            session: session.map(|id| Bytes::copy_from_slice(&id.0)).unwrap_or_default(),
            stream: armed.stream,
            fires_us: armed.fires.0,
            node: self.nodes.index(&node),
            counter,
        });
    }

    pub fn limits(&mut self, account: &Account, limits: Limits) {
        self.make_room(SMALL_BYTES + account.len());
        let account = self.accounts.index(account);
        self.part.limits.push(record::AccountLimits { account, limits: Some(limits.to_record()) });
    }

    pub fn killed(&mut self, account: &Account) {
        self.make_room(SMALL_BYTES + account.len());
        let account = self.accounts.index(account);
        self.part.killed.push(account);
    }

    pub fn market(&mut self, market: &MarketEntry) {
        let MarketEntry { name, rules, voters, position } = market.clone();
        let record = NewMarket { name, rules, voters }.to_record();
        self.make_room(SMALL_BYTES + record.encoded_len());
        self.part.markets.push(record::DirectoryMarket { market: Some(record), position: position.0 });
    }

    pub fn cluster_node(&mut self, entry: &NodeEntry) {
        self.make_room(SMALL_BYTES + entry.key.len() + entry.address.len() + entry.peer_address.len());
        self.part.cluster_nodes.push(record::DirectoryNode {
            node: entry.node.0,
            address: entry.address.to_string(),
            position: entry.position.0,
            peer_address: entry.peer_address.to_string(),
            key: Bytes::copy_from_slice(&entry.key),
        });
    }

    pub fn join_token(&mut self, Invitation { hash, uses, expires }: Invitation) {
        self.make_room(SMALL_BYTES);
        let (hash, expires_us) = (Bytes::copy_from_slice(&hash), expires.0);
        self.part.join_tokens.push(record::DirectoryToken { hash, uses, expires_us });
    }

    pub fn finish(mut self) -> Vec<Bytes> {
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
        part.nodes.extend(self.nodes.values().iter().map(|node| node.0));
        part.accounts.extend(self.accounts.values().iter().map(|account| account.to_string()));
        part.sessions.extend(self.sessions.values().iter().map(|session| session.name.to_string()));
        let commanding = self.commanding.values().iter();
        part.commanding_sessions.extend(commanding.map(|id| Bytes::copy_from_slice(&id.0)));
        let (mut orders, mut done) = (std::mem::take(&mut self.orders), std::mem::take(&mut self.done));
        let mut encoded = Vec::with_capacity(part.encoded_len() + orders.len());
        part.encode_raw(&mut encoded);
        encoded.extend_from_slice(&orders);
        if !encoded.is_empty() {
            done.push(encoded.into());
        }
        part.clear();
        orders.clear();
        *self = Self { done, part, orders, ..Self::default() };
    }
}

/// How far a position is from another, in whichever direction.
fn signed_step(from: Position, to: Position) -> i64 {
    to.0.wrapping_sub(from.0).cast_signed()
}

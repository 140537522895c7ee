//! Blocks of the history as records.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint, message};
use rust_decimal::Decimal;
use xbook_proto::record::v1 as wire;

use super::outcome;
use crate::decimal::Grid;
use crate::machine::{
    Account, Block, ChainHead, Change, Content, Fee, FillOf, Order, Origin, RequestOutcome, Session, Table,
    Terms, halves, joined, side_from_wire, side_to_wire,
};
use crate::types::{
    Liquidity, Lots, Micros, NodeId, OrderId, OrderStatus, Position, Reason, SelfTrade, Ticks, TimeInForce,
};

/// What the prices and quantities of a block count in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// The tick size.
    pub tick: Grid,
    /// The lot size.
    pub lot: Grid,
}

/// A block as the history keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredBlock {
    /// Head of the chain before it.
    pub before: ChainHead,
    /// Its positions, time and changes of orders. Answers, levels and the rest are not kept.
    pub block: Block,
    /// What it counts in.
    pub sizes: Sizes,
    /// Outcomes of requests that the changes don't tell.
    pub outcomes: Vec<RequestOutcome>,
}

impl StoredBlock {
    /// Head of the chain after it.
    #[must_use]
    pub fn after(&self) -> ChainHead {
        let Self { before, block, sizes, outcomes } = self;
        let span = (block.first, block.last);
        Content::of(&block.changes, outcomes).link(before, span, block.time, (sizes.tick, sizes.lot))
    }
}

/// The record of a market's block.
pub(super) fn encode(market: &str, block: &Block, sizes: Sizes) -> Vec<u8> {
    let content = encode_block(block, outcome::kept(block), sizes);
    encode_record(market, &block.chain.0, &content)
}

/// The record of a block that was read.
pub(super) fn encode_stored(market: &str, stored: &StoredBlock) -> Vec<u8> {
    let content = encode_block(&stored.block, stored.outcomes.iter().copied(), stored.sizes);
    encode_record(market, &stored.before, &content)
}

fn encode_record(market: &str, before: &ChainHead, block: &[u8]) -> Vec<u8> {
    let before = Bytes::copy_from_slice(before);
    let head = wire::HistoryRecord { market: market.to_owned(), before, block: None };
    let mut record = Vec::with_capacity(head.encoded_len() + MOST_FRAMING + block.len());
    head.encode_raw(&mut record);
    encode_key(BLOCK_FIELD, WireType::LengthDelimited, &mut record);
    encode_varint(block.len() as u64, &mut record);
    record.extend_from_slice(block);
    record
}

/// Most entries of a block: twice as many changes as a book has orders, three for each part that icebergs hide, and
/// what one batch has beside.
const MAX_ENTRIES: usize = 1_500_000;

/// Reads what [`encode`] wrote: the market, and its block; `None` if it is none.
pub(super) fn decode(record: &[u8]) -> Option<(String, StoredBlock)> {
    // An entry takes a hundred times as much as its two bytes here.
    (entries(record)? <= MAX_ENTRIES).then_some(())?;
    let wire::HistoryRecord { market, before, block } = wire::HistoryRecord::decode(record).ok()?;
    let before = before.as_ref().try_into().ok()?;
    Some((market, from_record(block?, before)?))
}

/// How many fields a record's block has, which are all that repeats.
fn entries(record: &[u8]) -> Option<usize> {
    let mut block = 0;
    each_field(record, |number, content| {
        if number == BLOCK_FIELD {
            each_field(content, |_, _| {
                block += 1;
                Some(())
            })?;
        }
        Some(())
    })?;
    Some(block)
}

/// The number of the block in its record.
const BLOCK_FIELD: u32 = 3;

/// The number of a change in its block.
const CHANGE_FIELD: u32 = 9;

/// Most bytes of a field's key and length.
const MOST_FRAMING: usize = 15;

/// About as much as a change takes.
const CHANGE_BYTES: usize = 64;

/// Calls for each field of a message, with its bytes if it has a length.
fn each_field(mut message: &[u8], mut each: impl FnMut(u32, &[u8]) -> Option<()>) -> Option<()> {
    while !message.is_empty() {
        let (number, kind) = decode_key(&mut message).ok()?;
        let length = match kind {
            WireType::Varint => decode_varint(&mut message).ok().map(|_| 0)?,
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => usize::try_from(decode_varint(&mut message).ok()?).ok()?,
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        let (content, rest) = message.split_at_checked(length)?;
        each(number, content)?;
        message = rest;
    }
    Some(())
}

struct Writer {
    time: Micros,
    position: Position,
    nodes: Table<NodeId>,
    accounts: Table<Account>,
    sessions: Table<Session>,
}

/// A block's message. Its changes are many, so they are written one by one; the rest follows, whose tables are
/// known by then. The order of fields means nothing.
fn encode_block(block: &Block, outcomes: impl Iterator<Item = RequestOutcome>, sizes: Sizes) -> Vec<u8> {
    let mut writer = Writer {
        time: block.time,
        position: block.first,
        nodes: Table::default(),
        accounts: Table::default(),
        sessions: Table::default(),
    };
    let mut bytes = Vec::with_capacity(CHANGE_BYTES * (2 + block.changes.len()));
    for change in &block.changes {
        if let Change::Order { order, fill, placed } = change {
            let change = wire::OrderChange { placed: *placed, ..writer.change(order, fill.as_ref()) };
            message::encode(CHANGE_FIELD, &change, &mut bytes);
        }
    }
    let outcomes = outcomes.map(|outcome| wire::RequestOutcome {
        last_position: outcome.last.0,
        first_position: outcome.first.0,
        refused: outcome.refused.into(),
    });
    let rest = wire::HistoryBlock {
        first_position: block.first.0,
        last_position: block.last.0,
        time_us: block.time.0,
        tick_size: sizes.tick.to_string(),
        lot_size: sizes.lot.to_string(),
        nodes: writer.nodes.values().iter().map(|node| node.0).collect(),
        accounts: writer.accounts.values().iter().map(|account| account.to_string()).collect(),
        sessions: writer.sessions.values().iter().map(|session| session.name.to_string()).collect(),
        changes: Vec::new(),
        outcomes: outcomes.collect(),
    };
    rest.encode_raw(&mut bytes);
    bytes
}

impl Writer {
    fn change(&mut self, order: &Order, fill: Option<&FillOf>) -> wire::OrderChange {
        let step = order.position.0.wrapping_sub(self.position.0);
        self.position = order.position;
        let (request_id, session, number) = match &order.origin {
            Origin::Request(id) => (id.to_string(), 0, 0),
            Origin::Command { session, number } => (String::new(), 1 + self.sessions.index(session), *number),
        };
        wire::OrderChange {
            placed: false,
            position_step: step,
            node: self.nodes.index(&order.id.node),
            counter: order.id.counter,
            account: self.accounts.index(&order.account),
            request_id,
            session,
            number,
            side: side_to_wire(order.side).into(),
            price: order.limit.map(|price| price.0),
            time_in_force: order.time_in_force.into(),
            post_only: order.post_only,
            self_trade: order.self_trade.into(),
            quantity: order.quantity.0,
            filled: order.filled.0,
            prevented: order.prevented.0,
            terms: order.terms.as_deref().map(Terms::to_record),
            value_low: halves(order.value).0,
            value_high: halves(order.value).1,
            status: order.status.into(),
            reason: order.reason.into(),
            accepted_before_us: self.time.0.wrapping_sub(order.accepted.0).cast_signed(),
            expires_us: order.expires.map_or(0, |at| at.0),
            fill: fill.map(|fill| wire::ChangeFill {
                node: self.nodes.index(&fill.counter_order.node),
                counter: fill.counter_order.counter,
                liquidity: fill.liquidity.into(),
                price: fill.price.0,
                quantity: fill.quantity.0,
                fee: fill.fee.0,
                auction: fill.auction,
            }),
        }
    }
}

struct Reader {
    time: Micros,
    position: Position,
    nodes: Vec<NodeId>,
    accounts: Vec<Account>,
    sessions: Vec<Arc<str>>,
    /// The session that was read last, and where it was.
    last_session: Option<((u32, u32), Session)>,
}

fn from_record(record: wire::HistoryBlock, before: ChainHead) -> Option<StoredBlock> {
    let grid = |text: &str| Grid::new(text.parse::<Decimal>().ok()?).ok();
    let sizes = Sizes { tick: grid(&record.tick_size)?, lot: grid(&record.lot_size)? };
    let mut reader = Reader {
        time: Micros(record.time_us),
        position: Position(record.first_position),
        nodes: record.nodes.into_iter().map(NodeId).collect(),
        accounts: record.accounts.into_iter().map(Into::into).collect(),
        sessions: record.sessions.into_iter().map(Into::into).collect(),
        last_session: None,
    };
    let changes = record.changes.into_iter().map(|change| reader.change(change)).collect::<Option<_>>()?;
    let outcomes = record.outcomes.iter().map(|outcome| {
        let refused = Reason::try_from(outcome.refused).ok()?;
        let (first, last) = (Position(outcome.first_position), Position(outcome.last_position));
        Some(RequestOutcome { first, last, refused })
    });
    let outcomes = outcomes.collect::<Option<_>>()?;
    let block = Block {
        first: Position(record.first_position),
        last: Position(record.last_position),
        time: Micros(record.time_us),
        changes,
        ..Block::default()
    };
    (block.first <= block.last).then_some(StoredBlock { before, block, sizes, outcomes })
}

impl Reader {
    fn change(&mut self, change: wire::OrderChange) -> Option<Change> {
        self.position = Position(self.position.0.checked_add(change.position_step)?);
        let (side, time_in_force) =
            (side_from_wire(change.side())?, TimeInForce::try_from(change.time_in_force).ok()?);
        let (status, reason) =
            (OrderStatus::try_from(change.status).ok()?, Reason::try_from(change.reason).ok()?);
        let origin = match change.session.checked_sub(1) {
            None => Origin::Request(change.request_id.into()),
            Some(at) => Origin::Command { session: self.session(at, change.account)?, number: change.number },
        };
        let fill = match &change.fill {
            None => None,
            Some(fill) => Some(FillOf {
                counter_order: self.order_id(fill.node, fill.counter)?,
                liquidity: Liquidity::try_from(fill.liquidity).ok()?,
                price: Ticks(fill.price),
                quantity: Lots(fill.quantity),
                fee: Fee(fill.fee),
                auction: fill.auction,
            }),
        };
        let mut order = Order {
            id: self.order_id(change.node, change.counter)?,
            account: self.accounts.get(change.account as usize)?.clone(),
            origin,
            side,
            limit: change.price.map(Ticks),
            time_in_force,
            post_only: change.post_only,
            self_trade: SelfTrade::try_from(change.self_trade).ok()?,
            terms: Terms::of_record(change.terms.as_ref())?,
            quantity: Lots(change.quantity),
            filled: Lots(change.filled),
            prevented: Lots(change.prevented),
            open: Lots::ZERO,
            value: joined(change.value_low, change.value_high),
            status,
            reason,
            accepted: Micros(self.time.0.wrapping_sub(change.accepted_before_us.cast_unsigned())),
            expires: (change.expires_us > 0).then_some(Micros(change.expires_us)),
            updated: self.time,
            position: self.position,
        };
        if order.is_live() {
            order.open = Lots(change.quantity.checked_sub(change.filled)?.checked_sub(change.prevented)?);
        }
        Some(Change::Order { order, fill, placed: change.placed })
    }

    /// A session by its index and that of its account. One session's orders come in rows.
    fn session(&mut self, at: u32, account: u32) -> Option<Session> {
        if let Some((_, session)) = self.last_session.as_ref().filter(|(of, _)| *of == (at, account)) {
            return Some(session.clone());
        }
        let name = Arc::clone(self.sessions.get(at as usize)?);
        let session = Session::new(self.accounts.get(account as usize)?, name);
        self.last_session = Some(((at, account), session.clone()));
        Some(session)
    }

    fn order_id(&self, node: u32, counter: u64) -> Option<OrderId> {
        Some(OrderId { node: *self.nodes.get(node as usize)?, counter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_with_a_word_that_is_not_known_is_not_guessed() {
        let fill = wire::ChangeFill { liquidity: 1, ..wire::ChangeFill::default() };
        let change =
            wire::OrderChange { side: 1, status: 2, fill: Some(fill), ..wire::OrderChange::default() };
        let block = wire::HistoryBlock {
            tick_size: "1".to_owned(),
            lot_size: "1".to_owned(),
            first_position: 1,
            last_position: 1,
            nodes: vec![7],
            accounts: vec!["a".to_owned()],
            changes: vec![change],
            outcomes: vec![wire::RequestOutcome::default()],
            ..wire::HistoryBlock::default()
        };
        let read = |change: fn(&mut wire::HistoryBlock)| {
            let mut block = block.clone();
            change(&mut block);
            from_record(block, [0; 32]).map(|read| read.block.changes.len())
        };
        const UNKNOWN: i32 = 1_000;
        assert_eq!(read(|_| ()), Some(1));
        assert_eq!(read(|block| block.changes[0].side = UNKNOWN), None);
        assert_eq!(read(|block| block.changes[0].time_in_force = UNKNOWN), None);
        assert_eq!(read(|block| block.changes[0].self_trade = UNKNOWN), None);
        assert_eq!(read(|block| block.changes[0].status = UNKNOWN), None);
        assert_eq!(read(|block| block.changes[0].reason = UNKNOWN), None);
        assert_eq!(read(|block| block.changes[0].fill.as_mut().unwrap().liquidity = UNKNOWN), None);
        assert_eq!(read(|block| block.outcomes[0].refused = UNKNOWN), None);
    }

    #[test]
    fn entries_are_counted_before_they_are_decoded() {
        let block = wire::HistoryBlock {
            nodes: vec![7, 8],
            accounts: vec!["a".to_owned()],
            changes: vec![wire::OrderChange::default(); 5],
            ..wire::HistoryBlock::default()
        };
        let record = wire::HistoryRecord { block: Some(block), ..wire::HistoryRecord::default() };
        // Packed numbers are one field.
        assert_eq!(entries(&record.encode_to_vec()), Some(1 + 1 + 5));
        assert_eq!(entries(b"\x1a\x02\x0a"), None, "cut off");
        assert_eq!(entries(b"\x0b"), None, "a group");
    }
}

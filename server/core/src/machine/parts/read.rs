//! Reading parts: entry by entry, each checked as far as it can be without the state.

use std::sync::Arc;

use xbook_proto::record::v1 as record;

use super::{MAX_COUNT, StateStart};
use crate::book::Auction;
use crate::machine::intent::side_from_wire;
use crate::machine::ledger::{Command, Kept, Mark};
use crate::machine::market::{Armed, SwitchOf};
use crate::machine::table::joined;
use crate::machine::{
    Account, Invitation, Limits, MarketEntry, NewMarket, NodeEntry, Order, Origin, Repeated, Session,
    SessionId, Terms,
};
use crate::types::{
    Lots, MarketState, Micros, NodeId, OrderId, OrderStatus, Position, Reason, SelfTrade, Ticks, TimeInForce,
    may_rest,
};

/// A part that is being read. Who reads entries takes them out; what is left at the end belongs
/// into no such state.
pub(in crate::machine) struct Part {
    start: StateStart,
    nodes: Vec<NodeId>,
    accounts: Vec<Account>,
    sessions: Vec<Arc<str>>,
    commanding: Vec<SessionId>,
    /// The session of the order that was read last, with its index and its account's.
    last_session: Option<((u32, u32), Session)>,
    rest: record::StatePart,
}

/// A remembered request, or a repeat of one.
pub(in crate::machine) struct RequestEntry {
    pub kept: Kept,
    pub body_hash: u64,
    pub first: Repeated,
    pub time: Micros,
}

/// A remembered session.
pub(in crate::machine) struct SessionEntry {
    pub id: SessionId,
    pub last_number: u64,
    pub last_use: (Position, Micros),
}

impl Part {
    pub fn new(mut rest: record::StatePart, start: StateStart) -> Option<Self> {
        let nodes = std::mem::take(&mut rest.nodes).into_iter().map(NodeId).collect();
        let accounts = std::mem::take(&mut rest.accounts).into_iter().map(Into::into).collect();
        let sessions = std::mem::take(&mut rest.sessions).into_iter().map(Into::into).collect();
        let commanding = std::mem::take(&mut rest.commanding_sessions);
        let commanding = commanding.iter().map(|id| session(id)).collect::<Option<_>>()?;
        Some(Self { start, nodes, accounts, sessions, commanding, last_session: None, rest })
    }

    /// Whether nothing is left.
    pub fn is_read(&self) -> bool {
        self.rest == record::StatePart::default()
    }

    /// Node and counter of each.
    pub fn consumed(&mut self) -> Option<Vec<OrderId>> {
        let entries = std::mem::take(&mut self.rest.consumed);
        entries.iter().map(|entry| self.order_id(entry.node, entry.counter)).collect()
    }

    pub fn floor(&mut self) -> Option<Micros> {
        self.rest.floor_us.take().map(Micros)
    }

    /// Whether a session was ever forgotten.
    pub fn forgot_session(&mut self) -> bool {
        std::mem::take(&mut self.rest.forgot_session)
    }

    pub fn requests(&mut self) -> Option<Vec<RequestEntry>> {
        let (mut position, mut time) = (0_u64, 0_u64);
        let entries = std::mem::take(&mut self.rest.requests);
        let read = entries.iter().map(|entry| {
            position = position.checked_add_signed(entry.position_step)?;
            time = time.checked_add(entry.time_step_us)?;
            let intent = self.order_id(entry.node, entry.counter)?;
            let (position, time) = self.before_start(position, time)?;
            let kept = match &entry.repeat {
                None => Kept::Request(entry.key.as_ref().try_into().ok()?),
                Some(_) if !entry.key.is_empty() || entry.body_hash != 0 => return None,
                Some(id) => Kept::Repeat(self.order_id(id.node, id.counter)?),
            };
            let first = Repeated { intent, position };
            Some(RequestEntry { kept, body_hash: entry.body_hash, first, time })
        });
        read.collect()
    }

    pub fn remembered_sessions(&mut self) -> Option<Vec<SessionEntry>> {
        let (mut position, mut time) = (0_u64, 0_u64);
        let entries = std::mem::take(&mut self.rest.remembered_sessions);
        let read = entries.iter().map(|entry| {
            time = time.checked_add(entry.time_step_us)?;
            let id = session(&entry.session)?;
            let last_number = count(entry.last_number)?;
            position = position.checked_add(entry.position_step)?;
            let last_use = self.before_start(position, time)?;
            Some(SessionEntry { id, last_number, last_use })
        });
        read.collect()
    }

    pub fn commands(&mut self) -> Option<Vec<(SessionId, Command)>> {
        let mut position = 0_u64;
        let entries = std::mem::take(&mut self.rest.commands);
        let read = entries.iter().map(|entry| {
            position = position.checked_add_signed(entry.position_step)?;
            let intent = self.order_id(entry.node, entry.counter)?;
            let (position, _) = self.before_start(position, 0)?;
            let session = *self.commanding.get(entry.session as usize)?;
            Some((session, (entry.hash, Repeated { intent, position })))
        });
        read.collect()
    }

    pub fn withdrawn(&mut self) -> Option<Vec<(OrderId, Mark)>> {
        let entries = std::mem::take(&mut self.rest.withdrawn);
        let read = entries.iter().map(|entry| {
            let account = self.accounts.get(entry.account as usize)?.clone();
            let request = match entry.request.as_ref() {
                [] => None,
                key => Some(key.try_into().ok()?),
            };
            Some((self.order_id(entry.node, entry.counter)?, Mark { account, request }))
        });
        read.collect()
    }

    /// The market's state, if it is not the usual one; `None` if there is no such state.
    pub fn state(&mut self) -> Option<Option<MarketState>> {
        match MarketState::try_from(std::mem::take(&mut self.rest.state)).ok()? {
            MarketState::Unspecified => Some(None),
            MarketState::Continuous => None,
            state => Some(Some(state)),
        }
    }

    pub fn last_price(&mut self) -> Option<Ticks> {
        self.rest.last_price.take().map(Ticks)
    }

    /// Price of the last uncross.
    pub fn uncrossed_price(&mut self) -> Option<Ticks> {
        self.rest.uncrossed_price.take().map(Ticks)
    }

    /// What the next uncross would give; `None` if that can't be.
    pub fn indication(&mut self) -> Option<Option<Auction>> {
        let Some(record::Indication { price, volume, surplus }) = self.rest.indication.take() else {
            return Some(None);
        };
        let (price, volume) = (Ticks(price), Lots(volume));
        (price > Ticks(0) && !volume.is_zero()).then_some(Some(Auction { price, volume, surplus }))
    }

    /// When an auction ends by itself and whether that was put off; up to when the market has changed its state.
    pub fn changes(&mut self) -> (Option<Micros>, bool, Micros) {
        let ends = std::mem::take(&mut self.rest.auction_end_us);
        let scheduled = Micros(std::mem::take(&mut self.rest.scheduled_us));
        ((ends > 0).then_some(Micros(ends)), std::mem::take(&mut self.rest.extended), scheduled)
    }

    /// What the dynamic band of triggered orders that are still to run is around.
    pub fn root_price(&mut self) -> Option<Ticks> {
        self.rest.root_price.take().map(Ticks)
    }

    /// Market orders that wait for an uncross.
    pub fn at_market(&mut self) -> Option<Vec<Order>> {
        let orders = std::mem::take(&mut self.rest.at_market).into_iter();
        let read = orders.map(|order| {
            let mut order = self.order(order)?;
            let of_auction = order.limit == Some(Ticks(0)) && order.time_in_force == TimeInForce::Auction;
            (of_auction && order.stop().is_none()).then_some(())?;
            order.limit = None;
            Some(order)
        });
        read.collect()
    }

    pub fn orders(&mut self) -> Option<Vec<Order>> {
        std::mem::take(&mut self.rest.orders).into_iter().map(|order| self.order(order)).collect()
    }

    /// Orders that wait outside the book.
    pub fn waiting(&mut self) -> Option<Vec<Order>> {
        let waiting = std::mem::take(&mut self.rest.waiting).into_iter();
        let read = waiting.map(|order| {
            let mut order = self.order(order)?;
            let stop = order.stop()?;
            let until = self.start.position;
            (stop.since > Position(0) && stop.since <= until && stop.triggered <= until).then_some(())?;
            order.status = OrderStatus::Waiting;
            order.limit = order.limit.filter(|price| price.0 > 0);
            Some(order)
        });
        read.collect()
    }

    fn order(&mut self, order: record::OpenOrder) -> Option<Order> {
        let (side, time_in_force) = (side_from_wire(order.side())?, order.time_in_force());
        let rests = may_rest(time_in_force);
        let self_trade = SelfTrade::try_from(order.self_trade).ok().filter(|it| *it != SelfTrade::Allow)?;
        let used = order.filled.checked_add(order.prevented)?;
        let open = order.quantity.checked_sub(used).filter(|open| rests && *open > 0)?;
        let (position, updated) = self.before_start(order.position, order.updated_us)?;
        let account = self.accounts.get(order.account as usize)?.clone();
        let origin = match order.session.checked_sub(1) {
            None if order.number > 0 => return None,
            None => Origin::Request(order.request_id.into()),
            Some(_) if !order.request_id.is_empty() => return None,
            Some(at) => {
                let session = self.order_session((at, order.account), &account)?;
                Origin::Command { session, number: count(order.number)? }
            }
        };
        let mut read = Order {
            id: self.order_id(order.node, order.counter)?,
            account,
            origin,
            side,
            limit: Some(Ticks(order.price)),
            time_in_force,
            post_only: order.post_only,
            self_trade,
            terms: Terms::of_record(order.terms.as_ref())?,
            quantity: Lots(order.quantity),
            filled: Lots(order.filled),
            prevented: Lots(order.prevented),
            open: Lots(open),
            value: joined(order.value_low, order.value_high),
            status: OrderStatus::Open,
            reason: Reason::Unspecified,
            accepted: Micros(order.accepted_us),
            expires: (order.expires_us > 0).then_some(Micros(order.expires_us)),
            updated,
            position,
        };
        read.status = read.resting_status();
        Some(read)
    }

    /// A session by its index and that of its account. One session's orders come in rows.
    fn order_session(&mut self, at: (u32, u32), account: &Account) -> Option<Session> {
        if let Some((_, session)) = self.last_session.as_ref().filter(|(of, _)| *of == at) {
            return Some(session.clone());
        }
        let session = Session::new(account, Arc::clone(self.sessions.get(at.0 as usize)?));
        self.last_session = Some((at, session.clone()));
        Some(session)
    }

    /// The switches that are armed, with whose they are.
    pub fn switches(&mut self) -> Option<Vec<(SwitchOf, Armed)>> {
        let entries = std::mem::take(&mut self.rest.switches);
        let read = entries.iter().map(|entry| {
            let account = self.accounts.get(entry.account as usize)?.clone();
            let of = match entry.session.as_ref() {
                [] => None,
                id => Some(session(id)?),
            };
            (of.is_some() == (entry.stream > 0)).then_some(())?;
            let set_by = self.order_id(entry.node, entry.counter)?;
            Some(((account, of), Armed { fires: Micros(entry.fires_us), set_by, stream: entry.stream }))
        });
        read.collect()
    }

    /// Limits of accounts.
    pub fn limits(&mut self) -> Option<Vec<(Account, Limits)>> {
        let entries = std::mem::take(&mut self.rest.limits);
        let read = entries.into_iter().map(|entry| {
            let account = self.accounts.get(entry.account as usize)?.clone();
            Some((account, Limits::from_record(entry.limits?)))
        });
        read.collect()
    }

    /// The accounts that are killed.
    pub fn killed(&mut self) -> Option<Vec<Account>> {
        let entries = std::mem::take(&mut self.rest.killed);
        entries.into_iter().map(|account| self.accounts.get(account as usize).cloned()).collect()
    }

    pub fn markets(&mut self) -> Option<Vec<MarketEntry>> {
        let entries = std::mem::take(&mut self.rest.markets);
        let read = entries.into_iter().map(|entry| {
            let NewMarket { name, rules, voters } = NewMarket::from_record(entry.market?)?;
            let (position, _) = self.before_start(entry.position, 0)?;
            Some(MarketEntry { name, rules, voters, position })
        });
        read.collect()
    }

    pub fn cluster_nodes(&mut self) -> Option<Vec<NodeEntry>> {
        let entries = std::mem::take(&mut self.rest.cluster_nodes);
        let read = entries.into_iter().map(|entry| {
            let (position, _) = self.before_start(entry.position, 0)?;
            (entry.node > 0).then_some(())?;
            Some(NodeEntry {
                node: NodeId(entry.node),
                address: entry.address.into(),
                peer_address: entry.peer_address.into(),
                key: entry.key.as_ref().try_into().ok()?,
                position,
            })
        });
        read.collect()
    }

    pub fn join_tokens(&mut self) -> Option<Vec<Invitation>> {
        let tokens = std::mem::take(&mut self.rest.join_tokens);
        let read = tokens.into_iter().map(|token| {
            let hash = token.hash.as_ref().try_into().ok()?;
            Some(Invitation { hash, uses: token.uses, expires: Micros(token.expires_us) })
        });
        read.collect()
    }

    fn order_id(&self, node: u32, counter: u64) -> Option<OrderId> {
        Some(OrderId { node: *self.nodes.get(node as usize)?, counter: count(counter)? })
    }

    /// An event's position and time; `None` if the state does not reach so far.
    fn before_start(&self, position: u64, time: u64) -> Option<(Position, Micros)> {
        let (position, time) = (Position(position), Micros(time));
        let past = position.0 > 0 && position <= self.start.position && time <= self.start.time;
        past.then_some((position, time))
    }
}

fn session(id: &[u8]) -> Option<SessionId> {
    id.try_into().map(SessionId).ok()
}

/// A number that counts from 1.
fn count(number: u64) -> Option<u64> {
    (1..=MAX_COUNT).contains(&number).then_some(number)
}

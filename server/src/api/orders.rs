//! Reading one's own orders and fills.
//!
//! Pending orders are this node's own intents, open ones are in the view, closed ones and fills in
//! the history. The view is read first and then the history, once it shows what the view had: so
//! an order that closes in between is found twice rather than not at all.

use tonic::Request;
use xbook_proto::v1::{self, Reason};

use super::Api;
use super::admission;
use super::call::{self, Deadline};
use super::convert::Units;
use super::error::Refusal;
use super::page::{self, Cursor, Pick, Token};
use super::submit::read_history;
use super::trading::units;
use crate::history::Sizes;
use crate::layers;
use crate::machine::{Account, Action, Change, Order, Origin, Session, SessionId, Target};
use crate::node::ReplicaHandle;
use crate::replica::Replica;
use crate::types::{NodeId, OrderId, Position};

/// The order that an id stands for: the first one's, if its intent repeated another or will at its turn.
pub(super) fn resolve(replica: &Replica, id: OrderId) -> OrderId {
    let ledger = &replica.view().ledger;
    let pending = replica.waiting_intent(id).and_then(|intent| match &intent.request.origin {
        Origin::Request(text) => ledger.request(&intent.request.account, text).map(|(_, first)| first.intent),
        Origin::Command { session, number } => ledger.command(&session.id, *number).map(|first| first.intent),
    });
    pending.unwrap_or_else(|| ledger.first_of(id))
}

/// An order that may still change, as this node has it.
pub(super) fn live_order(replica: &Replica, id: OrderId) -> Option<Order> {
    let market = replica.view().machine.market()?;
    market.order(&id).cloned().or_else(|| pending_order(replica, id))
}

/// The order that a command of a session names: its id, if that is remembered here, and it, if it rests or
/// waits here. What placed no order has the id of its own intent, which no order has.
pub(super) fn named_by(
    replica: &Replica,
    session: SessionId,
    name: Target,
) -> (Option<OrderId>, Option<Order>) {
    let id = match name {
        Target::Order(id) => Some(resolve(replica, id)),
        Target::Command(number) => {
            let known = || replica.view().ledger.command(&session, number).map(|first| first.intent);
            live_of_command(replica, session, number).or_else(known)
        }
    };
    (id, id.and_then(|id| live_order(replica, id)))
}

/// The order that a command of a session placed, if it rests or waits here.
fn live_of_command(replica: &Replica, session: SessionId, number: u64) -> Option<OrderId> {
    let market = replica.view().machine.market();
    let resting = market.and_then(|market| market.order_of_command(session, number));
    resting.map(|order| order.id).or_else(|| replica.waiting_command(session, number))
}

fn pending_order(replica: &Replica, id: OrderId) -> Option<Order> {
    let intent = replica.waiting_intent(id)?;
    match &intent.request.action {
        Action::Place(place) => Some(Order::pending(id, intent, place)),
        _ => None,
    }
}

/// `GetOrder`.
pub(super) async fn get(
    api: &Api,
    call: Request<v1::GetOrderRequest>,
) -> Result<v1::GetOrderResponse, Refusal> {
    let deadline = Deadline::of(call.metadata(), api.clock_now());
    let account = call::account(call.metadata())?;
    let message = call.into_inner();
    layers::concern("", &message.order_id);
    let market = api.market_at(&message.market, message.at_least, deadline).await?;
    let name = Named {
        order_id: &message.order_id,
        request_id: &message.placed_by_request_id,
        session: &message.session,
        command_number: message.command_number,
    };
    let id = deadline.wait(named(&market, &account, name)).await??;
    let found = find(&market, id, &account, deadline).await?;
    let units = Units { market: market.name(), sizes: found.sizes };
    let order = units.order_at(&found.order, api.clock_now());
    Ok(v1::GetOrderResponse { order: Some(order), position: found.position.0 })
}

/// The order that a command of a session placed, in whatever state.
async fn of_command(
    market: &ReplicaHandle,
    session: SessionId,
    number: u64,
) -> Result<Option<OrderId>, Refusal> {
    let read =
        market.read(move |replica| (live_of_command(replica, session, number), replica.view().position()));
    let (live, position) = read.await?;
    match (live, market.history()) {
        (None, Some(history)) => {
            market.reached(position).await?;
            read_history(history, move |history| history.lookup().order_of_command(session, number)).await
        }
        (live, _) => Ok(live),
    }
}

/// The order that a request of an account placed, while the request is remembered.
async fn of_request(
    market: &ReplicaHandle,
    account: &Account,
    request_id: &str,
) -> Result<Option<OrderId>, Refusal> {
    let (account, id) = (account.clone(), request_id.to_owned());
    let read = market.read(move |replica| {
        let known = replica.view().ledger.request(&account, &id).map(|(_, first)| first.intent);
        known.or_else(|| replica.waiting_request(&account, &id))
    });
    Ok(read.await?)
}

/// Whether what this node does not have is not there: it knows what the others knew when it came. Asked
/// before it is looked for, since it may come to know more in between.
async fn has_arrived(market: &ReplicaHandle) -> Result<bool, Refusal> {
    Ok(market.read(Replica::has_arrived).await?)
}

/// How a call names an order.
pub(super) struct Named<'a> {
    pub order_id: &'a str,
    pub request_id: &'a str,
    pub session: &'a str,
    pub command_number: u64,
}

/// The id of an order that is named in one of three ways.
pub(super) async fn named(
    market: &ReplicaHandle,
    account: &Account,
    name: Named<'_>,
) -> Result<OrderId, Refusal> {
    let Named { order_id, request_id, session, command_number } = name;
    match (order_id, request_id, session) {
        (id, "", "") => admission::order_id(id),
        ("", id, "") => {
            admission::placed_by_request_id(id)?;
            let arrived = has_arrived(market).await?;
            let found = of_request(market, account, id).await?;
            found.ok_or_else(|| match arrived {
                true => {
                    let words = "no such request is remembered in this market";
                    Refusal::new(Reason::UnknownOrder, words).field("placed_by_request_id").value(id)
                }
                false => Refusal::starting(&format!("a request {id}")),
            })
        }
        ("", "", session) => {
            let id = Session::new(account, admission::session_name(session)?).id;
            let arrived = has_arrived(market).await?;
            let found = of_command(market, id, command_number).await?;
            found.ok_or_else(|| match arrived {
                true => {
                    let words = "this command of the session placed no order that is known here";
                    Refusal::new(Reason::UnknownOrder, words).field("command_number").value(command_number)
                }
                false => Refusal::starting(&format!("this session's command {command_number}")),
            })
        }
        _ => {
            let words = "must be the only one of order_id, placed_by_request_id and session";
            Err(Refusal::new(Reason::ConflictingFields, words).field("order_id"))
        }
    }
}

/// An order of an account, with what its numbers count in and the position of the view.
pub(super) struct Found {
    pub order: Order,
    pub sizes: Sizes,
    pub position: Position,
}

/// Finds an order of an account, whether it is pending, open or closed.
pub(super) async fn find(
    market: &ReplicaHandle,
    id: OrderId,
    account: &Account,
    deadline: Deadline,
) -> Result<Found, Refusal> {
    let read = market.read(move |replica| {
        let id = resolve(replica, id);
        (id, live_order(replica, id), replica.view().position(), replica.has_arrived())
    });
    let (id, live, position, arrived) = deadline.wait(read).await??;
    let (order, sizes) = match live {
        Some(order) => (order, units(market)?.sizes),
        None => {
            deadline.wait(market.reached(position)).await??;
            let history = market.history().ok_or_else(|| Refusal::unknown_market(market.name()))?;
            let closed = read_history(history, move |history| history.lookup().closed_order(id)).await?;
            closed.ok_or_else(|| match arrived {
                true => Refusal::unknown_order(id),
                false => Refusal::starting(&format!("an order {id}")),
            })?
        }
    };
    if order.account == *account {
        Ok(Found { order, sizes, position })
    } else {
        Err(Refusal::other_account(id))
    }
}

/// `ListOrders`: the open ones by id, this node's pending ones, then the closed ones, newest first.
pub(super) async fn list(
    api: &Api,
    call: Request<v1::ListOrdersRequest>,
) -> Result<v1::ListOrdersResponse, Refusal> {
    let deadline = Deadline::of(call.metadata(), api.clock_now());
    let account = call::account(call.metadata())?;
    let message = call.into_inner();
    let room = page::size(message.page_size)?;
    let list = format!("orders {} {account} {}", message.market, message.include_closed);
    let begin = Token::read(&message.page_token, &list)?.unwrap_or(Token { part: 'o', at: [0, 0] });
    let market = api.market_at(&message.market, message.at_least, deadline).await?;
    let units = units(&market)?;

    let owner = account.clone();
    let read =
        market.read(move |replica| (live_page(replica, &owner, begin, room), replica.view().position()));
    let (live, position) = deadline.wait(read).await??;
    let now = api.clock_now();
    let mut orders: Vec<_> = live.orders.iter().map(|order| units.order_at(order, now)).collect();
    let mut next = live.next;
    if next.is_none() && message.include_closed {
        deadline.wait(market.reached(position)).await??;
        let cursor = if begin.part == 'c' { Cursor::from_token(begin) } else { Cursor::at(position) };
        let (closed, more) = closed_page(&market, account, cursor, room - orders.len()).await?;
        orders.extend(closed.iter().map(|(order, sizes)| Units { sizes: *sizes, ..units }.order(order)));
        next = more.map(|cursor| cursor.token('c'));
    }
    let next_page_token = next.map(|token| token.text(&list)).unwrap_or_default();
    Ok(v1::ListOrdersResponse { orders, next_page_token, position: position.0 })
}

struct LivePage {
    orders: Vec<Order>,
    next: Option<Token>,
}

/// Open orders (part `o`, after an id), then pending ones (part `p`, after a counter).
fn live_page(replica: &Replica, account: &str, begin: Token, room: usize) -> LivePage {
    let mut orders: Vec<Order> = Vec::new();
    let [node, counter] = begin.at;
    if begin.part == 'o'
        && let Some(market) = replica.view().machine.market()
    {
        let after = OrderId { node: NodeId(node), counter };
        orders.extend(market.orders_of(account, after).take(room + 1).cloned());
    }
    let open = orders.len();
    if begin.part != 'c' && open <= room {
        let after = if begin.part == 'p' { counter } else { 0 };
        let pending = replica.pending().filter(|(id, _)| id.counter > after);
        let own = pending.filter(|(_, intent)| *intent.request.account == *account);
        let placed = own.filter_map(|(id, intent)| match &intent.request.action {
            Action::Place(place) => Some(Order::pending(id, intent, place)),
            _ => None,
        });
        orders.extend(placed.take(room + 1 - open));
    }
    let more = orders.len() > room;
    orders.truncate(room);
    let part = if orders.len() > open { 'p' } else { 'o' };
    let next =
        orders.last().filter(|_| more).map(|order| Token { part, at: [order.id.node.0, order.id.counter] });
    LivePage { orders, next }
}

async fn closed_page(
    market: &ReplicaHandle,
    account: Account,
    cursor: Cursor,
    room: usize,
) -> Result<(Vec<(Order, Sizes)>, Option<Cursor>), Refusal> {
    let history = market.history().ok_or_else(|| Refusal::unknown_market(market.name()))?;
    read_history(history, move |history| {
        let blocks = history.account_blocks_before(&account, cursor.position.next());
        page::scan(blocks, cursor, room, |change, sizes| match change {
            Change::Order { order, .. } if order.account == account && !order.is_live() => {
                Pick::Take((order.clone(), sizes))
            }
            _ => Pick::Skip,
        })
    })
    .await
}

/// `ListFills`, newest first.
pub(super) async fn fills(
    api: &Api,
    call: Request<v1::ListFillsRequest>,
) -> Result<v1::ListFillsResponse, Refusal> {
    let deadline = Deadline::of(call.metadata(), api.clock_now());
    let account = call::account(call.metadata())?;
    let message = call.into_inner();
    let room = page::size(message.page_size)?;
    let list = format!("fills {} {account} {}", message.market, message.order_id);
    let begin = Token::read(&message.page_token, &list)?;
    let only = if message.order_id.is_empty() { None } else { Some(admission::order_id(&message.order_id)?) };
    let market = api.market_at(&message.market, message.at_least, deadline).await?;
    let mut position = market.shown();
    let mut cursor = Cursor::at(position);
    if let Some(id) = only {
        let found = find(&market, id, &account, deadline).await?;
        deadline.wait(market.reached(found.position)).await??;
        position = found.position;
        cursor = Cursor::at(found.order.position);
    }
    let cursor = begin.map_or(cursor, Cursor::from_token);
    let history = market.history().ok_or_else(|| Refusal::unknown_market(market.name()))?;
    let name = market.name().to_owned();
    let (fills, next) = read_history(history, move |history| {
        let blocks = history.account_blocks_before(&account, cursor.position.next());
        page::scan(blocks, cursor, room, |change, sizes| match change {
            Change::Order { order, fill: Some(fill), .. } if order.account == account => {
                let entry = Units { market: &name, sizes }.fill(order, fill);
                match only {
                    Some(id) if id != order.id => Pick::Skip,
                    // Its first fill: nothing earlier is of interest.
                    Some(_) if order.filled == fill.quantity => Pick::Last(entry),
                    _ => Pick::Take(entry),
                }
            }
            _ => Pick::Skip,
        })
    })
    .await?;
    let next_page_token = next.map(|cursor| cursor.token('f').text(&list)).unwrap_or_default();
    Ok(v1::ListFillsResponse { fills, next_page_token, position: position.0 })
}

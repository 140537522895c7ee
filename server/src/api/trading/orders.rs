//! Reading one's own orders.
//!
//! Pending orders are this node's own intents, open ones are in the view, closed ones in the history. The
//! view is read first and then the history, once it shows what the view had: so an order that closes in
//! between is found twice rather than not at all.

use tonic::Request;
use xbook_proto::v1::{self, Reason};

use crate::api::Api;
use crate::api::access::{self, Deadline};
use crate::api::admission;
use crate::api::convert::Units;
use crate::api::error::Refusal;
use crate::api::markets::units;
use crate::api::submit::read_history;
use crate::history::Sizes;
use crate::layers;
use crate::machine::{Account, Action, Order, Origin, Session, SessionId, Target};
use crate::node::MarketHandle;
use crate::replica::Replica;
use crate::types::{ClientId, OrderId, Position};

/// The order that an id stands for: the first one's, if its intent repeated another or will at its turn.
pub(in crate::api) fn resolve(replica: &Replica, id: OrderId) -> OrderId {
    let ledger = &replica.view().ledger;
    let pending = replica.waiting_intent(id).and_then(|intent| match &intent.request.origin {
        Origin::Request(text) => ledger.request(&intent.request.account, text).map(|(_, first)| first.intent),
        Origin::Command { session, number } => ledger.command(&session.id, *number).map(|first| first.intent),
    });
    pending.unwrap_or_else(|| ledger.first_of(id))
}

/// An order that may still change, as this node has it.
pub(in crate::api) fn live_order(replica: &Replica, id: OrderId) -> Option<Order> {
    let market = replica.view().machine.market()?;
    market.order(&id).cloned().or_else(|| pending_order(replica, id))
}

/// The order that a command of an account's session names: its id, if that is remembered here, and it, if it rests or
/// waits here. What placed no order has the id of its own intent, which no order has.
pub(in crate::api) fn named_by(
    replica: &Replica,
    (account, session): (&Account, SessionId),
    name: Target,
) -> (Option<OrderId>, Option<Order>) {
    let id = match name {
        Target::Order(id) => Some(resolve(replica, id)),
        Target::Command(number) => {
            let known = || replica.view().ledger.command(&session, number).map(|first| first.intent);
            live_of_command(replica, session, number).or_else(known)
        }
        Target::Client(name) => live_of_client(replica, account, name),
    };
    (id, id.and_then(|id| live_order(replica, id)))
}

/// The order that a command of a session placed, if it rests or waits here.
fn live_of_command(replica: &Replica, session: SessionId, number: u64) -> Option<OrderId> {
    let market = replica.view().machine.market();
    let resting = market.and_then(|market| market.order_of_command(session, number));
    resting.map(|order| order.id).or_else(|| replica.waiting_command(session, number))
}

/// The order of an account that has this name of its client's, if it rests or waits here.
fn live_of_client(replica: &Replica, account: &Account, name: ClientId) -> Option<OrderId> {
    let market = replica.view().machine.market();
    let resting = market.and_then(|market| market.order_of_client(account, name));
    resting.map(|order| order.id).or_else(|| replica.waiting_client(account, name))
}

fn pending_order(replica: &Replica, id: OrderId) -> Option<Order> {
    let intent = replica.waiting_intent(id)?;
    match &intent.request.action {
        Action::Place(place) => Some(Order::pending(id, intent, place)),
        _ => None,
    }
}

/// `GetOrder`.
pub(in crate::api) async fn get(
    api: &Api,
    call: Request<v1::GetOrderRequest>,
) -> Result<v1::GetOrderResponse, Refusal> {
    let deadline = api.deadline(&call);
    let account = access::account(&call)?;
    let message = call.into_inner();
    layers::concern("", &message.order_id);
    let market = api.market_at(&message.market, message.at_least, deadline).await?;
    let name = Named {
        order_id: &message.order_id,
        request_id: &message.placed_by_request_id,
        session: &message.session,
        command_number: message.command_number,
        client_order_id: &message.client_order_id,
    };
    let id = deadline.wait(named(&market, &account, name)).await??;
    let found = find(&market, id, &account, deadline).await?;
    let units = Units { market: market.name(), sizes: found.sizes };
    let order = units.order_at(&found.order, api.clock_now());
    Ok(v1::GetOrderResponse { order: Some(order), position: found.position.0 })
}

/// The order that a command of a session placed, in whatever state.
async fn of_command(
    market: &MarketHandle,
    session: SessionId,
    number: u64,
) -> Result<Option<OrderId>, Refusal> {
    let read =
        market.read(move |replica| (live_of_command(replica, session, number), replica.view().position()));
    let (live, position) = read.await?;
    if live.is_some() {
        return Ok(live);
    }
    market.reached(position).await?;
    read_history(market.history(), move |history| history.lookup().order_of_command(session, number)).await
}

/// The order that a request of an account placed, while the request is remembered.
async fn of_request(
    market: &MarketHandle,
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

/// The order of an account that has this name of its client's, or else had it last.
async fn of_client(
    market: &MarketHandle,
    account: &Account,
    name: ClientId,
) -> Result<Option<OrderId>, Refusal> {
    let of = account.clone();
    let read = market.read(move |replica| (live_of_client(replica, &of, name), replica.view().position()));
    let (live, position) = read.await?;
    if live.is_some() {
        return Ok(live);
    }
    market.reached(position).await?;
    let account = account.clone();
    read_history(market.history(), move |history| history.lookup().order_of_client(&account, name)).await
}

/// Whether what this node does not have is not there: it knows what the others knew when it came. Asked
/// before it is looked for, since it may come to know more in between.
async fn has_arrived(market: &MarketHandle) -> Result<bool, Refusal> {
    Ok(market.read(Replica::has_arrived).await?)
}

/// How a call names an order.
pub(in crate::api) struct Named<'a> {
    pub order_id: &'a str,
    pub request_id: &'a str,
    pub session: &'a str,
    pub command_number: u64,
    pub client_order_id: &'a str,
}

/// The id of an order that is named in one of four ways.
pub(in crate::api) async fn named(
    market: &MarketHandle,
    account: &Account,
    name: Named<'_>,
) -> Result<OrderId, Refusal> {
    let Named { order_id, request_id, session, command_number, client_order_id } = name;
    match (order_id, request_id, session, client_order_id) {
        (id, "", "", "") => admission::order_id(id),
        ("", "", "", id) => {
            let name = admission::client_order_id(id)?;
            let arrived = has_arrived(market).await?;
            let found = of_client(market, account, name).await?;
            found.ok_or_else(|| match arrived {
                true => Refusal::unknown_client_id(name),
                false => Refusal::starting(&format!("an order {id}")),
            })
        }
        ("", id, "", "") => {
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
        ("", "", session, "") => {
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
            let words = "must be the only one of order_id, placed_by_request_id, session and client_order_id";
            Err(Refusal::new(Reason::ConflictingFields, words).field("order_id"))
        }
    }
}

/// An order of an account, with what its numbers count in and the position of the view.
pub(in crate::api) struct Found {
    pub order: Order,
    pub sizes: Sizes,
    pub position: Position,
}

/// Finds an order of an account, whether it is pending, open or closed.
pub(in crate::api) async fn find(
    market: &MarketHandle,
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
        Some(order) => (order, units(market).sizes),
        None => {
            deadline.wait(market.reached(position)).await??;
            let history = market.history();
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

//! `ReplaceOrder`: one order goes and another comes, in one step.

use tonic::Request;
use xbook_proto::v1::{self, AnswerWhen, Reason};

use super::orders;
use super::outcome::{closed_or_unknown, is_late, taker_fills};
use crate::api::Api;
use crate::api::access::Deadline;
use crate::api::admission::{self, Caller, NotAdmitted};
use crate::api::error::Refusal;
use crate::api::markets::units;
use crate::api::submit::{Reached, Settled};
use crate::layers;
use crate::machine::{self, Action, Change, Target};
use crate::node::MarketHandle;
use crate::types::{self, Micros};

/// `ReplaceOrder`.
pub(in crate::api) async fn replace(
    api: &Api,
    call: Request<v1::ReplaceOrderRequest>,
) -> Result<v1::ReplaceOrderResponse, Refusal> {
    let (mut caller, deadline) = api.caller(&call)?;
    let message = call.into_inner();
    layers::concern(&message.market, &message.order_id);
    let market = api.listed(&message.market)?;
    let ahead = market.as_ref().map(|market| market.tape_ahead(caller.times.now));
    caller.times.tape_ahead = ahead.unwrap_or(Micros(0));
    let rules = market.as_ref().map(MarketHandle::rules);
    let admitted = admission::replace_order(message.clone(), rules, &caller);
    let Some(market) = market else {
        return Err(admitted.map_or_else(|rejected| rejected.refusal, |_| Refusal::unknown_market("")));
    };
    let (asked, reached) = match admitted {
        Ok((request, when)) => {
            let reached = api.submit(&market, request.clone(), when, deadline).await?;
            (request, reached)
        }
        Err(rejected) => repeated(api, &market, *rejected, (message, caller), deadline).await?,
    };
    match reached {
        Reached::Accepted(id) => {
            let order = api.accepted_order(&market, id, asked, deadline).await?;
            let position = order.as_ref().map_or(0, |order| order.position);
            Ok(v1::ReplaceOrderResponse { order, position, ..v1::ReplaceOrderResponse::default() })
        }
        Reached::Committed(settled) => answer(&market, &asked, &settled).await,
    }
}

/// What is not admitted now may repeat one that was. Whether a time has passed for a first request or for a
/// repeat, which another node may have taken, only the tape knows.
async fn repeated(
    api: &Api,
    market: &MarketHandle,
    NotAdmitted { refusal, asked }: NotAdmitted,
    (message, mut caller): (v1::ReplaceOrderRequest, Caller),
    deadline: Deadline,
) -> Result<(machine::Request, Reached), Refusal> {
    let Some(asked) = asked else { return Err(refusal) };
    if let Some(reached) = api.known_before(market, &asked, deadline).await? {
        return Ok((asked, reached));
    }
    if refusal.reason() != Reason::TimePassed {
        return Err(refusal);
    }
    caller.times.now = Micros(0);
    let admitted = admission::replace_order(message, Some(market.rules()), &caller);
    let (request, when): (machine::Request, AnswerWhen) = admitted.map_err(|rejected| rejected.refusal)?;
    match api.submit(market, request.clone(), when, deadline).await {
        Ok(Reached::Committed(settled)) if settled.is_new() && is_late(settled.refused) => Err(refusal),
        Err(reused) if reused.reason() == Reason::RequestIdReused => Err(refusal),
        reached => Ok((request, reached?)),
    }
}

async fn answer(
    market: &MarketHandle,
    asked: &machine::Request,
    settled: &Settled,
) -> Result<v1::ReplaceOrderResponse, Refusal> {
    let Some(order) = settled.order(settled.intent) else {
        return Err(nothing_replaced(market, asked, settled).await?);
    };
    let units = units(market);
    let (fills, more_fills) = taker_fills(&units, settled, settled.intent);
    let gone = settled.changes().iter().filter_map(Change::order);
    let gone = gone.filter(|order| order.reason == types::Reason::Replaced && order.id != settled.intent);
    Ok(v1::ReplaceOrderResponse {
        order: Some(units.order(order)),
        fills,
        position: settled.position.0,
        more_fills,
        replaced: gone.map(|order| units.order(order)).next(),
    })
}

/// Why no order came of a replace: there was none to replace, or the request can't be told from others.
async fn nothing_replaced(
    market: &MarketHandle,
    asked: &machine::Request,
    settled: &Settled,
) -> Result<Refusal, Refusal> {
    let target = match &asked.action {
        Action::Place(place) => place.replaces.as_deref().copied(),
        _ => None,
    };
    Ok(match (settled.refused, target) {
        (Reason::UnknownOrder, Some(Target::Order(named))) => {
            let id = market.read(move |replica| orders::resolve(replica, named)).await?;
            closed_or_unknown(market, id, &asked.account).await?
        }
        (Reason::UnknownOrder, Some(Target::Client(name))) => Refusal::unknown_client_id(name),
        (Reason::OtherAccount, Some(Target::Order(named))) => Refusal::other_account(named),
        (reason, _) => Refusal::new(reason, "the order was refused").field("request_id"),
    })
}

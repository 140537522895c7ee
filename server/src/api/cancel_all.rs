//! `CancelAllOrders`: in one market, or in each.

use futures::{StreamExt, TryStreamExt};
use tonic::Request;
use xbook_proto::v1::{self, Reason};

use super::admission::{self, Caller};
use super::call::Deadline;
use super::error::Refusal;
use super::lists::all_markets;
use super::submit::Settled;
use super::{Api, size};
use crate::layers;
use crate::machine::Change;
use crate::node::ReplicaHandle;

/// Markets in which orders are cancelled at a time.
const AT_A_TIME: usize = 64;

/// `CancelAllOrders`.
pub(super) async fn cancel_all(
    api: &Api,
    call: Request<v1::CancelAllOrdersRequest>,
) -> Result<v1::CancelAllOrdersResponse, Refusal> {
    let (caller, deadline) = api.caller(&call)?;
    let message = call.into_inner();
    layers::concern(&message.market, "");
    if message.market.is_empty() {
        return everywhere(api, message, &caller, deadline).await;
    }
    let market = api.listed(&message.market)?;
    let settled = in_market(api, market, message, &caller, deadline).await?;
    let count = orders(&settled).count() as u64;
    let (order_ids, _) = size::first(orders(&settled), size::MAX_CANCELLED);
    Ok(v1::CancelAllOrdersResponse { order_ids, count, position: settled.position.0, markets: Vec::new() })
}

async fn in_market(
    api: &Api,
    market: Option<ReplicaHandle>,
    message: v1::CancelAllOrdersRequest,
    caller: &Caller,
    deadline: Deadline,
) -> Result<Settled, Refusal> {
    let rules = market.as_ref().and_then(ReplicaHandle::rules);
    let request = admission::cancel_all_orders(message, rules, caller)?;
    let market = market.ok_or_else(Refusal::shutting_down)?;
    let settled = Box::pin(api.committed(&market, request, deadline)).await?;
    if settled.refused != Reason::Unspecified {
        return Err(Refusal::new(settled.refused, "the cancel was refused"));
    }
    Ok(settled)
}

/// The ids of the orders that were cancelled.
fn orders(settled: &Settled) -> impl Iterator<Item = String> {
    settled.changes().iter().filter_map(Change::order).map(|order| order.id.to_string())
}

/// Sends the request to each market: what this node does not show yet is cancelled too.
async fn everywhere(
    api: &Api,
    message: v1::CancelAllOrdersRequest,
    caller: &Caller,
    deadline: Deadline,
) -> Result<v1::CancelAllOrdersResponse, Refusal> {
    // What is wrong with the request is told by its own fields.
    admission::check_cancel_all(&message)?;
    let cancel = |market: ReplicaHandle| {
        let message = v1::CancelAllOrdersRequest { market: market.name().to_owned(), ..message.clone() };
        async move {
            let name = message.market.clone();
            let settled = match market.usable() {
                Ok(market) => in_market(api, Some(market), message, caller, deadline).await,
                Err(closed) => Err(closed.into()),
            };
            // Who repeats the request has the rest done.
            let settled = settled.map_err(|refusal| refusal.field("market").value(&name))?;
            Ok::<_, Refusal>((name, settled))
        }
    };
    let outcomes = futures::stream::iter(all_markets(api, 0)?).map(cancel).buffered(AT_A_TIME);
    let outcomes: Vec<(String, Settled)> = outcomes.try_collect().await?;
    let mut answer = v1::CancelAllOrdersResponse::default();
    let mut room = size::MAX_CANCELLED;
    for (market, settled) in outcomes {
        let count = orders(&settled).count() as u64;
        if count > 0 {
            let (order_ids, _) = size::first(orders(&settled), room);
            room -= order_ids.len();
            answer.count += count;
            let position = settled.position.0;
            answer.markets.push(v1::MarketCancelled { market, order_ids, position, count });
        }
    }
    Ok(answer)
}

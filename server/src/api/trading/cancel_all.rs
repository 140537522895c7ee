//! `CancelAllOrders`, `CancelAllAfter`, `KillAccount`: what is done about all orders of an account, in one market or
//! in each.

use prost_types::Timestamp;
use tonic::Request;
use xbook_proto::v1;

use crate::api::Api;
use crate::api::admission;
use crate::api::convert;
use crate::api::each_market::{Asked, ask};
use crate::api::error::Refusal;
use crate::api::pages::size;
use crate::api::submit::Settled;
use crate::layers;
use crate::machine::Change;

/// `CancelAllOrders`.
pub(in crate::api) async fn cancel_all(
    api: &Api,
    call: Request<v1::CancelAllOrdersRequest>,
) -> Result<v1::CancelAllOrdersResponse, Refusal> {
    let (caller, deadline) = api.caller(&call)?;
    let message = call.into_inner();
    layers::concern(&message.market, "");
    let checked = admission::check_cancel_all(&message);
    let asked = ask(api, &message.market, deadline, checked, |market, rules| {
        let message = v1::CancelAllOrdersRequest { market: market.to_owned(), ..message.clone() };
        admission::cancel_all_orders(message, rules, &caller)
    });
    let Cancelled { order_ids, position, count, markets } = Cancelled::of(&asked.await?);
    Ok(v1::CancelAllOrdersResponse { order_ids, position, count, markets })
}

/// `KillAccount`.
pub(in crate::api) async fn kill(
    api: &Api,
    call: Request<v1::KillAccountRequest>,
) -> Result<v1::KillAccountResponse, Refusal> {
    let (caller, deadline) = api.caller(&call)?;
    let message = call.into_inner();
    layers::concern(&message.market, "");
    let checked = admission::check_everywhere(&message.request_id, None);
    let asked = ask(api, &message.market, deadline, checked, |market, rules| {
        let message = v1::KillAccountRequest { market: market.to_owned(), ..message.clone() };
        admission::kill_account(message, rules, &caller)
    });
    let Cancelled { order_ids, position, count, markets } = Cancelled::of(&asked.await?);
    Ok(v1::KillAccountResponse { order_ids, position, count, markets })
}

/// `CancelAllAfter`.
pub(in crate::api) async fn cancel_all_after(
    api: &Api,
    call: Request<v1::CancelAllAfterRequest>,
) -> Result<v1::CancelAllAfterResponse, Refusal> {
    let (caller, deadline) = api.caller(&call)?;
    let message = call.into_inner();
    layers::concern(&message.market, "");
    let checked = admission::check_everywhere(&message.request_id, Some(message.timeout.as_ref()));
    let admit = |market: &str, rules: Option<&_>| {
        let message = v1::CancelAllAfterRequest { market: market.to_owned(), ..message.clone() };
        admission::cancel_all_after(message, rules, &caller)
    };
    let asked = ask(api, &message.market, deadline, checked, admit).await?;
    let after = admission::timeout(message.timeout.as_ref())?;
    // A repeat is told what the first one was told.
    let fires = |settled: &Settled| -> Option<Timestamp> {
        (after.0 > 0).then(|| convert::timestamp(settled.time().plus(after)))
    };
    Ok(match asked {
        Asked::One(settled) => v1::CancelAllAfterResponse {
            fire_time: fires(&settled),
            position: settled.position.0,
            markets: Vec::new(),
        },
        Asked::Each(each) => {
            let markets = each.into_iter().map(|(market, settled)| v1::MarketSwitch {
                market,
                fire_time: fires(&settled),
                position: settled.position.0,
            });
            v1::CancelAllAfterResponse { markets: markets.collect(), ..Default::default() }
        }
    })
}

/// What an answer says of the orders that were cancelled.
#[derive(Default)]
struct Cancelled {
    order_ids: Vec<String>,
    position: u64,
    count: u64,
    markets: Vec<v1::MarketCancelled>,
}

impl Cancelled {
    fn of(asked: &Asked) -> Self {
        match asked {
            Asked::One(settled) => {
                let (order_ids, _) = size::first(orders(settled), size::MAX_CANCELLED);
                let count = orders(settled).count() as u64;
                Self { order_ids, count, position: settled.position.0, markets: Vec::new() }
            }
            Asked::Each(each) => Self::of_each(each),
        }
    }

    fn of_each(each: &[(String, Settled)]) -> Self {
        let mut cancelled = Self::default();
        let mut room = size::MAX_CANCELLED;
        for (market, settled) in each {
            let count = orders(settled).count() as u64;
            if count > 0 {
                let (order_ids, _) = size::first(orders(settled), room);
                room -= order_ids.len();
                cancelled.count += count;
                let (market, position) = (market.clone(), settled.position.0);
                cancelled.markets.push(v1::MarketCancelled { market, order_ids, position, count });
            }
        }
        cancelled
    }
}

/// The ids of the orders that were cancelled.
fn orders(settled: &Settled) -> impl Iterator<Item = String> {
    settled.changes().iter().filter_map(Change::order).map(|order| order.id.to_string())
}

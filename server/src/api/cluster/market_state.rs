//! `SetMarketState`, `UpdateMarket`.

use tonic::Request;
use xbook_proto::v1;

use crate::api::Api;
use crate::api::each_market::{Asked, ask};
use crate::api::error::Refusal;
use crate::api::{admission, convert};
use crate::layers;
use crate::machine::Change;

/// `SetMarketState`.
pub(in crate::api) async fn set(
    api: &Api,
    call: Request<v1::SetMarketStateRequest>,
) -> Result<v1::SetMarketStateResponse, Refusal> {
    let (caller, deadline) = api.caller(&call)?;
    let message = call.into_inner();
    layers::concern(&message.market, "");
    // It is about one market: without a name it is refused.
    let checked = admission::set_market_state(message.clone(), None, &caller).map(drop);
    let admit = |_: &str, rules: Option<&_>| admission::set_market_state(message.clone(), rules, &caller);
    let settled = match ask(api, &message.market, deadline, checked, admit).await? {
        Asked::One(settled) => settled,
        Asked::Each(_) => return Err(Refusal::unknown_market("")),
    };
    let ended_orders = settled.changes().iter().filter_map(Change::order).count() as u64;
    Ok(v1::SetMarketStateResponse { position: settled.position.0, ended_orders })
}

/// `UpdateMarket`.
pub(super) async fn update(
    api: &Api,
    call: Request<v1::UpdateMarketRequest>,
) -> Result<v1::UpdateMarketResponse, Refusal> {
    let (caller, deadline) = api.caller(&call)?;
    let message = call.into_inner();
    layers::concern(&message.market, "");
    let checked = admission::update_market(message.clone(), None, &caller).map(drop);
    let admit = |_: &str, today: Option<&_>| admission::update_market(message.clone(), today, &caller);
    let settled = match ask(api, &message.market, deadline, checked, admit).await? {
        Asked::One(settled) => settled,
        Asked::Each(_) => return Err(Refusal::unknown_market("")),
    };
    let market = api.market_at(&message.market, settled.position.0, deadline).await?;
    let rules =
        deadline
            .wait(market.read(|replica| {
                replica.view().machine.market().map(|market| convert::rules(market.rules()))
            }));
    Ok(v1::UpdateMarketResponse { rules: rules.await??, position: settled.position.0 })
}

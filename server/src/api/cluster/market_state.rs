//! `SetMarketState`.

use tonic::Request;
use xbook_proto::v1;

use crate::api::Api;
use crate::api::admission;
use crate::api::each_market::{Asked, ask};
use crate::api::error::Refusal;
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

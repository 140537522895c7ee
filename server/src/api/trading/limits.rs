//! `SetAccountLimits`, `GetAccountLimits`.

use tonic::Request;
use xbook_proto::v1::{self, Reason};

use crate::api::Api;
use crate::api::access::{self};
use crate::api::admission;
use crate::api::error::Refusal;
use crate::api::markets::{units, unlisted};
use crate::layers;
use crate::machine::Action;
use crate::node::MarketHandle;

/// `SetAccountLimits`.
pub(in crate::api) async fn set(
    api: &Api,
    call: Request<v1::SetAccountLimitsRequest>,
) -> Result<v1::SetAccountLimitsResponse, Refusal> {
    let (caller, deadline) = api.caller(&call)?;
    let message = call.into_inner();
    layers::concern(&message.market, "");
    let market = api.listed(&message.market)?;
    let rules = market.as_ref().map(MarketHandle::rules);
    let name = unlisted(market.as_ref(), &message.market);
    let request = admission::set_account_limits(message, rules, &caller)?;
    let market = market.ok_or_else(|| Refusal::unknown_market(&name))?;
    let Action::SetLimits(limits) = request.action else {
        return Err(Refusal::new(Reason::Unspecified, "the request sets no limits"));
    };
    let settled = Box::pin(api.committed(&market, request, deadline)).await?;
    if settled.refused != Reason::Unspecified {
        return Err(Refusal::new(settled.refused, "the request was refused"));
    }
    let limits = Some(units(&market).limits(&limits));
    Ok(v1::SetAccountLimitsResponse { limits, position: settled.position.0 })
}

/// `GetAccountLimits`.
pub(in crate::api) async fn get(
    api: &Api,
    call: Request<v1::GetAccountLimitsRequest>,
) -> Result<v1::GetAccountLimitsResponse, Refusal> {
    let deadline = api.deadline(&call);
    let account = access::account(&call)?;
    let message = call.into_inner();
    let market = api.market_at(&message.market, message.at_least, deadline).await?;
    let read = market.read(move |replica| {
        let view = replica.view();
        let limits = view.machine.market().map(|market| market.limits_of(&account));
        (limits.unwrap_or_default(), view.position())
    });
    let (limits, position) = deadline.wait(read).await??;
    let limits = Some(units(&market).limits(&limits));
    Ok(v1::GetAccountLimitsResponse { limits, position: position.0 })
}

//! `SetAccountLimits`, `GetAccountLimits`.

use tonic::Request;
use xbook_proto::v1::{self, Reason};

use super::call::{self, Deadline};
use super::error::Refusal;
use super::trading::units;
use super::{Api, admission};
use crate::layers;
use crate::machine::Action;
use crate::node::MarketHandle;

/// `SetAccountLimits`.
pub(super) async fn set(
    api: &Api,
    call: Request<v1::SetAccountLimitsRequest>,
) -> Result<v1::SetAccountLimitsResponse, Refusal> {
    let (caller, deadline) = api.caller(&call)?;
    let message = call.into_inner();
    layers::concern(&message.market, "");
    let market = api.listed(&message.market)?;
    let rules = market.as_ref().map(MarketHandle::rules);
    let request = admission::set_account_limits(message, rules, &caller)?;
    let market = market.ok_or_else(Refusal::shutting_down)?;
    let Action::SetLimits(limits) = request.action else {
        return Err(Refusal::shutting_down());
    };
    let settled = Box::pin(api.committed(&market, request, deadline)).await?;
    if settled.refused != Reason::Unspecified {
        return Err(Refusal::new(settled.refused, "the request was refused"));
    }
    let limits = Some(units(&market).limits(&limits));
    Ok(v1::SetAccountLimitsResponse { limits, position: settled.position.0 })
}

/// `GetAccountLimits`.
pub(super) async fn get(
    api: &Api,
    call: Request<v1::GetAccountLimitsRequest>,
) -> Result<v1::GetAccountLimitsResponse, Refusal> {
    let deadline = Deadline::of(call.metadata(), api.clock_now());
    let account = call::account(call.metadata())?;
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

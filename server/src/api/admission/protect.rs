//! What protects accounts and markets: switches, how long they wait, the kill switch, and states.

use prost_types::Duration;
use xbook_proto::v1::{self, Reason};

use super::{Caller, Findings, begin, body_hash, request, text, unknown};
use crate::api::convert::market_state_asked;
use crate::api::error::Refusal;
use crate::machine::{Action, MAX_SWITCH, Request, Rules, Switch};
use crate::types::Micros;

/// The least time after which a session's switch fires: its node renews it several times meanwhile.
pub const LEAST_OF_STREAM: Micros = Micros(3_000_000);

/// Admits a CancelAllAfter.
///
/// # Errors
/// The first reason by precedence.
pub fn cancel_all_after(
    mut message: v1::CancelAllAfterRequest,
    rules: Option<&Rules>,
    caller: &Caller,
) -> Result<Request, Refusal> {
    let id = std::mem::take(&mut message.request_id);
    let (mut findings, request_id) = begin(&id, &message.market, rules);
    let after = findings.note(timeout(message.timeout.as_ref()));
    let after = findings.unless_found(after)?;
    let action = Action::Switch(Switch::Account((after > Micros(0)).then_some(after)));
    request(caller, request_id, body_hash("cancel-all-after", &message), action)
}

/// Admits a KillAccount.
///
/// # Errors
/// The first reason by precedence.
pub fn kill_account(
    mut message: v1::KillAccountRequest,
    rules: Option<&Rules>,
    caller: &Caller,
) -> Result<Request, Refusal> {
    let id = std::mem::take(&mut message.request_id);
    let (findings, request_id) = begin(&id, &message.market, rules);
    findings.unless_found(Some(()))?;
    request(caller, request_id, body_hash("kill", &message), Action::Kill(!message.lift))
}

/// Admits a SetMarketState.
///
/// # Errors
/// The first reason by precedence.
pub fn set_market_state(
    mut message: v1::SetMarketStateRequest,
    rules: Option<&Rules>,
    caller: &Caller,
) -> Result<Request, Refusal> {
    let id = std::mem::take(&mut message.request_id);
    let (mut findings, request_id) = begin(&id, &message.market, rules);
    let state = v1::MarketState::try_from(message.state).map_err(|_| unknown("state", message.state));
    let state = state.and_then(|state| market_state_asked(state).ok_or_else(|| text::missing("state")));
    let state = findings.note(state);
    let state = findings.unless_found(state)?;
    request(caller, request_id, body_hash("market-state", &message), Action::SetState(state))
}

/// Checks what a request to protect an account in all markets says besides.
///
/// # Errors
/// The first of what is wrong.
pub fn check_everywhere(request_id: &str, after: Option<Option<&Duration>>) -> Result<(), Refusal> {
    let mut findings = Findings::default();
    findings.note(text::request_id(request_id));
    if let Some(after) = after {
        findings.note(timeout(after));
    }
    findings.unless_found(Some(()))
}

/// After what time a switch fires; zero disarms it.
///
/// # Errors
/// It is not set, or too long.
pub fn timeout(asked: Option<&Duration>) -> Result<Micros, Refusal> {
    span("timeout", asked.ok_or_else(|| text::missing("timeout"))?, Micros(0))
}

/// After what time without word from its node a session's orders are cancelled.
///
/// # Errors
/// It is too short or too long.
pub fn cancel_on_disconnect(asked: &Duration) -> Result<Micros, Refusal> {
    span("cancel_on_disconnect", asked, LEAST_OF_STREAM)
}

fn span(field: &'static str, asked: &Duration, least: Micros) -> Result<Micros, Refusal> {
    let seconds = u64::try_from(asked.seconds).ok().and_then(|seconds| seconds.checked_mul(1_000_000));
    let micros = u64::try_from(asked.nanos).ok().map(|nanos| nanos.div_ceil(1_000));
    let span = seconds.zip(micros).and_then(|(seconds, micros)| seconds.checked_add(micros)).map(Micros);
    span.filter(|span| (least..=MAX_SWITCH).contains(span)).ok_or_else(|| {
        let seconds = |time: Micros| time.0 / 1_000_000;
        let words = format!("must be from {} s to {} s", seconds(least), seconds(MAX_SWITCH));
        let reason = if span.is_some_and(|span| span > MAX_SWITCH) || asked.seconds > 0 && span.is_none() {
            Reason::AboveMaximum
        } else {
            Reason::BelowMinimum
        };
        Refusal::new(reason, words).field(field).value(asked.seconds)
    })
}

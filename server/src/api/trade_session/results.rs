//! From the outcome of a session's command to its result.
//!
//! Most are told by the outcome alone. A repeat is told the first outcome, from the history; a cancel or
//! amend of an order that does not rest is told how that ended, as the unary calls are.

use xbook_proto::v1::{self, CommandOutcome, Liquidity, Reason};

use super::Told;
use crate::api::convert::Units;
use crate::api::error::Refusal;
use crate::api::orders;
use crate::api::submit::read_history;
use crate::history::StoredOutcome;
use crate::machine::{Account, Change, Order, Repeated, SessionId, Target};
use crate::node::{Outcome, ReplicaHandle};
use crate::types::{OrderId, Position};

/// The result of a command of an account's session.
pub(super) async fn of(
    market: &ReplicaHandle,
    units: &Units<'_>,
    owner: &(Account, SessionId),
    told: Told,
    outcome: &Outcome,
) -> Result<v1::TradeResult, Refusal> {
    let answer = outcome.answer();
    let number = told.number;
    let mut result = match &answer.repeats {
        None => {
            let result = result(units, told.number, answer.refused, outcome.changes());
            v1::TradeResult { position: answer.position.0, ..result }
        }
        Some(first) => match first_outcome(market, first).await? {
            Some(first) => {
                let units = Units { sizes: first.sizes, ..*units };
                let result = result(&units, number, first.outcome.refused, &first.changes);
                let mut result = v1::TradeResult { position: first.outcome.last.0, repeated: true, ..result };
                if first.changes.is_empty() && first.outcome.refused == Reason::Unspecified {
                    result.set_outcome(CommandOutcome::Invalid);
                    result.message = "the first command of this number was not valid".to_owned();
                }
                result
            }
            None => repeated(market, units, owner, &told).await?,
        },
    };
    if result.reason() == Reason::UnknownOrder
        && let Some(target) = told.target
    {
        tell_closed(market, units, owner, target, &mut result).await?;
    } else if let Some(refusal) = told.invalid.filter(|_| !result.repeated && result.reason == 0) {
        result.set_outcome(CommandOutcome::Invalid);
        result.set_reason(refusal.reason());
        result.message = refusal.to_string();
    }
    Ok(result)
}

fn result(units: &Units<'_>, number: u64, refused: Reason, changes: &[Change]) -> v1::TradeResult {
    // The first change is that of the command's own order.
    let concerned = changes.first().and_then(Change::order).map(|order| order.id);
    let order = changes.iter().rev().filter_map(Change::order).find(|order| Some(order.id) == concerned);
    let mut result = v1::TradeResult {
        number,
        fills: concerned.map(|id| fills(units, id, changes)).unwrap_or_default(),
        ..v1::TradeResult::default()
    };
    result.set_outcome(CommandOutcome::Done);
    if let Some(order) = order {
        tell_order(units, order, &mut result);
    }
    if refused != Reason::Unspecified {
        result.set_outcome(CommandOutcome::Refused);
        result.set_reason(refused);
    }
    result
}

fn tell_order(units: &Units<'_>, order: &Order, result: &mut v1::TradeResult) {
    result.order_id = order.id.to_string();
    result.open_quantity = units.quantity(order.open);
    result.set_status(order.status);
    result.set_reason(order.reason);
}

/// What the first of a repeated command led to, if that is remembered.
async fn first_outcome(market: &ReplicaHandle, first: &Repeated) -> Result<Option<StoredOutcome>, Refusal> {
    let position = first.position;
    match market.history().filter(|_| position > Position(0)) {
        Some(history) => read_history(history, move |history| history.outcome(position)).await,
        None => Ok(None),
    }
}

/// A repeat whose first outcome is not remembered: the order that it placed, or that it names, as it is
/// now.
async fn repeated(
    market: &ReplicaHandle,
    units: &Units<'_>,
    owner: &(Account, SessionId),
    told: &Told,
) -> Result<v1::TradeResult, Refusal> {
    let mut result = v1::TradeResult { number: told.number, repeated: true, ..v1::TradeResult::default() };
    result.set_outcome(CommandOutcome::Repeated);
    let target = told.target.unwrap_or(Target::Command(told.number));
    if let Some(found) = find(market, owner, target).await? {
        tell_order(&Units { sizes: found.sizes, ..*units }, &found.order, &mut result);
        result.position = found.order.position.0;
    }
    Ok(result)
}

/// Says how an order ended that a command could not change.
async fn tell_closed(
    market: &ReplicaHandle,
    units: &Units<'_>,
    owner: &(Account, SessionId),
    target: Target,
    result: &mut v1::TradeResult,
) -> Result<(), Refusal> {
    if let Some(found) = find(market, owner, target).await?.filter(|found| !found.order.is_live()) {
        tell_order(&Units { sizes: found.sizes, ..*units }, &found.order, result);
        result.set_reason(Reason::OrderClosed);
    }
    Ok(())
}

/// An order of the session's account, in whatever state.
async fn find(
    market: &ReplicaHandle,
    (account, session): &(Account, SessionId),
    target: Target,
) -> Result<Option<orders::Found>, Refusal> {
    let id = match target {
        Target::Order(id) => Some(id),
        Target::Command(number) => orders::of_command(market, *session, number).await?,
    };
    let Some(id) = id else { return Ok(None) };
    match orders::find(market, id, account, crate::api::call::Deadline::patient()).await {
        Ok(found) => Ok(Some(found)),
        Err(refusal) if matches!(refusal.reason(), Reason::UnknownOrder | Reason::OtherAccount) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// The fills that an outcome brought an order as a taker.
fn fills(units: &Units<'_>, id: OrderId, changes: &[Change]) -> Vec<v1::TradeFill> {
    let fills = changes.iter().filter_map(|change| match change {
        Change::Order { order, fill: Some(fill), .. }
            if order.id == id && fill.liquidity == Liquidity::Taker =>
        {
            Some(v1::TradeFill {
                maker_order_id: fill.counter_order.to_string(),
                price: units.price(fill.price),
                quantity: units.quantity(fill.quantity),
                position: order.position.0,
            })
        }
        _ => None,
    });
    fills.collect()
}

//! From the outcome of a session's command to its result.
//!
//! Most are told by the outcome alone. A repeat is told the first outcome, from the history; a cancel or
//! amend of an order that does not rest is told how that ended, as the unary calls are.

use std::collections::{BTreeMap, BTreeSet};

use xbook_proto::v1::{self, CommandOutcome};

use super::Told;
use crate::api::convert::{self, Units};
use crate::api::error::Refusal;
use crate::api::markets::units;
use crate::api::pages::size;
use crate::api::submit::read_history;
use crate::api::trading::orders;
use crate::history::{History, HistoryError, Sizes, StoredOutcome};
use crate::machine::{Account, Change, Order, SessionId, Target};
use crate::node::{MarketHandle, Outcome};
use crate::types::{Liquidity, OrderId, Position, Reason};

/// The results of commands of an account's session, in their order.
pub(super) async fn of(
    market: &MarketHandle,
    units: &Units<'_>,
    owner: &(Account, SessionId),
    answered: Vec<(Told, &Outcome)>,
) -> Result<Vec<v1::TradeResult>, Refusal> {
    let past = Past::look_up(market, owner, &answered).await?;
    Ok(answered.into_iter().map(|(told, outcome)| one(units, &past, told, outcome)).collect())
}

fn one(units: &Units<'_>, past: &Past, told: Told, outcome: &Outcome) -> v1::TradeResult {
    let answer = outcome.answer();
    let number = told.number;
    let mut result = match &answer.repeats {
        None => {
            let result = result(units, (number, answer.intent), answer.refused, outcome.changes());
            v1::TradeResult { position: answer.position.0, ..result }
        }
        Some(first) => match past.outcomes.get(&first.position) {
            Some(first) => {
                let units = Units { sizes: first.sizes, ..*units };
                let intent = answer.repeats.map(|first| first.intent).unwrap_or_default();
                let result = result(&units, (number, intent), first.outcome.refused, &first.changes);
                let mut result = v1::TradeResult { position: first.outcome.last.0, repeated: true, ..result };
                if first.changes.is_empty() && first.outcome.refused == Reason::Unspecified {
                    result.set_outcome(CommandOutcome::Invalid);
                    result.message = "the first command of this number was not valid".to_owned();
                }
                result
            }
            None => repeated(units, past, &told),
        },
    };
    if result.reason() == v1::Reason::UnknownOrder
        && let Some(target) = told.target
    {
        tell_closed(units, past, target, &mut result);
    } else if let Some(refusal) = told.invalid.filter(|_| !result.repeated && result.reason == 0) {
        result.set_outcome(CommandOutcome::Invalid);
        result.set_reason(refusal.reason());
        result.message = refusal.to_string();
    }
    result
}

fn result(
    units: &Units<'_>,
    (number, intent): (u64, OrderId),
    refused: Reason,
    changes: &[Change],
) -> v1::TradeResult {
    // The first change is that of the command's own order, unless that replaces another one.
    let first = changes.first().and_then(Change::order);
    let replaced = first.is_some_and(|order| order.reason == Reason::Replaced);
    let concerned = first.map(|order| if replaced { intent } else { order.id });
    let order = changes.iter().rev().filter_map(Change::order).find(|order| Some(order.id) == concerned);
    let (fills, more_fills) = concerned.map(|id| fills(units, id, changes)).unwrap_or_default();
    let mut result = v1::TradeResult { number, fills, more_fills, ..v1::TradeResult::default() };
    result.set_outcome(CommandOutcome::Done);
    if let Some(order) = order {
        tell_order(units, order, &mut result);
    }
    if refused != Reason::Unspecified {
        result.set_outcome(CommandOutcome::Refused);
        result.set_reason(convert::reason(refused));
    }
    result
}

fn tell_order(units: &Units<'_>, order: &Order, result: &mut v1::TradeResult) {
    result.order_id = order.id.to_string();
    result.open_quantity = units.quantity(order.open);
    result.set_status(convert::status(order.status));
    result.set_reason(convert::reason(order.reason));
}

/// A repeat whose first outcome is not remembered: the order that it placed, or that it names, as it is
/// now.
fn repeated(units: &Units<'_>, past: &Past, told: &Told) -> v1::TradeResult {
    let mut result = v1::TradeResult { number: told.number, repeated: true, ..v1::TradeResult::default() };
    result.set_outcome(CommandOutcome::Repeated);
    if let Some((order, sizes)) = past.orders.get(&told.names()) {
        tell_order(&Units { sizes: *sizes, ..*units }, order, &mut result);
        result.position = order.position.0;
    }
    result
}

/// Says how an order ended that a command could not change.
fn tell_closed(units: &Units<'_>, past: &Past, target: Target, result: &mut v1::TradeResult) {
    if let Some((order, sizes)) = past.orders.get(&target).filter(|(order, _)| !order.is_live()) {
        tell_order(&Units { sizes: *sizes, ..*units }, order, result);
        result.set_reason(v1::Reason::OrderClosed);
    }
}

impl Told {
    /// The order that the command names, or that it placed.
    fn names(&self) -> Target {
        self.target.unwrap_or(Target::Command(self.number))
    }
}

/// What is needed from before: first outcomes of repeats, and orders that commands name.
#[derive(Default)]
struct Past {
    outcomes: BTreeMap<Position, StoredOutcome>,
    /// The session's account's own, in whatever state, with what they count in.
    orders: BTreeMap<Target, (Order, Sizes)>,
}

impl Past {
    /// Looks all up at once: one question to the replica, one to the history.
    async fn look_up(
        market: &MarketHandle,
        (account, session): &(Account, SessionId),
        answered: &[(Told, &Outcome)],
    ) -> Result<Self, Refusal> {
        let (mut outcomes, mut names) = (BTreeSet::new(), BTreeSet::new());
        for (told, outcome) in answered {
            let answer = outcome.answer();
            if let Some(first) = &answer.repeats {
                outcomes.insert(first.position);
                names.insert(told.names());
            } else if answer.refused == Reason::UnknownOrder {
                names.extend(told.target);
            }
        }
        if names.is_empty() {
            return Ok(Self::default());
        }
        let (owner, session) = (account.clone(), *session);
        let read = market.read(move |replica| {
            let seen =
                names.into_iter().map(|name| (name, orders::named_by(replica, (&owner, session), name)));
            (seen.collect::<Vec<_>>(), replica.view().position())
        });
        let (seen, position) = read.await?;
        let sizes = units(market).sizes;
        let mut past = Self::default();
        let mut closed = Vec::new();
        for (name, (id, live)) in seen {
            match live {
                Some(order) => drop(past.orders.insert(name, (order, sizes))),
                None => closed.push((name, id)),
            }
        }
        market.reached(position).await?;
        let owner = (account.clone(), session);
        let read = move |history: &History| from_history(history, &owner, &outcomes, &closed);
        let (outcomes, closed) = read_history(market.history(), read).await?;
        past.outcomes = outcomes;
        past.orders.extend(closed);
        past.orders.retain(|_, (order, _)| order.account == *account);
        Ok(past)
    }
}

type FromHistory = (BTreeMap<Position, StoredOutcome>, Vec<(Target, (Order, Sizes))>);

fn from_history(
    history: &History,
    (account, session): &(Account, SessionId),
    outcomes: &BTreeSet<Position>,
    closed: &[(Target, Option<OrderId>)],
) -> Result<FromHistory, HistoryError> {
    let (mut lookup, mut found) = (history.lookup(), FromHistory::default());
    // Position 0 stands for a first that is not remembered.
    for position in outcomes.iter().filter(|position| **position > Position(0)) {
        found.0.extend(lookup.outcome(*position)?.map(|outcome| (*position, outcome)));
    }
    let mut ids = Vec::with_capacity(closed.len());
    for (name, id) in closed {
        ids.push(match (id, name) {
            (None, Target::Command(number)) => lookup.order_of_command(*session, *number)?,
            (None, Target::Client(name)) => lookup.order_of_client(account, *name)?,
            (id, _) => *id,
        });
    }
    for ((name, _), id) in closed.iter().zip(ids) {
        if let Some(id) = id {
            found.1.extend(lookup.closed_order(id)?.map(|order| (*name, order)));
        }
    }
    Ok(found)
}

/// The first fills that an outcome brought an order as a taker, and whether there are more.
fn fills(units: &Units<'_>, id: OrderId, changes: &[Change]) -> (Vec<v1::TradeFill>, bool) {
    let fills = changes.iter().filter_map(|change| match change {
        Change::Order { order, fill: Some(fill), .. }
            if order.id == id && fill.liquidity == Liquidity::Taker =>
        {
            Some(v1::TradeFill {
                maker_order_id: fill.counter_order.to_string(),
                price: units.price(fill.price),
                quantity: units.quantity(fill.quantity),
                position: order.position.0,
                fee: fill.fee.to_string(),
            })
        }
        _ => None,
    });
    size::first(fills, size::MAX_FILLS)
}

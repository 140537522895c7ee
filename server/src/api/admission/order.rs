//! Admission of orders, amends and session commands.

use prost_types::Timestamp;
use rust_decimal::Decimal;
use xbook_proto::v1::{self, OrderType, Reason};

use super::{Findings, terms, text, unknown};
use crate::api::convert;
use crate::api::error::Refusal;
use crate::decimal::{Grid, GridError};
use crate::machine::{Action, Amend, NewSize, Place, Rules, Target};
use crate::types::{Lots, Micros, SelfTrade, Side, Ticks, TimeInForce, rests};

/// How long an order that may not rest waits to be sequenced, if nobody says so.
const DEFAULT_SEQUENCE_WITHIN: Micros = Micros(5_000_000);

/// The times that a request is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// This node's clock.
    pub now: Micros,
    /// The call's deadline, if it has one.
    pub deadline: Option<Micros>,
    /// How far tape time, by which orders expire, is ahead of this node's clock.
    pub tape_ahead: Micros,
}

/// Admits a command of a session: what it asks for, in ticks and lots.
///
/// # Errors
/// The first reason by precedence.
pub fn trade_command(command: &v1::TradeCommand, rules: &Rules, times: Times) -> Result<Action, Refusal> {
    use v1::trade_amend::Size;
    use v1::trade_command::Command;
    let mut findings = Findings::default();
    let action = match &command.command {
        None => findings.note(Err(text::missing("command"))),
        Some(Command::Place(new)) => {
            findings.within("place");
            new_order(new, Some(rules), times, &mut findings).map(Action::Place)
        }
        Some(Command::Amend(asked)) => {
            findings.within("amend");
            let target = findings.note(target(asked.order.as_ref()));
            let size = asked.size.as_ref().map(|size| match size {
                Size::TotalQuantity(text) => AskedSize::Total(text),
                Size::OpenQuantity(text) => AskedSize::Open(text),
            });
            let prices = (asked.price.as_str(), asked.trigger_price.as_str());
            amend(target, prices, size, Some(rules), &mut findings).map(Action::Amend)
        }
        Some(Command::Replace(replace)) => {
            findings.within("replace");
            let replaces = findings.note(target(replace.order.as_ref()));
            match &replace.place {
                None => findings.note(Err(text::missing("place"))),
                Some(new) => {
                    findings.within("replace.place");
                    let place = new_order(new, Some(rules), times, &mut findings);
                    place.map(|place| Action::Place(Place { replaces: replaces.map(Box::new), ..place }))
                }
            }
        }
        Some(Command::Cancel(cancel)) => {
            findings.within("cancel");
            findings.note(target(cancel.order.as_ref())).map(Action::Cancel)
        }
    };
    findings.unless_found(action)
}

fn target(order: Option<&v1::OrderRef>) -> Result<Target, Refusal> {
    use v1::order_ref::Order;
    match order.and_then(|order| order.order.as_ref()) {
        None => Err(text::missing("order")),
        Some(Order::OrderId(id)) => {
            text::order_id(id).map(Target::Order).map_err(|refusal| refusal.within("order"))
        }
        Some(Order::ClientOrderId(id)) => {
            text::client_order_id(id).map(Target::Client).map_err(|refusal| refusal.within("order"))
        }
        Some(Order::CommandNumber(0)) => Err(not_positive("command_number", "0").within("order")),
        Some(Order::CommandNumber(number)) => Ok(Target::Command(*number)),
    }
}

/// Reads a new order. Without `rules` there is no such market, and the grids are not checked.
pub(super) fn new_order(
    order: &v1::NewOrder,
    rules: Option<&Rules>,
    times: Times,
    findings: &mut Findings,
) -> Option<Place> {
    let side = findings.note(required_side(order.side));
    let kind = findings.note(kind(order));
    let limit = if order.price.is_empty() {
        Some(None)
    } else {
        price("price", &order.price, rules, findings).map(Some)
    };
    let quantity = quantity("quantity", &order.quantity, rules, true, findings);
    let time_in_force = kind.and_then(|kind| findings.note(time_in_force(order, kind)));
    let expires = match time_in_force {
        Some(time_in_force) => findings.note(expire_time(order, time_in_force, times.now)),
        None => None,
    };
    let sequence_by = match (&order.sequence_by, time_in_force) {
        (Some(by), _) => findings.note(future("sequence_by", by, times.now)).map(Some),
        (None, Some(TimeInForce::Ioc | TimeInForce::Fok)) => {
            let default = times.deadline.unwrap_or(times.now.plus(DEFAULT_SEQUENCE_WITHIN));
            Some(Some(default.plus(times.tape_ahead)))
        }
        (None, _) => Some(None),
    };
    let self_trade = findings.note(order_self_trade(order.self_trade_prevention));
    let terms = kind.and_then(|kind| terms::terms(order, (kind, time_in_force, quantity), rules, findings));
    Some(Place {
        side: side?,
        limit: limit?,
        quantity: quantity?,
        time_in_force: time_in_force?,
        post_only: order.post_only,
        expires: expires?,
        sequence_by: sequence_by?,
        self_trade: self_trade?,
        terms: terms?.shared(),
        replaces: None,
    })
}

/// What a client asks for between orders of one account.
pub(super) fn self_trade(field: &'static str, number: i32) -> Result<SelfTrade, Refusal> {
    let asked = v1::SelfTradePrevention::try_from(number).map_err(|_| unknown(field, number))?;
    Ok(convert::self_trade_asked(asked))
}

fn order_self_trade(number: i32) -> Result<SelfTrade, Refusal> {
    const FIELD: &str = "self_trade_prevention";
    match self_trade(FIELD, number)? {
        SelfTrade::Allow => {
            Err(conflict(FIELD, "ALLOW", "must not be ALLOW, which only a market's rules can be"))
        }
        asked => Ok(asked),
    }
}

/// The new size that an amend asks for.
#[derive(Clone, Copy)]
pub(super) enum AskedSize<'a> {
    Total(&'a str),
    Open(&'a str),
}

/// Reads an amend.
pub(super) fn amend(
    target: Option<Target>,
    (new_price, new_trigger): (&str, &str),
    size: Option<AskedSize<'_>>,
    rules: Option<&Rules>,
    findings: &mut Findings,
) -> Option<Amend> {
    if new_price.is_empty() && new_trigger.is_empty() && size.is_none() {
        findings.refuse(
            Refusal::new(Reason::MissingField, "a new price or a new size must be set").field("price"),
        );
    }
    let mut read = |field, text: &str| match text {
        "" => Some(None),
        text => price(field, text, rules, findings).map(Some),
    };
    let (price, trigger) = (read("price", new_price), read("trigger_price", new_trigger));
    let size = match size {
        None => Some(None),
        Some(AskedSize::Total(text)) => {
            quantity("total_quantity", text, rules, true, findings).map(NewSize::Total).map(Some)
        }
        // What is open of a partly filled order may be less than an order's minimum.
        Some(AskedSize::Open(text)) => {
            quantity("open_quantity", text, rules, false, findings).map(NewSize::Open).map(Some)
        }
    };
    Some(Amend { target: target?, price: price?, size: size?, trigger: trigger? })
}

/// A side that need not be set.
pub(super) fn optional_side(number: i32) -> Result<Option<Side>, Refusal> {
    v1::Side::try_from(number).map(convert::side_asked).map_err(|_| unknown("side", number))
}

fn required_side(number: i32) -> Result<Side, Refusal> {
    optional_side(number)?.ok_or_else(|| text::missing("side"))
}

/// What kind of order it is; never unspecified.
fn kind(order: &v1::NewOrder) -> Result<OrderType, Refusal> {
    let kind = OrderType::try_from(order.r#type).map_err(|_| unknown("type", order.r#type))?;
    let trails = !order.trail_distance.is_empty();
    if trails != (kind == OrderType::TrailingStop) && !(trails && kind == OrderType::Unspecified) {
        let limit = "must be set for a trailing stop order and for no other";
        return Err(conflict("trail_distance", &order.trail_distance, limit));
    }
    if !trails && !order.limit_distance.is_empty() {
        let limit = "must be empty but for a trailing stop order";
        return Err(conflict("limit_distance", &order.limit_distance, limit));
    }
    if trails {
        let limit = "must be empty for a trailing stop order";
        return match (order.price.as_str(), order.trigger_price.as_str()) {
            ("", "") => Ok(OrderType::TrailingStop),
            ("", trigger) => Err(conflict("trigger_price", trigger, limit)),
            (price, _) => Err(conflict("price", price, limit)),
        };
    }
    let triggered = !order.trigger_price.is_empty();
    match (kind, order.price.is_empty()) {
        (OrderType::Unspecified, false) if triggered => Ok(OrderType::StopLimit),
        (OrderType::Unspecified, true) if triggered => Ok(OrderType::Stop),
        (OrderType::Stop | OrderType::StopLimit, _) if !triggered => Err(text::missing("trigger_price")),
        (OrderType::Limit | OrderType::Market | OrderType::MarketToLimit, _) if triggered => {
            let limit = "must be empty but for a stop and a stop-limit order";
            Err(conflict("trigger_price", &order.trigger_price, limit))
        }
        (OrderType::Unspecified, false) => Ok(OrderType::Limit),
        (OrderType::Unspecified, true) => Ok(OrderType::Market),
        (OrderType::Limit | OrderType::StopLimit, true) => Err(text::missing("price")),
        (OrderType::Market | OrderType::MarketToLimit | OrderType::Stop, false) => {
            let limit = "must be empty for a market, a market-to-limit and a stop order";
            Err(conflict("price", &order.price, limit))
        }
        (kind, _) => Ok(kind),
    }
}

/// Whether orders of a kind wait for a trade.
pub(super) fn is_stop(kind: OrderType) -> bool {
    matches!(kind, OrderType::Stop | OrderType::StopLimit | OrderType::TrailingStop)
}

/// The time in force that an order has; never unspecified.
fn time_in_force(order: &v1::NewOrder, kind: OrderType) -> Result<TimeInForce, Refusal> {
    let number = order.time_in_force;
    let asked = v1::TimeInForce::try_from(number).map_err(|_| unknown("time_in_force", number))?;
    let is_market = kind == OrderType::Market;
    let time_in_force = match convert::time_in_force_asked(asked) {
        None if is_market => TimeInForce::Ioc,
        None => TimeInForce::Gtc,
        Some(asked) => asked,
    };
    let rests = rests(time_in_force);
    if is_market && rests {
        return Err(conflict(
            "time_in_force",
            asked.as_str_name(),
            "must be IOC, FOK or AUCTION for a market order",
        ));
    }
    if kind == OrderType::MarketToLimit && !rests {
        let limit = "must be GTC, GTD or DAY for a market-to-limit order";
        return Err(conflict("time_in_force", asked.as_str_name(), limit));
    }
    let is_stop = is_stop(kind);
    if is_stop && !rests {
        let limit = "must be GTC, GTD or DAY for an order that waits for a trade";
        return Err(conflict("time_in_force", asked.as_str_name(), limit));
    }
    if order.post_only && is_stop {
        return Err(conflict("post_only", "true", "must not be set with an order that waits for a trade"));
    }
    if order.post_only && (!rests || kind == OrderType::MarketToLimit) {
        return Err(conflict(
            "post_only",
            "true",
            "must not be set with IOC, FOK, AUCTION, a market or a market-to-limit order",
        ));
    }
    Ok(time_in_force)
}

fn expire_time(
    order: &v1::NewOrder,
    time_in_force: TimeInForce,
    now: Micros,
) -> Result<Option<Micros>, Refusal> {
    match (&order.expire_time, time_in_force) {
        (None, TimeInForce::Gtd) => Err(text::missing("expire_time")),
        (Some(at), TimeInForce::Gtd) => future("expire_time", at, now).map(Some),
        (Some(at), _) => Err(conflict("expire_time", &at.to_string(), "must not be set without GTD")),
        (None, _) => Ok(None),
    }
}

fn future(field: &'static str, at: &Timestamp, now: Micros) -> Result<Micros, Refusal> {
    let micros = super::time(field, at)?;
    if micros > now {
        return Ok(micros);
    }
    let limit = format!("must be later than this node's clock, {}", convert::timestamp(now));
    Err(Refusal::new(Reason::TimePassed, limit).field(field).value(at))
}

pub(super) fn price(
    field: &'static str,
    text: &str,
    rules: Option<&Rules>,
    findings: &mut Findings,
) -> Option<Ticks> {
    let value = positive(field, text, findings)?;
    let ticks = on_grid(field, text, value, rules?.tick, Reason::OffTick);
    findings.note(ticks).map(Ticks)
}

/// A quantity within the market's bounds; its minimum only if `whole` says that it is a whole
/// order's.
pub(super) fn quantity(
    field: &'static str,
    text: &str,
    rules: Option<&Rules>,
    whole: bool,
    findings: &mut Findings,
) -> Option<Lots> {
    let value = positive(field, text, findings)?;
    let rules = rules?;
    let lots = Lots(findings.note(on_grid(field, text, value, rules.lot, Reason::OffLot))?);
    let bound = |reason, words, bound: Lots| {
        let limit = format!("must be {words} {}", rules.lot.text(bound.0));
        Refusal::new(reason, limit).field(field).value(text)
    };
    if whole && lots < rules.min_lots {
        findings.refuse(bound(Reason::BelowMinimum, "at least", rules.min_lots));
    }
    if lots > rules.max_lots {
        findings.refuse(bound(Reason::AboveMaximum, "at most", rules.max_lots));
    }
    Some(lots)
}

fn positive(field: &'static str, text: &str, findings: &mut Findings) -> Option<Decimal> {
    let value = findings.note(text::decimal(field, text))?;
    if value <= Decimal::ZERO {
        findings.refuse(not_positive(field, text));
        return None;
    }
    Some(value)
}

fn on_grid(
    field: &'static str,
    text: &str,
    value: Decimal,
    grid: Grid,
    off_grid: Reason,
) -> Result<u64, Refusal> {
    grid.steps(value).map_err(|error| {
        let reason = match error {
            GridError::NotPositive => Reason::NotPositive,
            GridError::OffGrid(_) => off_grid,
            GridError::TooLarge(_) => Reason::AboveMaximum,
        };
        Refusal::new(reason, error.to_string()).field(field).value(text)
    })
}

fn not_positive(field: &'static str, text: &str) -> Refusal {
    Refusal::new(Reason::NotPositive, "must be greater than zero").field(field).value(text)
}

pub(super) fn conflict(field: &'static str, value: &str, limit: &'static str) -> Refusal {
    Refusal::new(Reason::ConflictingFields, limit).field(field).value(value)
}

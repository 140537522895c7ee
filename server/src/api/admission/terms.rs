//! Admission of what few orders ask for.

use xbook_proto::v1::{self, OrderType, Reason};

use super::order::{conflict, is_stop, price, quantity};
use super::{Findings, client_order_id};
use crate::api::error::Refusal;
use crate::machine::{MAX_PARTS, Rules, Stop, Terms};
use crate::types::{Lots, Ticks, TimeInForce, rests};

/// Reads what an order of a kind asks for beside side, price, quantity and time in force, of which those that are
/// known already are given.
pub(super) fn terms(
    order: &v1::NewOrder,
    (kind, time_in_force, whole): (OrderType, Option<TimeInForce>, Option<Lots>),
    rules: Option<&Rules>,
    findings: &mut Findings,
) -> Option<Terms> {
    let text = &order.protection_price;
    let protection = match (text.is_empty(), kind) {
        (true, _) => Some(None),
        (false, _) if time_in_force == Some(TimeInForce::Auction) => {
            findings.refuse(conflict("protection_price", text, "must be empty with AUCTION"));
            None
        }
        (false, OrderType::Market) => price("protection_price", text, rules, findings).map(Some),
        (false, _) => {
            findings.refuse(conflict("protection_price", text, "must be empty but for a market order"));
            None
        }
    };
    let text = &order.min_quantity;
    let minimum = match text.is_empty() {
        true => Some(Lots::ZERO),
        false if is_stop(kind) => {
            findings.refuse(conflict(
                "min_quantity",
                text,
                "must be empty with an order that waits for a trade",
            ));
            None
        }
        false
            if order.post_only || matches!(time_in_force, Some(TimeInForce::Fok | TimeInForce::Auction)) =>
        {
            let limit = "must be empty with post_only, FOK and AUCTION";
            findings.refuse(conflict("min_quantity", text, limit));
            None
        }
        false => quantity("min_quantity", text, rules, false, findings),
    };
    if let (Some(minimum), Some(whole), Some(rules)) = (minimum, whole, rules)
        && minimum > whole
    {
        let limit = format!("must be at most the quantity, {}", rules.lot.text(whole.0));
        findings.refuse(Refusal::new(Reason::AboveMaximum, limit).field("min_quantity").value(text));
    }
    if order.slide && !order.post_only {
        findings.refuse(conflict("slide", "true", "must not be set without post_only"));
    }
    let client_id = match order.client_order_id.as_str() {
        "" => Some(None),
        id => findings.note(client_order_id(id)).map(Some),
    };
    let stop = stop(order, kind, rules, findings);
    let display = display(order, (kind, time_in_force, whole), rules, findings);
    Some(Terms {
        market_to_limit: kind == OrderType::MarketToLimit,
        slide: order.slide,
        protection: protection?,
        minimum: minimum?,
        display: display?,
        client_id: client_id?,
        stop: stop?,
        shown: Lots::ZERO,
    })
}

/// What an order waits for; nothing for one that does not.
fn stop(
    order: &v1::NewOrder,
    kind: OrderType,
    rules: Option<&Rules>,
    findings: &mut Findings,
) -> Option<Option<Stop>> {
    if !is_stop(kind) {
        return Some(None);
    }
    let mut read = |field, text: &str| match text {
        "" => Some(Ticks(0)),
        text => price(field, text, rules, findings),
    };
    let trigger = read("trigger_price", &order.trigger_price);
    let distance = read("trail_distance", &order.trail_distance);
    let limit_distance = read("limit_distance", &order.limit_distance);
    let (trigger, distance, limit_distance) = (trigger?, distance?, limit_distance?);
    Some(Some(Stop { trigger, distance, limit_distance, ..Stop::default() }))
}

/// How much an iceberg shows at a time; zero for another order.
fn display(
    order: &v1::NewOrder,
    (kind, time_in_force, whole): (OrderType, Option<TimeInForce>, Option<Lots>),
    rules: Option<&Rules>,
    findings: &mut Findings,
) -> Option<Lots> {
    const FIELD: &str = "display_quantity";
    let text = &order.display_quantity;
    if text.is_empty() {
        return Some(Lots::ZERO);
    }
    if kind != OrderType::Limit || !time_in_force.is_none_or(rests) {
        findings.refuse(conflict(FIELD, text, "must be empty but for a limit order with GTC, GTD or DAY"));
        return None;
    }
    let display = quantity(FIELD, text, rules, true, findings)?;
    let (Some(whole), Some(rules)) = (whole, rules) else {
        return Some(display);
    };
    let least = Lots(whole.0.div_ceil(MAX_PARTS));
    if display < least {
        let limit = format!("must be at least a hundredth of the quantity, {}", rules.lot.text(least.0));
        findings.refuse(Refusal::new(Reason::BelowMinimum, limit).field(FIELD).value(text));
    }
    if display >= whole {
        let limit = format!("must be less than the quantity, {}", rules.lot.text(whole.0));
        findings.refuse(Refusal::new(Reason::AboveMaximum, limit).field(FIELD).value(text));
    }
    Some(display)
}

//! Admission of new markets.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use xbook_proto::v1::{self, Reason};

use super::{Caller, Findings, begin, body_hash, order, request, text};
use crate::api::convert::{self, MINUTE, SECOND};
use crate::api::error::Refusal;
use crate::decimal::{Grid, GridError, MAX_STEPS};
use crate::machine::{
    Action, Bands, FEE_SCALE, Fee, FeeRates, MAX_BAND_BP, MAX_FEE_RATE, MAX_FEE_STEP, MAX_PROTECTION_BP,
    MAX_SESSIONS, MAX_VOTERS, NewMarket, NewRules, Request, Rules, SessionTime,
};
use crate::types::{Lots, MarketState, Micros, NodeId, SelfTrade};

/// The nodes that a market may get as voters.
pub struct Electorate {
    /// The nodes that this one knows, itself included.
    pub known: BTreeSet<NodeId>,
    /// The voters of a market whose creator names none, ascending.
    pub default: Vec<NodeId>,
}

/// Admits a CreateMarket.
///
/// # Errors
/// The first reason by precedence.
pub fn create_market(
    mut message: v1::CreateMarketRequest,
    electorate: Electorate,
    caller: &Caller,
) -> Result<Request, Refusal> {
    let mut findings = Findings::default();
    let id = std::mem::take(&mut message.request_id);
    let request_id = findings.note(text::request_id(&id));
    let name = findings.note(text::market_name(&message.market));
    let rules = match &message.rules {
        None => findings.note(Err(text::missing("rules"))),
        Some(asked) => {
            findings.within("rules");
            rules(asked, &mut findings)
        }
    };
    findings.within("");
    let voters = findings.note(voters(&message.voters, electorate));
    let read = name.zip(rules).zip(voters);
    let read = read.map(|((name, rules), voters)| NewMarket { name: name.into(), rules, voters });
    let new = findings.unless_found(read)?;
    request(caller, request_id, body_hash("create-market", &message), Action::CreateMarket(new))
}

/// Admits an UpdateMarket.
///
/// # Errors
/// The first reason by precedence.
pub fn update_market(
    mut message: v1::UpdateMarketRequest,
    today: Option<&Rules>,
    caller: &Caller,
) -> Result<Request, Refusal> {
    let id = std::mem::take(&mut message.request_id);
    let (mut findings, request_id) = begin(&id, &message.market, today);
    let read = match (&message.rules, today) {
        (None, _) => findings.note(Err(text::missing("rules"))),
        // There is no such market.
        (Some(_), None) => None,
        (Some(asked), Some(today)) => {
            findings.within("rules");
            rules(&as_it_was_made(asked, today), &mut findings)
        }
    };
    findings.within("");
    let reference = match message.reference_price.as_str() {
        "" => Some(None),
        text => order::price("reference_price", text, today, &mut findings).map(Some),
    };
    let read = read.zip(reference).map(|(rules, reference)| NewRules { rules, reference });
    let new = findings.unless_found(read)?;
    request(caller, request_id, body_hash("update-market", &message), Action::SetRules(Box::new(new)))
}

/// The rules that are asked for, and for those that are fixed, if they are not set, what they are.
fn as_it_was_made(asked: &v1::MarketRules, today: &Rules) -> v1::MarketRules {
    let (mut asked, today) = (asked.clone(), convert::rules(today));
    let keep = |asked: &mut String, today: String| {
        if asked.is_empty() {
            *asked = today;
        }
    };
    keep(&mut asked.tick_size, today.tick_size);
    keep(&mut asked.lot_size, today.lot_size.clone());
    // Of another lot they may be no multiples, and that is refused at its turn.
    let lot = asked.lot_size.parse::<Decimal>().ok();
    if lot.is_some() && lot == today.lot_size.parse().ok() {
        keep(&mut asked.min_quantity, today.min_quantity);
        keep(&mut asked.max_quantity, today.max_quantity);
    }
    asked
}

/// The voters that are asked for, ascending; the default if none are.
fn voters(asked: &[String], electorate: Electorate) -> Result<Vec<NodeId>, Refusal> {
    if asked.is_empty() {
        return Ok(electorate.default);
    }
    if asked.len() > MAX_VOTERS {
        let limit = format!("must be at most {MAX_VOTERS} nodes");
        return Err(Refusal::new(Reason::AboveMaximum, limit).field("voters").value(asked.len()));
    }
    let mut voters = BTreeSet::new();
    for id in asked {
        let node = text::node_id("voters", id)?;
        if !electorate.known.contains(&node) {
            return Err(Refusal::unknown_node(node).field("voters"));
        }
        if !voters.insert(node) {
            let limit = "must name each node once";
            return Err(Refusal::new(Reason::ConflictingFields, limit).field("voters").value(node));
        }
    }
    Ok(voters.into_iter().collect())
}

fn rules(asked: &v1::MarketRules, findings: &mut Findings) -> Option<Rules> {
    let tick = findings.note(step("tick_size", &asked.tick_size));
    let lot = findings.note(step("lot_size", &asked.lot_size));
    let min = bound("min_quantity", &asked.min_quantity, lot, 1, findings);
    let max = bound("max_quantity", &asked.max_quantity, lot, MAX_STEPS, findings);
    let self_trade = order::self_trade("default_self_trade_prevention", asked.default_self_trade_prevention);
    let self_trade = match findings.note(self_trade)? {
        SelfTrade::Unspecified => SelfTrade::CancelTaker,
        asked => asked,
    };
    let protection_bp = asked.protection_bp;
    at_most("protection_bp", protection_bp, MAX_PROTECTION_BP, findings);
    let day_end = Micros(u64::from(asked.day_end_minute) * MINUTE);
    at_most("day_end_minute", asked.day_end_minute, LAST_MINUTE, findings);
    let bands = bands(asked, findings);
    let sessions = findings.note(sessions(&asked.sessions));
    let fees = fees(asked, findings);
    let (min_lots, max_lots) = (Lots(min?), Lots(max?));
    let (tick, lot, fees, sessions) = (tick?, lot?, fees?, sessions?);
    let rules =
        Rules { tick, lot, min_lots, max_lots, self_trade, protection_bp, day_end, fees, bands, sessions };
    if rules.min_lots > rules.max_lots {
        let limit = format!("must be at most max_quantity, {}", rules.lot.text(rules.max_lots.0));
        findings.refuse(
            Refusal::new(Reason::AboveMaximum, limit).field("min_quantity").value(&asked.min_quantity),
        );
    }
    Some(rules)
}

/// The last minute of a day.
const LAST_MINUTE: u32 = 24 * 60 - 1;

/// Seconds of a day.
const DAY_SECONDS: u32 = 24 * 60 * 60;

fn at_most(field: &'static str, value: u32, most: u32, findings: &mut Findings) {
    if value > most {
        let limit = format!("must be at most {most}");
        findings.refuse(Refusal::new(Reason::AboveMaximum, limit).field(field).value(value));
    }
}

fn bands(asked: &v1::MarketRules, findings: &mut Findings) -> Bands {
    let v1::MarketRules { static_band_bp, dynamic_band_bp, .. } = *asked;
    let (volatility, extension) = (asked.volatility_auction_seconds, asked.auction_extension_seconds);
    at_most("static_band_bp", static_band_bp, MAX_BAND_BP, findings);
    at_most("dynamic_band_bp", dynamic_band_bp, MAX_BAND_BP, findings);
    at_most("volatility_auction_seconds", volatility, DAY_SECONDS, findings);
    at_most("auction_extension_seconds", extension, DAY_SECONDS, findings);
    let seconds = |seconds: u32| Micros(u64::from(seconds) * SECOND);
    Bands {
        static_bp: static_band_bp,
        dynamic_bp: dynamic_band_bp,
        volatility_auction: seconds(volatility),
        auction_extension: seconds(extension),
    }
}

/// When a market changes its state by itself.
fn sessions(asked: &[v1::SessionTime]) -> Result<Vec<SessionTime>, Refusal> {
    if asked.len() > MAX_SESSIONS {
        let limit = format!("must be at most {MAX_SESSIONS} times");
        return Err(Refusal::new(Reason::AboveMaximum, limit).field("sessions").value(asked.len()));
    }
    let mut sessions: Vec<SessionTime> = Vec::new();
    for time in asked {
        let at = Micros(u64::from(time.minute) * MINUTE);
        let minute =
            |reason, limit: String| Refusal::new(reason, limit).field("sessions.minute").value(time.minute);
        if time.minute > LAST_MINUTE {
            return Err(minute(Reason::AboveMaximum, format!("must be at most {LAST_MINUTE}")));
        }
        if sessions.last().is_some_and(|last| last.at >= at) {
            return Err(minute(Reason::ConflictingFields, "must be later than the one before".to_owned()));
        }
        let state = v1::MarketState::try_from(time.state)
            .map_err(|_| super::unknown("sessions.state", time.state))?;
        let state = convert::market_state_asked(state).ok_or_else(|| text::missing("sessions.state"))?;
        if state == MarketState::Delisted {
            let limit = "must not be delisted: a market stays that";
            return Err(order::conflict("sessions.state", "MARKET_STATE_DELISTED", limit));
        }
        sessions.push(SessionTime { at, state });
    }
    Ok(sessions)
}

fn fees(asked: &v1::MarketRules, findings: &mut Findings) -> Option<FeeRates> {
    let maker = findings.note(fee_rate("maker_fee_bp", &asked.maker_fee_bp));
    let taker = findings.note(fee_rate("taker_fee_bp", &asked.taker_fee_bp));
    let step = findings.note(fee_step(&asked.fee_step));
    let auction = findings.note(fee_rate("auction_fee_bp", &asked.auction_fee_bp));
    Some(FeeRates { maker: maker?, taker: taker?, auction: auction?, step: step? })
}

/// A rate in hundredths of a basis point.
fn fee_rate(field: &'static str, text: &str) -> Result<i32, Refusal> {
    if text.is_empty() {
        return Ok(0);
    }
    let value = text::decimal(field, text)?;
    let hundredths = value.checked_mul(Decimal::ONE_HUNDRED).filter(Decimal::is_integer);
    let rate = hundredths.and_then(|rate| rate.to_i32());
    rate.filter(|rate| rate.abs() <= MAX_FEE_RATE).ok_or_else(|| {
        let most = MAX_FEE_RATE / 100;
        let words = format!("must be from -{most} to {most}, with at most two digits after the point");
        Refusal::new(Reason::AboveMaximum, words).field(field).value(text)
    })
}

/// What fees are rounded up to, in units of 10^-8.
fn fee_step(text: &str) -> Result<u64, Refusal> {
    if text.is_empty() {
        return Ok(1);
    }
    let field = "fee_step";
    let value = text::decimal(field, text)?;
    let units = value.checked_mul(Decimal::from(10_u64.pow(FEE_SCALE))).filter(Decimal::is_integer);
    let units = units.and_then(|units| units.to_u64());
    units.filter(|units| (1..=MAX_FEE_STEP).contains(units)).ok_or_else(|| {
        let reason = if value <= Decimal::ZERO { Reason::NotPositive } else { Reason::AboveMaximum };
        let most = Fee::sum_text(MAX_FEE_STEP.into());
        let words = format!("must be a multiple of 0.00000001, at most {most}");
        Refusal::new(reason, words).field(field).value(text)
    })
}

fn step(field: &'static str, text: &str) -> Result<Grid, Refusal> {
    let value = text::decimal(field, text)?;
    Grid::new(value).map_err(|error| {
        let reason = if value <= Decimal::ZERO { Reason::NotPositive } else { Reason::AboveMaximum };
        Refusal::new(reason, error.to_string()).field(field).value(text)
    })
}

/// A quantity that need not be set, in lots.
fn bound(
    field: &'static str,
    text: &str,
    lot: Option<Grid>,
    default: u64,
    findings: &mut Findings,
) -> Option<u64> {
    if text.is_empty() {
        return Some(default);
    }
    let value = findings.note(text::decimal(field, text))?;
    let steps = lot?.steps(value).map_err(|error| {
        let reason = match error {
            GridError::NotPositive => Reason::NotPositive,
            GridError::OffGrid(_) => Reason::OffLot,
            GridError::TooLarge(_) => Reason::AboveMaximum,
        };
        Refusal::new(reason, error.to_string()).field(field).value(text)
    });
    findings.note(steps)
}

//! From what a client sent to a valid request in ticks and lots.
//!
//! ```text
//! message ──> each field is read on its own ──> Findings keeps the first reason by precedence
//!                                                │ none: a machine::Request
//! ```
//!
//! The precedence is the order of `Reason` in `types.proto`: all fields are looked at, and the
//! smallest reason wins; of equal ones the field that comes first. A check that needs a field that
//! is already known to be bad is left out.

mod body;
mod cluster;
mod limits;
mod market;
mod order;
mod protect;
mod terms;
mod text;

use prost::Message;
use xbook_proto::v1::{self, Reason};

pub use body::body_hash;
pub use cluster::{add_voter, create_join_token, remove_node, remove_voter};
pub use limits::set_account_limits;
pub use market::{Electorate, create_market, update_market};
pub use order::{Times, trade_command};
pub use protect::{
    cancel_all_after, cancel_on_disconnect, check_everywhere, kill_account, set_market_state, timeout,
};
pub(in crate::api) use text::decimal;
pub use text::{client_order_id, market_name, node_id, order_id, placed_by_request_id, session_name};

use super::convert;
use super::error::Refusal;
use crate::machine::{Account, Action, Origin, Place, Request, Rules, Target};
use crate::types::Micros;

/// The refusal that comes first by precedence, among those found so far.
#[derive(Default)]
pub(super) struct Findings {
    first: Option<Refusal>,
    within: &'static str,
}

impl Findings {
    /// The message that the following fields are in.
    fn within(&mut self, message: &'static str) {
        self.within = message;
    }

    /// Notes what a check found.
    fn note<T>(&mut self, checked: Result<T, Refusal>) -> Option<T> {
        match checked {
            Ok(value) => Some(value),
            Err(refusal) => {
                self.refuse(refusal);
                None
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        if self.first.as_ref().is_none_or(|first| (refusal.reason() as i32) < (first.reason() as i32)) {
            self.first = Some(refusal.within(self.within));
        }
    }

    /// What was read, if nothing was found.
    fn unless_found<T>(self, read: Option<T>) -> Result<T, Refusal> {
        match (self.first, read) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(value)) => Ok(value),
            (None, None) => Err(Refusal::new(Reason::Unspecified, "a field could not be read")),
        }
    }
}

/// What a call brings besides its message, for admission.
pub struct Caller {
    /// Whose request it is.
    pub account: Account,
    /// The times that it is checked against.
    pub times: Times,
}

/// A request that is not admitted. It may still repeat one that was: what a repeat is told does not depend
/// on what would be said of it now.
#[derive(Debug)]
pub struct NotAdmitted {
    /// Why.
    pub refusal: Refusal,
    /// What it is told by, with an action that is none; `None` if that can't be read.
    pub asked: Option<Request>,
}

/// A refusal, with what the refused request is told by.
fn not_admitted(
    refusal: Refusal,
    caller: &Caller,
    request_id: Option<&str>,
    body_hash: impl FnOnce() -> u64,
) -> Box<NotAdmitted> {
    let asked = request_id.and_then(|id| request(caller, Some(id), body_hash(), Action::Invalid).ok());
    Box::new(NotAdmitted { refusal, asked })
}

/// Admits a PlaceOrder; `rules` are the market's, if there is such a market.
///
/// # Errors
/// The first reason by precedence.
pub fn place_order(
    mut message: v1::PlaceOrderRequest,
    rules: Option<&Rules>,
    caller: &Caller,
) -> Result<(Request, v1::AnswerWhen), Box<NotAdmitted>> {
    let id = std::mem::take(&mut message.request_id);
    let (mut findings, request_id) = begin(&id, &message.market, rules);
    let answer_when = v1::AnswerWhen::try_from(message.answer_when);
    let answer_when = findings.note(answer_when.map_err(|_| unknown("answer_when", message.answer_when)));
    let place = match &message.order {
        None => findings.note(Err(text::missing("order"))),
        Some(new) => {
            findings.within("order");
            order::new_order(new, rules, caller.times, &mut findings)
        }
    };
    message.answer_when = 0;
    let hash = || body_hash("place", &message);
    let place = match findings.unless_found(place) {
        Ok(place) => place,
        Err(refusal) => return Err(not_admitted(refusal, caller, request_id, hash)),
    };
    let request = request(caller, request_id, hash(), Action::Place(place));
    let request = request.map_err(|refusal| Box::new(NotAdmitted { refusal, asked: None }))?;
    Ok((request, answer_when.unwrap_or_default()))
}

/// Admits a ReplaceOrder.
///
/// # Errors
/// The first reason by precedence.
pub fn replace_order(
    mut message: v1::ReplaceOrderRequest,
    rules: Option<&Rules>,
    caller: &Caller,
) -> Result<(Request, v1::AnswerWhen), Box<NotAdmitted>> {
    let id = std::mem::take(&mut message.request_id);
    let (mut findings, request_id) = begin(&id, &message.market, rules);
    let replaces = findings.note(target(&message.order_id, &message.client_order_id));
    let answer_when = v1::AnswerWhen::try_from(message.answer_when);
    let answer_when = findings.note(answer_when.map_err(|_| unknown("answer_when", message.answer_when)));
    let place = match &message.order {
        None => findings.note(Err(text::missing("order"))),
        Some(new) => {
            findings.within("order");
            order::new_order(new, rules, caller.times, &mut findings)
        }
    };
    message.answer_when = 0;
    let hash = || body_hash("replace", &message);
    let place = match findings.unless_found(place) {
        Ok(place) => Place { replaces: replaces.map(Box::new), ..place },
        Err(refusal) => return Err(not_admitted(refusal, caller, request_id, hash)),
    };
    let request = request(caller, request_id, hash(), Action::Place(place));
    let request = request.map_err(|refusal| Box::new(NotAdmitted { refusal, asked: None }))?;
    Ok((request, answer_when.unwrap_or_default()))
}

/// Admits an AmendOrder.
///
/// # Errors
/// The first reason by precedence.
pub fn amend_order(
    mut message: v1::AmendOrderRequest,
    rules: Option<&Rules>,
    caller: &Caller,
) -> Result<Request, Box<NotAdmitted>> {
    use v1::amend_order_request::Size;
    let id = std::mem::take(&mut message.request_id);
    let (mut findings, request_id) = begin(&id, &message.market, rules);
    let target = findings.note(target(&message.order_id, &message.client_order_id));
    let size = message.size.as_ref().map(|size| match size {
        Size::TotalQuantity(text) => order::AskedSize::Total(text),
        Size::OpenQuantity(text) => order::AskedSize::Open(text),
    });
    let prices = (message.price.as_str(), message.trigger_price.as_str());
    let amend = order::amend(target, prices, size, rules, &mut findings);
    let hash = || body_hash("amend", &message);
    match findings.unless_found(amend) {
        Ok(amend) => request(caller, request_id, hash(), Action::Amend(amend))
            .map_err(|refusal| Box::new(NotAdmitted { refusal, asked: None })),
        Err(refusal) => Err(not_admitted(refusal, caller, request_id, hash)),
    }
}

/// Admits a CancelOrder.
///
/// # Errors
/// The first reason by precedence.
pub fn cancel_order(
    mut message: v1::CancelOrderRequest,
    rules: Option<&Rules>,
    caller: &Caller,
) -> Result<Request, Refusal> {
    let id = std::mem::take(&mut message.request_id);
    let (mut findings, request_id) = begin(&id, &message.market, rules);
    let target = findings.note(target(&message.order_id, &message.client_order_id));
    let action = match (findings.unless_found(target)?, message.withdraw) {
        (Target::Order(order), true) => Action::Withdraw(order),
        (target, _) => Action::Cancel(target),
    };
    request(caller, request_id, body_hash("cancel", &message), action)
}

/// Admits a CancelAllOrders.
///
/// # Errors
/// The first reason by precedence.
pub fn cancel_all_orders(
    mut message: v1::CancelAllOrdersRequest,
    rules: Option<&Rules>,
    caller: &Caller,
) -> Result<Request, Refusal> {
    let id = std::mem::take(&mut message.request_id);
    let (mut findings, request_id) = begin(&id, &message.market, rules);
    let side = findings.note(order::optional_side(message.side));
    let side = findings.unless_found(side)?;
    request(caller, request_id, body_hash("cancel-all", &message), Action::CancelAll(side))
}

/// The order that a call names by its id or by its client's own name.
///
/// # Errors
/// Neither, both, or one that can't be read.
pub fn target(order_id: &str, client_order_id: &str) -> Result<Target, Refusal> {
    match (order_id, client_order_id) {
        (id, "") => text::order_id(id).map(Target::Order),
        ("", name) => text::client_order_id(name).map(Target::Client),
        (_, name) => Err(order::conflict("client_order_id", name, "must be empty where order_id is set")),
    }
}

/// Checks what a request to cancel in all markets says besides.
///
/// # Errors
/// The first of what is wrong.
pub fn check_cancel_all(message: &v1::CancelAllOrdersRequest) -> Result<(), Refusal> {
    let mut findings = Findings::default();
    findings.note(text::request_id(&message.request_id));
    let side = findings.note(order::optional_side(message.side));
    findings.unless_found(side).map(|_| ())
}

/// A market's name, and that there is such a market.
fn check_market(name: &str, rules: Option<&Rules>) -> Result<(), Refusal> {
    text::market_name(name)?;
    rules.map(|_| ()).ok_or_else(|| Refusal::unknown_market(name))
}

/// What every request about a market is looked at for first: its id, and its market.
fn begin<'a>(id: &'a str, market: &str, rules: Option<&Rules>) -> (Findings, Option<&'a str>) {
    let mut findings = Findings::default();
    let request_id = findings.note(text::request_id(id));
    findings.note(check_market(market, rules));
    (findings, request_id)
}

fn request(
    caller: &Caller,
    request_id: Option<&str>,
    body_hash: u64,
    action: Action,
) -> Result<Request, Refusal> {
    let request_id = request_id.ok_or_else(|| text::missing("request_id"))?;
    let origin = Origin::Request(request_id.into());
    Ok(Request { account: caller.account.clone(), origin, body_hash, action })
}

/// A point in time.
///
/// # Errors
/// One that has no name in four digits of a year.
pub fn time(field: &'static str, at: &prost_types::Timestamp) -> Result<Micros, Refusal> {
    convert::micros(at).ok_or_else(|| {
        let written = format!("{}s {}ns", at.seconds, at.nanos);
        Refusal::new(Reason::MalformedText, "must be a time from 1970 to 9999").field(field).value(written)
    })
}

/// An enum value that this node does not know.
pub(super) fn unknown(field: &'static str, number: i32) -> Refusal {
    Refusal::new(Reason::UnknownValue, "must be a value that this node knows").field(field).value(number)
}

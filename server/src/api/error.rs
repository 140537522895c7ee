//! The one place where a reason becomes a gRPC status.
//!
//! ```text
//! Refusal { reason, field, value, limit } ──> Status { code, message, google.rpc details }
//! ```
//!
//! The code follows from the reason alone; `types.proto` lists which. The details are an
//! `ErrorInfo` with the reason's name, a `BadRequest` if a field is to blame, and a `RetryInfo` if
//! trying again helps.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use xbook_proto::v1::Reason;

use crate::history::HistoryError;
use crate::node::{Closed, Ending, SubmitError};
use crate::types::{ClientId, NodeId, Position};

/// The `domain` of each `ErrorInfo`.
pub const DOMAIN: &str = "xbook";

/// Longest part of a client's value that an error repeats, in characters.
const SHOWN_VALUE_CHARS: usize = 64;

/// When a request that met too many others may be tried again.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Why a call is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    reason: Reason,
    field: Option<Cow<'static, str>>,
    value: Option<String>,
    limit: Cow<'static, str>,
}

impl Refusal {
    /// A refusal in words: what would have been allowed, or what is the matter.
    #[must_use]
    pub fn new(reason: Reason, limit: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, field: None, value: None, limit: limit.into() }
    }

    /// Names the field that is to blame.
    #[must_use]
    pub fn field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Repeats the field's value; a long one is cut.
    #[must_use]
    pub fn value(mut self, value: impl fmt::Display) -> Self {
        let text = value.to_string();
        let mut shown: String = text.chars().take(SHOWN_VALUE_CHARS).flat_map(char::escape_default).collect();
        if text.chars().nth(SHOWN_VALUE_CHARS).is_some() {
            shown.push_str("...");
        }
        self.value = Some(shown);
        self
    }

    /// Says which message the field is in.
    #[must_use]
    pub fn within(mut self, message: &str) -> Self {
        if !message.is_empty()
            && let Some(field) = &self.field
        {
            self.field = Some(format!("{message}.{field}").into());
        }
        self
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The node does not take this call any more.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self::new(Reason::ShuttingDown, "the node is shutting down")
    }

    /// What is asked for happened while this node was away.
    #[must_use]
    pub fn away(market: &str) -> Self {
        Self::new(
            Reason::Away,
            format!(
                "this happened in {market} while this node was away, and it has not learned it yet: ask another \
                 node, or again"
            ),
        )
    }

    /// The call's time is over.
    #[must_use]
    pub fn deadline() -> Self {
        Self::new(Reason::Deadline, "the call's deadline passed; it may still take effect")
    }

    /// A market that the node does not have.
    #[must_use]
    pub fn unknown_market(market: &str) -> Self {
        Self::new(Reason::UnknownMarket, "no such market").field("market").value(market)
    }

    /// Something that the node does not have, and may have soon.
    #[must_use]
    pub fn starting(what: &str) -> Self {
        let words = format!(
            "this node has just started or joined, and does not know of {what} yet: ask another node, or again"
        );
        Self::new(Reason::Starting, words)
    }

    /// An order that the market does not have.
    #[must_use]
    pub fn unknown_order(order: impl fmt::Display) -> Self {
        Self::new(Reason::UnknownOrder, "no such order in this market").field("order_id").value(order)
    }

    /// No order of the account has this name, or none that may still change.
    #[must_use]
    pub fn unknown_client_id(name: ClientId) -> Self {
        let words = "no such order of this account in this market";
        Self::new(Reason::UnknownOrder, words).field("client_order_id").value(name)
    }

    /// A node that the cluster does not have, as far as this one knows.
    #[must_use]
    pub fn unknown_node(node: NodeId) -> Self {
        Self::new(Reason::UnknownNode, "no such node in this cluster").field("node_id").value(node)
    }

    /// An order of another account.
    #[must_use]
    pub fn other_account(order: impl fmt::Display) -> Self {
        Self::new(Reason::OtherAccount, "the order belongs to another account").field("order_id").value(order)
    }

    /// A request id that stands for another content.
    #[must_use]
    pub fn request_id_reused(request_id: &str) -> Self {
        Self::new(Reason::RequestIdReused, "it was used before with another content")
            .field("request_id")
            .value(request_id)
    }

    /// A position that this node does not show yet, and another one may.
    #[must_use]
    pub fn behind(after: Position, shown: Position) -> Self {
        Self::new(Reason::Away, format!("this node shows only up to {shown}: ask another node, or again"))
            .field("after_position")
            .value(after)
    }

    /// A position that the node can't begin from.
    #[must_use]
    pub fn position(after: Position, shown: Position) -> Self {
        Self::new(Reason::Position, format!("must be at most {shown}, the last position shown"))
            .field("after_position")
            .value(after)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            f.write_str(field)?;
            if let Some(value) = &self.value {
                write!(f, " is \"{value}\"")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.limit)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Status {
    /// Tells the log too: the span of the call has its account, and what it is about.
    fn from(refusal: Refusal) -> Self {
        let reason = reason_name(refusal.reason);
        tracing::debug!(reason, words = %refusal, "a call is refused");
        let message = refusal.to_string();
        let mut metadata = HashMap::new();
        metadata.insert("limit".to_owned(), refusal.limit.to_string());
        metadata.extend(refusal.value.map(|value| ("value".to_owned(), value)));
        let mut details = ErrorDetails::new();
        if let Some(field) = refusal.field {
            metadata.insert("field".to_owned(), field.to_string());
            details.add_bad_request_violation(field, refusal.limit);
        }
        details.set_error_info(reason, DOMAIN, metadata);
        if matches!(refusal.reason, Reason::Overloaded | Reason::Away | Reason::Starting) {
            details.set_retry_info(Some(RETRY_DELAY));
        }
        Self::with_error_details(code(refusal.reason), message, details)
    }
}

impl From<Closed> for Refusal {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Ended => Self::shutting_down(),
            Closed::Quarantined { .. } => Self::new(Reason::Quarantined, closed.to_string()),
            Closed::Unreadable { .. } => Self::new(Reason::FormatUnreadable, closed.to_string()),
        }
    }
}

impl From<Ending> for Refusal {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Shutdown(_) => Self::shutting_down(),
            Ending::Failed(cause) => Self::new(Reason::StoreFailed, format!("the node failed: {cause}")),
        }
    }
}

impl From<SubmitError> for Refusal {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Overloaded => Self::new(Reason::Overloaded, error.to_string()),
            SubmitError::Closed(closed) => closed.into(),
        }
    }
}

impl From<HistoryError> for Refusal {
    fn from(error: HistoryError) -> Self {
        if let HistoryError::Away { .. } = &error {
            return Self::new(Reason::Away, format!("{error}: ask another node, or again"));
        }
        tracing::error!(%error, "the history can't be read");
        Self::new(Reason::StoreFailed, error.to_string())
    }
}

/// A reason's name as errors carry it.
#[must_use]
pub fn reason_name(reason: Reason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("REASON_").unwrap_or(name)
}

/// The canonical code of a reason.
#[must_use]
pub fn code(reason: Reason) -> Code {
    match reason {
        Reason::MissingField
        | Reason::MalformedText
        | Reason::MalformedDecimal
        | Reason::UnknownValue
        | Reason::ConflictingFields
        | Reason::NotPositive
        | Reason::OffTick
        | Reason::OffLot
        | Reason::BelowMinimum
        | Reason::AboveMaximum
        | Reason::TimePassed => Code::InvalidArgument,
        Reason::UnknownMarket | Reason::UnknownOrder | Reason::UnknownNode => Code::NotFound,
        Reason::MarketExists | Reason::RequestIdReused | Reason::ClientIdInUse => Code::AlreadyExists,
        Reason::OtherAccount | Reason::NotInvited | Reason::OtherKey => Code::PermissionDenied,
        Reason::OrderClosed
        | Reason::SessionGap
        | Reason::AlreadyVoter
        | Reason::NotVoter
        | Reason::LastVoter
        | Reason::TooManyVoters
        | Reason::SessionForgotten
        | Reason::CommandReused
        | Reason::BelowFilled
        | Reason::FormatUnready
        | Reason::WouldTake
        | Reason::NotFillable
        | Reason::NoLiquidity
        | Reason::LevelFull
        | Reason::Requested
        | Reason::Replaced
        | Reason::WouldTrigger
        | Reason::NoLastTrade
        | Reason::ExpireTime
        | Reason::SequenceBy
        | Reason::SelfTrade
        | Reason::MinNotFillable
        | Reason::Protection
        | Reason::AuctionEnded
        | Reason::PriceBand
        | Reason::FixedRule
        | Reason::AccountKilled
        | Reason::DeadMan
        | Reason::Disconnected
        | Reason::MarketState
        | Reason::SessionEnd
        | Reason::Delisted
        | Reason::AccountQuantity
        | Reason::AccountNotional => Code::FailedPrecondition,
        Reason::Forgotten => Code::Aborted,
        Reason::TooMany
        | Reason::Overloaded
        | Reason::SlowReader
        | Reason::TooMuchUnread
        | Reason::TooManyConnections => Code::ResourceExhausted,
        Reason::ShuttingDown
        | Reason::StoreFailed
        | Reason::Away
        | Reason::Quarantined
        | Reason::FormatUnreadable
        | Reason::Starting => Code::Unavailable,
        Reason::Deadline => Code::DeadlineExceeded,
        Reason::Position => Code::OutOfRange,
        Reason::Unspecified => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_field_value_and_limit() {
        let refusal =
            Refusal::new(Reason::OffTick, "must be a multiple of 0.01").field("price").value("10.005");
        let status = Status::from(refusal.within("order"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "order.price is \"10.005\": must be a multiple of 0.01");
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("OFF_TICK", "xbook"));
        assert_eq!(info.metadata["field"], "order.price");
        assert_eq!(info.metadata["value"], "10.005");
        assert_eq!(info.metadata["limit"], "must be a multiple of 0.01");
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(
            (violation.field.as_str(), violation.description.as_str()),
            ("order.price", "must be a multiple of 0.01")
        );
    }

    #[test]
    fn a_long_value_is_cut_and_odd_characters_are_escaped() {
        let refusal =
            Refusal::new(Reason::MalformedText, "must be short").field("market").value("A".repeat(1_000));
        assert_eq!(refusal.to_string(), format!("market is \"{}...\": must be short", "A".repeat(64)));
        let refusal =
            Refusal::new(Reason::MalformedText, "must be plain").field("market").value("a\n\u{202e}\"");
        assert_eq!(refusal.to_string(), "market is \"a\\n\\u{202e}\\\"\": must be plain");
    }

    #[test]
    fn only_an_overload_says_when_to_try_again() {
        let status = Status::from(Refusal::from(SubmitError::Overloaded));
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.get_error_details().retry_info().unwrap().retry_delay, Some(RETRY_DELAY));
        assert!(Status::from(Refusal::deadline()).get_error_details().retry_info().is_none());
    }

    #[test]
    fn a_failed_node_says_so() {
        let status = Status::from(Refusal::from(Ending::Failed("no space left".to_owned())));
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "the node failed: no space left"));
        assert_eq!(status.get_error_details().error_info().unwrap().reason, "STORE_FAILED");
    }

    #[test]
    fn each_reason_but_none_has_a_code() {
        for number in 1..100 {
            if let Ok(reason) = Reason::try_from(number) {
                assert_ne!(code(reason), Code::Internal, "{reason:?}");
                assert!(!reason_name(reason).starts_with("REASON"), "{reason:?}");
            }
        }
    }
}

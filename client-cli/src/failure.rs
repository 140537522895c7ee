//! What went wrong, as one sentence, what to do about it, and the exit code.
//!
//! The one place that turns a gRPC status into words. The rule for requests that change something:
//! once such a request was sent, only a definite answer tells its outcome; anything else is
//! [`Exit::OutcomeUnknown`], and a repeat under the same request id is safe.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use xbook_proto::v1::Reason;

use crate::hints::Hints;
use crate::reason;

/// The documented exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Refused by the market's rules.
    Refused = 1,
    /// Wrong usage.
    Usage = 2,
    /// Invalid request, or something in it does not exist.
    Invalid = 3,
    /// The node can't be reached, or can't serve now.
    Unreachable = 4,
    /// The request was sent and its outcome is not known.
    OutcomeUnknown = 5,
    /// The node or this program is at fault, or a market is not right.
    #[default]
    Internal = 6,
    /// Nothing was found wrong, but not all was verified.
    Incomplete = 7,
}

/// Why a command ended without its answer.
#[derive(Debug, Default, Serialize)]
pub struct Failure {
    #[serde(rename = "exit_code", serialize_with = "exit_number")]
    pub exit: Exit,
    message: String,
    #[serde(flatten)]
    cause: Box<Cause>,
    /// The request's id, where a repeat needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// What to do, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    advice: Vec<String>,
    #[serde(skip)]
    closed_output: bool,
    /// Whether another node may do what this one could not.
    #[serde(skip)]
    elsewhere: bool,
}

/// What the node's status and its google.rpc details said.
#[derive(Debug, Default, Serialize)]
struct Cause {
    /// The gRPC code, such as `INVALID_ARGUMENT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    /// A value of the closed list, such as `OFF_TICK`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// What a request that changes something needs to be repeated.
#[derive(Debug, Clone)]
pub struct Repeat {
    /// The request's id.
    pub request_id: String,
    /// The command line that repeats it.
    pub command: String,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

fn exit_number<S: serde::Serializer>(exit: &Exit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(*exit as u8)
}

impl Failure {
    /// A fault of the node or of this program.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// What was said can't be done, whatever the node.
    pub fn usage(message: String) -> Self {
        Self { exit: Exit::Usage, message, ..Self::default() }
    }

    /// No connection to the node: nothing was sent.
    pub fn unreachable(node: &str, error: &(dyn Error + 'static)) -> Self {
        Self {
            exit: Exit::Unreachable,
            message: format!("no node answers at {node} ({})", root_cause(error)),
            advice: vec![
                "start a node with `xnode run`, or try one out with `xnode demo`".to_owned(),
                "name another address with --node or XBOOK_NODE".to_owned(),
            ],
            ..Self::default()
        }
    }

    /// A request that changes nothing failed.
    pub fn of_read(status: &Status) -> Self {
        Self::of_status(status, exit_of(status))
    }

    /// A request that changes something failed, after it may have reached the node.
    pub fn of_change(status: &Status, repeat: &Repeat) -> Self {
        if is_definite(status) {
            return Self::of_status(status, exit_of(status));
        }
        let failure = Self::of_status(status, Exit::OutcomeUnknown);
        let mut advice = vec![format!("to learn the outcome, repeat: {}", repeat.command)];
        advice.extend(failure.advice);
        Self {
            message: format!("the outcome is unknown: {}", failure.message),
            request_id: Some(repeat.request_id.clone()),
            advice,
            ..failure
        }
    }

    fn of_status(status: &Status, exit: Exit) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        let known = reason.as_deref().map_or(Reason::Unspecified, reason::from_name);
        let retry = details.retry_info().and_then(|info| info.retry_delay);
        let mut advice: Vec<String> = reason::advice(known).map(str::to_owned).into_iter().collect();
        if let Some(delay) = retry {
            advice.push(format!("try again in {}", humantime::format_duration(delay)));
        }
        if is_foreign(status) {
            advice.push("name the node's address with --node or XBOOK_NODE".to_owned());
        } else if status.code() == Code::Unimplemented {
            advice.push("the node runs another version: compare `xcli --version` and `xcli node`".to_owned());
        }
        let cause = Cause {
            status: Some(code_name(status.code())),
            field: detail(&details, "field").or_else(|| violated_field(&details)),
            value: detail(&details, "value"),
            limit: detail(&details, "limit"),
            retry_after_ms: retry.map(whole_ms),
            reason,
        };
        let message = sentence(status, known);
        let elsewhere = is_elsewhere(status);
        Self { exit, message, cause: Box::new(cause), advice, elsewhere, ..Self::default() }
    }

    /// A refusal of this program: what was asked for needs a further word.
    pub fn unsure(message: String, advice: String) -> Self {
        Self { exit: Exit::Refused, message, advice: vec![advice], ..Self::default() }
    }

    /// The failure with a further advice.
    pub fn advise(mut self, advice: String) -> Self {
        self.advice.push(advice);
        self
    }

    /// The failure with node and account in the commands that it advises.
    pub fn complete(mut self, hints: &Hints) -> Self {
        self.advice.iter_mut().for_each(|advice| *advice = hints.complete(advice));
        self
    }

    /// Whether the node has just started or joined: it took nothing, and may serve soon.
    pub fn is_starting(&self) -> bool {
        self.cause.reason.as_deref().map(reason::from_name) == Some(Reason::Starting)
    }

    /// Whether the node is gone or can't serve this now, and another may.
    pub fn is_elsewhere(&self) -> bool {
        self.elsewhere
    }

    /// What went wrong, in a sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether nothing is wrong but that the reader of the output went away, as `head` does.
    pub fn is_closed_output(&self) -> bool {
        self.closed_output
    }

    /// The failure as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::json!({ "error": self }).to_string()
    }

    /// Field, value and limit, as far as the message doesn't name them itself.
    fn particulars(&self) -> Vec<String> {
        [("field", &self.cause.field), ("value", &self.cause.value), ("limit", &self.cause.limit)]
            .into_iter()
            .filter_map(|(name, part)| part.as_ref().map(|part| (name, part)))
            .filter(|(_, part)| !part.is_empty() && !self.message.contains(part.as_str()))
            .map(|(name, part)| format!("{name} {part}"))
            .collect()
    }
}

/// `error: SENTENCE (field F, value V, limit L) [REASON]`, then a line for each advice.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        let particulars = self.particulars();
        if !particulars.is_empty() {
            write!(f, " ({})", particulars.join(", "))?;
        }
        if let Some(reason) = &self.cause.reason {
            write!(f, " [{reason}]")?;
        }
        writeln!(f)?;
        self.advice.iter().try_for_each(|advice| writeln!(f, "  {advice}"))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { exit: Exit::Done, closed_output: true, ..Self::default() },
            _ => Self::internal(format!("can't write the output: {error}")),
        }
    }
}

/// Whether the connection is at fault rather than the request, so that a stream may be opened
/// again.
pub fn is_transient(status: &Status) -> bool {
    match reason_of(status) {
        // It goes on where it ended.
        Reason::SlowReader | Reason::TooMuchUnread | Reason::TooManyConnections => return true,
        // It stays so until somebody looks after the node.
        Reason::Quarantined => return false,
        _ => {}
    }
    is_local(status) || matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded)
}

/// What tonic calls the client's own time-out.
const TIMED_OUT: &str = "Timeout expired";

/// Whether another node may serve what this one did not. A deadline is none of that: the node was there.
fn is_elsewhere(status: &Status) -> bool {
    let late = status.code() == Code::DeadlineExceeded || status.message() == TIMED_OUT;
    !late && (is_local(status) || status.code() == Code::Unavailable)
}

fn reason_of(status: &Status) -> Reason {
    status.get_details_error_info().map_or(Reason::Unspecified, |info| reason::from_name(&info.reason))
}

/// Whether this program's end of the connection made the status: the node sent none.
fn is_local(status: &Status) -> bool {
    status.source().is_some()
}

/// Whether the answer did not come from a gRPC server at all; these are tonic's words.
fn is_foreign(status: &Status) -> bool {
    status.message().starts_with("grpc-status header missing")
}

fn is_definite(status: &Status) -> bool {
    let indefinite = matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::DataLoss
    );
    // A node that is starting takes nothing.
    reason_of(status) == Reason::Starting || !indefinite && !is_local(status)
}

fn exit_of(status: &Status) -> Exit {
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::OutOfRange => Exit::Invalid,
        Code::FailedPrecondition | Code::Aborted => Exit::Refused,
        Code::ResourceExhausted if reason_of(status) == Reason::TooMany => Exit::Refused,
        Code::ResourceExhausted => Exit::Unreachable,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Exit::Unreachable,
        _ if is_local(status) => Exit::Unreachable,
        Code::Ok | Code::Unimplemented | Code::Unknown | Code::Internal | Code::DataLoss => Exit::Internal,
    }
}

fn sentence(status: &Status, known: Reason) -> String {
    match (status.code(), status.message()) {
        (Code::Cancelled | Code::DeadlineExceeded, TIMED_OUT | "") => {
            reason::phrase(Reason::Deadline).to_owned()
        }
        (_, message) if is_foreign(status) => format!("what answers there is no xbook node ({message})"),
        _ if is_local(status) => format!("the connection broke ({})", root_cause(status)),
        (_, "") if known != Reason::Unspecified => reason::phrase(known).to_owned(),
        (code, "") => format!("the node answered {} without a message", code_name(code)),
        (_, message) => message.trim_end_matches('.').to_owned(),
    }
}

fn detail(details: &ErrorDetails, key: &str) -> Option<String> {
    details.error_info()?.metadata.get(key).cloned()
}

fn violated_field(details: &ErrorDetails) -> Option<String> {
    Some(details.bad_request()?.field_violations.first()?.field.clone())
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests;

//! Who calls, and until when: what every call brings besides its message. Nobody else reads a call's metadata for
//! that.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Request;
use tonic::metadata::MetadataMap;
use xbook_proto::v1::Reason;

use super::Api;
use super::admission::{Caller, Times};
use super::error::Refusal;
use crate::machine::{Account, is_account};
use crate::types::Micros;

/// The metadata that names the account.
pub const ACCOUNT_KEY: &str = "xbook-account";

/// The account of a call that names none.
pub const DEFAULT_ACCOUNT: &str = "main";

/// How long a call without a deadline may take.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest part of a call's time that is kept for the answer's way back.
const LONGEST_MARGIN: Duration = Duration::from_millis(50);

/// The account of a call.
///
/// # Errors
/// A name that is not allowed.
pub fn account<T>(call: &Request<T>) -> Result<Account, Refusal> {
    let Some(value) = call.metadata().get(ACCOUNT_KEY) else {
        return Ok(DEFAULT_ACCOUNT.into());
    };
    match value.to_str() {
        Ok(name) if is_account(name) => Ok(name.into()),
        _ => {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let limit = "must be 1 to 32 of A-Z, a-z, 0-9, '.', '_' and '-'";
            Err(Refusal::new(Reason::MalformedText, limit).field(ACCOUNT_KEY).value(value))
        }
    }
}

/// When a call must be answered.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    answer_by: Instant,
    client: Option<Micros>,
}

impl Deadline {
    /// The deadline of a call that arrived now.
    #[must_use]
    fn of(metadata: &MetadataMap, now: Micros) -> Self {
        let header = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok());
        let timeout = header.and_then(parse_timeout);
        let left = timeout.unwrap_or(DEFAULT_TIMEOUT);
        let margin = (left / 10).min(LONGEST_MARGIN);
        let client =
            timeout.map(|left| now.plus(Micros(u64::try_from(left.as_micros()).unwrap_or(u64::MAX))));
        // A sleep knows its end without anyone reading a clock here.
        Self { answer_by: tokio::time::sleep(left - margin).deadline(), client }
    }

    /// That of a request that a node makes for a client, and that no client waits for.
    #[must_use]
    pub fn of_node(now: Micros) -> Self {
        Self::of(&MetadataMap::new(), now)
    }

    /// The client's deadline by this node's clock, if it set one.
    #[must_use]
    pub fn of_client(&self) -> Option<Micros> {
        self.client
    }

    /// Waits for something, at most until the answer is due.
    ///
    /// # Errors
    /// `DEADLINE` if it took too long.
    pub async fn wait<F: Future>(&self, future: F) -> Result<F::Output, Refusal> {
        tokio::time::timeout_at(self.answer_by, future).await.map_err(|_| Refusal::deadline())
    }
}

impl Api {
    /// Who calls, and until when.
    pub(in crate::api) fn caller<T>(&self, call: &Request<T>) -> Result<(Caller, Deadline), Refusal> {
        let now = self.node.clock().now();
        let deadline = Deadline::of(call.metadata(), now);
        let account = account(call)?;
        let times = Times { now, deadline: deadline.of_client(), tape_ahead: Micros(0) };
        if times.deadline.is_some_and(|at| at <= now) {
            return Err(Refusal::deadline());
        }
        Ok((Caller { account, times }, deadline))
    }

    /// When a call that has just arrived must be answered.
    pub(in crate::api) fn deadline<T>(&self, call: &Request<T>) -> Deadline {
        Deadline::of(call.metadata(), self.clock_now())
    }
}

/// Reads gRPC's form of a time-out: up to eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let plain = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| plain)?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let table = [
            ("100m", Some(Duration::from_millis(100))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3_600))),
            ("0n", Some(Duration::ZERO)),
            ("5", None),
            ("", None),
            ("m", None),
            ("+1S", None),
            ("123456789S", None),
            ("1s", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_timeout(text), expected, "{text}");
        }
    }

    #[test]
    fn an_account_has_a_short_plain_name() {
        let account_of = |name: &str| {
            let mut call = Request::new(());
            call.metadata_mut().insert(ACCOUNT_KEY, name.parse().unwrap());
            account(&call)
        };
        assert_eq!(account(&Request::new(())).as_deref(), Ok("main"));
        assert_eq!(account_of("desk-7.a_B").as_deref(), Ok("desk-7.a_B"));
        for name in ["", "a b", "a/b", &"x".repeat(33)] {
            assert_eq!(account_of(name).unwrap_err().reason(), Reason::MalformedText, "{name}");
        }
        assert_eq!(
            account_of("a b").unwrap_err().to_string(),
            "xbook-account is \"a b\": must be 1 to 32 of A-Z, a-z, 0-9, '.', '_' and '-'"
        );
    }
}

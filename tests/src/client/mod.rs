//! Clients that remember what they were promised, and what the exchange says afterwards.
//!
//! A [`Trader`] makes calls one at a time, a [`SessionTrader`] sends numbered commands down a
//! `Trade` stream, a [`Watcher`] follows the trades. Each notes every answer in its [`Promises`].
//! What got no answer is *unknown*, never absent: it is asked again under the same request id or
//! number. A [`Crowd`] is all of them. A [`Record`] is all that the exchange shows of a market, which must agree with itself,
//! and every promise must hold in it.

mod crowd;
mod flow;
mod promises;
mod random;
mod record;
mod session;
mod trader;
mod watcher;

pub use crowd::{Crowd, Progress};
pub use flow::{Flow, Next};
pub use promises::{Broken, Promises};
pub use random::Random;
pub use record::Record;
pub use session::{Moved, SessionTrader, Window};
pub use trader::Trader;
pub use watcher::{Watcher, next_trade};

use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use xbook_proto::v1::Reason;

/// What a failed call means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The request was refused for this reason, and always will be.
    Finally(Reason),
    /// The request was not taken; it may be sent again.
    NotNow,
    /// Nobody knows: the connection was lost, or the time was over.
    Unknown,
}

impl Refused {
    /// Reads the status of a failed call.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let reason =
            details.error_info().and_then(|info| Reason::from_str_name(&format!("REASON_{}", info.reason)));
        match reason {
            Some(Reason::Overloaded) => Self::NotNow,
            Some(Reason::ShuttingDown | Reason::StoreFailed | Reason::Deadline) => Self::Unknown,
            Some(reason) => Self::Finally(reason),
            None => {
                let lost = [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal];
                assert!(lost.contains(&status.code()), "an error without a reason: {status:?}");
                Self::Unknown
            }
        }
    }
}

/// A request of an account.
fn request_of<T>(account: &AsciiMetadataValue, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("xbook-account", account.clone());
    request
}

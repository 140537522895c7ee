//! The sending end of a streaming answer: a bounded buffer, and a word at the end.

use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use xbook_proto::v1::Reason;

use super::error::Refusal;
use super::trading::Answers;

/// How long a reader may leave a full buffer as it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a stream's task puts its messages.
pub(super) struct Outlet<T> {
    messages: mpsc::Sender<T>,
    end: oneshot::Sender<Status>,
}

/// Why a stream's task has to stop.
#[derive(Debug)]
pub(super) enum Stop {
    /// The reader has gone.
    Gone,
    /// The reader is to be told why.
    Told(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Told(refusal)
    }
}

/// An outlet that holds so many messages, and the answers that come out of it.
pub(super) fn channel<T: Send + 'static>(capacity: usize) -> (Outlet<T>, Answers<T>) {
    let (messages, received) = mpsc::channel(capacity);
    let (end, ended) = oneshot::channel();
    // The last word is beside the buffer, since a slow reader's buffer is full.
    let last = stream::once(ended).filter_map(async |status| status.ok().map(Err));
    (Outlet { messages, end }, Box::pin(ReceiverStream::new(received).map(Ok).chain(last)))
}

impl<T> Outlet<T> {
    /// Sends a message, when there is room.
    ///
    /// # Errors
    /// The reader has gone, or has not read for a long time.
    pub async fn send(&self, message: T) -> Result<(), Stop> {
        match self.messages.send_timeout(message, PATIENCE).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Stop::Gone),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                let words = format!("the stream was not read for {} s", PATIENCE.as_secs());
                Err(Refusal::new(Reason::SlowReader, words).into())
            }
        }
    }

    /// Completes when the reader has gone.
    pub async fn gone(&self) {
        self.messages.closed().await;
    }

    /// Ends the stream: well, or with a reason.
    pub fn end(self, result: Result<(), Stop>) {
        drop(self.messages);
        if let Err(Stop::Told(refusal)) = result {
            // Without a reader nobody needs to know.
            let _ = self.end.send(refusal.into());
        }
    }
}

//! The sending end of a streaming answer: a bounded buffer, and a word at the end.
//!
//! ```text
//! task ──> room in the buffer ──> a share of the connection's and the node's memory ──> reader
//!           │ not for 10 s: SLOW_READER        │ not for 1 s: TOO_MUCH_UNREAD
//! ```
//!
//! A reader that has taken everything always gets one more small message, whoever else holds the
//! memory. What a stream that is ended so still holds is dropped: its reader resumes from a position.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::Stream;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tonic::Status;
use xbook_proto::v1::Reason;

use super::Answers;
use super::unread::{Share, Unread};
use crate::api::error::Refusal;

/// How long a reader may leave a full buffer as it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a stream whose reader is behind waits for memory that other streams hold.
const GRACE: Duration = Duration::from_secs(1);

/// Largest message that a reader who has taken everything gets whatever others hold, in bytes.
const SMALL_BYTES: usize = 4_096;

/// Bytes that a stream hands over at once. The transport holds so much of each stream that nobody
/// reads, and does not say how much.
const HANDED_BYTES: usize = 8 * 1_024;

/// Where a stream's task puts its messages.
pub(in crate::api) struct Outlet<T> {
    shared: Arc<Shared<T>>,
    capacity: u32,
    unread: Unread,
    /// Closed when the reader has gone.
    reader: mpsc::Sender<Infallible>,
}

/// Where the transport takes them.
struct Inlet<T> {
    shared: Arc<Shared<T>>,
    handed: usize,
    _alive: mpsc::Receiver<Infallible>,
    _place: OwnedSemaphorePermit,
}

struct Shared<T> {
    buffer: Mutex<Buffer<T>>,
    room: Arc<Semaphore>,
}

struct Buffer<T> {
    messages: VecDeque<Held<T>>,
    end: Option<Option<Status>>,
    reader: Option<Waker>,
}

/// A message that is not read yet.
struct Held<T> {
    message: T,
    bytes: usize,
    _room: OwnedSemaphorePermit,
    _share: Option<Share>,
}

/// Why a stream's task has to stop.
#[derive(Debug)]
pub(in crate::api) enum Stop {
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
///
/// # Errors
/// The node has as many streams as it may have.
pub(in crate::api) fn channel<T: Message + Unpin + 'static>(
    capacity: u32,
    unread: Unread,
) -> Result<(Outlet<T>, Answers<T>), Refusal> {
    let place = unread.stream()?;
    let (reader, alive) = mpsc::channel(1);
    let buffer = Buffer { messages: VecDeque::new(), end: None, reader: None };
    let room = Arc::new(Semaphore::new(capacity as usize));
    let shared = Arc::new(Shared { buffer: Mutex::new(buffer), room });
    let inlet = Inlet { shared: Arc::clone(&shared), handed: 0, _alive: alive, _place: place };
    Ok((Outlet { shared, capacity, unread, reader }, Box::pin(inlet)))
}

impl<T: Message> Outlet<T> {
    /// Sends a message, when there is room.
    ///
    /// # Errors
    /// The reader has gone, has not read for a long time, or too much is unread elsewhere.
    pub async fn send(&self, message: T) -> Result<(), Stop> {
        let encoded = message.encoded_len();
        // Decoded it takes its fields, and about twice its encoded form for what they point to.
        let bytes = size_of::<Held<T>>() + 2 * encoded;
        let room = timeout(PATIENCE, Arc::clone(&self.shared.room).acquire_owned());
        let room = tokio::select! {
            biased;
            room = room => room,
            () = self.gone() => return Err(Stop::Gone),
        };
        let Ok(Ok(room)) = room else {
            let words = format!("the stream was not read for {} s", PATIENCE.as_secs());
            return Err(Refusal::new(Reason::SlowReader, words).into());
        };
        let share = tokio::select! {
            biased;
            share = self.unread.take(bytes) => share,
            () = self.gone() => return Err(Stop::Gone),
            () = self.drained(), if bytes <= SMALL_BYTES => None,
            () = tokio::time::sleep(GRACE) => {
                let words = "too much is unread on this connection, or on this node; resume from the last position";
                return Err(Refusal::new(Reason::TooMuchUnread, words).into());
            }
        };
        let mut buffer = self.shared.lock();
        buffer.messages.push_back(Held { message, bytes: encoded, _room: room, _share: share });
        buffer.wake();
        Ok(())
    }

    /// Completes when the reader has taken everything.
    async fn drained(&self) {
        // All the room but that for one message, which this stream's task has.
        let others = self.capacity.saturating_sub(1);
        let _ = self.shared.room.acquire_many(others).await;
    }
}

impl<T> Outlet<T> {
    /// Completes when the reader has gone.
    pub async fn gone(&self) {
        self.reader.closed().await;
    }

    /// Ends the stream: well, or with a reason.
    pub fn end(self, result: Result<(), Stop>) {
        let mut buffer = self.shared.lock();
        buffer.end = Some(match result {
            Err(Stop::Told(refusal)) => {
                if matches!(refusal.reason(), Reason::SlowReader | Reason::TooMuchUnread) {
                    buffer.messages = VecDeque::new();
                }
                Some(refusal.into())
            }
            Ok(()) | Err(Stop::Gone) => None,
        });
        buffer.wake();
    }
}

impl<T> Drop for Outlet<T> {
    fn drop(&mut self) {
        let mut buffer = self.shared.lock();
        buffer.end.get_or_insert(None);
        buffer.wake();
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Buffer<T>> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Buffer<T> {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl<T: Unpin> Stream for Inlet<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.handed >= HANDED_BYTES {
            // The transport sends what it has before it asks again.
            self.handed = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let shared = Arc::clone(&self.shared);
        let mut buffer = shared.lock();
        match (buffer.messages.pop_front(), &mut buffer.end) {
            (Some(held), _) => {
                self.handed += held.bytes;
                Poll::Ready(Some(Ok(held.message)))
            }
            (None, Some(end)) => Poll::Ready(end.take().map(Err)),
            (None, None) => {
                self.handed = 0;
                buffer.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use xbook_proto::v1::Heartbeat;

    use super::*;

    fn heartbeat(position: u64) -> Heartbeat {
        Heartbeat { position }
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_gets_all_and_then_the_last_word() {
        let (outlet, mut answers) = channel(4, Unread::new(1 << 20, 1 << 20, 9)).unwrap();
        for position in 1..=3 {
            outlet.send(heartbeat(position)).await.unwrap();
        }
        outlet.end(Err(Refusal::shutting_down().into()));
        for position in 1..=3 {
            assert_eq!(answers.next().await.unwrap().unwrap(), heartbeat(position));
        }
        assert_eq!(answers.next().await.unwrap().unwrap_err().code(), tonic::Code::Unavailable);
        assert!(answers.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_buffer_that_stays_full_ends_the_stream_and_is_given_back() {
        let unread = Unread::new(1 << 20, 1 << 20, 9);
        let (outlet, mut answers) = channel(2, unread.clone()).unwrap();
        outlet.send(heartbeat(1)).await.unwrap();
        outlet.send(heartbeat(2)).await.unwrap();
        let stop = outlet.send(heartbeat(3)).await.unwrap_err();
        assert!(matches!(&stop, Stop::Told(refusal) if refusal.reason() == Reason::SlowReader), "{stop:?}");
        outlet.end(Err(stop));
        assert!(unread.take(1 << 20).await.is_some(), "all is free again, though nobody reads");
        assert_eq!(answers.next().await.unwrap().unwrap_err().code(), tonic::Code::ResourceExhausted);
    }

    #[tokio::test(start_paused = true)]
    async fn who_holds_too_much_unread_is_ended_and_who_reads_goes_on() {
        // The whole node has room for three messages, and one connection for two.
        let node = Unread::new(2_048, 3_072, 9);
        let (greedy, other) = (node.of_connection(), node.of_connection());
        let (first, _unread) = channel(8, greedy.clone()).unwrap();
        let (second, _unread_too) = channel(8, greedy).unwrap();
        let (reading, mut answers) = channel(8, other.clone()).unwrap();
        let (behind, _behind) = channel(8, other).unwrap();
        first.send(heartbeat(1)).await.unwrap();
        second.send(heartbeat(1)).await.unwrap();
        let stop = first.send(heartbeat(2)).await.unwrap_err();
        assert!(
            matches!(&stop, Stop::Told(refusal) if refusal.reason() == Reason::TooMuchUnread),
            "{stop:?}"
        );
        // The node's last share.
        behind.send(heartbeat(1)).await.unwrap();
        for position in 1..=5 {
            reading.send(heartbeat(position)).await.unwrap();
            assert_eq!(answers.next().await.unwrap().unwrap(), heartbeat(position));
        }
        assert!(behind.send(heartbeat(2)).await.is_err());
        // What is ended is free again.
        first.end(Err(stop));
        behind.send(heartbeat(2)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_goes_stops_the_stream() {
        let (outlet, answers) = channel(1, Unread::new(1 << 20, 1 << 20, 1)).unwrap();
        outlet.send(heartbeat(1)).await.unwrap();
        drop(answers);
        outlet.gone().await;
        assert!(matches!(outlet.send(heartbeat(2)).await, Err(Stop::Gone)));
    }
}

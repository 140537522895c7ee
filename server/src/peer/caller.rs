//! A connection from outside, bounded until it is known who is there.
//!
//! A caller has a few seconds and a few bytes to prove who it is, and few callers that have not may be
//! there at a time. When a peer's stream has ended its connection is treated so again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use super::frame::MAX_GREETING_BYTES;

/// How long a caller may stay unknown.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most callers that may be unknown at a time; more are turned away.
const MAX_UNKNOWN: usize = 128;

/// Most bytes from an unknown caller: a few greetings and what HTTP/2 says around them.
const MAX_UNKNOWN_BYTES: usize = 4 * MAX_GREETING_BYTES;

/// How long to wait when the system has no more sockets.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether it is known who is at the other end of a connection.
#[derive(Clone, Default)]
pub(super) struct Known(Arc<AtomicBool>);

/// A connection from outside.
pub(super) struct Caller {
    stream: TcpStream,
    known: Known,
    /// How many bytes it may still send while it is unknown.
    left: usize,
    /// When it is looked at again.
    deadline: Pin<Box<Sleep>>,
    /// Its place among the unknown.
    place: Option<OwnedSemaphorePermit>,
}

impl Known {
    /// It has proven who it is, or what it was there for is over.
    pub fn set(&self, known: bool) {
        self.0.store(known, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The connections that come in.
pub(super) fn callers(listener: TcpListener) -> impl Stream<Item = io::Result<Caller>> {
    let places = Arc::new(Semaphore::new(MAX_UNKNOWN));
    futures::stream::unfold((listener, places), async |(listener, places)| {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => return Some((Caller::new(stream, place), (listener, places))),
                    Err(_) => tracing::debug!(%from, "turned away: too many callers are unknown"),
                },
                Err(error) => {
                    tracing::warn!(%error, "a peer can't be let in");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}

impl Caller {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let deadline = Box::pin(sleep(PATIENCE));
        Ok(Self { stream, known: Known::default(), left: MAX_UNKNOWN_BYTES, deadline, place: Some(place) })
    }

    /// Whether it may stay, with its time and its bytes.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let known = self.known.get();
        if known {
            self.place = None;
            self.left = MAX_UNKNOWN_BYTES;
        }
        while self.deadline.as_mut().poll(context).is_ready() {
            if !known {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not say who it is in time"));
            }
            self.deadline.as_mut().reset(Instant::now() + PATIENCE);
        }
        Ok(())
    }
}

impl Connected for Caller {
    type ConnectInfo = Known;

    fn connect_info(&self) -> Known {
        self.known.clone()
    }
}

impl AsyncRead for Caller {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if !self.known.get() {
            let read = buffer.filled().len() - before;
            let left = self.left.checked_sub(read);
            self.left = left.ok_or_else(|| io::Error::other("it said too much before who it is"))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Caller {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

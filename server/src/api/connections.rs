//! Connections as they come in: at most so many, each with a budget for what is not read.
//!
//! ```text
//! accept ──┬─ room ──────> served
//!          ├─ no room ───> told so, and closed after a moment
//!          └─ an error ──> a pause, and now and then a word in the log
//! ```

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;
use tonic::transport::server::Connected;
use xbook_proto::v1::Reason;

use crate::api::error::Refusal;
use crate::api::streams::unread::Unread;

/// How many connections above the limit are told so at a time, and how long each may stay.
const MAX_TOLD: usize = 16;
const TOLD_FOR: Duration = Duration::from_secs(1);

/// How long to wait after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// How often the log tells of the same trouble.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// A connection.
pub(in crate::api) struct Connection {
    tcp: TcpStream,
    info: Peer,
    /// When one above the limit is closed.
    until: Option<Pin<Box<Sleep>>>,
    _turn: OwnedSemaphorePermit,
}

/// What calls know of their connection.
#[derive(Clone)]
pub(in crate::api) struct Peer {
    /// The connection's budget and the node's.
    pub unread: Unread,
    /// The limit on connections, if this one is above it.
    above: Option<usize>,
}

/// Accepts connections, of which at most `limit` are served at a time.
pub(in crate::api) fn incoming(
    listener: TcpListener,
    limit: usize,
    unread: Unread,
) -> impl Stream<Item = io::Result<Connection>> {
    let accept = Accept {
        listener,
        limit,
        unread,
        served: Arc::new(Semaphore::new(limit)),
        told: Arc::new(Semaphore::new(MAX_TOLD)),
        logged: None,
    };
    stream::unfold(accept, async |mut accept| {
        let connection = accept.next().await;
        Some((Ok(connection), accept))
    })
}

struct Accept {
    listener: TcpListener,
    limit: usize,
    unread: Unread,
    served: Arc<Semaphore>,
    told: Arc<Semaphore>,
    logged: Option<Instant>,
}

impl Accept {
    async fn next(&mut self) -> Connection {
        loop {
            let tcp = match self.listener.accept().await {
                Ok((tcp, _)) => tcp,
                Err(error) => {
                    self.log(&format!("connections can't be accepted: {error}"));
                    // Without a file descriptor the next attempt fails at once.
                    sleep(PAUSE).await;
                    continue;
                }
            };
            // Small messages are not to wait for each other; one that can't be set is only slower.
            let _ = tcp.set_nodelay(true);
            let unread = self.unread.of_connection();
            if let Ok(turn) = Arc::clone(&self.served).try_acquire_owned() {
                let info = Peer { unread, above: None };
                return Connection { tcp, info, until: None, _turn: turn };
            }
            self.log(&format!(
                "there are {} connections, as many as there may be: more are refused",
                self.limit
            ));
            if let Ok(turn) = Arc::clone(&self.told).acquire_owned().await {
                let info = Peer { unread, above: Some(self.limit) };
                return Connection { tcp, info, until: Some(Box::pin(sleep(TOLD_FOR))), _turn: turn };
            }
        }
    }

    fn log(&mut self, words: &str) {
        // A sleep knows the time without anyone reading a clock here.
        let now = sleep(Duration::ZERO).deadline();
        if self.logged.is_none_or(|logged| now.duration_since(logged) >= LOG_EVERY) {
            self.logged = Some(now);
            tracing::warn!("{words}");
        }
    }
}

/// Refuses the calls of a connection above the limit.
///
/// # Errors
/// It is one.
#[allow(clippy::result_large_err, reason = "tonic's interceptors are made so")]
pub(in crate::api) fn refuse_above_limit(call: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
    match call.extensions().get::<Peer>().and_then(|peer| peer.above) {
        None => Ok(call),
        Some(limit) => {
            let words = format!(
                "the node has {limit} connections, as many as it may have: close some, or ask another node"
            );
            Err(Refusal::new(Reason::TooManyConnections, words).into())
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(until) = &mut self.until
            && until.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

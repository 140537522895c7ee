//! The listener for peers.

use std::future::Future;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::transport::Server;

use super::caller::callers;
use super::gate::Gate;
use super::link::Router;

/// Streams of one connection: a node needs one.
const MAX_STREAMS_PER_CONNECTION: u32 = 4;

/// Bytes that one stream and one connection may have on their way to this node.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;

/// How often a silent connection is asked whether it is still there, and how long it may think.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Lets peers in until `shutdown` completes.
///
/// # Errors
/// The transport's own.
pub async fn serve<R: Router>(
    gate: Gate<R>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), tonic::transport::Error> {
    let mut server = Server::builder()
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT));
    let router = server.add_service(gate.service());
    router.serve_with_incoming_shutdown(callers(listener), shutdown).await
}

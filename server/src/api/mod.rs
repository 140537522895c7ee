//! The gRPC services.
//!
//! ```text
//! connection ──> layers (limits, request id, span) ──> service ──> admission ──> submit ──> node
//!                                                        └──> view, history, streams <──┘
//! ```
//!
//! Rooms by service: `trading`, `market_data`, `subscribe`, `cluster`. They share
//!
//! - `access`: who calls, and until when;
//! - [`admission`]: messages to valid requests; `submit`: the way of a request to its answer;
//! - `markets`: finding them, and what their numbers count in; `each_market`: a request to all of them;
//! - `convert`: words of the core to words of the API; [`error`]: the one place where a reason becomes a status;
//! - `pages`: lists page by page, and how large an answer may be;
//! - `streams`: what flows, and what it may take.
//!
//! `connections` says how many there may be, `health` how the node is.

mod access;
pub mod admission;
mod cluster;
mod connections;
mod convert;
mod each_market;
pub mod error;
mod health;
mod market_data;
mod markets;
mod pages;
mod streams;
mod submit;
mod subscribe;
mod trading;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tonic::Status;
use tonic::service::InterceptorLayer;
use tonic::transport::Server;
use xbook_proto::v1::cluster_service_server::ClusterServiceServer;
use xbook_proto::v1::market_data_service_server::MarketDataServiceServer;
use xbook_proto::v1::subscription_service_server::SubscriptionServiceServer;
use xbook_proto::v1::trading_service_server::TradingServiceServer;

use crate::layers;
use crate::node::Node;
use crate::types::Micros;
pub use access::DEFAULT_ACCOUNT;
use error::Refusal;
use market_data::past::Pasts;
use pages::size;
use streams::unread::Unread;
use subscribe::Feeds;
use trading::positions::Positions;

/// Largest message that is received.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1_024 * 1_024;

/// Most calls of one connection that are worked on at a time; streams count until they have begun.
const MAX_CALLS_PER_CONNECTION: usize = 1_024;

/// Most calls and streams that one connection may have open.
const MAX_STREAMS_PER_CONNECTION: u32 = 2_048;

/// Bytes that one stream and one connection may have on their way to this node.
const STREAM_WINDOW: u32 = 1_024 * 1_024;
const CONNECTION_WINDOW: u32 = 4 * 1_024 * 1_024;

/// How often a silent connection is asked whether it is still there, and how long it may think.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What clients may take of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections.
    pub connections: usize,
    /// Streams.
    pub streams: usize,
    /// Bytes that wait for the readers of one connection's streams.
    pub unread_of_connection: usize,
    /// Bytes that wait for the readers of all streams.
    pub unread: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1_024 * 1_024;
        Self { connections: 4_096, streams: 8_192, unread_of_connection: 16 * MIB, unread: 64 * MIB }
    }
}

/// What all services share.
#[derive(Clone)]
struct Api {
    node: Node,
    /// Held while a document's stored tape is opened and matched again: it takes as much memory.
    verifying: Arc<Semaphore>,
    stopping: Stopping,
    unread: Unread,
    feeds: Feeds,
    pasts: Pasts,
    positions: Positions,
}

/// Tells when and why the services are to end.
#[derive(Clone)]
struct Stopping(watch::Receiver<Option<Refusal>>);

impl Stopping {
    /// Whether the services are to end.
    fn is_requested(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Completes when the services are to end, with what to tell who is still there.
    async fn requested(&mut self) -> Refusal {
        match self.0.wait_for(Option::is_some).await.map(|refusal| refusal.clone()) {
            Ok(Some(refusal)) => refusal,
            // Without a sender nothing will ever be said again, which is a stop too.
            _ => Refusal::shutting_down(),
        }
    }
}

impl Api {
    fn clock_now(&self) -> Micros {
        self.node.clock().now()
    }
}

/// Serves a node until `shutdown` completes or the node ends by itself: then streams are told so,
/// and calls that were taken are answered. Whoever waits for that decides how long.
///
/// # Errors
/// The transport's own.
pub async fn serve(
    node: Node,
    listener: TcpListener,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let (stop, stopping) = watch::channel(None);
    let mut stopping = Stopping(stopping);
    let limit = limits.connections;
    let api = Api {
        node: node.clone(),
        verifying: Arc::new(Semaphore::new(1)),
        stopping: stopping.clone(),
        unread: Unread::new(limits.unread_of_connection, limits.unread, limits.streams),
        feeds: Feeds::default(),
        pasts: Pasts::default(),
        positions: Positions::default(),
    };
    let (health, watching) = health::service(node.clone(), stopping.clone()).await;
    let incoming = connections::incoming(listener, limit, api.unread.clone());
    let mut server = Server::builder()
        .layer(layers::well_formed_ids())
        .layer(layers::request_ids(node.started()))
        .layer(layers::spans())
        .layer(layers::failures())
        .layer(layers::answered_ids())
        .layer(InterceptorLayer::new(connections::refuse_above_limit))
        .layer(layers::blamed_requests())
        .concurrency_limit_per_connection(MAX_CALLS_PER_CONNECTION)
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT));
    let router = server
        .add_service(
            TradingServiceServer::new(api.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(size::MAX_ANSWER_BYTES),
        )
        .add_service(
            MarketDataServiceServer::new(api.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(size::MAX_ANSWER_BYTES),
        )
        .add_service(
            SubscriptionServiceServer::new(api.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(size::MAX_ANSWER_BYTES),
        )
        .add_service(
            ClusterServiceServer::new(api)
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(size::MAX_ANSWER_BYTES),
        )
        .add_service(health)
        .add_service(reflection().build_v1().context("the reflection service")?)
        .add_service(reflection().build_v1alpha().context("the reflection service")?);
    let serving = router.serve_with_incoming_shutdown(incoming, async { _ = stopping.requested().await });
    let ending = async {
        let why = tokio::select! {
            () = shutdown => Refusal::shutting_down(),
            ending = node.ended() => ending.into(),
        };
        stop.send_replace(Some(why));
        std::future::pending::<Infallible>().await
    };
    let result = tokio::select! {
        served = serving => served.context("serving gRPC"),
        never = ending => match never {},
    };
    watching.abort();
    result
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(xbook_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// The words of a status that came from the transport.
fn text_of(status: &Status) -> String {
    status.message().to_owned()
}

//! A bare gRPC server that answers what it was sent: the floor of all calls and streams.

use std::net::Ipv4Addr;
use std::pin::Pin;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use xbook_proto::peer::v1::peer_service_server::{PeerService, PeerServiceServer};
use xbook_proto::peer::v1::{SyncRequest, SyncResponse};

/// Sends every frame back.
struct Echo;

type Responses = Pin<Box<dyn Stream<Item = Result<SyncResponse, Status>> + Send>>;

#[tonic::async_trait]
impl PeerService for Echo {
    type SyncStream = Responses;

    async fn sync(&self, request: Request<Streaming<SyncRequest>>) -> Result<Response<Responses>, Status> {
        let frames = request.into_inner();
        let responses = frames.map(|frame| frame.map(|request| SyncResponse { frame: request.frame }));
        Ok(Response::new(Box::pin(responses)))
    }
}

/// Serves health checks and echoes from a thread of its own, for as long as the process runs, and
/// connects with it.
///
/// # Errors
/// The system has no socket or thread to give.
pub async fn connect() -> Result<Channel> {
    let (told, address) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("echo".to_owned()).spawn(move || -> Result<()> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            // Whoever asked may have gone; then it serves nobody.
            let _ = told.send(listener.local_addr()?);
            let (health, service) = tonic_health::server::health_reporter();
            health.set_service_status("", tonic_health::ServingStatus::Serving).await;
            let server = Server::builder().tcp_nodelay(true).add_service(service);
            let incoming = TcpListenerStream::new(listener).map(|stream| {
                let stream = stream?;
                stream.set_nodelay(true)?;
                std::io::Result::Ok(stream)
            });
            Ok(server.add_service(PeerServiceServer::new(Echo)).serve_with_incoming(incoming).await?)
        })
    })?;
    let address = address.await.context("the echo server did not start")?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
    Ok(endpoint.connect().await?)
}

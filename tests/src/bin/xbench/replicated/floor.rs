//! What nothing can be faster than: bare syncs, bare calls, a bare stream.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use xbook_proto::peer::v1::peer_service_client::PeerServiceClient;
use xbook_proto::peer::v1::{DocumentMessage, Frame, SyncRequest, frame::Content};
use xbook_tests::clock::Stopwatch;

use super::echo;
use super::row::Row;
use crate::disk::Blocks;

/// Frames of the stream that may be on their way.
const ON_THEIR_WAY: usize = 1_024;

/// Measures the floor, each for so long.
///
/// # Errors
/// The disk fails, or the echo's connection is lost.
pub async fn measure(span: Duration) -> Result<Vec<Row>> {
    let mut rows = vec![appends(span)?];
    let channel = echo::connect().await?;
    for clients in [1, 64] {
        rows.push(calls(&channel, clients, span).await?);
    }
    rows.push(stream(&channel, span).await?);
    Ok(rows)
}

fn appends(span: Duration) -> Result<Row> {
    let directory = tempfile::Builder::new().prefix("xbook-bench-").tempdir()?;
    let mut blocks = Blocks::new(directory.path(), 0)?;
    let mut latencies = Histogram::<u64>::new(3)?;
    let all = Stopwatch::start();
    while all.elapsed() < span {
        let one = Stopwatch::start();
        blocks.write_one()?;
        latencies.record(one.elapsed_ns())?;
    }
    let row = Row::new("floor: 4 KiB append, fdatasync", 0, 1, latencies.len(), all.elapsed(), &latencies);
    Ok(row.with_syncs())
}

async fn calls(channel: &Channel, clients: u32, span: Duration) -> Result<Row> {
    let all = Stopwatch::start();
    let client = || async {
        let mut latencies = Histogram::<u64>::new(3)?;
        let mut health = HealthClient::new(channel.clone());
        while all.elapsed() < span {
            let one = Stopwatch::start();
            health.check(HealthCheckRequest::default()).await.context("the bare call")?;
            latencies.record(one.elapsed_ns())?;
        }
        anyhow::Ok(latencies)
    };
    let mut latencies = Histogram::<u64>::new(3)?;
    for one in try_join_all((0..clients).map(|_| client())).await? {
        latencies.add(one)?;
    }
    Ok(Row::new("floor: tonic unary", 0, clients, latencies.len(), all.elapsed(), &latencies))
}

async fn stream(channel: &Channel, span: Duration) -> Result<Row> {
    let (frames, outgoing) = mpsc::channel(ON_THEIR_WAY);
    let all = Stopwatch::start();
    let sending = async move {
        while all.elapsed() < span {
            // The frame says when it was sent.
            let message =
                DocumentMessage { document: "x".repeat(40), generation: all.elapsed_ns(), message: None };
            let frame = Frame { content: Some(Content::Message(message)) }.encode_to_vec().into();
            if frames.send(SyncRequest { frame }).await.is_err() {
                return;
            }
        }
    };
    let mut client = PeerServiceClient::new(channel.clone());
    let receiving = async {
        let mut latencies = Histogram::<u64>::new(3)?;
        let mut echoes = client.sync(ReceiverStream::new(outgoing)).await?.into_inner();
        while let Some(echo) = echoes.message().await? {
            let Some(Content::Message(message)) = Frame::decode(echo.frame)?.content else {
                anyhow::bail!("not an echo");
            };
            latencies.record(all.elapsed_ns().saturating_sub(message.generation))?;
        }
        Ok(latencies)
    };
    let (received, ()) = tokio::join!(receiving, sending);
    let latencies: Histogram<u64> = received?;
    let clients = u32::try_from(ON_THEIR_WAY)?;
    Ok(Row::new("floor: tonic stream echo", 0, clients, latencies.len(), all.elapsed(), &latencies))
}

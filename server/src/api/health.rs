//! gRPC health: serving as long as every replica of the node answers.

use std::time::Duration;

use tokio::task::JoinHandle;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

use super::Stopping;
use crate::node::Node;

/// How often the replicas are asked, and how long they may take to answer.
const INTERVAL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// The services whose health is told; the empty name stands for the node.
const SERVICES: [&str; 4] =
    ["", "xbook.v1.TradingService", "xbook.v1.MarketDataService", "xbook.v1.ClusterService"];

/// The health service, and the task that keeps it up to date.
pub(super) async fn service(node: Node, stopping: Stopping) -> (HealthServer<impl Health>, JoinHandle<()>) {
    let (reporter, service) = tonic_health::server::health_reporter();
    report(&reporter, is_well(&node).await).await;
    (service, tokio::spawn(watch(node, reporter, stopping)))
}

async fn watch(node: Node, mut reporter: HealthReporter, mut stopping: Stopping) {
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        let stops = tokio::select! {
            _ = stopping.requested() => true,
            _ = interval.tick() => false,
        };
        report(&reporter, !stops && is_well(&node).await).await;
        if stops {
            // Whoever watches has the last word now; a stream that went on would keep the server.
            for service in SERVICES {
                reporter.clear_service_status(service).await;
            }
            return;
        }
    }
}

/// Whether the node takes requests and every replica answers in time.
async fn is_well(node: &Node) -> bool {
    if !node.is_serving() {
        return false;
    }
    let answers = node.documents().into_iter().map(|document| async move {
        let answer = tokio::time::timeout(PATIENCE, document.read(|_| ()));
        matches!(answer.await, Ok(Ok(())))
    });
    futures::future::join_all(answers).await.into_iter().all(|well| well)
}

async fn report(reporter: &HealthReporter, well: bool) {
    let status = if well { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}

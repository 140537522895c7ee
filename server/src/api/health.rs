//! gRPC health: the node serves as long as every replica that is not quarantined answers; a
//! quarantined document alone does not.

use std::time::Duration;

use tokio::task::JoinHandle;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

use crate::api::Stopping;
use crate::document::DIRECTORY;
use crate::node::{Closed, DocumentHandle, Node};

/// How often the replicas are asked, and how long they may take to answer.
const INTERVAL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// The services whose health is told; the empty name stands for the node.
const SERVICES: [&str; 4] =
    ["", "xbook.v1.TradingService", "xbook.v1.MarketDataService", "xbook.v1.ClusterService"];

/// The health service, and the task that keeps it up to date.
pub(in crate::api) async fn service(
    node: Node,
    stopping: Stopping,
) -> (HealthServer<impl Health>, JoinHandle<()>) {
    let (reporter, service) = tonic_health::server::health_reporter();
    report(&reporter, &node, is_well(&node).await).await;
    (service, tokio::spawn(watch(node, reporter, stopping)))
}

async fn watch(node: Node, mut reporter: HealthReporter, mut stopping: Stopping) {
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        let stops = tokio::select! {
            _ = stopping.requested() => true,
            _ = interval.tick() => false,
        };
        report(&reporter, &node, !stops && is_well(&node).await).await;
        if stops {
            // Whoever watches has the last word now; a stream that went on would keep the server.
            for service in SERVICES {
                reporter.clear_service_status(service).await;
            }
            for document in node.documents() {
                reporter.clear_service_status(&service_of(&document)).await;
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
    let documents = node.documents().into_iter().filter(|document| document.quarantine().is_none());
    let answers = documents.map(|document| async move {
        let answer = tokio::time::timeout(PATIENCE, document.read(|_| ()));
        // One that was quarantined meanwhile is not the node's.
        matches!(answer.await, Ok(Ok(()) | Err(Closed::Quarantined { .. } | Closed::Unreadable { .. })))
    });
    futures::future::join_all(answers).await.into_iter().all(|well| well)
}

async fn report(reporter: &HealthReporter, node: &Node, well: bool) {
    let status = |well| if well { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in SERVICES {
        reporter.set_service_status(service, status(well)).await;
    }
    for document in node.documents() {
        let well = well && document.quarantine().is_none();
        reporter.set_service_status(service_of(&document), status(well)).await;
    }
}

/// The name by which a document's health is asked for.
fn service_of(document: &DocumentHandle) -> String {
    match document.name() {
        DIRECTORY => DIRECTORY.to_owned(),
        market => format!("market/{market}"),
    }
}

//! Whether a node is fit to become a voter: one that is down or far behind counts in every majority
//! from the moment at which it is added, and trading may stop.

use std::time::Duration;

use tonic::Response;
use tonic::transport::Endpoint;
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;
use xbook_proto::v1::{ClusterNode, DocumentStatus, GetNodeRequest, GetNodeResponse, ListNodesRequest};

use crate::args::VoterArgs;
use crate::connect::Client;
use crate::failure::Failure;

/// How long the node itself is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many positions a node may be behind, which under load every node is by some.
const LAG: u64 = 10_000;

/// What speaks against making a node a voter; nothing if it is fit, or the answering node does not
/// know it and will say so itself.
pub async fn doubt(client: &Client, args: &VoterArgs) -> Result<Option<String>, Failure> {
    let listed = client.cluster().list_nodes(client.request(ListNodesRequest {})).await;
    let listed = listed.map_err(|status| Failure::of_read(&status))?.into_inner();
    let Some(node) = listed.nodes.into_iter().find(|node| node.node_id == args.voter) else {
        return Ok(None);
    };
    if node.this_node {
        return Ok(None);
    }
    if !node.connected {
        return Ok(Some(format!(
            "node {} is not connected with the node that was asked: as a voter it counts in every majority, and \
             while it is down trading may stop",
            node.node_id
        )));
    }
    // A node that does not answer clients where its peers reach it tells nothing.
    let Some(theirs) = documents_of(&node).await else { return Ok(None) };
    let ours = client.cluster().get_node(client.request(GetNodeRequest {})).await;
    let ours = ours.map_err(|status| Failure::of_read(&status))?.into_inner().documents;
    let concerned =
        ours.iter().filter(|document| args.market.as_ref().is_none_or(|name| *name == document.name));
    Ok(concerned.filter_map(|document| behind(document, &theirs)).next().map(|what| {
        format!(
            "node {} is behind: {what}; as a voter it may stop trading until it has caught up",
            node.node_id
        )
    }))
}

async fn documents_of(node: &ClusterNode) -> Option<Vec<DocumentStatus>> {
    let endpoint = Endpoint::from_shared(format!("http://{}", node.address)).ok()?;
    let asked = async {
        let channel = endpoint.connect().await.ok()?;
        ClusterServiceClient::new(channel).get_node(GetNodeRequest {}).await.map(Response::into_inner).ok()
    };
    let answer: GetNodeResponse = tokio::time::timeout(PATIENCE, asked).await.ok()??;
    (answer.node_id == node.node_id).then_some(answer.documents)
}

/// How a node is behind in a document, if it is.
fn behind(document: &DocumentStatus, theirs: &[DocumentStatus]) -> Option<String> {
    let name = &document.name;
    let Some(copy) = theirs.iter().find(|copy| copy.name == *name) else {
        return Some(format!("it does not have {name} yet"));
    };
    if copy.generation < document.generation {
        let (there, here) = (copy.generation, document.generation);
        return Some(format!("it is in generation {there} of {name}, and generation {here} has begun"));
    }
    let missing = document.position.saturating_sub(copy.position);
    (missing > LAG).then(|| format!("it lacks {missing} events of {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_behind_by_document_generation_or_position() {
        let status = |generation, position| DocumentStatus {
            name: "A/B".to_owned(),
            generation,
            position,
            ..DocumentStatus::default()
        };
        for (theirs, expected) in [
            (vec![], Some("it does not have A/B yet")),
            (vec![status(1, 50_000)], Some("it is in generation 1 of A/B, and generation 2 has begun")),
            (vec![status(2, 9_999)], Some("it lacks 40001 events of A/B")),
            (vec![status(2, 40_000)], None),
            (vec![status(3, 60_000)], None),
        ] {
            assert_eq!(behind(&status(2, 50_000), &theirs).as_deref(), expected);
        }
    }
}

//! What another node says of a position, beside what this one has there.

use std::time::Duration;

use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt;
use xbook_proto::v1;
use xbook_proto::v1::DigestComparison as Comparison;
use xbook_proto::v1::Reason;
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;

use crate::api::access::Deadline;
use crate::api::error::reason_name;
use crate::node::cut;
use crate::types::{NodeId, Position};

/// How long another node may take to say what it has.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a node that is behind is asked.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What this node has.
pub(super) struct Mine {
    /// "directory", or the market's name.
    pub document: String,
    /// The position that is compared.
    pub position: Position,
    /// The digest there; empty if it is not kept.
    pub digest: String,
}

impl Mine {
    /// This node's own line.
    pub fn own(&self, me: NodeId) -> v1::NodeDigest {
        if self.digest.is_empty() {
            return said(
                me,
                Comparison::NotKept,
                "it does not keep the digest of this position, so no node can be compared",
            );
        }
        v1::NodeDigest { digest: self.digest.clone(), ..said(me, Comparison::Equal, "") }
    }

    /// Asks another node.
    pub async fn ask(&self, node: NodeId, address: String, deadline: Deadline) -> v1::NodeDigest {
        if address.is_empty() {
            return said(node, Comparison::Unreachable, "where it is reached is not known");
        }
        let mut behind = None;
        let asked = tokio::time::timeout(PATIENCE, self.ask_until_there(address, &mut behind));
        match deadline.wait(asked).await {
            Ok(Ok(Ok(theirs))) => self.compare(node, &theirs),
            Ok(Ok(Err(status))) if was_reached(&status) => said(node, Comparison::Refused, status.message()),
            Ok(Ok(Err(status))) => said(node, Comparison::Unreachable, status.message()),
            Ok(Err(_)) | Err(_) => match behind {
                Some(words) => said(node, Comparison::Behind, &words),
                None => said(node, Comparison::Unreachable, "it did not answer in time"),
            },
        }
    }

    /// Asks until the node shows the position; what it says until then is left in `behind`.
    async fn ask_until_there(
        &self,
        address: String,
        behind: &mut Option<String>,
    ) -> Result<v1::GetDigestResponse, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.map_err(|error| Status::unavailable(format!("{address}: {error}")))?;
        let channel = endpoint.connect().await;
        let channel: Channel =
            channel.map_err(|error| Status::unavailable(format!("{address}: {}", cause(&error))))?;
        let mut client = ClusterServiceClient::new(channel);
        loop {
            let request = v1::GetDigestRequest { market: self.document.clone(), position: self.position.0 };
            match client.get_digest(request).await {
                Err(status) if is_early(&status) => *behind = Some(status.message().to_owned()),
                answer => return answer.map(tonic::Response::into_inner),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    fn compare(&self, node: NodeId, theirs: &v1::GetDigestResponse) -> v1::NodeDigest {
        if theirs.node_id != node.to_string() {
            let words = format!("node {} answers at its address", cut(&theirs.node_id));
            return said(node, Comparison::Unreachable, &words);
        }
        let whose = match () {
            () if self.digest.is_empty() => Some("the answering node does"),
            () if theirs.digest.is_empty() || theirs.position != self.position.0 => Some("it does"),
            () => None,
        };
        let (comparison, words) = match whose {
            Some(whose) => (Comparison::NotKept, format!("{whose} not keep the digest of this position")),
            None if theirs.digest == self.digest => (Comparison::Equal, String::new()),
            None => (Comparison::Different, String::new()),
        };
        v1::NodeDigest { digest: cut(&theirs.digest), ..said(node, comparison, &words) }
    }
}

/// Whether an error is the node's own word, and not that of the way to it.
fn was_reached(status: &Status) -> bool {
    status.get_error_details().error_info().is_some()
}

/// Whether the node may have the position soon.
fn is_early(status: &Status) -> bool {
    let details = status.get_error_details();
    let early = [Reason::Position, Reason::Starting].map(reason_name);
    details.error_info().is_some_and(|info| early.contains(&info.reason.as_str()))
}

fn said(node: NodeId, comparison: Comparison, message: &str) -> v1::NodeDigest {
    let (node_id, message) = (node.to_string(), cut(message));
    v1::NodeDigest { node_id, comparison: comparison.into(), message, ..v1::NodeDigest::default() }
}

/// The innermost cause of an error, which says what happened.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

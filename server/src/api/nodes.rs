//! The nodes of the cluster: `ListNodes`, `RemoveNode`.

use std::collections::{BTreeMap, BTreeSet};

use xbook_proto::v1::{self, AnswerWhen, Reason};

use super::call::Deadline;
use super::error::Refusal;
use super::submit::Reached;
use super::{Api, admission};
use crate::machine::Action;
use crate::types::NodeId;

impl Api {
    /// The nodes in the directory, and those that are only connected.
    pub(super) async fn list_nodes(&self, deadline: Deadline) -> Result<v1::ListNodesResponse, Refusal> {
        let (position, entries) = deadline.wait(self.node.directory_nodes()).await??;
        let voters = deadline.wait(self.directory_voters()).await??;
        let now = self.clock_now();
        let clocks = self.node.directory().read(move |replica| replica.clock_differences(now));
        let clocks = deadline.wait(clocks).await??;
        let connected: BTreeSet<NodeId> = self.node.peers().into_iter().collect();
        let mut addresses: BTreeMap<NodeId, String> =
            connected.iter().chain([&self.node.id()]).map(|node| (*node, String::new())).collect();
        addresses.extend(entries.into_iter().map(|(node, entry)| (node, entry.address.to_string())));
        let nodes = addresses.into_iter().map(|(node, address)| v1::ClusterNode {
            node_id: node.to_string(),
            address,
            this_node: node == self.node.id(),
            connected: node == self.node.id() || connected.contains(&node),
            voter: voters.contains(&node),
            clock_ahead_us: clocks.get(&node).copied(),
        });
        Ok(v1::ListNodesResponse { nodes: nodes.collect(), position: position.0 })
    }

    /// Has the directory forget a node.
    pub(super) async fn remove_node(
        &self,
        call: tonic::Request<v1::RemoveNodeRequest>,
    ) -> Result<v1::RemoveNodeResponse, Refusal> {
        let (caller, deadline) = self.caller(&call)?;
        let request = admission::remove_node(call.into_inner(), &caller)?;
        let Action::RemoveNode(node) = request.action else {
            return Err(Refusal::new(Reason::Unspecified, "the request removes no node"));
        };
        deadline.wait(self.check_no_voter(node)).await??;
        match self.submit(self.node.directory(), request, AnswerWhen::Committed, deadline).await? {
            Reached::Accepted(_) => Err(Refusal::deadline()),
            Reached::Committed(settled) => match settled.refused {
                Reason::Unspecified => Ok(v1::RemoveNodeResponse { position: settled.position.0 }),
                Reason::UnknownNode => Err(Refusal::unknown_node(node)),
                reason => Err(Refusal::new(reason, "the node was not removed").field("node_id").value(node)),
            },
        }
    }

    /// A node that votes on a document can't be forgotten.
    async fn check_no_voter(&self, node: NodeId) -> Result<(), Refusal> {
        for document in self.node.documents() {
            let votes = document.read(move |replica| replica.status().voters.contains(&node)).await?;
            if votes {
                let words = format!("must be no voter, but it votes on {}", document.name());
                return Err(Refusal::new(Reason::AlreadyVoter, words).field("node_id").value(node));
            }
        }
        Ok(())
    }

    /// The nodes that may become voters: those that this one knows.
    pub(super) async fn known_nodes(&self) -> Result<BTreeSet<NodeId>, Refusal> {
        let (_, entries) = self.node.directory_nodes().await?;
        let known = self.node.peers().into_iter().chain([self.node.id()]).chain(entries.into_keys());
        Ok(known.collect())
    }

    pub(super) async fn directory_voters(&self) -> Result<Vec<NodeId>, Refusal> {
        Ok(self.node.directory().read(|replica| replica.status().voters).await?)
    }
}

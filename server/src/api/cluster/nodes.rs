//! The nodes of the cluster: `ListNodes`, `RemoveNode`.

use std::collections::{BTreeMap, BTreeSet};

use xbook_proto::v1::{self, AnswerWhen, Reason};

use crate::api::Api;
use crate::api::access::Deadline;
use crate::api::admission;
use crate::api::convert::timestamp;
use crate::api::error::Refusal;
use crate::api::submit::Reached;
use crate::machine::{Action, Invitation, NodeEntry};
use crate::types::NodeId;

impl Api {
    /// The nodes in the directory, and those that are only connected.
    pub(in crate::api) async fn list_nodes(
        &self,
        deadline: Deadline,
    ) -> Result<v1::ListNodesResponse, Refusal> {
        let (position, entries) = deadline.wait(self.node.directory_nodes()).await??;
        let summary = self.node.directory().summary()?;
        let (voters, clocks) = (&summary.status.voters, &summary.clocks);
        let connected: BTreeSet<NodeId> = self.node.peers().into_iter().collect();
        let mut addresses: BTreeMap<NodeId, [String; 2]> =
            connected.iter().chain([&self.node.id()]).map(|node| (*node, Default::default())).collect();
        let both = |entry: &NodeEntry| [entry.address.to_string(), entry.peer_address.to_string()];
        addresses.extend(entries.into_iter().map(|(node, entry)| (node, both(&entry))));
        let nodes = addresses.into_iter().map(|(node, [address, peer_address])| v1::ClusterNode {
            node_id: node.to_string(),
            address,
            peer_address,
            this_node: node == self.node.id(),
            connected: node == self.node.id() || connected.contains(&node),
            voter: voters.contains(&node),
            clock_ahead_us: clocks.get(&node).copied(),
        });
        Ok(v1::ListNodesResponse { nodes: nodes.collect(), position: position.0 })
    }

    /// Has the directory forget a node.
    pub(in crate::api) async fn remove_node(
        &self,
        call: tonic::Request<v1::RemoveNodeRequest>,
    ) -> Result<v1::RemoveNodeResponse, Refusal> {
        let (caller, deadline) = self.caller(&call)?;
        let request = admission::remove_node(call.into_inner(), &caller)?;
        let Action::RemoveNode(node) = request.action else {
            return Err(Refusal::new(Reason::Unspecified, "the request removes no node"));
        };
        self.check_no_voter(node)?;
        match self.submit(self.node.directory(), request, AnswerWhen::Committed, deadline).await? {
            Reached::Accepted(_) => Err(Refusal::deadline()),
            Reached::Committed(settled) => match settled.refused {
                Reason::Unspecified => Ok(v1::RemoveNodeResponse { position: settled.position.0 }),
                Reason::UnknownNode => Err(Refusal::unknown_node(node)),
                reason => Err(Refusal::new(reason, "the node was not removed").field("node_id").value(node)),
            },
        }
    }

    /// Makes a token by which nodes may join.
    pub(in crate::api) async fn create_join_token(
        &self,
        call: tonic::Request<v1::CreateJoinTokenRequest>,
    ) -> Result<v1::CreateJoinTokenResponse, Refusal> {
        let (caller, deadline) = self.caller(&call)?;
        let message = call.into_inner();
        let token = message.token.clone();
        let request = admission::create_join_token(message, &caller)?;
        let Action::Invite(Invitation { hash, expires, .. }) = request.action else {
            return Err(Refusal::new(Reason::Unspecified, "the request invites nobody"));
        };
        let settled =
            match self.submit(self.node.directory(), request, AnswerWhen::Committed, deadline).await? {
                Reached::Accepted(_) => return Err(Refusal::deadline()),
                Reached::Committed(settled) => settled,
            };
        match settled.refused {
            Reason::Unspecified => {}
            Reason::TooMany => {
                let words =
                    "the directory holds as many join tokens as it may, until one is used up or expires";
                return Err(Refusal::new(Reason::TooMany, words));
            }
            reason => return Err(Refusal::new(reason, "the token was not made")),
        }
        let me = self.node.id();
        let read = self.node.directory().read(move |replica| {
            let directory = replica.view().machine.directory()?;
            let peer_address = directory.node(me).map(|entry| entry.peer_address.to_string());
            Some((peer_address.unwrap_or_default(), directory.tokens().expires(&hash)))
        });
        let (peer_address, first) = deadline.wait(read).await??.unwrap_or_default();
        Ok(v1::CreateJoinTokenResponse {
            // A repeat is about the token that the first one made.
            expire_time: Some(timestamp(first.unwrap_or(expires))),
            peer_address,
            position: settled.position.0,
            token,
        })
    }

    /// A node that votes on a document can't be forgotten.
    fn check_no_voter(&self, node: NodeId) -> Result<(), Refusal> {
        for document in self.node.documents() {
            if document.summary()?.status.voters.contains(&node) {
                let words = format!("must be no voter, but it votes on {}", document.name());
                return Err(Refusal::new(Reason::AlreadyVoter, words).field("node_id").value(node));
            }
        }
        Ok(())
    }

    /// The nodes that may become voters: those that this one knows.
    pub(in crate::api) async fn known_nodes(&self) -> Result<BTreeSet<NodeId>, Refusal> {
        let (_, entries) = self.node.directory_nodes().await?;
        let known = self.node.peers().into_iter().chain([self.node.id()]).chain(entries.into_keys());
        Ok(known.collect())
    }

    pub(in crate::api) fn directory_voters(&self) -> Result<Vec<NodeId>, Refusal> {
        Ok(self.node.directory().summary()?.status.voters.clone())
    }
}

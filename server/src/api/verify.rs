//! `GetDigest` and `VerifyMarket`: whether all nodes have the same tape, and whether it is right.

use futures::future::join_all;
use tonic::Request;
use tonic::transport::Endpoint;
use xbook_proto::v1;
use xbook_proto::v1::DigestComparison as Comparison;
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;

use super::Api;
use super::call::Deadline;
use super::error::Refusal;
use super::trading::units;
use crate::machine::NodeEntry;
use crate::node::ReplicaHandle;
use crate::replica::{Rematch, RematchError};
use crate::types::{Lots, NodeId, Position};

/// How long another node may take to say what it has.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

impl Api {
    pub(super) async fn digest(
        &self,
        call: Request<v1::GetDigestRequest>,
    ) -> Result<v1::GetDigestResponse, Refusal> {
        let deadline = Deadline::of(call.metadata(), self.clock_now());
        let v1::GetDigestRequest { market, position } = call.into_inner();
        let market = self.find_market(&market)?;
        deadline.wait(market.reached(Position(position))).await??;
        let (position, digest) = deadline.wait(digest_at(&market, Position(position))).await??;
        Ok(v1::GetDigestResponse { position: position.0, digest: digest.map(hex).unwrap_or_default() })
    }

    pub(super) async fn verify(
        &self,
        call: Request<v1::VerifyMarketRequest>,
    ) -> Result<v1::VerifyMarketResponse, Refusal> {
        let deadline = Deadline::of(call.metadata(), self.clock_now());
        let name = call.into_inner().market;
        let market = self.find_market(&name)?;
        let (position, digest) = deadline.wait(digest_at(&market, Position(0))).await??;
        let digest = digest.map(hex).unwrap_or_default();
        let (_, others) = deadline.wait(self.node.directory_nodes()).await??;
        let me = self.node.id();
        let others = others.into_values().filter(|entry| entry.node != me);
        let asked = join_all(others.map(|entry| ask(entry, name.clone(), position, digest.clone())));
        let (asked, matched) =
            tokio::join!(deadline.wait(asked), deadline.wait(self.rematch(&name, position)));
        let mut nodes = vec![v1::NodeDigest {
            node_id: me.to_string(),
            comparison: Comparison::Equal.into(),
            digest: digest.clone(),
            message: String::new(),
        }];
        nodes.extend(asked?);
        let differing = nodes.iter().filter(|node| node.comparison() == Comparison::Different);
        let mut findings: Vec<String> = differing
            .map(|node| format!("node {} has digest {} at position {position}", node.node_id, node.digest))
            .collect();
        let rematched = match matched?? {
            (generation, Ok(matched)) => {
                // A generation that began meanwhile starts after the position, and has its own digest.
                if matched.through == position && matched.batches > 0 && hex(matched.digest) != digest {
                    findings.push(format!("matched again, the digest at position {position} is another one"));
                }
                Some(v1::Rematched {
                    generation,
                    after_position: matched.after.0,
                    batches: matched.batches,
                    intents: matched.intents,
                    fills: matched.fills,
                    quantity: quantity(&market, matched.quantity)?,
                })
            }
            (_, Err(error)) => {
                findings.push(error.to_string());
                None
            }
        };
        let passed = findings.is_empty();
        Ok(v1::VerifyMarketResponse { position: position.0, passed, nodes, rematched, findings })
    }

    /// Matches the market's stored tape again, up to a position.
    async fn rematch(
        &self,
        market: &str,
        through: Position,
    ) -> Result<(u64, Result<Rematch, RematchError>), Refusal> {
        let (node, market) = (self.node.clone(), market.to_owned());
        let task = tokio::task::spawn_blocking(move || {
            let copy = node.open_copy(&market)?;
            Ok::<_, crate::node::NodeError>((copy.generation(), copy.rematch(through, |_| {})))
        });
        // The task does not panic; if it is gone, so is the runtime.
        let matched = task.await.map_err(|_| Refusal::shutting_down())?;
        matched.map_err(|error| Refusal::new(xbook_proto::v1::Reason::StoreFailed, error.to_string()))
    }
}

/// The position, or the last one if it is zero, and the digest there.
async fn digest_at(
    market: &ReplicaHandle,
    position: Position,
) -> Result<(Position, Option<[u8; 32]>), Refusal> {
    let read = market.read(move |replica| {
        let position = if position == Position(0) { replica.view().position() } else { position };
        // At a generation's start the digest is that of its genesis, not of its last batch.
        let is_last = position == replica.view().position() && replica.view().batches() > 0;
        (position, replica.digest_at(position).or(is_last.then(|| replica.view().digest())))
    });
    Ok(read.await?)
}

/// Asks another node for its digest.
async fn ask(entry: NodeEntry, market: String, position: Position, digest: String) -> v1::NodeDigest {
    let NodeEntry { node, address, .. } = entry;
    let asked = async {
        let endpoint =
            Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
        let channel = endpoint.connect().await.map_err(|error| error.to_string())?;
        let mut request = Request::new(v1::GetDigestRequest { market, position: position.0 });
        request.set_timeout(PATIENCE);
        let answer = ClusterServiceClient::new(channel).get_digest(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    match answer.unwrap_or_else(|_| Err("it did not answer in time".to_owned())) {
        Ok(theirs) if theirs.digest.is_empty() || digest.is_empty() => {
            let whose = if digest.is_empty() { "the answering node does" } else { "it does" };
            let message = format!("{whose} not keep the digest of this position");
            compared(node, Comparison::NotKept, theirs.digest, &message)
        }
        Ok(theirs) if theirs.digest == digest => compared(node, Comparison::Equal, theirs.digest, ""),
        Ok(theirs) => compared(node, Comparison::Different, theirs.digest, ""),
        Err(error) => compared(node, Comparison::Unreachable, String::new(), &error),
    }
}

fn compared(node: NodeId, comparison: Comparison, digest: String, message: &str) -> v1::NodeDigest {
    let message = message.to_owned();
    v1::NodeDigest { node_id: node.to_string(), comparison: comparison.into(), digest, message }
}

/// A sum of quantities as a decimal.
fn quantity(market: &ReplicaHandle, lots: u128) -> Result<String, Refusal> {
    let units = units(market)?;
    Ok(match u64::try_from(lots) {
        Ok(lots) => units.quantity(Lots(lots)),
        // More than a decimal of the API holds.
        Err(_) => format!("{lots} lots"),
    })
}

fn hex(digest: [u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

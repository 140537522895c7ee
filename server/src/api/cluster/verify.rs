//! `GetDigest` and `VerifyMarket`: whether all nodes have the same tape, and whether it is right.
//!
//! ```text
//! position, digest here ──┬──> compare: every other node's digest there ──────────┬──> verdict
//!                         └──> again: the kept generations' tapes matched again ──┘
//! ```
//!
//! What could not be verified is told beside what is wrong: silence is no proof.

mod again;
mod compare;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use tonic::Request;
use xbook_proto::v1;
use xbook_proto::v1::{DigestComparison as Comparison, VerifyVerdict as Verdict};

use crate::api::Api;
use crate::api::access::Deadline;
use crate::api::error::Refusal;
use crate::api::markets::units;
use crate::node::{DocumentHandle, Listed, MarketHandle};
use crate::types::{Lots, NodeId, Position};
use again::Again;
use compare::Mine;

/// How many nodes are asked at a time.
const ASKED_AT_A_TIME: usize = 64;

impl Api {
    pub(in crate::api) async fn digest(
        &self,
        call: Request<v1::GetDigestRequest>,
    ) -> Result<v1::GetDigestResponse, Refusal> {
        let deadline = self.deadline(&call);
        let v1::GetDigestRequest { market, position } = call.into_inner();
        let document = self.document(&market)?;
        let shown = document.shown();
        if Position(position) > shown {
            let words = format!("must be at most {shown}, the last position shown");
            return Err(Refusal::new(v1::Reason::Position, words).field("position").value(position));
        }
        let (position, digest) = deadline.wait(digest_at(&document, Position(position))).await??;
        let digest = digest.map(hex).unwrap_or_default();
        Ok(v1::GetDigestResponse { position: position.0, digest, node_id: self.node.id().to_string() })
    }

    pub(in crate::api) async fn verify(
        &self,
        call: Request<v1::VerifyMarketRequest>,
    ) -> Result<v1::VerifyMarketResponse, Refusal> {
        let deadline = self.deadline(&call);
        let document = self.document(&call.into_inner().market)?;
        let (position, digest) = deadline.wait(digest_at(&document, Position(0))).await??;
        let digest = digest.map(hex).unwrap_or_default();
        let mine = Mine { document: document.name().to_owned(), position, digest };
        let (compared, again) = tokio::join!(
            self.compare(&document, &mine, deadline),
            again::again(&self.node, Arc::clone(&self.verifying), &mine, deadline)
        );
        let (nodes, unknown) = compared?;
        let mut unverified: Vec<String> = unknown.into_iter().collect();
        unverified.extend(nodes.iter().filter_map(not_compared));
        let Again { matched, mut findings, unverified: unmatched } = again;
        unverified.extend(unmatched);
        let differs = |node: &&v1::NodeDigest| node.comparison() == Comparison::Different;
        findings.extend(
            nodes.iter().filter(differs).map(|node| {
                format!("node {} has digest {} at position {position}", node.node_id, node.digest)
            }),
        );
        let verdict = match (findings.is_empty(), unverified.is_empty()) {
            (false, _) => Verdict::Wrong,
            (true, false) => Verdict::Incomplete,
            (true, true) => Verdict::Passed,
        };
        let market = self.node.market(document.name()).and_then(Listed::opened);
        let rematched = matched.into_iter().map(|(generation, matched)| v1::Rematched {
            generation,
            after_position: matched.after.0,
            through_position: matched.through.0,
            batches: matched.batches,
            intents: matched.intents,
            fills: matched.fills,
            quantity: quantity(market.as_ref(), matched.quantity),
        });
        Ok(v1::VerifyMarketResponse {
            position: position.0,
            passed: verdict == Verdict::Passed,
            nodes,
            rematched: rematched.collect(),
            findings,
            verdict: verdict.into(),
            unverified,
        })
    }

    /// What each node has, this one first, and what keeps this node from knowing them all.
    async fn compare(
        &self,
        document: &DocumentHandle,
        mine: &Mine,
        deadline: Deadline,
    ) -> Result<(Vec<v1::NodeDigest>, Option<String>), Refusal> {
        let me = self.node.id();
        let voters = document.summary()?.status.voters.clone();
        let mut addresses: BTreeMap<NodeId, String> =
            voters.iter().map(|voter| (*voter, String::new())).collect();
        let mut unknown = None;
        match deadline.wait(self.node.directory_nodes()).await? {
            Ok((_, entries)) => {
                addresses.extend(entries.into_iter().map(|(node, entry)| (node, entry.address.to_string())));
            }
            Err(error) => unknown = Some(format!("nodes that don't vote on it: they are not known, {error}")),
        }
        addresses.remove(&me);
        let asked = addresses.into_iter().map(|(node, address)| mine.ask(node, address, deadline));
        let others: Vec<v1::NodeDigest> =
            stream::iter(asked).buffer_unordered(ASKED_AT_A_TIME).collect().await;
        let mut nodes = vec![mine.own(me)];
        nodes.extend(others);
        let voters: BTreeSet<String> = voters.iter().map(NodeId::to_string).collect();
        for node in &mut nodes {
            node.voter = voters.contains(&node.node_id);
        }
        nodes[1..].sort_by(|one, other| one.node_id.cmp(&other.node_id));
        Ok((nodes, unknown))
    }
}

/// What is said of a node that could not be compared.
fn not_compared(node: &v1::NodeDigest) -> Option<String> {
    let why = match node.comparison() {
        Comparison::Equal | Comparison::Different => return None,
        Comparison::Unreachable => "was not reached",
        Comparison::Behind => "is behind",
        Comparison::Refused => "does not tell",
        Comparison::NotKept | Comparison::Unspecified => "was not compared",
    };
    let voter = if node.voter { ", a voter," } else { "" };
    Some(format!("node {}{voter} {why}: {}", node.node_id, node.message))
}

/// The position, or the last one if it is zero, and the digest there.
async fn digest_at(
    document: &DocumentHandle,
    position: Position,
) -> Result<(Position, Option<[u8; 32]>), Refusal> {
    let read = document.read(move |replica| {
        let position = if position == Position(0) { replica.view().position() } else { position };
        (position, replica.digest_at(position))
    });
    Ok(read.await?)
}

/// A sum of quantities as a decimal; nothing in the directory.
fn quantity(market: Option<&MarketHandle>, lots: u128) -> String {
    let Some(market) = market else {
        return String::new();
    };
    match u64::try_from(lots) {
        Ok(lots) => units(market).quantity(Lots(lots)),
        // More than a decimal of the API holds.
        Err(_) => format!("{lots} lots"),
    }
}

fn hex(digest: [u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

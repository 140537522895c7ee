//! Leases: `ListLeases`, `TransferLease`.

use std::time::Duration;

use xbook_proto::v1::{self, Reason};

use crate::api::Api;
use crate::api::access::Deadline;
use crate::api::admission::node_id;
use crate::api::convert::timestamp;
use crate::api::error::Refusal;
use crate::node::DocumentHandle;
use crate::types::NodeId;

/// How often it is looked who holds the lease.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// After how many looks the holder is asked again: its word or the next holder's may be lost.
const LOOKS_UNTIL_ASKED_AGAIN: u32 = 200;

impl Api {
    /// The leases of one document or of all.
    pub(in crate::api) fn list_leases(
        &self,
        request: &v1::ListLeasesRequest,
    ) -> Result<v1::ListLeasesResponse, Refusal> {
        let documents = match request.market.as_str() {
            // A quarantined document's lease this node does not know.
            "" => {
                self.node.documents().into_iter().filter(|document| document.quarantine().is_none()).collect()
            }
            name => vec![self.document(name)?],
        };
        let mut leases = Vec::new();
        for document in documents {
            leases.push(self.lease(&document)?);
        }
        Ok(v1::ListLeasesResponse { leases })
    }

    /// Hands a lease over and waits until the next holder has it.
    pub(in crate::api) async fn transfer_lease(
        &self,
        request: v1::TransferLeaseRequest,
        deadline: Deadline,
    ) -> Result<v1::TransferLeaseResponse, Refusal> {
        let to = node_id("node_id", &request.node_id)?;
        let document = self.document(&request.market)?;
        let lease = self.lease(&document)?;
        if !lease.voters.contains(&request.node_id) {
            let words = format!("must vote on {}", document.name());
            return Err(Refusal::new(Reason::NotVoter, words).field("node_id").value(to));
        }
        if !lease.voters.contains(&self.node.id().to_string()) {
            let words = format!(
                "the answering node does not vote on {}, so it has no say in its lease: ask one of its voters",
                document.name()
            );
            return Err(Refusal::new(Reason::NotVoter, words));
        }
        let transferred = async {
            for look in 0.. {
                let lease = self.lease(&document)?;
                if lease.held && lease.holder == request.node_id {
                    return Ok(v1::TransferLeaseResponse { lease: Some(lease) });
                }
                if look % LOOKS_UNTIL_ASKED_AGAIN == 0 {
                    document.hand_over(to).await?;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Err(Refusal::deadline())
        };
        let late = |_| {
            let words = format!(
                "does not hold the lease of {} yet: it must be connected with the holder and with a majority",
                document.name()
            );
            Refusal::new(Reason::Deadline, words).field("node_id").value(to)
        };
        deadline.wait(transferred).await.map_err(late)?
    }

    fn lease(&self, document: &DocumentHandle) -> Result<v1::Lease, Refusal> {
        let summary = document.summary()?;
        let (status, lease) = (&summary.status, &summary.lease);
        let ids = |nodes: &[NodeId]| nodes.iter().map(NodeId::to_string).collect();
        Ok(v1::Lease {
            document: document.name().to_owned(),
            generation: status.generation.0,
            term: lease.term.0,
            holder: lease.holder.map(|node| node.to_string()).unwrap_or_default(),
            since: lease.holder.map(|_| timestamp(lease.since)),
            promised_by: ids(&lease.promised_by),
            voters: ids(&status.voters),
            held: lease.is_held(self.clock_now()),
        })
    }
}

//! `ClusterService`.

mod lease;
mod market_state;
mod nodes;
mod upgrade;
mod verify;
mod voters;

use tonic::{Request, Response, Status};
use xbook_proto::v1;
use xbook_proto::v1::cluster_service_server::ClusterService;
use xbook_proto::v1::{AnswerWhen, Reason};

use crate::api::Api;
use crate::api::admission;
use crate::api::admission::Electorate;
use crate::api::convert::timestamp;
use crate::api::error::Refusal;
use crate::api::market_data;
use crate::api::submit::Reached;
use crate::machine::{Action, MAX_MARKETS};
use crate::node::DocumentHandle;
use crate::types::{Micros, NodeId};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ClusterService for Api {
    async fn get_node(&self, _call: Request<v1::GetNodeRequest>) -> Answer<v1::GetNodeResponse> {
        let mut documents = Vec::new();
        for document in self.node.documents() {
            documents.push(status(&document, self.clock_now())?);
        }
        let written = self.node.written();
        Ok(Response::new(v1::GetNodeResponse {
            node_id: self.node.id().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: Some(timestamp(self.node.started())),
            documents,
            syncs: written.syncs,
            synced_changes: written.changes,
            oldest_format: self.node.formats().oldest.0,
            newest_format: self.node.formats().newest.0,
        }))
    }

    async fn create_market(
        &self,
        call: Request<v1::CreateMarketRequest>,
    ) -> Answer<v1::CreateMarketResponse> {
        Ok(Response::new(Box::pin(self.create(call)).await?))
    }

    async fn update_market(
        &self,
        call: Request<v1::UpdateMarketRequest>,
    ) -> Answer<v1::UpdateMarketResponse> {
        Ok(Response::new(Box::pin(market_state::update(self, call)).await?))
    }

    async fn set_market_state(
        &self,
        call: Request<v1::SetMarketStateRequest>,
    ) -> Answer<v1::SetMarketStateResponse> {
        Ok(Response::new(Box::pin(market_state::set(self, call)).await?))
    }

    async fn list_nodes(&self, call: Request<v1::ListNodesRequest>) -> Answer<v1::ListNodesResponse> {
        let deadline = self.deadline(&call);
        Ok(Response::new(self.list_nodes(deadline).await?))
    }

    async fn remove_node(&self, call: Request<v1::RemoveNodeRequest>) -> Answer<v1::RemoveNodeResponse> {
        Ok(Response::new(Box::pin(self.remove_node(call)).await?))
    }

    async fn create_join_token(
        &self,
        call: Request<v1::CreateJoinTokenRequest>,
    ) -> Answer<v1::CreateJoinTokenResponse> {
        Ok(Response::new(Box::pin(self.create_join_token(call)).await?))
    }

    async fn list_leases(&self, call: Request<v1::ListLeasesRequest>) -> Answer<v1::ListLeasesResponse> {
        Ok(Response::new(self.list_leases(call.get_ref())?))
    }

    async fn transfer_lease(
        &self,
        call: Request<v1::TransferLeaseRequest>,
    ) -> Answer<v1::TransferLeaseResponse> {
        let deadline = self.deadline(&call);
        Ok(Response::new(self.transfer_lease(call.into_inner(), deadline).await?))
    }

    async fn upgrade_document(
        &self,
        call: Request<v1::UpgradeDocumentRequest>,
    ) -> Answer<v1::UpgradeDocumentResponse> {
        let deadline = self.deadline(&call);
        Ok(Response::new(self.upgrade_document(call.into_inner(), deadline).await?))
    }

    async fn add_voter(&self, call: Request<v1::AddVoterRequest>) -> Answer<v1::AddVoterResponse> {
        Ok(Response::new(Box::pin(self.add_voter(call)).await?))
    }

    async fn remove_voter(&self, call: Request<v1::RemoveVoterRequest>) -> Answer<v1::RemoveVoterResponse> {
        Ok(Response::new(Box::pin(self.remove_voter(call)).await?))
    }

    async fn get_digest(&self, call: Request<v1::GetDigestRequest>) -> Answer<v1::GetDigestResponse> {
        Ok(Response::new(Box::pin(self.digest(call)).await?))
    }

    async fn verify_market(
        &self,
        call: Request<v1::VerifyMarketRequest>,
    ) -> Answer<v1::VerifyMarketResponse> {
        Ok(Response::new(Box::pin(self.verify(call)).await?))
    }
}

impl Api {
    async fn create(
        &self,
        call: Request<v1::CreateMarketRequest>,
    ) -> Result<v1::CreateMarketResponse, Refusal> {
        let (caller, deadline) = self.caller(&call)?;
        let default = self.directory_voters()?;
        let electorate = Electorate { known: deadline.wait(self.known_nodes()).await??, default };
        let request = admission::create_market(call.into_inner(), electorate, &caller)?;
        let Action::CreateMarket(new) = &request.action else {
            return Err(Refusal::new(Reason::Unspecified, "the request creates no market"));
        };
        let name = new.name.clone();
        let directory = self.node.directory();
        let settled = match self.submit(directory, request, AnswerWhen::Committed, deadline).await? {
            Reached::Committed(settled) => settled,
            Reached::Accepted(_) => return Err(Refusal::deadline()),
        };
        match settled.refused {
            Reason::Unspecified => {}
            Reason::MarketExists => return Err(exists(&name)),
            Reason::TooMany => return Err(too_many(&name)),
            reason => {
                return Err(Refusal::new(reason, "the market was not created").field("market").value(&name));
            }
        }
        // A repeat's outcome is not kept, but the directory tells which request created a market.
        let asked = name.clone();
        let created = directory.read(move |replica| {
            let directory = replica.view().machine.directory()?;
            directory.market(&asked).map(|entry| entry.position)
        });
        match deadline.wait(created).await?? {
            Some(position) if position == settled.position => {}
            Some(_) => return Err(exists(&name)),
            None => return Err(too_many(&name)),
        }
        let market = deadline.wait(self.node.market_ready(&name)).await??;
        let market = market_data::describe(&market.usable()?, self.clock_now())?;
        Ok(v1::CreateMarketResponse { market: Some(market), position: settled.position.0 })
    }
}

fn exists(name: &str) -> Refusal {
    Refusal::new(Reason::MarketExists, "a market of this name exists").field("market").value(name)
}

fn too_many(name: &str) -> Refusal {
    let words = format!("the directory holds {MAX_MARKETS} markets, as many as it may");
    Refusal::new(Reason::TooMany, words).field("market").value(name)
}

fn status(document: &DocumentHandle, now: Micros) -> Result<v1::DocumentStatus, Refusal> {
    if let Some(reason) = document.quarantine() {
        let (name, quarantined) = (document.name().to_owned(), reason.to_string());
        return Ok(v1::DocumentStatus { name, quarantined, ..v1::DocumentStatus::default() });
    }
    let tape_ahead_us = document.tape_wrong(now).map(|ahead| ahead.0);
    let summary = document.summary()?;
    let status = &summary.status;
    Ok(v1::DocumentStatus {
        name: document.name().to_owned(),
        generation: status.generation.0,
        voters: status.voters.iter().map(NodeId::to_string).collect(),
        term: status.term.0,
        holder: status.holder.map(|node| node.to_string()).unwrap_or_default(),
        position: status.position.0,
        tape_time: (status.committed_batches > 0).then(|| timestamp(status.tape_time)),
        committed_batches: status.committed_batches,
        changes: status.changes,
        bytes: status.bytes,
        pending_intents: status.pending,
        digest: status.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        quarantined: String::new(),
        tape_ahead_us,
        format: status.format.0,
    })
}

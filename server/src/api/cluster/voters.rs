//! Who votes: `AddVoter`, `RemoveVoter`.
//!
//! A change of voters is a request like any other, in each document on its own. The document's lease
//! holder then seals the generation, and the next one has the new voters.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use xbook_proto::v1::{self, AnswerWhen, Reason};

use crate::api::Api;
use crate::api::access::Deadline;
use crate::api::admission;
use crate::api::error::Refusal;
use crate::api::submit::{Addressee, Reached};
use crate::machine::{Action, Request, VoterChange};
use crate::node::DocumentHandle;
use crate::types::NodeId;

/// How many documents' voters are changed at a time.
const AT_A_TIME: usize = 8;

/// How often it is looked whether the next generation has begun.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Api {
    /// Makes a node a voter of one document or of all.
    pub(in crate::api) async fn add_voter(
        &self,
        call: tonic::Request<v1::AddVoterRequest>,
    ) -> Result<v1::AddVoterResponse, Refusal> {
        let (caller, deadline) = self.caller(&call)?;
        let message = call.into_inner();
        let market = message.market.clone();
        let (request, node) = admission::add_voter(message, &caller)?;
        if !deadline.wait(self.known_nodes()).await??.contains(&node) {
            return Err(Refusal::unknown_node(node));
        }
        let documents = self.change_voters(&market, &request, VoterChange::Add(node), deadline).await?;
        Ok(v1::AddVoterResponse { documents })
    }

    /// Makes a node an observer of one document or of all.
    pub(in crate::api) async fn remove_voter(
        &self,
        call: tonic::Request<v1::RemoveVoterRequest>,
    ) -> Result<v1::RemoveVoterResponse, Refusal> {
        let (caller, deadline) = self.caller(&call)?;
        let message = call.into_inner();
        let market = message.market.clone();
        let (request, node) = admission::remove_voter(message, &caller)?;
        let documents = self.change_voters(&market, &request, VoterChange::Remove(node), deadline).await?;
        Ok(v1::RemoveVoterResponse { documents })
    }

    async fn change_voters(
        &self,
        market: &str,
        request: &Request,
        change: VoterChange,
        deadline: Deadline,
    ) -> Result<Vec<v1::DocumentVoters>, Refusal> {
        if !market.is_empty() {
            let document = self.addressee(market)?;
            return Ok(vec![self.change_voters_of(&document, request, change, deadline).await?]);
        }
        let directory = std::iter::once(Ok(Addressee::from(self.node.directory())));
        let markets = self.node.markets().into_iter();
        let markets = markets.map(|market| Ok(Addressee::Market(market.usable()?)));
        let changes = directory.chain(markets).map(|document: Result<Addressee, Refusal>| async move {
            let document = document?;
            // Of all documents some may be as asked already.
            match voters(&document)? {
                as_asked if is_made(change, &as_asked.1) => Ok(described(&document, as_asked)),
                _ => self.change_voters_of(&document, request, change, deadline).await,
            }
        });
        stream::iter(changes).buffered(AT_A_TIME).try_collect().await
    }

    async fn change_voters_of(
        &self,
        document: &Addressee,
        request: &Request,
        change: VoterChange,
        deadline: Deadline,
    ) -> Result<v1::DocumentVoters, Refusal> {
        let request = Request { action: Action::ChangeVoters(change), ..request.clone() };
        let settled = match self.submit(document.clone(), request, AnswerWhen::Committed, deadline).await? {
            Reached::Committed(settled) => settled,
            Reached::Accepted(_) => return Err(Refusal::deadline()),
        };
        if settled.refused != Reason::Unspecified {
            let (VoterChange::Add(node) | VoterChange::Remove(node)) = change;
            let words = format!("the voters of {} stay as they are", document.name());
            return Err(Refusal::new(settled.refused, words).field("node_id").value(node));
        }
        let made = async {
            loop {
                let now = voters(document)?;
                if is_made(change, &now.1) {
                    return Ok::<_, Refusal>(described(document, now));
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let late = |_| {
            let words = format!(
                "the next voters of {} are decided, but its next generation has not begun yet: a majority of them \
                 must be reached and have what is committed",
                document.name()
            );
            Refusal::new(Reason::Deadline, words)
        };
        deadline.wait(made).await.map_err(late)?
    }
}

/// A document's generation and its voters.
fn voters(document: &DocumentHandle) -> Result<(u64, Vec<NodeId>), Refusal> {
    let summary = document.summary()?;
    Ok((summary.status.generation.0, summary.status.voters.clone()))
}

fn is_made(change: VoterChange, voters: &[NodeId]) -> bool {
    match change {
        VoterChange::Add(node) => voters.contains(&node),
        VoterChange::Remove(node) => !voters.contains(&node),
    }
}

fn described(document: &DocumentHandle, (generation, voters): (u64, Vec<NodeId>)) -> v1::DocumentVoters {
    let voters = voters.iter().map(NodeId::to_string).collect();
    v1::DocumentVoters { name: document.name().to_owned(), generation, voters }
}

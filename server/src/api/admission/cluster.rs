//! Admission of changes to the cluster.

use xbook_proto::v1;

use super::{Caller, Findings, body_hash, request, text};
use crate::api::error::Refusal;
use crate::machine::{Action, Request, VoterChange};
use crate::types::NodeId;

/// Admits a RemoveNode.
///
/// # Errors
/// The first reason by precedence.
pub fn remove_node(mut message: v1::RemoveNodeRequest, caller: &Caller) -> Result<Request, Refusal> {
    let mut findings = Findings::default();
    let id = std::mem::take(&mut message.request_id);
    let request_id = findings.note(text::request_id(&id));
    let node = findings.note(text::node_id("node_id", &message.node_id));
    let node = findings.unless_found(node)?;
    request(caller, request_id, body_hash("remove-node", &message), Action::RemoveNode(node))
}

/// Admits an AddVoter, for a document.
///
/// # Errors
/// The first reason by precedence.
pub fn add_voter(mut message: v1::AddVoterRequest, caller: &Caller) -> Result<(Request, NodeId), Refusal> {
    let id = std::mem::take(&mut message.request_id);
    let hash = body_hash("add-voter", &message);
    change_voters(&id, &message.node_id, hash, VoterChange::Add, caller)
}

/// Admits a RemoveVoter, for a document.
///
/// # Errors
/// The first reason by precedence.
pub fn remove_voter(
    mut message: v1::RemoveVoterRequest,
    caller: &Caller,
) -> Result<(Request, NodeId), Refusal> {
    let id = std::mem::take(&mut message.request_id);
    let hash = body_hash("remove-voter", &message);
    change_voters(&id, &message.node_id, hash, VoterChange::Remove, caller)
}

fn change_voters(
    request_id: &str,
    node_id: &str,
    hash: u64,
    change: impl Fn(NodeId) -> VoterChange,
    caller: &Caller,
) -> Result<(Request, NodeId), Refusal> {
    let mut findings = Findings::default();
    let request_id = findings.note(text::request_id(request_id));
    let node = findings.note(text::node_id("node_id", node_id));
    let node = findings.unless_found(node)?;
    Ok((request(caller, request_id, hash, Action::ChangeVoters(change(node)))?, node))
}

//! Admission of changes to the cluster.

use xbook_proto::v1::{self, Reason};

use super::{Caller, Findings, body_hash, request, text};
use crate::api::error::Refusal;
use crate::machine::{Action, Invitation, JoinToken, MAX_TOKEN_USES, NotAToken, Request, VoterChange};
use crate::types::{Micros, NodeId};

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

/// How long a token lets nodes in, if its maker does not say, and at most.
const TOKEN_SECONDS: u64 = 3_600;
const MAX_TOKEN_SECONDS: u64 = 30 * 24 * 3_600;

/// Admits a CreateJoinToken. Of the token only its hash goes on.
///
/// # Errors
/// The first reason by precedence.
pub fn create_join_token(
    mut message: v1::CreateJoinTokenRequest,
    caller: &Caller,
) -> Result<Request, Refusal> {
    let mut findings = Findings::default();
    let id = std::mem::take(&mut message.request_id);
    let request_id = findings.note(text::request_id(&id));
    let token = findings.note(join_token(&message.token));
    let uses = if message.uses == 0 { 1 } else { message.uses };
    if uses > MAX_TOKEN_USES {
        let words = format!("must be at most {MAX_TOKEN_USES}");
        findings.refuse(Refusal::new(Reason::AboveMaximum, words).field("uses").value(uses));
    }
    let lifetime = findings.note(lifetime(message.lifetime.as_ref()));
    let (token, lifetime) = findings.unless_found(token.zip(lifetime))?;
    let expires = caller.times.now.plus(lifetime);
    let invitation = Invitation { hash: token.hash(), uses, expires };
    request(caller, request_id, body_hash("create-join-token", &message), Action::Invite(invitation))
}

fn join_token(text: &str) -> Result<JoinToken, Refusal> {
    if text.is_empty() {
        return Err(text::missing("token"));
    }
    // It is a secret: what was wrong is not repeated.
    text.parse()
        .map_err(|error: NotAToken| Refusal::new(Reason::MalformedText, error.to_string()).field("token"))
}

fn lifetime(asked: Option<&prost_types::Duration>) -> Result<Micros, Refusal> {
    let seconds = asked.map_or(TOKEN_SECONDS.cast_signed(), |asked| asked.seconds);
    match u64::try_from(seconds).ok().filter(|seconds| (1..=MAX_TOKEN_SECONDS).contains(seconds)) {
        Some(seconds) => Ok(Micros(seconds * 1_000_000)),
        None => {
            let words = format!("must be from 1 s to {MAX_TOKEN_SECONDS} s");
            Err(Refusal::new(Reason::AboveMaximum, words).field("lifetime").value(seconds))
        }
    }
}

/// Admits an AddVoter, for a document.
///
/// # Errors
/// The first reason by precedence.
pub fn add_voter(mut message: v1::AddVoterRequest, caller: &Caller) -> Result<(Request, NodeId), Refusal> {
    let id = std::mem::take(&mut message.request_id);
    let hash = body_hash("add-voter", &message);
    change_voters(&id, (&message.node_id, &message.market), hash, VoterChange::Add, caller)
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
    change_voters(&id, (&message.node_id, &message.market), hash, VoterChange::Remove, caller)
}

fn change_voters(
    request_id: &str,
    (node_id, document): (&str, &str),
    hash: u64,
    change: impl Fn(NodeId) -> VoterChange,
    caller: &Caller,
) -> Result<(Request, NodeId), Refusal> {
    let mut findings = Findings::default();
    let request_id = findings.note(text::request_id(request_id));
    let node = findings.note(text::node_id("node_id", node_id));
    if !document.is_empty() {
        findings.note(text::document_name(document));
    }
    let node = findings.unless_found(node)?;
    Ok((request(caller, request_id, hash, Action::ChangeVoters(change(node)))?, node))
}

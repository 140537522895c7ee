//! Who is connected: this node tells the directory where it is reached, and dials every node that
//! the directory knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::waiting::{CallNews, call};
use super::{Clock, Closed, DirectoryHandle, Documents, SubmitError};
use crate::machine::{
    Action, Announcement, Invitation, JoinToken, MAX_TOKEN_USES, NodeEntry, Origin, Request,
};
use crate::peer::{Dialler, Members, PeerError};
use crate::types::{Micros, NodeId, Position, Reason};

/// When to try again to announce where this node is, if too many requests waited.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(1);

/// How often it is looked whether the directory is there.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Notes when the directory is [current](crate::replica::Replica::is_current) for the first time.
pub(super) async fn learn(directory: DirectoryHandle, known: Arc<AtomicBool>) {
    while let Ok(summary) = directory.summary() {
        if summary.is_current && directory.reached(summary.status.position).await.is_ok() {
            known.store(true, Ordering::Release);
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// How long the token of a cluster's first start lets nodes join.
const FIRST_TOKEN_LIFETIME: Micros = Micros(3_600_000_000);

/// How long after a node said that it is somewhere else it is dialled there.
const MOVED_PAUSE: Duration = Duration::from_secs(5);

/// Dials the given addresses, and all nodes in the directory as it changes, until the node ends; tells
/// meanwhile who is in the directory.
pub(super) async fn connect(
    directory: DirectoryHandle,
    members: watch::Sender<Members>,
    dialler: Dialler<Documents>,
    given: Vec<String>,
) {
    let mut tasks = JoinSet::new();
    for address in given {
        tasks.spawn(dialler.clone().dial(address, None));
    }
    let mut dialled: BTreeMap<NodeId, (Arc<str>, AbortHandle)> = BTreeMap::new();
    while let Some(position) = note_members(&directory, &members).await {
        let Ok((_, mut entries)) = nodes(&directory).await else { return };
        entries.remove(&dialler.identity.node);
        entries.retain(|_, entry| !entry.peer_address.is_empty());
        let mut moved = BTreeSet::new();
        dialled.retain(|node, (address, dialling)| {
            let now = entries.get(node).map(|entry| &entry.peer_address);
            if now != Some(address) {
                dialling.abort();
                moved.extend(now.map(|_| *node));
            }
            now == Some(address)
        });
        for (node, NodeEntry { peer_address: address, .. }) in entries {
            dialled.entry(node).or_insert_with(|| {
                let dialling = dialler.clone().dial(address.to_string(), Some(node));
                // A node that says again and again that it is somewhere else is not followed everywhere.
                let pause = if moved.contains(&node) { MOVED_PAUSE } else { Duration::ZERO };
                let dialling = tasks.spawn(async move {
                    tokio::time::sleep(pause).await;
                    dialling.await;
                });
                (address, dialling)
            });
        }
        while tasks.try_join_next().is_some() {}
        if directory.reached(position.next()).await.is_err() {
            return;
        }
    }
}

/// Tells who is in the directory now; returns the position that this is as of, or nothing if the
/// directory has ended.
pub(super) async fn note_members(
    directory: &DirectoryHandle,
    members: &watch::Sender<Members>,
) -> Option<Position> {
    let read = directory.read(|replica| {
        let view = replica.view();
        let found = view.machine.directory().map(|directory| Members {
            nodes: directory.nodes().map(|entry| (entry.node, entry.key)).collect(),
            tokens: directory.tokens().clone(),
        });
        (view.position(), found.unwrap_or_default())
    });
    let (position, now) = read.await.ok()?;
    members.send_if_modified(|known| {
        let changed = *known != now;
        *known = now;
        changed
    });
    Some(position)
}

/// Lets nodes join with a token, for a while: what the first node of a cluster was started with.
pub(super) async fn invite(directory: DirectoryHandle, clock: Clock, me: NodeId, token: JoinToken) {
    let expires = clock.now().plus(FIRST_TOKEN_LIFETIME);
    let invitation = Invitation { hash: token.hash(), uses: MAX_TOKEN_USES, expires };
    let made = ask(&directory, format!("invite-{me}"), Action::Invite(invitation)).await;
    if made != Ok(Reason::Unspecified) {
        tracing::error!(?made, "the join token that this node was started with lets nobody in");
    }
}

/// Tells the directory where this node is reached, unless it knows already. The first time makes this
/// node one of the cluster's.
pub(super) async fn announce(
    directory: DirectoryHandle,
    clock: Clock,
    me: NodeId,
    announcement: Announcement,
) {
    match announced(&directory, clock, me, &announcement).await {
        Ok(Reason::Unspecified) => {
            let Announcement { address, peer_address, .. } = announcement;
            tracing::info!(%address, %peer_address, "the directory knows where this node is reached");
        }
        Ok(Reason::NotInvited) => {
            tracing::error!("the directory does not take this node: {}", PeerError::NotInvited);
        }
        Ok(reason) => tracing::error!(?reason, "the directory does not take this node"),
        // The node is ending; its next start tells.
        Err(Closed::Ended) => {}
        Err(error) => tracing::warn!(%error, "the directory does not take this node"),
    }
}

async fn announced(
    directory: &DirectoryHandle,
    clock: Clock,
    me: NodeId,
    announcement: &Announcement,
) -> Result<Reason, Closed> {
    let Announcement { address, peer_address, key, .. } = announcement;
    let (_, entries) = nodes(directory).await?;
    let known = entries.get(&me);
    if known.is_some_and(|known| {
        (&known.address, &known.peer_address, &known.key) == (address, peer_address, key)
    }) {
        return Ok(Reason::Unspecified);
    }
    // No more of the token than is needed goes into the document.
    let token = announcement.token.filter(|_| known.is_none());
    let action = Action::Announce(Announcement { token, ..announcement.clone() });
    ask(directory, format!("announce-{me}-{}", clock.now().0), action).await
}

/// Makes a request of this node itself, and waits for what becomes of it.
async fn ask(directory: &DirectoryHandle, request_id: String, action: Action) -> Result<Reason, Closed> {
    let request = Request {
        // No client has this account.
        account: "".into(),
        origin: Origin::Request(request_id.into()),
        body_hash: 0,
        action,
    };
    loop {
        let (caller, mut asked) = call(false);
        directory.ask(request.clone(), caller).await?;
        match asked.news().await {
            Some(CallNews::Committed(outcome)) => return Ok(outcome.answer().refused),
            // An earlier attempt was taken.
            Some(CallNews::Known(_) | CallNews::Accepted(_) | CallNews::Reused) => {
                return Ok(Reason::Unspecified);
            }
            Some(CallNews::Refused(SubmitError::Closed(closed))) => return Err(closed),
            Some(CallNews::Refused(SubmitError::Overloaded)) => tokio::time::sleep(ANNOUNCE_AGAIN).await,
            None => return Err(directory.closed()),
        }
    }
}

/// The directory's nodes, and the position that they are as of.
pub(super) async fn nodes(
    directory: &DirectoryHandle,
) -> Result<(Position, BTreeMap<NodeId, NodeEntry>), Closed> {
    let read = directory.read(|replica| {
        let view = replica.view();
        let nodes = view.machine.directory().into_iter().flat_map(|directory| directory.nodes());
        (view.position(), nodes.map(|entry| (entry.node, entry.clone())).collect())
    });
    read.await
}

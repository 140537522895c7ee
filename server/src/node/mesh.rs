//! Who is connected: this node tells the directory where it is reached, and dials every node that
//! the directory knows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use xbook_proto::v1::Reason;

use super::handle::CallWaiter;
use super::{Clock, Closed, Documents, ReplicaHandle, SubmitError, Waiter};
use crate::machine::{Action, NodeEntry, Origin, Request};
use crate::peer::Dialler;
use crate::types::{NodeId, Position};

/// When to try again to announce where this node is, if too many requests waited.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(1);

/// How often it is looked whether the directory is there.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Notes when the directory is [current](crate::replica::Replica::is_current) for the first time.
pub(super) async fn learn(directory: ReplicaHandle, known: Arc<AtomicBool>) {
    while let Ok((current, position)) =
        directory.read(|replica| (replica.is_current(), replica.view().position())).await
    {
        if current && directory.reached(position).await.is_ok() {
            known.store(true, Ordering::Release);
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Dials the given addresses, and all nodes in the directory as it changes, until the node ends.
pub(super) async fn connect(directory: ReplicaHandle, dialler: Dialler<Documents>, given: Vec<String>) {
    let mut tasks = JoinSet::new();
    for address in given {
        tasks.spawn(dialler.clone().dial(address, None));
    }
    let mut dialled: BTreeMap<NodeId, (Arc<str>, AbortHandle)> = BTreeMap::new();
    while let Ok((position, mut entries)) = nodes(&directory).await {
        entries.remove(&dialler.identity.node);
        dialled.retain(|node, (address, dialling)| {
            let stays = entries.get(node).is_some_and(|entry| entry.address == *address);
            if !stays {
                dialling.abort();
            }
            stays
        });
        for (node, NodeEntry { address, .. }) in entries {
            dialled.entry(node).or_insert_with(|| {
                let dialling = dialler.clone().dial(address.to_string(), Some(node));
                (address, tasks.spawn(dialling))
            });
        }
        while tasks.try_join_next().is_some() {}
        if directory.reached(position.next()).await.is_err() {
            return;
        }
    }
}

/// Tells the directory where this node is reached, unless it knows already.
pub(super) async fn announce(directory: ReplicaHandle, clock: Clock, me: NodeId, address: String) {
    match announced(&directory, clock, me, &address).await {
        Ok(Reason::Unspecified) => tracing::info!(%address, "the directory knows where this node is reached"),
        Ok(reason) => {
            tracing::warn!(%address, ?reason, "the directory does not take this node's address");
        }
        // The node is ending; its next start tells.
        Err(Closed::Ended) => {}
        Err(error) => tracing::warn!(%address, %error, "the directory does not take this node's address"),
    }
}

async fn announced(
    directory: &ReplicaHandle,
    clock: Clock,
    me: NodeId,
    address: &str,
) -> Result<Reason, Closed> {
    let (_, entries) = nodes(directory).await?;
    if entries.get(&me).is_some_and(|entry| *entry.address == *address) {
        return Ok(Reason::Unspecified);
    }
    loop {
        let request = Request {
            // No client has this account.
            account: "".into(),
            origin: Origin::Request(format!("announce-{me}-{}", clock.now().0).into()),
            body_hash: 0,
            action: Action::Announce(address.into()),
        };
        let (accepted, _) = oneshot::channel();
        let (committed, outcome) = oneshot::channel();
        let waiter = Waiter::Call(CallWaiter { accepted, committed });
        match directory.submit(vec![request], waiter).await {
            Ok(()) => {
                return outcome.await.map(|outcome| outcome.answer().refused).map_err(|_| directory.closed());
            }
            Err(SubmitError::Closed(closed)) => return Err(closed),
            Err(SubmitError::Overloaded) => tokio::time::sleep(ANNOUNCE_AGAIN).await,
        }
    }
}

/// The directory's nodes, and the position that they are as of.
pub(super) async fn nodes(
    directory: &ReplicaHandle,
) -> Result<(Position, BTreeMap<NodeId, NodeEntry>), Closed> {
    let read = directory.read(|replica| {
        let view = replica.view();
        let nodes = view.machine.directory().into_iter().flat_map(|directory| directory.nodes());
        (view.position(), nodes.map(|entry| (entry.node, entry.clone())).collect())
    });
    read.await
}

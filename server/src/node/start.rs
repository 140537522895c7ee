//! How a node comes up: what it starts with, in which order.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::starter::Starter;
use super::supervisor::Supervisor;
use super::{Clock, DOCUMENT_BYTES, Inner, Node, NodeError, backfill, clock_watch, mesh};
use crate::document::{DIRECTORY, Genesis};
use crate::format::Formats;
use crate::machine::{Announcement, JoinToken};
use crate::peer::{Dialler, Identity, Pace, Secret, fetch_directory};
use crate::store::Loaded;

/// What a node starts with.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Start {
    /// Where its data is; made if it is not there.
    pub data: PathBuf,
    /// Begins a cluster if the data directory is new.
    pub bootstrap: bool,
    /// Nodes to connect with; one whose data directory is new joins the cluster of the first of
    /// them that answers, and waits for that.
    pub join: Vec<String>,
    /// Where clients reach this node: host and port. Without it others can't ask it for its digests.
    pub advertise: Option<String>,
    /// Where other nodes reach this one: host and port. Without it they don't dial it.
    pub peer_advertise: Option<String>,
    /// Lets this node join, if the cluster's directory does not know it.
    pub join_token: Option<JoinToken>,
    /// Size in bytes at which a document is sealed and its next generation begins; without it
    /// [`DOCUMENT_BYTES`].
    pub document_bytes: Option<u64>,
    /// Whether the data directory is the newest copy of it, though it was copied from another place.
    pub trust_directory: bool,
    /// The node's clock; without it the system's.
    pub clock: Option<Clock>,
    /// The formats of documents that this node reads: those that this program knows, unless a test says
    /// otherwise.
    pub formats: Formats,
}

/// Takes the directory out of what is stored, or begins or fetches one; and the genesis that names the cluster.
async fn directory(
    starter: &Starter,
    stored: &mut Vec<Loaded>,
    begins: bool,
    join: &[String],
) -> Result<(Genesis, Loaded), NodeError> {
    let at = stored.iter().position(|document| document.name == DIRECTORY);
    let document = match at {
        Some(at) => stored.swap_remove(at).stored,
        None if begins => Ok(starter.store.enter(&Genesis::directory(starter.node))?),
        None if join.is_empty() => return Err(NodeError::NoCluster),
        None => Ok(starter.store.enter(&fetch_directory(join).await?)?),
    };
    let (cluster, stored) = match (starter.store.cluster()?, document) {
        (Some(cluster), document) => (cluster, document),
        (None, Ok(document)) => (document.genesis.clone(), Ok(document)),
        (None, Err(error)) => return Err(error.into()),
    };
    Ok((cluster, Loaded { name: DIRECTORY.to_owned(), stored }))
}

impl Node {
    /// Starts a node.
    ///
    /// # Errors
    /// The directory can't be used or is damaged, or it is new and belongs to no cluster.
    pub async fn start(start: Start) -> Result<Self, NodeError> {
        let Start {
            data,
            bootstrap,
            join,
            advertise,
            peer_advertise,
            join_token,
            document_bytes,
            trust_directory,
            clock,
            formats,
        } = start;
        let clock = clock.unwrap_or_else(Clock::start);
        let document_bytes = document_bytes.unwrap_or(DOCUMENT_BYTES);
        let starter = Starter::new(&data, formats, document_bytes, clock, trust_directory)?;
        let mut stored = starter.store.load()?;
        let begins = bootstrap && stored.iter().all(|document| document.name != DIRECTORY);
        let (cluster, directory_document) = directory(&starter, &mut stored, begins, &join).await?;
        let identity = Identity { node: starter.node, cluster, secret: Secret::new(&starter.secret) };
        let announcement = Announcement {
            address: advertise.unwrap_or_default().into(),
            peer_address: peer_advertise.unwrap_or_default().into(),
            key: identity.secret.public(),
            token: join_token,
        };
        let supervisor = Supervisor::start(starter, directory_document, stored)?;
        let inner = Inner {
            identity: identity.clone(),
            clock,
            started: clock.now(),
            directory: supervisor.directory.clone(),
            markets: supervisor.markets.subscribe(),
            links: supervisor.links.subscribe(),
            members: supervisor.members.subscribe(),
            stopping: supervisor.stopping.clone(),
            stopped: supervisor.ended.subscribe(),
            written: supervisor.starter.written()?,
            events: supervisor.events.clone(),
            store: supervisor.starter.store.clone(),
            history_turns: Arc::new(Semaphore::new(backfill::MAX_ANSWERED)),
            knows_directory: Arc::default(),
        };
        let members = supervisor.members.clone();
        tokio::spawn(supervisor.run());
        let node = Self { inner: Arc::new(inner) };
        let dialler = Dialler {
            identity,
            token: join_token,
            links: node.inner.links.clone(),
            events: node.inner.events.clone(),
            router: node.router(),
            pace: Pace::default(),
        };
        node.watch_clocks();
        // Whoever asks first shall find the markets that were there before.
        node.caught_up().await;
        tokio::spawn(mesh::learn(node.directory().clone(), Arc::clone(&node.inner.knows_directory)));
        // And whoever dials this node, that it knows who is in the directory.
        mesh::note_members(node.directory(), &members).await;
        tokio::spawn(mesh::connect(node.directory().clone(), members, dialler, join));
        let (directory, me) = (node.directory().clone(), node.id());
        tokio::spawn(async move {
            mesh::announce(directory.clone(), clock, me, announcement).await;
            if let Some(token) = join_token.filter(|_| begins) {
                mesh::invite(directory, clock, me, token).await;
            }
        });
        Ok(node)
    }

    /// Has it told where clocks are wrong.
    fn watch_clocks(&self) {
        let (directory, markets) = (self.directory().clone(), self.inner.markets.clone());
        tokio::spawn(clock_watch::watch(directory, markets, self.inner.clock, self.id()));
    }

    /// Waits until each replica shows what was committed before the start.
    async fn caught_up(&self) {
        let _ = self.directory().settled().await;
        for market in self.markets() {
            let _ = market.settled().await;
        }
    }
}

//! Who owns the documents' tasks: starts markets as the directory creates them, connects tasks with peers, quarantines
//! a document that fails, and ends all if the node can't go on.

mod links;

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinError;

use super::handle::DirectoryHandle;
use super::publish;
use super::quarantine::{Cause, Fault, TaskEnd};
use super::starter::{Starter, Tasks};
use super::{Ending, Markets, NodeError};
use crate::document::Genesis;
use crate::machine::{MarketEntry, NewMarket};
use crate::peer::{LinkEvent, Links, Members, PeerError};
use crate::store::{Loaded, Written};

/// How long replicas may take to finish what they have taken. Without a majority they can't.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Most link events that wait.
const MAX_LINK_EVENTS: usize = 64;

/// Owns the tasks: starts markets as the directory creates them, quarantines a document whose task
/// fails, and ends all if the node can't go on.
pub(super) struct Supervisor {
    pub starter: Starter,
    pub directory: DirectoryHandle,
    pub markets: watch::Sender<Markets>,
    pub stopping: watch::Sender<bool>,
    pub ended: watch::Sender<Option<Ending>>,
    /// Where links say that they are up or down.
    pub events: mpsc::Sender<LinkEvent>,
    /// All links: those that are only for the directory too.
    pub links: watch::Sender<Links>,
    /// The links to nodes of the directory.
    member_links: watch::Sender<Links>,
    /// Who may be spoken with.
    pub members: watch::Sender<Members>,
    link_events: mpsc::Receiver<LinkEvent>,
    created: publish::CreatedReceiver,
    tasks: Tasks,
}

impl Supervisor {
    /// Starts the tasks of all stored documents.
    pub fn start(starter: Starter, directory: Loaded, markets: Vec<Loaded>) -> Result<Self, NodeError> {
        let mut tasks = Tasks::default();
        let (sender, created) = publish::created();
        let (links, member_links) = (watch::Sender::default(), watch::Sender::default());
        // Until all are started, none is the last.
        if starter.restored {
            starter.store.wait_for_gate();
        }
        let directory = starter.directory(directory, sender, &links, &mut tasks)?;
        let mut handles = Markets::new();
        for stored in markets {
            starter.market(stored, &member_links, &mut tasks, |market| {
                handles.insert(market.name().into(), market);
            })?;
        }
        if starter.restored {
            starter.store.gate_opened()?;
        }
        let (events, link_events) = mpsc::channel(MAX_LINK_EVENTS);
        Ok(Self {
            starter,
            directory,
            markets: watch::Sender::new(handles),
            stopping: watch::Sender::new(false),
            ended: watch::Sender::new(None),
            events,
            links,
            member_links,
            members: watch::Sender::default(),
            link_events,
            created,
            tasks,
        })
    }

    /// Runs until the node is asked to end, or something in it fails.
    pub async fn run(mut self) {
        let mut stopping = self.stopping.subscribe();
        let mut members = self.members.subscribe();
        let outcome = loop {
            tokio::select! {
                Some((market, ready)) = self.created.recv() => {
                    if let Err(error) = self.open_market(&market) {
                        break Err(error);
                    }
                    // The directory goes on only now, so whoever learns of the market finds it.
                    let _ = ready.send(());
                }
                Some(event) = self.link_events.recv() => if let Err(error) = self.link(event) {
                    break Err(error);
                },
                Ok(()) = members.changed() => self.sort_links(),
                Some(ended) = self.tasks.replicas.join_next() => {
                    if let Err(error) = self.replica_ended(ended) {
                        break Err(error);
                    }
                }
                Some(ended) = self.tasks.fillers.join_next() => {
                    if let Err(error) = self.filler_ended(ended) {
                        break Err(error);
                    }
                }
                () = requested(&mut stopping) => break Ok(()),
            }
        };
        self.stopping.send_replace(true);
        let ending = match self.close(outcome.err()).await {
            Ok(written) => Ending::Shutdown(written),
            Err(error) => Ending::Failed(error.to_string()),
        };
        self.ended.send_replace(Some(ending));
    }

    fn open_market(&mut self, market: &MarketEntry) -> Result<(), NodeError> {
        if self.markets.borrow().contains_key(&market.name) {
            return Ok(());
        }
        let new = NewMarket {
            name: market.name.clone(),
            rules: market.rules.clone(),
            voters: market.voters.clone(),
        };
        let genesis = Genesis::market(&new);
        let stored = self.starter.store.create(&genesis)?;
        let loaded = Loaded { name: market.name.to_string(), stored: Ok(stored) };
        let Self { starter, member_links, tasks, markets, .. } = self;
        starter.market(loaded, member_links, tasks, |opened| {
            markets.send_modify(|markets| _ = markets.insert(market.name.clone(), opened));
        })
    }

    /// A replica's task ended before it was asked to: by its document's fault, or with the node.
    fn replica_ended(&self, ended: Result<TaskEnd, JoinError>) -> Result<(), NodeError> {
        match ended {
            Ok((document, Err(Fault::Document(cause)))) => self.quarantine(&document, &cause),
            ended => return Err(unexpected(ended)),
        }
        Ok(())
    }

    /// A history's filler ended: by its document's fault, after it, or with the node.
    fn filler_ended(&self, ended: Result<TaskEnd, JoinError>) -> Result<(), NodeError> {
        match ended {
            Ok((_, Ok(()))) => {}
            Ok((document, Err(Fault::Document(cause)))) => self.quarantine(&document, &cause),
            ended => return Err(unexpected(ended)),
        }
        Ok(())
    }

    fn quarantine(&self, document: &str, cause: &Cause) {
        tracing::error!(%document, reason = %cause.words, "the document is quarantined");
        match self.markets.borrow().get(document) {
            Some(market) => market.fault(cause),
            None => self.directory.fault(cause),
        }
    }

    /// Ends all tasks, the directory's first, then the writer.
    async fn close(&mut self, cause: Option<NodeError>) -> Result<Written, NodeError> {
        let mut error = cause;
        // Nobody opens a market any more; the directory does not wait for it.
        self.created.close();
        while self.created.try_recv().is_ok() {}
        self.directory.close();
        self.markets.borrow().values().for_each(|market| market.close());
        let finish = async {
            while let Some(ended) = self.tasks.replicas.join_next().await {
                if let Ok((document, Err(Fault::Document(cause)))) = &ended {
                    tracing::error!(%document, reason = %cause.words, "the document is quarantined");
                } else if !matches!(ended, Ok((_, Ok(())))) {
                    error = error.take().or(Some(unexpected(ended)));
                }
            }
        };
        if tokio::time::timeout(FINISH_TIMEOUT, finish).await.is_err() {
            tracing::warn!(
                "requests that are accepted but not sequenced stay on the disk for the next start"
            );
            self.tasks.replicas.shutdown().await;
        }
        // None may be left behind: a peer's stream ends once nobody can send on it.
        self.member_links.send_replace(Links::new());
        for link in self.links.send_replace(Links::new()).into_values() {
            link.close(PeerError::Closing.status());
        }
        let writer =
            self.starter.writer.take().ok_or_else(|| NodeError::Task("the writer has ended".to_owned()))?;
        let finished = tokio::task::spawn_blocking(|| writer.finish()).await;
        let written = finished.map_err(|error| NodeError::Task(error.to_string()))?;
        match (written, error) {
            // The disk's own error says more than that of a task which it ended.
            (Err(error), _) => Err(error.into()),
            (Ok(_), Some(error)) => Err(error),
            (Ok(written), None) => Ok(written),
        }
    }
}

/// Completes when the node is asked to end.
async fn requested(stopping: &mut watch::Receiver<bool>) {
    // The supervisor has the sender, so this can't fail.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

fn unexpected(ended: Result<TaskEnd, JoinError>) -> NodeError {
    NodeError::Task(match ended {
        Ok((document, Ok(()))) => format!("the replica of {document} ended"),
        Ok((document, Err(Fault::Node(error)))) => format!("the replica of {document} failed: {error}"),
        Ok((document, Err(Fault::Document(cause)))) => {
            format!("the replica of {document} failed: {}", cause.words)
        }
        Err(error) => error.to_string(),
    })
}

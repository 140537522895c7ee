//! Which links there are, and for whom.

use tonic::Status;

use super::{NodeError, Supervisor};
use crate::peer::{Link, LinkEvent, Links, PeerError};

/// Most links to nodes that are not in the directory yet.
const MAX_GUESTS: usize = 16;

impl Supervisor {
    /// A link is up or down.
    pub(super) fn link(&self, event: LinkEvent) -> Result<(), NodeError> {
        match event {
            LinkEvent::Up(link, agreed) => {
                let agree = self.admit(&link);
                self.sort_links();
                // The link's task waits for the word; if it has gone, its end is reported too.
                let _ = agreed.send(agree);
            }
            LinkEvent::Down(link) => {
                self.links.send_if_modified(|links| {
                    let known = links.get(&link.peer).is_some_and(|known| known.is(&link));
                    known && links.remove(&link.peer).is_some()
                });
                self.sort_links();
            }
            LinkEvent::Foreign { address, error } => return Err(NodeError::JoinAt { address, error }),
        }
        Ok(())
    }

    /// Takes a link unless there is a better one to the same peer. If both dialled each other, both
    /// keep the link that the lower node id dialled.
    fn admit(&self, link: &Link) -> Result<(), PeerError> {
        let members = self.members.borrow();
        let mut answer = Ok(());
        self.links.send_if_modified(|links| {
            if let Some(known) = links.get(&link.peer) {
                let better =
                    known.is_closed() || link.dialler == known.dialler || link.dialler < known.dialler;
                if !better {
                    answer = Err(PeerError::Connected);
                    return false;
                }
                known.close(Status::aborted("there is a newer connection to the same peer"));
            } else if !members.contains(link.peer) {
                let guests = links.keys().filter(|peer| !members.contains(**peer));
                if guests.count() >= MAX_GUESTS {
                    answer = Err(PeerError::Busy);
                    return false;
                }
            }
            links.insert(link.peer, link.clone());
            true
        });
        answer
    }

    /// The directory has other nodes, or there are other links: those of its nodes are for all
    /// documents, and nobody speaks with a node that it has forgotten.
    pub(super) fn sort_links(&self) {
        let (members, links) = (self.members.borrow(), self.links.borrow());
        let of_members = links.iter().filter(|(peer, _)| members.contains(**peer));
        let of_members: Links = of_members.map(|(peer, link)| (*peer, link.clone())).collect();
        self.member_links.send_if_modified(|known| {
            for (peer, link) in known.iter().filter(|(peer, _)| !members.contains(**peer)) {
                tracing::info!(%peer, "the directory has forgotten the peer");
                link.close(PeerError::NoMember.status());
            }
            let same = |(a, b): (&Link, &Link)| a.is(b);
            let changed =
                known.len() != of_members.len() || !known.values().zip(of_members.values()).all(same);
            *known = of_members;
            changed
        });
    }
}

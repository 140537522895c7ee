//! The directory: which markets and which nodes there are. The same kind of replica as a market's,
//! over a registry instead of a book.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::is_address;
use super::intent::{Action, Intent, NewMarket};
use super::join::{Announcement, Invitation, PublicKey, Tokens};
use super::journal::Journal;
use super::parts::{Part, Writer};
use super::tape::Event;
use super::{Digest, Rules};
use crate::types::{Micros, NodeId, OrderId, Position, Reason};

/// Most markets that a directory holds.
pub const MAX_MARKETS: usize = 1_000;

/// Most nodes that a directory holds: each connects with all others.
const MAX_NODES: usize = 256;

/// Most bytes of a node's address.
pub const MAX_ADDRESS_BYTES: usize = 255;

/// A node as the directory knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeEntry {
    /// The node.
    pub node: NodeId,
    /// Where its clients reach it: host and port; empty if it did not say.
    pub address: Arc<str>,
    /// Where other nodes reach it: host and port; empty if they don't dial it.
    pub peer_address: Arc<str>,
    /// Its public key.
    pub key: PublicKey,
    /// Position on the directory's tape at which it said so.
    pub position: Position,
}

/// A market as the directory knows it. It alone determines generation 0 of the market's document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MarketEntry {
    /// Its name.
    pub name: Arc<str>,
    /// Its first rules; later ones are in the market's own document.
    pub rules: Rules,
    /// The voters of its generation 0, ascending.
    pub voters: Vec<NodeId>,
    /// Position of its creation on the directory's tape.
    pub position: Position,
}

/// The directory's state: a pure function of its tape.
#[derive(Clone, Default, Debug)]
pub struct Directory {
    markets: BTreeMap<Arc<str>, MarketEntry>,
    nodes: BTreeMap<NodeId, NodeEntry>,
    tokens: Tokens,
}

impl Directory {
    /// The markets, by name.
    pub fn markets(&self) -> impl Iterator<Item = &MarketEntry> {
        self.markets.values()
    }

    /// A market.
    #[must_use]
    pub fn market(&self, name: &str) -> Option<&MarketEntry> {
        self.markets.get(name)
    }

    /// The nodes, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeEntry> {
        self.nodes.values()
    }

    /// A node.
    #[must_use]
    pub fn node(&self, node: NodeId) -> Option<&NodeEntry> {
        self.nodes.get(&node)
    }

    /// The tokens that let nodes join.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Decides what becomes of an intent at a tape time; changes nothing.
    pub(super) fn decide(&self, id: OrderId, intent: &Intent, time: Micros) -> Event {
        let refused = |reason| Event::Refused { reason };
        match &intent.request.action {
            Action::CreateMarket(new) if self.markets.contains_key(&new.name) => {
                refused(Reason::MarketExists)
            }
            Action::CreateMarket(_) if self.markets.len() >= MAX_MARKETS => refused(Reason::TooMany),
            Action::CreateMarket(_) => Event::MarketCreated,
            Action::Announce(announced) => match self.check_announced(id.node, announced, time) {
                Ok(()) => Event::NodeChanged,
                Err(reason) => refused(reason),
            },
            Action::RemoveNode(node) if !self.nodes.contains_key(node) => refused(Reason::UnknownNode),
            Action::RemoveNode(_) => Event::NodeChanged,
            Action::Invite(invitation) if !self.tokens.has_room(&invitation.hash, time) => {
                refused(Reason::TooMany)
            }
            Action::Invite(_) => Event::NodeChanged,
            _ => refused(Reason::UnknownValue),
        }
    }

    /// Whether a node may say so of itself at a tape time. The directory's first node needs no token:
    /// before it there is nobody who could make one.
    fn check_announced(&self, node: NodeId, announced: &Announcement, now: Micros) -> Result<(), Reason> {
        if !is_address(&announced.address) || !is_address(&announced.peer_address) {
            return Err(Reason::MalformedText);
        }
        match self.nodes.get(&node) {
            Some(known) if known.key == announced.key => Ok(()),
            Some(_) => Err(Reason::OtherKey),
            None if self.nodes.is_empty() => Ok(()),
            None if !announced.token.is_some_and(|token| self.tokens.admit(&token, now)) => {
                Err(Reason::NotInvited)
            }
            None if self.nodes.len() >= MAX_NODES => Err(Reason::TooMany),
            None => Ok(()),
        }
    }

    fn announce(&mut self, node: NodeId, announced: &Announcement, position: Position) {
        let Announcement { address, peer_address, key, token } = announced;
        let (address, peer_address) = (Arc::clone(address), Arc::clone(peer_address));
        let entry = NodeEntry { node, address, peer_address, key: *key, position };
        if self.nodes.insert(node, entry).is_none()
            && let Some(token) = token
        {
            self.tokens.use_up(token);
        }
    }

    /// Takes an event of an intent's step; `None` if it does not fit.
    pub(super) fn fold(
        &mut self,
        event: &Event,
        (id, intent): (OrderId, &Intent),
        journal: &mut Journal,
    ) -> Option<()> {
        match (event, &intent.request.action) {
            (Event::MarketCreated, Action::CreateMarket(new)) => {
                let entry = entry(new, journal.position);
                journal.market(&entry);
                self.markets.insert(entry.name.clone(), entry).is_none().then_some(())
            }
            (Event::NodeChanged, Action::Announce(announced)) => {
                self.announce(id.node, announced, journal.position);
                Some(())
            }
            (Event::NodeChanged, Action::Invite(invitation)) => {
                self.tokens.add(*invitation, journal.block.time);
                Some(())
            }
            (Event::NodeChanged, Action::RemoveNode(node)) => self.nodes.remove(node).map(drop),
            (Event::Refused { .. }, _) => Some(()),
            _ => None,
        }
    }

    pub(super) fn write_parts(&self, writer: &mut Writer) {
        self.markets().for_each(|market| writer.market(market));
        self.nodes().for_each(|node| writer.cluster_node(node));
        self.tokens.iter().for_each(|token| writer.join_token(token));
    }

    /// Takes what a part says about the directory; `None` if it can't be.
    pub(super) fn read_part(&mut self, part: &mut Part) -> Option<()> {
        for market in part.markets()? {
            let ascends = self.markets.last_key_value().is_none_or(|(name, _)| *name < market.name);
            (ascends && self.markets.len() < MAX_MARKETS).then_some(())?;
            self.markets.insert(market.name.clone(), market);
        }
        for entry in part.cluster_nodes()? {
            let ascends = self.nodes.last_key_value().is_none_or(|(node, _)| *node < entry.node);
            let addresses = is_address(&entry.address) && is_address(&entry.peer_address);
            (ascends && addresses && self.nodes.len() < MAX_NODES).then_some(())?;
            self.nodes.insert(entry.node, entry);
        }
        for token in part.join_tokens()? {
            self.tokens.read(token)?;
        }
        Some(())
    }

    /// Puts what a step left behind into the digest.
    pub(super) fn digest(&self, digest: &mut Digest) {
        let tokens = self.tokens.iter().map(|Invitation { uses, .. }| u64::from(uses)).sum();
        digest.put([self.markets.len() as u64, self.nodes.len() as u64, tokens]);
    }
}

fn entry(new: &NewMarket, position: Position) -> MarketEntry {
    MarketEntry { name: new.name.clone(), rules: new.rules.clone(), voters: new.voters.clone(), position }
}

#[cfg(test)]
mod tests {
    use super::super::join::JoinToken;
    use super::*;

    const NODE: NodeId = NodeId(7);
    const KEY: PublicKey = [7; 32];
    const TOKEN: JoinToken = JoinToken([3; 16]);

    fn announced(key: PublicKey, token: Option<JoinToken>) -> Announcement {
        Announcement { address: "host:1".into(), peer_address: "host:2".into(), key, token }
    }

    /// A directory with so many nodes, from 1, and a token for two more until the time 100.
    fn directory(nodes: u64) -> Directory {
        let mut directory = Directory::default();
        for node in 1..=nodes {
            directory.announce(NodeId(node), &announced([1; 32], None), Position(1));
        }
        directory.tokens.add(Invitation { hash: TOKEN.hash(), uses: 2, expires: Micros(100) }, Micros(0));
        directory
    }

    fn check(directory: &Directory, node: NodeId, announced: &Announcement, now: u64) -> Result<(), Reason> {
        directory.check_announced(node, announced, Micros(now))
    }

    #[test]
    fn the_first_node_needs_no_token_and_later_ones_do() {
        assert_eq!(check(&Directory::default(), NODE, &announced(KEY, None), 0), Ok(()));
        let directory = directory(1);
        assert_eq!(check(&directory, NODE, &announced(KEY, None), 0), Err(Reason::NotInvited));
        let other = Some(JoinToken([4; 16]));
        assert_eq!(check(&directory, NODE, &announced(KEY, other), 0), Err(Reason::NotInvited));
        assert_eq!(check(&directory, NODE, &announced(KEY, Some(TOKEN)), 99), Ok(()));
        assert_eq!(check(&directory, NODE, &announced(KEY, Some(TOKEN)), 100), Err(Reason::NotInvited));
    }

    #[test]
    fn a_token_lets_in_as_many_as_it_says() {
        let mut directory = directory(1);
        for node in [NODE, NodeId(8)] {
            // What the directory knows already uses nothing up.
            for _ in 0..2 {
                assert_eq!(check(&directory, node, &announced(KEY, Some(TOKEN)), 0), Ok(()));
                directory.announce(node, &announced(KEY, Some(TOKEN)), Position(2));
            }
        }
        let third = check(&directory, NodeId(9), &announced(KEY, Some(TOKEN)), 0);
        assert_eq!(third, Err(Reason::NotInvited));
    }

    #[test]
    fn a_known_node_keeps_its_key_and_a_full_directory_takes_only_known_ones() {
        let full = directory(MAX_NODES as u64);
        assert_eq!(check(&full, NODE, &announced([1; 32], None), 0), Ok(()));
        assert_eq!(check(&full, NODE, &announced(KEY, Some(TOKEN)), 0), Err(Reason::OtherKey));
        let another = NodeId(MAX_NODES as u64 + 1);
        assert_eq!(check(&full, another, &announced(KEY, Some(TOKEN)), 0), Err(Reason::TooMany));
    }

    #[test]
    fn tokens_whose_time_is_over_make_room() {
        let mut tokens = Tokens::default();
        for number in 0..64 {
            assert!(tokens.has_room(&[number; 32], Micros(0)));
            tokens.add(Invitation { hash: [number; 32], uses: 1, expires: Micros(10) }, Micros(0));
        }
        assert!(!tokens.has_room(&[64; 32], Micros(9)) && tokens.has_room(&[64; 32], Micros(10)));
    }
}

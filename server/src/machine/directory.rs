//! The directory: which markets and which nodes there are. The same kind of replica as a market's,
//! over a registry instead of a book.

use std::collections::BTreeMap;
use std::sync::Arc;

use xbook_proto::record::v1::Outcome;
use xbook_proto::v1::Reason;

use super::FoldError;
use super::intent::{Action, Intent, NewMarket};
use super::journal::Journal;
use super::parts::{Part, Writer};
use super::step::Step;
use super::{Digest, Rules};
use crate::types::{NodeId, OrderId, Position};

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
    /// Where other nodes reach it: host and port.
    pub address: Arc<str>,
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

    /// Decides what becomes of an intent and applies it.
    pub(super) fn sequence(
        &mut self,
        id: OrderId,
        intent: &Intent,
        journal: &mut Journal,
    ) -> Result<Step, FoldError> {
        let step = match &intent.request.action {
            Action::CreateMarket(new) if self.markets.contains_key(&new.name) => {
                Step::refused(Reason::MarketExists)
            }
            Action::CreateMarket(_) if self.markets.len() >= MAX_MARKETS => Step::refused(Reason::TooMany),
            Action::CreateMarket(_) => Step::plain(Outcome::Created, Reason::Unspecified),
            Action::Announce(address) => match self.check_announced(id.node, address) {
                Ok(()) => Step::plain(Outcome::NodeChanged, Reason::Unspecified),
                Err(reason) => Step::refused(reason),
            },
            Action::RemoveNode(node) if !self.nodes.contains_key(node) => Step::refused(Reason::UnknownNode),
            Action::RemoveNode(_) => Step::plain(Outcome::NodeChanged, Reason::Unspecified),
            _ => Step::refused(Reason::UnknownValue),
        };
        self.apply(id, intent, &step, journal)?;
        Ok(step)
    }

    fn check_announced(&self, node: NodeId, address: &str) -> Result<(), Reason> {
        let plain = address.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain || !(1..=MAX_ADDRESS_BYTES).contains(&address.len()) {
            return Err(Reason::MalformedText);
        }
        let room = self.nodes.len() < MAX_NODES || self.nodes.contains_key(&node);
        if room { Ok(()) } else { Err(Reason::TooMany) }
    }

    /// Applies a recorded step.
    pub(super) fn apply(
        &mut self,
        id: OrderId,
        intent: &Intent,
        step: &Step,
        journal: &mut Journal,
    ) -> Result<(), FoldError> {
        let position = journal.advance();
        match (step.outcome, &intent.request.action) {
            (Outcome::Created, Action::CreateMarket(new)) => {
                let entry = entry(new, position);
                journal.market(&entry);
                self.markets.insert(entry.name.clone(), entry);
                Ok(())
            }
            (Outcome::NodeChanged, Action::Announce(address)) => {
                let entry = NodeEntry { node: id.node, address: Arc::clone(address), position };
                self.nodes.insert(id.node, entry);
                Ok(())
            }
            (Outcome::NodeChanged, Action::RemoveNode(node)) => {
                self.nodes.remove(node).map(drop).ok_or(FoldError::Misfit { intent: id })
            }
            (Outcome::Refused | Outcome::Expired | Outcome::Repeated, _) => Ok(()),
            _ => Err(FoldError::Misfit { intent: id }),
        }
    }

    pub(super) fn write_parts(&self, writer: &mut Writer) {
        self.markets().for_each(|market| writer.market(market));
        self.nodes().for_each(|node| writer.cluster_node(node));
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
            (ascends && self.check_announced(entry.node, &entry.address).is_ok()).then_some(())?;
            self.nodes.insert(entry.node, entry);
        }
        Some(())
    }

    /// Puts what a step left behind into the digest.
    pub(super) fn digest(&self, id: OrderId, step: &Step, digest: &mut Digest) {
        let (markets, nodes) = (self.markets.len() as u64, self.nodes.len() as u64);
        digest.put([id.node.0, id.counter, step.outcome as u64, step.reason as u64, markets, nodes]);
    }
}

fn entry(new: &NewMarket, position: Position) -> MarketEntry {
    MarketEntry { name: new.name.clone(), rules: new.rules.clone(), voters: new.voters.clone(), position }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(7);

    /// A directory with as many nodes as it holds.
    fn full() -> Directory {
        let entry = |node| NodeEntry { node: NodeId(node), address: "host:1".into(), position: Position(1) };
        let nodes = (1..=MAX_NODES as u64).map(|node| (NodeId(node), entry(node))).collect();
        Directory { nodes, ..Directory::default() }
    }

    #[test]
    fn an_address_is_short_and_plain() {
        let directory = Directory::default();
        assert_eq!(directory.check_announced(NODE, "node1.example:7001"), Ok(()));
        assert_eq!(directory.check_announced(NODE, &"a".repeat(MAX_ADDRESS_BYTES)), Ok(()));
        for address in ["", "a b:1", "a\n:1", &"a".repeat(MAX_ADDRESS_BYTES + 1)] {
            assert_eq!(directory.check_announced(NODE, address), Err(Reason::MalformedText), "{address:?}");
        }
    }

    #[test]
    fn a_full_directory_takes_only_those_that_it_knows() {
        let full = full();
        assert_eq!(full.check_announced(NODE, "host:2"), Ok(()));
        let another = NodeId(MAX_NODES as u64 + 1);
        assert_eq!(full.check_announced(another, "host:2"), Err(Reason::TooMany));
    }
}

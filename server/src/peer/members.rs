//! Who may be spoken with, by the cluster's directory.

use std::collections::BTreeMap;

use super::PeerError;
use crate::machine::{JoinToken, PublicKey, Tokens};
use crate::types::{Micros, NodeId};

/// The nodes of the directory and the tokens that let others join, as this node knows them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Members {
    /// The nodes, with their public keys.
    pub nodes: BTreeMap<NodeId, PublicKey>,
    /// The tokens.
    pub tokens: Tokens,
}

impl Members {
    /// Whether a node is in the directory. One that is not may only be spoken with about the directory.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    /// Whether a node that dialled and has proven its key is let in.
    pub(super) fn admit(
        &self,
        (node, key): (NodeId, &PublicKey),
        token: Option<JoinToken>,
        now: Micros,
    ) -> Result<(), PeerError> {
        match self.nodes.get(&node) {
            Some(known) if known == key => Ok(()),
            Some(_) => Err(PeerError::OtherKey),
            None if token.is_some_and(|token| self.tokens.admit(&token, now)) => Ok(()),
            None => Err(PeerError::NotInvited),
        }
    }

    /// Whether a node that was dialled, and has proven its key, is one to speak with. A node that is
    /// itself about to join can't know yet, and goes by the address that it was given.
    pub(super) fn accept(&self, me: NodeId, (node, key): (NodeId, &PublicKey)) -> Result<(), PeerError> {
        match self.nodes.get(&node) {
            Some(known) if known == key => Ok(()),
            Some(_) => Err(PeerError::OtherKey),
            None if !self.contains(me) => Ok(()),
            None => Err(PeerError::NoMember),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: JoinToken = JoinToken([5; 16]);

    fn members() -> Members {
        Members { nodes: [(NodeId(1), [1; 32]), (NodeId(2), [2; 32])].into(), tokens: Tokens::default() }
    }

    #[test]
    fn only_members_with_their_own_keys_are_let_in() {
        let admit = |node, key| members().admit((NodeId(node), &[key; 32]), Some(TOKEN), Micros(0));
        assert!(admit(2, 2).is_ok());
        assert!(matches!(admit(2, 1), Err(PeerError::OtherKey)), "impersonating");
        assert!(matches!(admit(3, 3), Err(PeerError::NotInvited)), "made up");
    }

    #[test]
    fn a_member_speaks_only_with_members_and_who_joins_with_whom_it_was_given() {
        let accept = |me, node, key| members().accept(NodeId(me), (NodeId(node), &[key; 32]));
        assert!(accept(1, 2, 2).is_ok() && accept(3, 2, 2).is_ok() && accept(3, 4, 4).is_ok());
        assert!(matches!(accept(1, 4, 4), Err(PeerError::NoMember)));
        assert!(matches!(accept(3, 2, 4), Err(PeerError::OtherKey)));
    }
}

//! Who a node is, and how another one can tell.
//!
//! A node has a secret in its data directory. The public half is in the cluster's directory, and each
//! side of a connection signs the other's challenge. That tells a node from all that don't have its
//! secret. It does not protect what is said on the connection after that: whoever can change packets on
//! their way can change these.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use xbook_proto::peer::v1::Greeting;

use super::{PROTOCOLS, PeerError, Protocols};
use crate::document::Genesis;
use crate::machine::PublicKey;
use crate::types::NodeId;

/// Random bytes for the other side to sign.
pub(super) type Challenge = [u8; 32];

/// What only one node has. It stays in its data directory.
#[derive(Clone)]
pub struct Secret(SigningKey);

/// Who this node is, to its peers.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its id.
    pub node: NodeId,
    /// The genesis of generation 0 of its cluster's directory, which names the cluster.
    pub cluster: Genesis,
    /// What only it has.
    pub secret: Secret,
}

/// What a connection begins with: who dialled whom, and their challenges.
pub(super) struct Meeting {
    pub dialler: (NodeId, Challenge),
    pub dialled: (NodeId, Challenge),
}

/// A side of a connection.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Dialler,
    Dialled,
}

/// A peer as it greets; what it says is not proven yet.
pub(super) struct Claim {
    pub node: NodeId,
    pub challenge: Challenge,
    pub key: PublicKey,
    /// The version of the protocol that both speak.
    pub protocol: u32,
}

impl Secret {
    /// The one that was made of these random bytes.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// The half that everyone may know.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.0.verifying_key().to_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Identity {
    /// What this node says first.
    pub(super) fn greeting(&self, challenge: Challenge) -> Greeting {
        Greeting {
            protocol: PROTOCOLS.newest,
            oldest_protocol: PROTOCOLS.oldest,
            node: self.node.0,
            directory: Some(self.cluster.record().clone()),
            challenge: challenge.to_vec().into(),
            key: self.secret.public().to_vec().into(),
            signature: bytes::Bytes::new(),
        }
    }

    /// Who greets, if it is a node of the same cluster; the rest is still to be proven.
    pub(super) fn recognize(&self, greeting: &Greeting) -> Result<Claim, PeerError> {
        let protocol = PROTOCOLS.agree(Protocols::of(greeting))?;
        if greeting.node == self.node.0 {
            return Err(PeerError::Myself);
        }
        if greeting.directory.as_ref() != Some(self.cluster.record()) {
            return Err(PeerError::OtherCluster);
        }
        let challenge = greeting.challenge.as_ref().try_into().map_err(|_| PeerError::NoGreeting)?;
        let key = greeting.key.as_ref().try_into().map_err(|_| PeerError::NoGreeting)?;
        Ok(Claim { node: NodeId(greeting.node), challenge, key, protocol })
    }

    /// This node's signature of a meeting, as one side of it.
    pub(super) fn sign(&self, meeting: &Meeting, side: Side) -> [u8; 64] {
        self.secret.0.sign(&self.words(meeting, side)).to_bytes()
    }

    /// Whether a signature of a meeting is that of a key.
    pub(super) fn is_signed(&self, meeting: &Meeting, side: Side, key: &PublicKey, signature: &[u8]) -> bool {
        let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(key), Signature::from_slice(signature))
        else {
            return false;
        };
        key.verify_strict(&self.words(meeting, side), &signature).is_ok()
    }

    fn words(&self, Meeting { dialler, dialled }: &Meeting, side: Side) -> Vec<u8> {
        let side: &[u8] = match side {
            Side::Dialler => b"dialler",
            Side::Dialled => b"dialled",
        };
        let cluster = self.cluster.digest();
        let nodes = [dialler.0.0.to_be_bytes(), dialled.0.0.to_be_bytes()].concat();
        [b"xbook peer", side, &cluster, &nodes, &dialler.1, &dialled.1].concat()
    }
}

/// A fresh challenge.
pub(super) fn challenge() -> Result<Challenge, PeerError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(PeerError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(node: u64, cluster: u64) -> Identity {
        let secret = Secret::new(&[u8::try_from(node).unwrap(); 32]);
        Identity { node: NodeId(node), cluster: Genesis::directory(NodeId(cluster)), secret }
    }

    fn meeting() -> Meeting {
        Meeting { dialler: (NodeId(1), [1; 32]), dialled: (NodeId(2), [2; 32]) }
    }

    #[test]
    fn a_signature_is_of_one_key_one_side_and_one_meeting() {
        let (one, two) = (identity(1, 1), identity(2, 1));
        let signature = one.sign(&meeting(), Side::Dialler);
        let key = one.secret.public();
        assert!(two.is_signed(&meeting(), Side::Dialler, &key, &signature));
        assert!(!two.is_signed(&meeting(), Side::Dialled, &key, &signature), "another side");
        assert!(!two.is_signed(&meeting(), Side::Dialler, &two.secret.public(), &signature), "another key");
        assert!(!identity(2, 2).is_signed(&meeting(), Side::Dialler, &key, &signature), "another cluster");
        for other in [
            Meeting { dialler: (NodeId(3), [1; 32]), ..meeting() },
            Meeting { dialled: (NodeId(3), [2; 32]), ..meeting() },
            Meeting { dialler: (NodeId(1), [9; 32]), ..meeting() },
            Meeting { dialled: (NodeId(2), [9; 32]), ..meeting() },
        ] {
            assert!(!two.is_signed(&other, Side::Dialler, &key, &signature), "another meeting");
        }
        for bad in [&[][..], &[0; 63], &[0; 64], &[255; 64]] {
            assert!(!two.is_signed(&meeting(), Side::Dialler, &key, bad));
            assert!(!two.is_signed(&meeting(), Side::Dialler, &[255; 32], bad));
        }
    }
}

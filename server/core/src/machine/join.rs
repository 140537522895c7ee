//! How a node becomes one of the cluster's: by a token that someone made, once.
//!
//! The directory keeps a token's hash, how many nodes it still lets in, and until when. A node's first
//! announcement shows the token itself; later ones are known by the node's key.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::types::Micros;

/// Most nodes that a token lets in.
pub const MAX_TOKEN_USES: u32 = 256;

/// Most tokens that a directory holds.
pub(super) const MAX_TOKENS: usize = 64;

/// A node's public key (Ed25519).
pub type PublicKey = [u8; 32];

/// The hash of a token, by which it is known.
pub type TokenHash = [u8; 32];

/// A token that lets a node join: 16 random bytes, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct JoinToken(pub [u8; 16]);

/// What a node says of itself in the directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announcement {
    /// Where its clients reach it: host and port; empty if it does not say.
    pub address: Arc<str>,
    /// Where other nodes reach it: host and port; empty if they don't dial it.
    pub peer_address: Arc<str>,
    /// Its public key.
    pub key: PublicKey,
    /// A token that lets it in, if the directory does not know it.
    pub token: Option<JoinToken>,
}

/// A token that is to let nodes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invitation {
    /// Its hash.
    pub hash: TokenHash,
    /// How many nodes it lets in.
    pub uses: u32,
    /// Tape time from which on it lets in none.
    pub expires: Micros,
}

/// The tokens that let nodes in.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tokens(BTreeMap<TokenHash, (u32, Micros)>);

impl JoinToken {
    /// By which the directory knows it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        blake3::hash(&self.0).into()
    }
}

impl FromStr for JoinToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let mut bytes = [0; 16];
        let hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let parsed = u128::from_str_radix(text, 16).ok().filter(|_| hex).ok_or(NotAToken)?;
        bytes.copy_from_slice(&parsed.to_be_bytes());
        Ok(Self(bytes))
    }
}

/// A text that is no token. It is not repeated: it may be one with a slip in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a join token is 32 hex digits, as `xcli invite` prints them")]
pub struct NotAToken;

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(..)")
    }
}

impl Tokens {
    /// Whether a token lets a node in at a time.
    #[must_use]
    pub fn admit(&self, token: &JoinToken, now: Micros) -> bool {
        self.0.get(&token.hash()).is_some_and(|(_, expires)| now < *expires)
    }

    /// Until when a token lets nodes in; `None` if it does not any more.
    #[must_use]
    pub fn expires(&self, hash: &TokenHash) -> Option<Micros> {
        self.0.get(hash).map(|(_, expires)| *expires)
    }

    /// Whether one more can be held at a time, or is held already.
    pub(super) fn has_room(&self, hash: &TokenHash, now: Micros) -> bool {
        let valid = self.0.values().filter(|(_, expires)| now < *expires);
        self.0.contains_key(hash) || valid.count() < MAX_TOKENS
    }

    /// Holds a token, and no more those whose time is over.
    pub(super) fn add(&mut self, Invitation { hash, uses, expires }: Invitation, now: Micros) {
        self.0.retain(|_, (_, expires)| now < *expires);
        self.0.insert(hash, (uses, expires));
    }

    /// A token has let a node in.
    pub(super) fn use_up(&mut self, token: &JoinToken) {
        let hash = token.hash();
        if let Some((uses, _)) = self.0.get_mut(&hash) {
            *uses = uses.saturating_sub(1);
            if *uses == 0 {
                self.0.remove(&hash);
            }
        }
    }

    /// The tokens, by hash.
    pub(super) fn iter(&self) -> impl Iterator<Item = Invitation> {
        self.0.iter().map(|(hash, (uses, expires))| Invitation {
            hash: *hash,
            uses: *uses,
            expires: *expires,
        })
    }

    /// Takes one that was written; `None` if it is out of order or none that was held.
    pub(super) fn read(&mut self, Invitation { hash, uses, expires }: Invitation) -> Option<()> {
        let ascends = self.0.last_key_value().is_none_or(|(last, _)| *last < hash);
        let fits = (1..=MAX_TOKEN_USES).contains(&uses) && self.0.len() < MAX_TOKENS;
        (ascends && fits).then(|| self.0.insert(hash, (uses, expires)))?;
        Some(())
    }
}

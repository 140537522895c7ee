//! The hash of a request's content, which tells a repeat from a reuse of its id.

use super::Message;

/// The first eight bytes of a hash over what the client asked for, without the request's id.
///
/// The proto encoding of one message by this program is always the same; `kind` keeps requests of
/// different calls apart.
#[must_use]
pub fn body_hash(kind: &str, message: &impl Message) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(kind.as_bytes());
    hasher.update(&[0]);
    hasher.update(&message.encode_to_vec());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}

//! Which version of the protocol between nodes two of them speak.

use std::fmt;

use xbook_proto::peer::v1::Greeting;

use super::PeerError;

/// The versions of the protocol between nodes that this program speaks.
pub(super) const PROTOCOLS: Protocols = Protocols { oldest: 2, newest: 2 };

/// Versions of the protocol between nodes: all from the oldest to the newest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protocols {
    /// The oldest.
    pub oldest: u32,
    /// The newest.
    pub newest: u32,
}

impl Protocols {
    /// The version that two nodes speak with each other: the newest that both know.
    ///
    /// # Errors
    /// There is none.
    pub fn agree(self, theirs: Self) -> Result<u32, PeerError> {
        let version = self.newest.min(theirs.newest);
        let both = self.oldest.max(theirs.oldest) <= version;
        both.then_some(version).ok_or(PeerError::Protocol { theirs, mine: self })
    }

    /// Those that a node says in its greeting.
    pub(super) fn of(greeting: &Greeting) -> Self {
        Self { oldest: greeting.oldest_protocol, newest: greeting.protocol }
    }
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.oldest == self.newest {
            write!(f, "version {}", self.newest)
        } else {
            write!(f, "versions {} to {}", self.oldest, self.newest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_speak_the_newest_version_that_both_know() {
        let agree = |(oldest, newest), (their_oldest, their_newest)| {
            let theirs = Protocols { oldest: their_oldest, newest: their_newest };
            Protocols { oldest, newest }.agree(theirs).ok()
        };
        for (one, other, agreed) in [
            ((2, 2), (2, 2), Some(2)),
            ((2, 3), (2, 2), Some(2)),
            ((2, 5), (4, 9), Some(5)),
            ((1, 2), (2, 3), Some(2)),
            ((1, 2), (3, 4), None),
            // Nobody speaks these.
            ((2, 2), (0, 1), None),
            ((2, 2), (5, 1), None),
            ((2, 2), (u32::MAX, u32::MAX), None),
        ] {
            assert_eq!(agree(one, other), agreed, "{one:?} and {other:?}");
            assert_eq!(agree(other, one), agreed, "{other:?} and {one:?}");
        }
    }

    #[test]
    fn a_peer_that_speaks_no_common_version_is_told_both_sides() {
        let theirs = Protocols { oldest: 3, newest: 4 };
        let refused = Protocols { oldest: 2, newest: 2 }.agree(theirs).unwrap_err().to_string();
        assert_eq!(
            refused,
            "it speaks versions 3 to 4 of the protocol between nodes, this node speaks version 2"
        );
    }
}

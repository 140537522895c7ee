//! The formats of a generation, by their numbers.
//!
//! A format is how the records of a generation are written and what they mean: whoever reads one in
//! another format than it was written in would guess. So each generation has a format number, and
//! a node knows which it can read. A new format begins with a generation: the Seal of the one before
//! names it. The holder writes such a Seal only when it was told to, and only if all voters, today's
//! and the next ones, have said that they can read it. What of all nodes votes goes on; a node that
//! can't read the new generation says so by name, serves nothing of the document, and goes on once
//! its program was replaced by a newer one.

use std::fmt;

/// The number of a format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Format(pub u32);

/// The formats that a node can read: all from the oldest to the newest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Formats {
    /// The oldest.
    pub oldest: Format,
    /// The newest.
    pub newest: Format,
}

impl Format {
    /// That of a document's generation 0, which all nodes make by themselves from the directory's entry.
    pub const FIRST: Self = Self(1);
}

impl Formats {
    /// Those that this program can read.
    pub const KNOWN: Self = Self { oldest: Format::FIRST, newest: Format::FIRST };

    /// Whether a format is one of them.
    #[must_use]
    pub fn contains(self, format: Format) -> bool {
        (self.oldest..=self.newest).contains(&format)
    }
}

impl Default for Formats {
    fn default() -> Self {
        Self::KNOWN
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.oldest == self.newest {
            write!(f, "format {}", self.newest)
        } else {
            write!(f, "formats {} to {}", self.oldest, self.newest)
        }
    }
}

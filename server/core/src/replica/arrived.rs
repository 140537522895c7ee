//! Whether a node that has just started or joined knows what the others knew when it came.
//!
//! ```text
//! alone, or holds the lease ───────────────────────────────────────────────┐
//! a voter was heard ──> all that the peers had is here ──> all is shown ──> arrived
//!        ^── begun anew when a newer generation is told of, or was fetched ──┘
//! ```
//!
//! Until then what this node lacks may be old, and not to have it says nothing.

use super::Replica;
use crate::document::Vector;
use crate::types::{BatchIndex, GenerationNumber, Micros};

/// How far it is.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) enum Arrived {
    /// No voter was heard in the newest generation that is told of.
    #[default]
    Unheard,
    /// In a generation, what the peers had when they were heard is on its way.
    Behind { generation: GenerationNumber, had: Vector },
    /// All of that is here, and so many batches are on the tape.
    Showing { generation: GenerationNumber, batches: BatchIndex },
    /// It does.
    Yes,
}

impl Replica {
    /// Whether this node has shown what its peers had when it first heard them, and none is known to be in
    /// a newer generation.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.arrived == Arrived::Yes && !self.is_outrun
    }

    /// Notes what was heard and shown.
    pub(super) fn tend_arrived(&mut self, now: Micros) {
        // A generation that can't be counts for nothing, whoever tells of it.
        self.is_outrun = self.catch_up.is_there(self.generation()) && self.has_newer(now);
        if self.arrived == Arrived::Yes {
            return;
        }
        let generation = self.generation();
        let alone = self.current.tape.voters() == [self.node];
        self.arrived = match std::mem::take(&mut self.arrived) {
            _ if alone || self.holds_lease() => Arrived::Yes,
            // A generation that this node sealed or was given begins with all that came before.
            _ if self.is_outrun => Arrived::Unheard,
            Arrived::Behind { generation: of, .. } | Arrived::Showing { generation: of, .. }
                if of != generation =>
            {
                Arrived::Unheard
            }
            Arrived::Unheard => match self.heard_from_voters() {
                Some(had) => Arrived::Behind { generation, had },
                None => Arrived::Unheard,
            },
            Arrived::Behind { had, .. } if self.has_all(&had) => {
                Arrived::Showing { generation, batches: self.current.tape.len() }
            }
            // Batches at the tape's end may turn out to be void.
            Arrived::Showing { batches, .. }
                if self.view.batches() >= batches.min(self.current.tape.len()) =>
            {
                Arrived::Yes
            }
            unchanged => unchanged,
        };
    }

    /// What the connected peers have of this generation, if a voter is among them.
    fn heard_from_voters(&self) -> Option<Vector> {
        let heard = || {
            self.current
                .peers
                .connected
                .iter()
                .filter_map(|(peer, known)| Some((peer, known.acked.as_ref()?)))
        };
        heard().any(|(peer, _)| self.current.tape.voters().contains(peer)).then(|| {
            let mut all = Vector::new();
            for (actor, seq) in heard().flat_map(|(_, ack)| &ack.vector) {
                let known = all.entry(*actor).or_insert(*seq);
                *known = (*known).max(*seq);
            }
            all
        })
    }

    fn has_all(&self, had: &Vector) -> bool {
        let mine = self.current.document.vector();
        had.iter().all(|(actor, seq)| mine.get(actor).is_some_and(|has| has >= seq))
    }
}

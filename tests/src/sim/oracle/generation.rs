//! Generations: each has one genesis, everywhere, and it follows from what was committed before it.

use std::sync::Arc;

use xbook::document::Genesis;
use xbook::format::Format;
use xbook::types::{GenerationNumber, NodeId, Position};

use super::committed::Committed;

/// A generation begins as it must not.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GenerationViolation {
    /// Another genesis.
    #[error("node {node} begins generation {generation} with another genesis than node {other}")]
    Differs {
        /// The node.
        node: NodeId,
        /// The node that began it first.
        other: NodeId,
        /// The generation.
        generation: GenerationNumber,
    },
    /// Its Seal is not the last that was committed.
    #[error("node {node} begins generation {generation} at position {at}; committed is position {committed}")]
    Uncommitted {
        /// The node.
        node: NodeId,
        /// The generation.
        generation: GenerationNumber,
        /// Where it begins.
        at: Position,
        /// What was committed.
        committed: Position,
    },
    /// Nobody was in the one before.
    #[error("node {node} begins generation {generation}, and nobody began the one before")]
    Unheard {
        /// The node.
        node: NodeId,
        /// The generation.
        generation: GenerationNumber,
    },
    /// Other voters than were asked for.
    #[error("generation {generation} has the voters {voters:?}, asked for were {asked:?}")]
    Voters {
        /// The generation.
        generation: GenerationNumber,
        /// Its voters.
        voters: Vec<NodeId>,
        /// Whom the committed requests lead to.
        asked: Vec<NodeId>,
    },
    /// Its node can't read it.
    #[error("node {node} begins generation {generation} in format {format}, which its program can't read")]
    Unreadable {
        /// The node.
        node: NodeId,
        /// The generation.
        generation: GenerationNumber,
        /// Its format.
        format: Format,
    },
    /// In another format than the one before, and nobody said that it should.
    #[error("generation {generation} has format {format}, and nobody was told to go on in that")]
    Untold {
        /// The generation.
        generation: GenerationNumber,
        /// Its format.
        format: Format,
    },
    /// In a format that a voter can't read.
    #[error("generation {generation} has format {format}, which voter {voter} can't read")]
    Unready {
        /// The voter.
        voter: NodeId,
        /// The generation.
        generation: GenerationNumber,
        /// Its format.
        format: Format,
    },
}

/// The generations so far.
#[derive(Debug)]
pub struct Generations {
    geneses: Vec<(NodeId, Arc<Genesis>)>,
}

impl Generations {
    /// The first one, which nobody has to make.
    #[must_use]
    pub fn new(first: Arc<Genesis>) -> Self {
        Self { geneses: vec![(NodeId(0), first)] }
    }

    /// A node begins a generation; `true` if it is the first to do so.
    ///
    /// # Errors
    /// It begins as it must not. `asked` are the voters that what was committed leads to.
    pub fn begun(
        &mut self,
        node: NodeId,
        genesis: &Arc<Genesis>,
        committed: &Committed,
        asked: Vec<NodeId>,
    ) -> Result<bool, GenerationViolation> {
        let generation = genesis.generation();
        let known = usize::try_from(generation.0).ok().and_then(|at| self.geneses.get(at));
        if let Some((other, known)) = known {
            let same = known == genesis;
            return if same {
                Ok(false)
            } else {
                Err(GenerationViolation::Differs { node, other: *other, generation })
            };
        }
        if generation != GenerationNumber(self.geneses.len() as u64) {
            return Err(GenerationViolation::Unheard { node, generation });
        }
        let at = genesis.position();
        if committed.end() != at || !committed.ends_at(GenerationNumber(generation.0 - 1), at) {
            let committed = committed.end();
            return Err(GenerationViolation::Uncommitted { node, generation, at, committed });
        }
        if genesis.voters() != asked {
            return Err(GenerationViolation::Voters { generation, voters: genesis.voters(), asked });
        }
        self.geneses.push((node, Arc::clone(genesis)));
        Ok(true)
    }

    /// The genesis of a generation.
    #[must_use]
    pub fn get(&self, generation: GenerationNumber) -> Option<&Arc<Genesis>> {
        self.geneses.get(usize::try_from(generation.0).ok()?).map(|(_, genesis)| genesis)
    }

    /// The first and the newest.
    #[must_use]
    pub fn ends(&self) -> (&Arc<Genesis>, &Arc<Genesis>) {
        (&self.geneses[0].1, &self.geneses[self.geneses.len() - 1].1)
    }

    /// The voters of the newest one, ascending.
    #[must_use]
    pub fn voters(&self) -> Vec<NodeId> {
        self.ends().1.voters()
    }

    /// Whether any of them had a single voter.
    #[must_use]
    pub fn had_sole_voter(&self) -> bool {
        self.geneses.iter().any(|(_, genesis)| genesis.voters().len() == 1)
    }

    /// How many there were, the first included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.geneses.len()
    }
}

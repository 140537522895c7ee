//! Who votes in a document, and who will in its next generation.

use super::intent::VoterChange;
use crate::types::{NodeId, Reason};

/// Most voters of a document. More would make each commit wait for more disks and protect against
/// little that seven do not.
pub const MAX_VOTERS: usize = 7;

/// The voters of a generation, and those of the next one if they are to be others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Voters {
    current: Vec<NodeId>,
    next: Option<Vec<NodeId>>,
}

impl Voters {
    pub fn new(mut current: Vec<NodeId>) -> Self {
        current.sort_unstable();
        current.dedup();
        Self { current, next: None }
    }

    /// Ascending.
    pub fn current(&self) -> &[NodeId] {
        &self.current
    }

    /// Ascending; `None` if they stay.
    pub fn next(&self) -> Option<&[NodeId]> {
        self.next.as_deref()
    }

    /// What a change makes of what is asked for so far.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn changed(&self, change: VoterChange) -> Result<Vec<NodeId>, Reason> {
        let mut target = self.next.as_ref().unwrap_or(&self.current).clone();
        match change {
            VoterChange::Add(node) => match target.binary_search(&node) {
                Ok(_) => return Err(Reason::AlreadyVoter),
                Err(_) if target.len() >= MAX_VOTERS => return Err(Reason::TooManyVoters),
                Err(at) => target.insert(at, node),
            },
            VoterChange::Remove(node) => match target.binary_search(&node) {
                Ok(_) if target.len() == 1 => return Err(Reason::LastVoter),
                Ok(at) => _ = target.remove(at),
                Err(_) => return Err(Reason::NotVoter),
            },
        }
        Ok(target)
    }

    /// Asks for these, ascending.
    pub fn set_next(&mut self, target: Vec<NodeId>) {
        self.next = (target != self.current).then_some(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(node: u64) -> VoterChange {
        VoterChange::Add(NodeId(node))
    }

    fn remove(node: u64) -> VoterChange {
        VoterChange::Remove(NodeId(node))
    }

    impl Voters {
        fn change(&mut self, change: VoterChange) -> Result<(), Reason> {
            self.changed(change).map(|target| self.set_next(target))
        }
    }

    #[test]
    fn changes_add_up_and_one_that_leads_back_leaves_none() {
        let mut voters = Voters::new(vec![NodeId(3), NodeId(1)]);
        assert_eq!(voters.current(), [NodeId(1), NodeId(3)]);
        assert_eq!(voters.next(), None);
        assert_eq!((voters.change(add(2)), voters.change(remove(1))), (Ok(()), Ok(())));
        assert_eq!(voters.next(), Some(&[NodeId(2), NodeId(3)][..]));
        assert_eq!((voters.change(add(1)), voters.change(remove(2))), (Ok(()), Ok(())));
        assert_eq!(voters.next(), None);
        assert_eq!(voters.current(), [NodeId(1), NodeId(3)]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_for_a_reason_and_changes_nothing() {
        let mut voters = Voters::new(vec![NodeId(1)]);
        assert_eq!(voters.change(remove(1)), Err(Reason::LastVoter));
        assert_eq!(voters.change(remove(2)), Err(Reason::NotVoter));
        assert_eq!(voters.change(add(1)), Err(Reason::AlreadyVoter));
        assert_eq!(voters.next(), None);
        for node in 2..=MAX_VOTERS as u64 {
            assert_eq!(voters.change(add(node)), Ok(()));
        }
        let before = voters.clone();
        assert_eq!(voters.change(add(100)), Err(Reason::TooManyVoters));
        assert_eq!(voters.change(add(2)), Err(Reason::AlreadyVoter));
        assert_eq!(voters, before);
    }
}

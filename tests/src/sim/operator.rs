//! Who changes the voters, and whose disks are lost for good: a node that lost its disk comes back as
//! a new one, and is made a voter in the place of the old.

use xbook::machine::{Action, Origin, Request, VoterChange};
use xbook::replica::Input;
use xbook::types::{NodeId, OrderId};

use super::World;
use super::oracle::Violation;
use super::world::Event;

/// How soon what the chaos left is repaired.
const REPAIR: u64 = 500_000;

/// An operator.
#[derive(Debug)]
pub struct Operator {
    pace: u64,
    asked: u64,
    /// How many disks were lost.
    pub lost: u64,
}

impl Operator {
    /// An operator; `pace` is its longest time between two changes, zero if it does nothing.
    #[must_use]
    pub fn new(pace: u64) -> Self {
        Self { pace, asked: 0, lost: 0 }
    }
}

impl World {
    /// The operator does something.
    pub(super) fn operate(&mut self) -> Result<(), Violation> {
        if self.operator.pace == 0 {
            return Ok(());
        }
        if !self.chaos {
            return Ok(());
        }
        let again = self.time + self.random.between(50_000, self.operator.pace);
        self.plan(again, Event::Operate);
        if self.random.percent(50) {
            self.copy_disk();
        }
        if self.random.percent(20) {
            self.lose_disk();
            return Ok(());
        }
        // A voter less may be one too many if a copy is refused.
        if self.machines.iter().any(|machine| machine.copy.is_some() || machine.may_lack()) {
            return Ok(());
        }
        let voters = self.generations.voters();
        let gone: Vec<NodeId> = voters.iter().copied().filter(|voter| self.find(*voter).is_none()).collect();
        let outside: Vec<NodeId> =
            self.machines.iter().map(|machine| machine.id).filter(|id| !voters.contains(id)).collect();
        // While a voter is gone, nobody else goes: the others must stay a majority.
        let shrinks = gone.is_empty() && voters.len() > 2 && self.random.percent(40);
        let change = match (gone.first(), self.random.pick(&outside)) {
            (Some(gone), None) => VoterChange::Remove(*gone),
            (Some(gone), Some(new)) if self.random.percent(50) && voters.len() > 2 => {
                // Both in one generation.
                self.ask(VoterChange::Remove(*gone))?;
                VoterChange::Add(*new)
            }
            (Some(gone), Some(_)) => VoterChange::Remove(*gone),
            (None, Some(new)) if !shrinks => VoterChange::Add(*new),
            (None, _) if shrinks => match self.random.pick(&voters) {
                Some(voter) => VoterChange::Remove(*voter),
                None => return Ok(()),
            },
            // Refused, for a reason.
            (None, _) => VoterChange::Add(voters[0]),
        };
        self.ask(change)
    }

    /// The chaos is over, and somebody looks at once what it left.
    pub(super) fn begin_repair(&mut self) {
        if self.operator.pace > 0 {
            let soon = self.time + self.random.between(50_000, REPAIR);
            self.plan(soon, Event::Repair);
        }
    }

    /// After the chaos: voters that are gone for good are removed.
    pub(super) fn repair(&mut self) -> Result<(), Violation> {
        let again = self.time + self.random.between(50_000, REPAIR);
        self.plan(again, Event::Repair);
        let gone = self.generations.voters().into_iter().find(|voter| self.find(*voter).is_none());
        match gone {
            Some(gone) => self.ask(VoterChange::Remove(gone)),
            None => Ok(()),
        }
    }

    fn ask(&mut self, change: VoterChange) -> Result<(), Violation> {
        let running: Vec<usize> =
            (0..self.machines.len()).filter(|at| self.machines[*at].running().is_some()).collect();
        let Some(at) = self.random.pick(&running).copied() else {
            return Ok(());
        };
        let Some(replica) = self.machines[at].running() else {
            return Ok(());
        };
        let id = OrderId { node: replica.node(), counter: replica.next_counter() };
        self.operator.asked += 1;
        let request = Request {
            account: "operator".into(),
            origin: Origin::Request(format!("voters-{}", self.operator.asked).into()),
            body_hash: self.operator.asked,
            action: Action::ChangeVoters(change),
        };
        self.promises.submitted(id, request.clone());
        self.input(at, Input::Submit(vec![request]))
    }

    /// Whether the others can do without a machine's disk.
    pub(super) fn can_do_without(&self, at: usize) -> bool {
        let (node, voters) = (self.machines[at].id, self.generations.voters());
        let newest = self.generations.count() as u64 - 1;
        let settled = self.machines.iter().all(|machine| {
            let steady = |replica: &xbook::replica::Replica| {
                replica.generation() == newest && replica.view().next_voters().is_none()
            };
            // One that holds back until it has heard the others is none of those that go on.
            let held_back = machine.copy.is_some_and(|copy| copy.noticed);
            let whole = !machine.may_lack() && machine.disk.genesis().generation() == newest;
            !held_back && whole && machine.replica().is_none_or(steady)
        });
        // A change of voters that is committed may be sealed in, also while all who know of it are down.
        let lasting = !self.promises.changes_voters() && self.rematch.voters() == voters;
        let steady = settled && lasting && self.voters_are_there();
        steady && (!voters.contains(&node) || voters.len() >= 3)
    }

    /// A machine loses its disk, if the others can do without it.
    fn lose_disk(&mut self) {
        let at = self.random.index(self.machines.len());
        if !self.can_do_without(at) {
            return;
        }
        let node = self.machines[at].id;
        self.note(|| format!("node {} loses its disk", node.0));
        let span = self.random.between(10_000, 2_000_000);
        self.crash(at, span);
        self.promises.lost(node);
        self.operator.lost += 1;
        self.renew(at);
    }

    /// A machine has a new disk, and is a new node.
    pub(super) fn renew(&mut self, at: usize) {
        let highest = self.machines.iter().map(|machine| machine.id.0).max().unwrap_or(0);
        let id = NodeId(self.next_node.max(highest + 1));
        self.next_node = id.0 + 1;
        let first = self.generations.ends().0.clone();
        self.machines[at].replace(id, first);
    }

    /// Whether all voters still have their disks.
    pub(super) fn voters_are_there(&self) -> bool {
        self.generations.voters().iter().all(|voter| self.find(*voter).is_some())
    }

    /// The machine of a node that still has its disk.
    pub(super) fn find(&self, node: NodeId) -> Option<usize> {
        self.machines.iter().position(|machine| machine.id == node)
    }
}

//! Old copies of disks that are put back.
//!
//! A copy lacks what its node did since. If nothing of its own is missing, it looks like a slow disk; what
//! the node acknowledged is gone all the same. Half of the nodes see that their directory was copied, and
//! hold back until they have heard enough others. The others are told by every voter that they reach,
//! and give up; a node that gave up comes back as a new one, as if its disk were lost.
//!
//! No copy is put back where nobody could tell: of one that was not noticed, or that lacks changes of its
//! own, all other voters remember more on their disks.

use xbook::document::{Vector, heading};
use xbook::replica::message::{HeardAck, Message};
use xbook::replica::{Replica, ReplicaError};
use xbook::types::{GenerationNumber, NodeId, Position};

use super::World;
use super::disk::Disk;
use super::machine::{Copied, Machine};
use super::oracle::Violation;
use super::plant::Bug;
use super::world::Event;

/// A copy of a disk that waits to be put back.
#[derive(Debug)]
pub struct Backup {
    node: NodeId,
    disk: Disk,
    /// How far its node had shown the document.
    shown: Position,
}

impl World {
    /// Copies a disk, and puts it back in a while.
    pub(super) fn copy_disk(&mut self) {
        let at = self.random.index(self.machines.len());
        let machine = &self.machines[at];
        let backup = Backup { node: machine.id, disk: machine.disk.copy(), shown: machine.history_now() };
        let late = [5_000, 100_000, 1_000_000, 6_000_000][self.random.index(4)];
        let when = self.time + self.random.between(1_000, late);
        self.plan(when, Event::Restore(at, Box::new(backup)));
    }

    /// Puts a copy in the place of a disk, if the others can do without that.
    pub(super) fn restore(&mut self, at: usize, backup: Backup) {
        if !self.chaos || self.machines[at].id != backup.node || !self.can_do_without(at) {
            return;
        }
        let span = self.random.between(10_000, 1_000_000);
        self.crash(at, span);
        let Some(copied) = self.judge_copy(at, &backup.disk) else { return };
        self.note(|| format!("an old copy of node {}: {copied:?}", backup.node.0));
        self.copies += 1;
        self.promises.lost(backup.node);
        self.machines[at].restore(backup.disk, backup.shown, copied);
    }

    /// What the node of a copy may see; `None` if it must not be put back.
    fn judge_copy(&mut self, at: usize, copy: &Disk) -> Option<Copied> {
        let (node, real) = (self.machines[at].id, &self.machines[at].disk);
        // A sole voter has nobody to ask.
        if copy.genesis().voters() == [node] {
            return None;
        }
        let newest = real.genesis().generation();
        let own = |disk: &Disk, generation| {
            let changes = disk.of(generation).unwrap_or_default();
            changes.iter().filter(|change| heading(change).is_ok_and(|at| at.actor.node() == node)).count()
        };
        let lacks_own = (0..=newest.0)
            .map(GenerationNumber)
            .any(|generation| own(real, generation) > own(copy, generation));
        let remembers = |machine: &Machine| {
            machine.disk.remembered().of(node).is_some_and(|heard| is_beyond(heard, copy))
        };
        let voters = self.generations.voters();
        let mut others = self.machines.iter().filter(|other| other.id != node && voters.contains(&other.id));
        let all_know = others.all(remembers);
        if lacks_own && !all_know {
            return None;
        }
        let noticed = lacks_own || !all_know || self.random.percent(50);
        Some(Copied { noticed, lacks_own, through: newest })
    }

    /// Whether a node gave up because its disk is an old copy, which it is.
    pub(super) fn is_refused(&self, at: usize, error: &ReplicaError) -> bool {
        let tells = matches!(error, ReplicaError::Outdated { .. } | ReplicaError::Forgotten { .. });
        tells && self.machines[at].lacks_through.is_some()
    }

    /// It comes back as a new node.
    pub(super) fn refused(&mut self, at: usize) {
        let node = self.machines[at].id;
        self.note(|| format!("node {} is refused", node.0));
        self.refusals += 1;
        // What it took as an old copy is lost with it.
        self.promises.lost(node);
        let span = self.random.between(10_000, 2_000_000);
        self.crash(at, span);
        self.renew(at);
    }

    /// Whether a message tells a running node of an old copy what its disk lacks: then it must give up.
    pub(super) fn tells(&self, at: usize, message: &Message) -> bool {
        let machine = &self.machines[at];
        let honest = self.bug.is_none_or(|bug| bug == Bug::ForgottenAck);
        let copied = machine.copy.is_some() && machine.running().is_some() && honest;
        let Message::Hello { heard: Some(heard), .. } = message else { return false };
        copied && is_beyond(heard, &machine.disk)
    }

    /// A node was told that its disk is an old copy.
    ///
    /// # Errors
    /// It goes on.
    pub(super) fn gave_up(&self, node: NodeId) -> Result<(), Violation> {
        let goes_on = self.machines.iter().any(|machine| machine.id == node && machine.replica().is_some());
        if goes_on { Err(Violation::Unrefused { node }) } else { Ok(()) }
    }

    /// Whether every copy was refused, or has what it lacked. One that has left the generations in which it
    /// had acknowledged, its node being no voter meanwhile, lacks nothing that counts.
    pub(super) fn copies_are_settled(&self) -> bool {
        let voters = self.generations.voters();
        let open = |machine: &Machine| machine.replica().is_some_and(Replica::may_vote);
        self.machines.iter().all(|machine| {
            // Of whom did not vote in between, nobody remembers anything.
            let settled = machine.copy.is_none() || !voters.contains(&machine.id) || !machine.may_lack();
            settled && open(machine)
        })
    }
}

/// Whether a disk has less than its node acknowledged.
fn is_beyond(HeardAck { generation, ack }: &HeardAck, disk: &Disk) -> bool {
    let newest = disk.genesis().generation();
    if *generation != newest {
        return *generation > newest;
    }
    let mut vector = Vector::new();
    for at in disk.durable().iter().filter_map(|change| heading(change).ok()) {
        let seq = vector.entry(at.actor).or_insert(0);
        *seq = at.seq.max(*seq);
    }
    ack.vector.iter().any(|(actor, seq)| vector.get(actor).is_none_or(|have| have < seq))
}

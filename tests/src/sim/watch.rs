//! The oracles look on.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use xbook::document::{Actor, Genesis};
use xbook::machine::{Account, Block};
use xbook::replica::{Remembered, Replica, Settings};
use xbook::types::{GenerationNumber, Micros, NodeId, OrderId};

use super::World;
use super::client::Client;
use super::oracle::committed::CommittedViolation;
use super::oracle::{Violation, buffers, fold};
use super::programs;
use super::world::Event;

impl World {
    /// A machine shows its next block.
    pub(super) fn shown(&mut self, at: usize, block: &Arc<Block>) -> Result<(), Violation> {
        let node = self.machines[at].id;
        let Some(process) = &mut self.machines[at].process else {
            return Ok(());
        };
        let before = process.shown;
        process.shown.1 = block.last;
        self.trace.number(block.last.0);
        if !self.committed.shown(node, before, block)? {
            return Ok(());
        }
        if let Some(log) = &mut self.log {
            log.push(format!("{:>10} {} commits up to position {}", self.time, at + 1, block.last));
        }
        self.excuse_clocks();
        self.times.committed(block.last, block.time, self.time)?;
        self.promises.consumed(block)?;
        let promises = &self.promises;
        let withdrawn = |order: OrderId, account: &Account| promises.is_withdrawn(order, account);
        self.rematch.block(block, |id| promises.request(id), withdrawn)?;
        for answer in &block.answers {
            if let Some(request) = promises.request(answer.intent) {
                let owner = self.clients.iter_mut().find(|client| client.owns(request));
                owner.into_iter().for_each(|client| client.told(request, answer.refused));
            }
        }
        if let Some(cut) = &mut self.cut {
            cut.shown(node, block.first, self.time)?;
        }
        Ok(())
    }

    /// A machine begins a generation.
    pub(super) fn begun(&mut self, at: usize, genesis: &Arc<Genesis>) -> Result<(), Violation> {
        let node = self.machines[at].id;
        self.check_format(at, genesis)?;
        self.generations.begun(node, genesis, &self.committed, self.rematch.voters())?;
        if let Some(log) = &mut self.log {
            let (generation, voters) = (genesis.generation(), genesis.voters());
            log.push(format!("{:>10} {} begins generation {generation} of {voters:?}", self.time, at + 1));
        }
        if let Some(process) = &mut self.machines[at].process {
            process.shown.0 = genesis.generation();
        }
        Ok(())
    }

    /// The oracles look at a machine after a step.
    pub(super) fn look_at(&mut self, at: usize) -> Result<(), Violation> {
        let Some(process) = &mut self.machines[at].process else {
            return Ok(());
        };
        let replica = &process.replica;
        let status = replica.status();
        if (status.generation, status.term) != process.term {
            process.term = (status.generation, status.term);
            self.leases.check(replica)?;
            if status.holder == Some(replica.node()) {
                self.envy(at);
                return self.look_at(at);
            }
        }
        if process.shown != process.looked {
            process.looked = process.shown;
            let shown = (status.generation, status.position);
            if process.shown != shown {
                let (node, at, first) = (replica.node(), process.shown.1, status.position);
                return Err(CommittedViolation::Gap { node, at, first }.into());
            }
            self.committed.digest(replica.node(), shown, status.digest)?;
            if status.position == self.committed.end()
                && let Some(market) = replica.view().machine.market()
            {
                self.rematch.compare_book(market.book().digest(), status.position)?;
                let trigger = |id| {
                    let order = market.order(&id).filter(|order| order.is_waiting())?;
                    order.stop().map(|stop| stop.trigger)
                };
                self.rematch.compare_waiting(status.position, trigger)?;
                self.rematch.compare_indication(status.position, market.indication())?;
            }
        }
        Ok(())
    }

    /// Looks at everything now and then.
    pub(super) fn probe(&mut self) -> Result<(), Violation> {
        self.plan(self.time + 50_000, Event::Probe);
        let mut believers = 0;
        for machine in &self.machines {
            if let Some(replica) = machine.running() {
                buffers::check(replica)?;
                let believes = replica.may_match(machine.clock.at(self.time));
                believers += u64::from(believes);
                if let Some(cut) = self.cut.as_mut().filter(|_| believes) {
                    cut.holds(replica.node(), self.time);
                }
            }
        }
        self.leases.overlaps += u64::from(believers > 1);
        if self.random.percent(2) {
            let at = self.random.index(self.machines.len());
            self.machines[at].replica().map_or(Ok(()), fold::check_replica)?;
        }
        if let Some(cut) = &self.cut {
            cut.check(self.time)?;
        }
        Ok(())
    }

    /// Merges some machines' disks, as they are now, in some order.
    ///
    /// # Errors
    /// They fold to what they must not.
    pub fn check_merge(&mut self) -> Result<(), Violation> {
        let newest = self.generations.count() as u64 - 1;
        for generation in newest.saturating_sub(2)..=newest {
            self.check_merge_of(GenerationNumber(generation))?;
        }
        Ok(())
    }

    fn check_merge_of(&mut self, generation: GenerationNumber) -> Result<(), Violation> {
        let been = |at: &usize| self.machines[*at].disk.of(generation).is_some();
        let mut order: Vec<usize> = (0..self.machines.len()).filter(been).collect();
        self.random.shuffle(&mut order);
        order.truncate(1 + self.random.index(order.len().max(1)));
        let whole = self.random.percent(60);
        let part = |at| (at, if whole { 100 } else { self.random.between(0, 100) });
        let parts: Vec<(usize, u64)> = order.into_iter().map(part).collect();
        self.merge(generation, &parts)
    }

    /// Merges what some machines have, or had, of a generation on their disks, in this order: of each,
    /// so many percent from the beginning.
    ///
    /// # Errors
    /// They fold to what they must not.
    pub fn merge(&self, generation: GenerationNumber, parts: &[(usize, u64)]) -> Result<(), Violation> {
        let Some(genesis) = self.generations.get(generation) else {
            return Ok(());
        };
        let mut disks: Vec<(NodeId, &[Bytes])> = Vec::new();
        for (machine, percent) in parts.iter().filter_map(|(at, part)| Some((self.machines.get(*at)?, part)))
        {
            if let Some(disk) = machine.disk.of(generation) {
                let part = usize::try_from((disk.len() as u64 * percent).div_ceil(100)).unwrap_or(disk.len());
                disks.push((machine.id, &disk[..part.min(disk.len())]));
            }
        }
        let (voters, whole) = (genesis.voters(), parts.iter().all(|(_, percent)| *percent >= 100));
        let present: BTreeSet<NodeId> = disks.iter().map(|(node, _)| *node).collect();
        // An old copy may lack what its node acknowledged, until it has caught up or is refused.
        let lacks = |node: &NodeId| {
            let machine = self.find(*node).and_then(|at| self.machines[at].lacks_through);
            machine.is_some_and(|through| generation <= through)
        };
        let present = present.iter().filter(|node| voters.contains(node) && !lacks(node)).count();
        let majority = whole && present > voters.len() / 2;
        fold::check_merge(genesis, (&disks, majority), self.caps, &self.committed)
    }

    /// Matches again what each machine has on its disk of its newest generation, as `verify` does.
    ///
    /// # Errors
    /// It finds something wrong, though nothing is.
    pub fn verify(&self) -> Result<(), Violation> {
        for machine in &self.machines {
            let failed = |error: String| Violation::Failed { node: machine.id, error };
            let reader = Actor::new(Micros(1), NodeId(u64::MAX), 0);
            let (caps, formats) = (self.caps, programs::NEWER);
            let settings = Settings { now: Micros(1), caps, formats, ..Settings::default() };
            let stored = machine.disk.durable().iter().map(|bytes| bytes.to_vec()).collect();
            let nothing = Remembered::default();
            let copy = Replica::open(machine.disk.genesis().clone(), reader, settings, stored, nothing)
                .map_err(|error| failed(error.to_string()))?;
            copy.rematch(self.committed.end(), |_| {}).map_err(|error| failed(error.to_string()))?;
        }
        Ok(())
    }

    /// How many machines and generations there are.
    #[must_use]
    pub fn size(&self) -> (usize, u64) {
        (self.machines.len(), self.generations.count() as u64)
    }

    /// Whether all clients know what became of all that they asked.
    #[must_use]
    pub fn clients_are_content(&self) -> bool {
        self.clients.iter().all(Client::is_content)
    }

    /// What keeps a healed world from being at rest, beside differences between its nodes.
    pub(super) fn waits_for(&self) -> Vec<String> {
        let busy = self.machines.iter().filter(|machine| !machine.is_at_rest());
        let busy = busy.map(|machine| format!("node {} waits for its disk or for voters", machine.id.0));
        let clients = self.clients.iter().filter_map(Client::waits_for);
        let clients = clients.map(|request| format!("a client has no answer to {request:?}"));
        let copies = self.machines.iter().filter_map(|machine| Some((machine.id, machine.copy?)));
        let copies = copies.map(|(node, copy)| format!("node {} may be an old copy: {copy:?}", node.0));
        busy.chain(clients).chain(copies).collect()
    }

    /// The machines that believe to hold the lease.
    pub(super) fn holders(&self) -> Vec<usize> {
        let holds = |at: &usize| {
            let machine = &self.machines[*at];
            machine.running().is_some_and(|replica| replica.may_match(machine.clock.at(self.time)))
        };
        (0..self.machines.len()).filter(holds).collect()
    }
}

//! The oracles look on.

use std::sync::Arc;

use bytes::Bytes;
use xbook::machine::{Account, Block};
use xbook::types::{NodeId, OrderId};

use super::World;
use super::client::Client;
use super::oracle::{Violation, buffers, fold};
use super::world::Event;

impl World {
    /// A machine shows its next block.
    pub(super) fn shown(&mut self, at: usize, block: &Arc<Block>) -> Result<(), Violation> {
        let node = self.machines[at].id;
        let Some(process) = &mut self.machines[at].process else {
            return Ok(());
        };
        let batch = process.shown;
        process.shown += 1;
        self.trace.number(block.last.0);
        if !self.committed.shown(node, batch, block)? {
            return Ok(());
        }
        if let Some(log) = &mut self.log {
            log.push(format!("{:>10} {} commits batch {batch}", self.time, at + 1));
        }
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
            cut.shown(node, batch, self.time)?;
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
        if status.term != process.term {
            process.term = status.term;
            self.leases.check(replica)?;
            if status.holder == Some(replica.node()) {
                self.envy(at);
                return self.look_at(at);
            }
        }
        if process.shown != process.looked {
            process.looked = process.shown;
            self.committed.digest(replica.node(), status.committed_batches, status.digest)?;
            if status.committed_batches == self.committed.len()
                && let Some(market) = replica.view().machine.market()
            {
                self.rematch.compare_book(market.book().digest(), status.position)?;
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
        let mut order: Vec<usize> = (0..self.machines.len()).collect();
        self.random.shuffle(&mut order);
        order.truncate(1 + self.random.index(order.len()));
        let whole = self.random.percent(60);
        let mut disks: Vec<(NodeId, &[Bytes])> = Vec::new();
        for at in &order {
            let disk = self.machines[*at].disk.durable();
            let part = if whole { disk.len() } else { self.random.index(disk.len() + 1) };
            disks.push((self.machines[*at].id, &disk[..part]));
        }
        let voters = order.iter().filter(|at| **at < self.voters).count();
        let majority = whole && voters > self.voters / 2;
        fold::check_merge(&self.genesis, &disks, majority, &self.committed)
    }

    /// Whether all clients know what became of all that they asked.
    #[must_use]
    pub fn clients_are_content(&self) -> bool {
        self.clients.iter().all(Client::is_content)
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

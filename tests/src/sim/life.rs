//! What happens to processes, connections and disks.

use xbook::replica::Input;
use xbook::replica::message::{Envelope, Message};

use super::World;
use super::disk::DiskWrite;
use super::network::{Direction, pair};
use super::oracle::Violation;
use super::plant::Bug;
use super::world::Event;

impl World {
    /// Starts a process that is down.
    pub(super) fn start(&mut self, at: usize) -> Result<(), Violation> {
        if self.machines[at].process.is_some() {
            return Ok(());
        }
        self.note(|| format!("start {}", at + 1));
        let reuse = self.bug == Some(Bug::HolderByNode);
        let machine = &mut self.machines[at];
        machine
            .start(self.time, reuse, &mut self.random)
            .map_err(|error| Violation::Failed { node: machine.id, error: error.to_string() })?;
        let lacks_own = machine.copy.is_some_and(|copy| copy.lacks_own);
        if let Some(replica) = machine.replica().filter(|_| !lacks_own) {
            self.promises.restarted(replica)?;
        }
        self.input(at, Input::Wake)?;
        self.reads_at_once(at)
    }

    /// Someone reads from a process that has just started: it shows what was shown before, whoever it
    /// can reach.
    fn reads_at_once(&mut self, at: usize) -> Result<(), Violation> {
        // A long tape is shown in several steps, which nothing else must bring about.
        while let Some(process) =
            self.machines[at].process.as_ref().filter(|process| process.wake <= self.time)
        {
            let before = process.replica.view().position();
            self.input(at, Input::Wake)?;
            if self.machines[at].replica().is_none_or(|replica| replica.view().position() == before) {
                break;
            }
        }
        match self.machines[at].replica() {
            Some(replica) => self.promises.shows(replica, self.machines[at].has_shown()),
            None => Ok(()),
        }
        .map_err(Violation::from)
    }

    /// Kills a process; its disk loses what was not synced.
    pub(super) fn crash(&mut self, at: usize, restart_after: u64) {
        if self.machines[at].process.is_none() {
            return;
        }
        self.note(|| format!("crash {}", at + 1));
        self.machines[at].crash(&mut self.random);
        for other in 0..self.machines.len() {
            self.reset(at, other);
            self.unaware.remove(&(at, other));
        }
        self.plan(self.time + restart_after, Event::Start(at));
    }

    /// Stops a process for a while.
    pub(super) fn pause(&mut self, at: usize, span: u64) {
        if let Some(process) = self.machines[at].process.as_mut().filter(|process| !process.paused) {
            process.paused = true;
            let life = self.machines[at].life;
            self.note(|| format!("pause {} for {span}", at + 1));
            self.plan(self.time + span, Event::Resume { machine: at, life });
        }
    }

    pub(super) fn resume(&mut self, at: usize, life: u64) -> Result<(), Violation> {
        let alive = self.machines[at].life == life;
        let Some(process) = self.machines[at].process.as_mut().filter(|process| alive && process.paused)
        else {
            return Ok(());
        };
        process.paused = false;
        let waiting = std::mem::take(&mut process.waiting);
        self.note(|| format!("resume {}", at + 1));
        for input in waiting {
            self.input(at, input)?;
        }
        self.input(at, Input::Wake)
    }

    pub(super) fn connect(&mut self, a: usize, b: usize) -> Result<(), Violation> {
        let again = self.time + self.random.between(50_000, 250_000);
        self.plan(again, Event::Connect((a, b)));
        let up = |at: usize| self.machines[at].running().is_some();
        let aware = !self.unaware.contains(&(a, b)) && !self.unaware.contains(&(b, a));
        if self.network.connection(a, b).is_some()
            || !up(a)
            || !up(b)
            || !aware
            || !self.network.is_open(a, b)
        {
            return Ok(());
        }
        self.network.connect(a, b);
        self.input(a, Input::PeerUp(self.machines[b].id))?;
        self.input(b, Input::PeerUp(self.machines[a].id))
    }

    /// Ends a connection; each end hears of it in its time.
    pub(super) fn reset(&mut self, a: usize, b: usize) {
        if self.network.disconnect(a, b).is_none() {
            return;
        }
        for (machine, peer) in [(a, b), (b, a)] {
            if self.machines[machine].process.is_some() {
                let late = if self.random.percent(15) { 800_000 } else { 20_000 };
                let at = self.time + self.random.below(late);
                self.unaware.insert((machine, peer));
                let life = self.machines[machine].life;
                let node = self.machines[peer].id;
                self.plan(at, Event::PeerGone { machine, life, peer, node });
            }
        }
    }

    /// Stops directions; a connection that stays stopped dies after a while.
    pub(super) fn block(&mut self, directions: &[Direction], patience: u64) {
        self.note(|| format!("block {directions:?} patience {patience}"));
        for (from, to) in directions {
            self.network.block((*from, *to));
            if let Some(connection) = self.network.connection(*from, *to) {
                self.plan(self.time + patience, Event::TimeOut { pair: pair(*from, *to), connection });
            }
        }
    }

    /// Opens directions: what they held comes at once.
    pub(super) fn open(&mut self, directions: &[Direction]) -> Result<(), Violation> {
        self.note(|| format!("open {directions:?}"));
        for direction in directions {
            for (connection, envelope) in self.network.unblock(*direction) {
                self.deliver(*direction, connection, envelope)?;
            }
        }
        Ok(())
    }

    pub(super) fn deliver(
        &mut self,
        direction: Direction,
        connection: u64,
        mut envelope: Envelope,
    ) -> Result<(), Violation> {
        let (from, to) = direction;
        if self.network.connection(from, to) != Some(connection) {
            return Ok(());
        }
        if self.network.is_blocked(direction) {
            self.network.hold(direction, connection, envelope);
            return Ok(());
        }
        if self.misses(to, from, &envelope.message) {
            return Ok(());
        }
        if let Some(bug) = self.bug {
            bug.receive(&self.machines[to], &mut envelope);
        }
        let (node, tells) = (self.machines[to].id, self.tells(to, &envelope.message));
        self.input(to, Input::Message { from: self.machines[from].id, envelope })?;
        if tells { self.gave_up(node) } else { Ok(()) }
    }

    /// Whether a peer's first word is lost, since the document is only being opened there.
    fn misses(&mut self, at: usize, from: usize, message: &Message) -> bool {
        let from = self.machines[from].id;
        let opens = self.machines[at].replica().is_some_and(|replica| replica.formats_of(from).is_none());
        opens && matches!(message, Message::Hello { .. }) && self.random.percent(5)
    }

    pub(super) fn synced(&mut self, at: usize, life: u64) -> Result<(), Violation> {
        if self.machines[at].life != life || self.machines[at].process.is_none() {
            return Ok(());
        }
        let stored = self.machines[at].disk.end_sync();
        self.start_sync(at);
        match stored {
            Some((generation, index)) => self.input(at, Input::Stored { generation, index }),
            None => Ok(()),
        }
    }

    pub(super) fn start_sync(&mut self, at: usize) {
        let life = self.machines[at].life;
        if let Some(span) = self.machines[at].disk.start_sync(&mut self.random) {
            self.plan(self.time + span, Event::Synced { machine: at, life });
        }
    }

    pub(super) fn store(&mut self, at: usize, written: DiskWrite) {
        match &written {
            DiskWrite::Change { bytes, .. } => self.trace.bytes(bytes),
            DiskWrite::Roll { genesis, changes } => {
                self.trace.bytes(&genesis.digest());
                changes.iter().for_each(|change| self.trace.bytes(change));
            }
        }
        self.machines[at].disk.write(written);
        if self.bug == Some(Bug::AckUnsynced) {
            self.machines[at].disk.slowness = self.machines[at].disk.slowness.max(50);
        }
        if self.bug.is_some_and(Bug::lies) {
            let life = self.machines[at].life;
            self.machines[at].disk.slowness = 100;
            self.plan(self.time + 5, Event::Lie { machine: at, life });
        }
        self.start_sync(at);
    }

    pub(super) fn send(&mut self, from: usize, to: usize, mut envelope: Envelope) {
        if let Some(connection) = self.network.connection(from, to) {
            if let Some(bug) = self.bug {
                bug.rewrite(&self.machines[from], &self.machines[to], &mut envelope.message);
            }
            let direction = (from, to);
            if let Some(early) = self.bug.and_then(|bug| bug.split(&self.machines[from], &mut envelope)) {
                let arrival = self.network.arrival(direction, false, self.time, &mut self.random);
                self.plan(arrival, Event::Deliver { direction, connection, envelope: early });
            }
            let bulk = matches!(envelope.message, Message::Changes(_));
            let arrival = self.network.arrival(direction, bulk, self.time, &mut self.random);
            let slow = bulk && self.bug == Some(Bug::PromiseBelow);
            let late = if slow { self.random.below(self.lease.0 * 3) } else { 0 };
            self.trace.number(arrival);
            self.plan(arrival + late, Event::Deliver { direction, connection, envelope });
        }
    }
}

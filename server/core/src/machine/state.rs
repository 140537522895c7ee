//! The state that a tape leads to, and the two ways to get there: deciding and applying.

mod triggered;
mod uncross;

use super::chain::{ChainHead, Content, chain_start};
use super::intent::Action;
use super::journal::{Block, Journal};
use super::tape::{Batch, Cause, Event, Seal, Step, refused};
use super::voters::Voters;
use super::{Caps, Digest, Directory, FoldError, Intent, Ledger, Market, Unconsumed};
use crate::format::Format;
use crate::types::{BatchIndex, Micros, NodeId, OrderId, Position, Term};

/// What is replicated: a market's book or the directory.
#[derive(Clone, Debug)]
pub enum Machine {
    /// A market.
    Market(Box<Market>),
    /// The directory of markets.
    Directory(Directory),
}

/// The state after a prefix of a tape.
#[derive(Clone, Debug)]
pub struct State {
    /// Consumed counters and remembered requests.
    pub ledger: Ledger,
    /// The book or the directory.
    pub machine: Machine,
    pub(super) caps: Caps,
    pub(super) voters: Voters,
    pub(super) time: Micros,
    pub(super) position: Position,
    pub(super) batches: BatchIndex,
    pub(super) digest: Digest,
    pub(super) chain: ChainHead,
    /// Room for what goes into the chain, kept between batches.
    content: Content,
}

/// A batch that a lease holder is writing.
#[derive(Debug)]
pub struct BatchBuilder {
    pub(super) bytes: usize,
    pub(super) most_expired: usize,
    pub(super) expired: usize,
    most_triggered: usize,
    triggered: usize,
    consumed: usize,
    pub(super) batch: Batch,
    pub(super) journal: Journal,
}

impl State {
    /// The state at the beginning of generation 0.
    #[must_use]
    pub fn new(machine: Machine, voters: Vec<NodeId>, genesis: [u8; 32]) -> Self {
        let chain = machine.market().map_or([0; 32], |market| chain_start(market.name()));
        Self {
            chain,
            content: Content::default(),
            ledger: Ledger::default(),
            machine,
            caps: Caps::default(),
            voters: Voters::new(voters),
            time: Micros(0),
            position: Position(0),
            batches: BatchIndex::default(),
            digest: Digest::starting_at(genesis),
        }
    }

    /// With other caps than the default; only before anything happened.
    #[must_use]
    pub fn with_caps(mut self, caps: Caps) -> Self {
        self.caps = caps;
        self.ledger.set_caps(caps);
        if let Machine::Market(market) = &mut self.machine {
            market.set_caps(&caps);
        }
        self
    }

    /// The voters of this generation, ascending.
    #[must_use]
    pub fn voters(&self) -> &[NodeId] {
        self.voters.current()
    }

    /// The voters that the next generation is to have, ascending; `None` if they stay.
    #[must_use]
    pub fn next_voters(&self) -> Option<&[NodeId]> {
        self.voters.next()
    }

    /// Tape time of the last batch.
    #[must_use]
    pub fn time(&self) -> Micros {
        self.time
    }

    /// Position of the last event.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// How many batches led here.
    #[must_use]
    pub fn batches(&self) -> BatchIndex {
        self.batches
    }

    /// The running digest.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest.last()
    }

    /// The head of the chain over the market's history.
    #[must_use]
    pub fn chain(&self) -> ChainHead {
        self.chain
    }

    /// Counter of the last intent of a node that was consumed.
    #[must_use]
    pub fn consumed(&self, node: NodeId) -> u64 {
        self.ledger.consumed(node)
    }

    /// When something is next to be done without any request: an order expires, or a switch fires.
    #[must_use]
    pub fn next_due(&self) -> Option<Micros> {
        match &self.machine {
            Machine::Market(market) => {
                let runs = market.next_triggered().map(|_| Micros(0));
                runs.or_else(|| market.next_due(Micros(0)).map(Cause::due))
            }
            Machine::Directory(_) => None,
        }
    }

    /// Begins a batch: what is due by its time is done, as far as one batch may hold it; then what was triggered and
    /// had no room in the batch before runs.
    ///
    /// # Errors
    /// [`FoldError`] only by a defect.
    pub fn begin(&mut self, term: Term, now: Micros, committed: Position) -> Result<BatchBuilder, FoldError> {
        // Strictly growing, also while the clock stands or was set back: else all that is accepted
        // in between would look as old as what was forgotten last.
        let time = self.time.plus(Micros(1)).max(now);
        let batch = Batch::new(term, self.position.next(), time, committed);
        let journal = Journal::after(self.position, time, false, std::mem::take(&mut self.content));
        let (most_expired, most_triggered) = (self.caps.expired, self.caps.triggered);
        let (bytes, expired, triggered, consumed) = (0, 0, 0, 0);
        let mut builder = BatchBuilder {
            bytes,
            most_expired,
            expired,
            most_triggered,
            triggered,
            consumed,
            batch,
            journal,
        };
        self.run_due(&mut builder)?;
        if !builder.is_full_of_expired() {
            self.run_triggered(&mut builder)?;
        }
        Ok(builder)
    }

    /// Decides what becomes of an intent, applies it and puts it into the batch. `others` are the
    /// intents that wait beside it.
    ///
    /// # Errors
    /// [`FoldError::OutOfTurn`] if the intent is not the next one of its node.
    pub fn sequence(
        &mut self,
        builder: &mut BatchBuilder,
        id: OrderId,
        intent: &Intent,
        others: &impl Unconsumed,
    ) -> Result<(), FoldError> {
        if !self.ledger.consume(id) {
            return Err(FoldError::OutOfTurn { intent: id });
        }
        // Before anything is remembered: what waits may be known only by this.
        let target = self.withdraws_before_its_turn(intent).and_then(|order| others.intent(order));
        let mut from = builder.batch.events.len();
        self.decide((id, intent), others, builder.batch.time, &mut builder.batch.events);
        if self.machine.market().is_some_and(|market| market.opens(&builder.batch.events[from..])) {
            let opening = builder.batch.events.split_off(from);
            self.uncross(builder)?;
            from = builder.batch.events.len();
            builder.batch.events.extend(opening);
        }
        let BatchBuilder { batch, journal, .. } = builder;
        let events = &batch.events[from..];
        batch.steps.push(Step { cause: Cause::Intent(id), events: events.len() });
        self.settle((id, intent), events, target, journal)?;
        builder.consumed += 1;
        builder.bytes += events.iter().map(Event::bytes).sum::<usize>();
        self.run_triggered(builder)
    }

    /// Says in events what becomes of an intent.
    fn decide(
        &mut self,
        (id, intent): (OrderId, &Intent),
        others: &impl Unconsumed,
        time: Micros,
        events: &mut Vec<Event>,
    ) {
        let screened = self.ledger.screen(intent, time);
        if let Some(event) = screened.or_else(|| self.withdrawal(id, intent, others)) {
            return events.push(event);
        }
        match (&mut self.machine, &intent.request.action) {
            (_, Action::ChangeVoters(change)) => events.push(match self.voters.changed(*change) {
                Ok(_) => Event::VotersChanged,
                Err(reason) => Event::Refused { reason },
            }),
            (Machine::Market(market), Action::Withdraw(order)) => {
                let target = self.ledger.withdraw_target(*order, others);
                market.decide_withdraw(intent, target, events);
            }
            (Machine::Market(market), _) => market.decide(id, intent, (&self.ledger, time), events),
            (Machine::Directory(directory), _) => events.push(directory.decide(id, intent, time)),
        }
    }

    /// Ends the batch, which is then the state's last.
    #[must_use]
    pub fn end(&mut self, mut builder: BatchBuilder) -> Batch {
        self.indicate(&mut builder);
        let mut batch = builder.batch;
        self.finish(batch.time, builder.journal.position, builder.journal.content);
        batch.digest = self.digest.end_batch();
        batch
    }

    /// Ends the batch as the last of its generation. The genesis that the Seal names follows from
    /// the state after this; its hash is for the caller to fill in. `survives` is asked whether the next
    /// generation can begin with the state as it will be then; if not, the batch ends without a Seal.
    #[must_use]
    pub fn seal(
        &mut self,
        mut builder: BatchBuilder,
        voters: Vec<NodeId>,
        holder: [u8; 16],
        format: Format,
        survives: impl FnOnce(&Self) -> bool,
    ) -> Batch {
        self.indicate(&mut builder);
        let (before, unsealed) = ((self.time, self.position), builder.journal.position);
        (self.time, self.position) = (builder.batch.time, builder.journal.advance());
        let survives = survives(self);
        (self.time, self.position) = before;
        if !survives {
            builder.journal.position = unsealed;
            return self.end(builder);
        }
        let seal = Seal { voters, holder, genesis: [0; 32], format };
        self.put_seal(&seal);
        Batch { seal: Some(seal), ..self.end(builder) }
    }

    fn put_seal(&mut self, seal: &Seal) {
        seal.voters.iter().for_each(|voter| self.digest.put([voter.0]));
        self.digest.put([u64::from(seal.format.0)]);
    }

    /// Applies a recorded batch. `intents` gives its consumed intents, in their order.
    ///
    /// # Errors
    /// [`FoldError`] if the batch does not fit; the state is then no longer of use.
    pub fn apply<'a>(
        &mut self,
        batch: &Batch,
        mut intents: impl FnMut(OrderId) -> Option<&'a Intent>,
    ) -> Result<Block, FoldError> {
        if batch.first != self.position.next() {
            return Err(FoldError::Gap { batch: batch.first, state: self.position });
        }
        if batch.time < self.time {
            return Err(FoldError::TimeWentBack { from: self.time, to: batch.time });
        }
        let mut journal = Journal::after(self.position, batch.time, true, std::mem::take(&mut self.content));
        journal.make_room(batch);
        for (cause, events) in batch.steps() {
            let id = match cause {
                Cause::Intent(id) => id,
                Cause::Expiry { .. } | Cause::Switch { .. } | Cause::Session { .. } => {
                    self.follow(cause, None, events)?;
                    self.settle_due(cause, events, &mut journal)?;
                    continue;
                }
                Cause::Uncross => {
                    self.follow_uncross(events)?;
                    self.settle_uncross(events, &mut journal)?;
                    continue;
                }
                Cause::Trigger(order) => {
                    self.follow(cause, None, events)?;
                    self.settle_triggered(order, events, &mut journal)?;
                    continue;
                }
            };
            let intent =
                intents(id).filter(|_| self.ledger.consume(id)).ok_or(FoldError::OutOfTurn { intent: id })?;
            self.follow(cause, Some(intent), events)?;
            let from = journal.block.changes.len();
            let repeats = self.ledger.repeated(intent, events);
            let target = self.withdraws_before_its_turn(intent).and_then(&mut intents);
            self.settle((id, intent), events, target, &mut journal)?;
            journal.answer(id, refused(events), repeats, from);
        }
        if let Some(seal) = &batch.seal {
            journal.advance();
            self.put_seal(seal);
        }
        let before = self.chain;
        self.finish(batch.time, journal.position, std::mem::take(&mut journal.content));
        journal.block.chain = (before, self.chain);
        if self.digest.end_batch() != batch.digest {
            return Err(FoldError::Digest { at: self.position });
        }
        let mut block = journal.block;
        block.last = self.position;
        Ok(block)
    }

    fn finish(&mut self, time: Micros, position: Position, content: Content) {
        self.content = content;
        if let Machine::Market(market) = &self.machine
            && position > self.position
        {
            let span = (self.position.next(), position);
            self.chain =
                self.content.link(&self.chain, span, time, (market.rules().tick, market.rules().lot));
            self.digest.put_bytes(&self.chain);
        }
        self.content.clear();
        self.time = time;
        self.position = position;
        self.batches = self.batches.next();
    }

    /// Has a market's book do what a step says. `intent` is its own, if it has one.
    pub(super) fn follow(
        &mut self,
        cause: Cause,
        intent: Option<&Intent>,
        events: &[Event],
    ) -> Result<(), FoldError> {
        let Machine::Market(market) = &mut self.machine else {
            return Ok(());
        };
        market.stand_for(events);
        let keeps = market.keeps(intent, events);
        if matches!(cause, Cause::Trigger(_)) {
            market.begin_to_run();
        }
        events.iter().try_for_each(|event| market.follow(event, keeps)).ok_or(match cause {
            Cause::Intent(intent) => FoldError::Misfit { intent },
            Cause::Expiry { due } | Cause::Switch { due } | Cause::Session { due } => {
                FoldError::NotDue { due }
            }
            Cause::Trigger(order) => FoldError::NotTriggered { order },
            Cause::Uncross => FoldError::Uncross,
        })
    }

    /// Takes the step of an intent that the book has done: orders and markets change, and it is remembered.
    fn settle(
        &mut self,
        (id, intent): (OrderId, &Intent),
        events: &[Event],
        target: Option<&Intent>,
        journal: &mut Journal,
    ) -> Result<(), FoldError> {
        let misfit = FoldError::Misfit { intent: id };
        journal.begin_intent();
        for event in events {
            journal.advance();
            self.fold(event, (id, intent), journal).ok_or_else(|| misfit.clone())?;
        }
        let settled = match &mut self.machine {
            Machine::Market(market) => market.end_step(),
            Machine::Directory(_) => true,
        };
        (settled && !events.is_empty()).then_some(()).ok_or(misfit)?;
        self.ledger.remember((id, intent), events, (journal.block.time, journal.position), target);
        journal.end_intent(refused(events));
        self.digest.put([id.node.0, id.counter, refused(events) as u64, events.len() as u64]);
        if events.contains(&Event::VotersChanged) {
            let next = self.voters.next().unwrap_or_default();
            self.digest.put([next.len() as u64]);
            next.iter().for_each(|voter| self.digest.put([voter.0]));
        }
        match &self.machine {
            Machine::Market(market) => {
                market.digest(&mut self.digest);
                market.digest_protection(events, &mut self.digest);
            }
            Machine::Directory(directory) => directory.digest(&mut self.digest),
        }
        Ok(())
    }

    /// Takes one event of an intent; `None` if it does not fit.
    fn fold(&mut self, event: &Event, of: (OrderId, &Intent), journal: &mut Journal) -> Option<()> {
        match (event, &of.1.request.action) {
            (Event::VotersChanged, Action::ChangeVoters(change)) => {
                let next = self.voters.changed(*change).ok()?;
                self.voters.set_next(next);
                return Some(());
            }
            (Event::Repeated { .. } | Event::Nothing, _) => return Some(()),
            (Event::Withdrawn { order }, Action::Withdraw(_)) => {
                self.ledger.may_withdraw(*order).then_some(())?;
            }
            _ => {}
        }
        match &mut self.machine {
            Machine::Market(market) => market.fold(event, of, journal),
            Machine::Directory(directory) => directory.fold(event, of, journal),
        }
    }

    /// What becomes of an intent if it withdraws an order that does not rest, or is withdrawn.
    fn withdrawal(&self, id: OrderId, intent: &Intent, others: &impl Unconsumed) -> Option<Event> {
        let market = self.machine.market()?;
        match intent.request.action {
            Action::Place(_) => self.ledger.withdrawn(id, intent, others),
            Action::Withdraw(order)
                if market.order(&self.ledger.withdraw_target(order, others)).is_none() =>
            {
                Some(self.ledger.withdraw(order, intent, others))
            }
            _ => None,
        }
    }

    /// The order that an intent would withdraw, if that was not consumed yet.
    fn withdraws_before_its_turn(&self, intent: &Intent) -> Option<OrderId> {
        match intent.request.action {
            Action::Withdraw(order) if !self.ledger.has_consumed(order) => Some(order),
            _ => None,
        }
    }
}

impl BatchBuilder {
    /// How many intents it consumes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.consumed
    }

    /// Bytes of what it records of the consumed intents, to within a few each.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing happened in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.steps.is_empty()
    }

    /// Whether more may be due than fitted.
    #[must_use]
    pub fn is_full_of_expired(&self) -> bool {
        self.expired >= self.most_expired
    }
}

impl Machine {
    /// The market; `None` in the directory.
    #[must_use]
    pub fn market(&self) -> Option<&Market> {
        match self {
            Self::Market(market) => Some(market),
            Self::Directory(_) => None,
        }
    }

    /// The directory; `None` in a market.
    #[must_use]
    pub fn directory(&self) -> Option<&Directory> {
        match self {
            Self::Directory(directory) => Some(directory),
            Self::Market(_) => None,
        }
    }
}

//! The state that a tape leads to, and the two ways to get there: deciding and applying.

use xbook_proto::record::v1::Outcome;

use super::chain::{ChainHead, Content, chain_start};
use super::intent::{Action, VoterChange};
use super::journal::{Block, Journal};
use super::step::{Batch, Seal, Step};
use super::voters::Voters;
use super::{Caps, Digest, Directory, FoldError, Intent, Ledger, Market, Unconsumed};
use crate::format::Format;
use crate::types::{Micros, NodeId, OrderId, OrderStatus, Position, Reason};

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
    pub(super) batches: u64,
    pub(super) digest: Digest,
    pub(super) chain: ChainHead,
    /// Room for what goes into the chain, kept between batches.
    content: Content,
}

/// A batch that a lease holder is writing.
#[derive(Debug)]
pub struct BatchBuilder {
    bytes: usize,
    most_expired: usize,
    batch: Batch,
    journal: Journal,
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
            batches: 0,
            digest: Digest::starting_at(genesis),
        }
    }

    /// With other caps than the default; only before anything happened.
    #[must_use]
    pub fn with_caps(mut self, caps: Caps) -> Self {
        self.caps = caps;
        self.ledger.set_caps(caps);
        if let Machine::Market(market) = &mut self.machine {
            market.set_most_orders(caps.open_orders);
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
    pub fn batches(&self) -> u64 {
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

    /// When something is next to be done without any request.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Micros> {
        match &self.machine {
            Machine::Market(market) => market.next_expiry(),
            Machine::Directory(_) => None,
        }
    }

    /// Begins a batch: orders whose time has come expire.
    ///
    /// # Errors
    /// [`FoldError`] only by a defect.
    pub fn begin(&mut self, term: u64, now: Micros, committed: Position) -> Result<BatchBuilder, FoldError> {
        // Strictly growing, also while the clock stands or was set back: else all that is accepted
        // in between would look as old as what was forgotten last.
        let time = self.time.plus(Micros(1)).max(now);
        let batch = Batch {
            term,
            first: self.position.next(),
            time,
            committed,
            runs: Vec::new(),
            expired: Vec::new(),
            steps: Vec::new(),
            digest: [0; 32],
            seal: None,
        };
        let journal = Journal::after(self.position, time, false, std::mem::take(&mut self.content));
        let mut builder = BatchBuilder { bytes: 0, most_expired: self.caps.expired, batch, journal };
        if let Machine::Market(market) = &self.machine {
            let mut market_due = market.due(time);
            while let Some(order) = market_due.filter(|_| builder.batch.expired.len() < builder.most_expired)
            {
                self.expire(order, &mut builder.journal)?;
                builder.batch.expired.push(order);
                market_due = match &self.machine {
                    Machine::Market(market) => market.due(time),
                    Machine::Directory(_) => None,
                };
            }
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
        let journal = &mut builder.journal;
        journal.begin_intent();
        let screened = self.ledger.screen(intent, builder.batch.time);
        // Before anything is remembered: what waits may be known only by this.
        let target = self.withdraws_before_its_turn(intent).and_then(|order| others.intent(order));
        let step = match (screened.or_else(|| self.withdrawal(id, intent, others)), &intent.request.action) {
            (Some(step), _) => {
                self.apply_step(id, intent, &step, journal)?;
                step
            }
            (None, Action::ChangeVoters(change)) => self.change_voters(*change, journal),
            (None, Action::Withdraw(order)) if self.machine.market().is_some() => {
                let target = self.ledger.withdraw_target(*order, others);
                self.withdraw(id, intent, target, journal)?
            }
            (None, _) => match &mut self.machine {
                Machine::Market(market) => market.sequence(id, intent, &self.ledger, journal)?,
                Machine::Directory(directory) => directory.sequence(id, intent, journal)?,
            },
        };
        builder.journal.end_intent(refused(&step));
        let at = (builder.batch.time, builder.journal.position);
        self.ledger.remember((id, intent), &step, at, target);
        self.put_digest(id, &step);
        builder.bytes += step.bytes();
        builder.batch.consumed(id, step);
        Ok(())
    }

    /// Ends the batch, which is then the state's last.
    #[must_use]
    pub fn end(&mut self, builder: BatchBuilder) -> Batch {
        let mut batch = builder.batch;
        self.finish(batch.time, builder.journal.position, builder.journal.content);
        if let Machine::Market(market) = &mut self.machine {
            market.forget_levels();
        }
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
        for order in &batch.expired {
            self.expire(*order, &mut journal)?;
        }
        for (id, step) in batch.consumed_ids().zip(&batch.steps) {
            let intent =
                intents(id).filter(|_| self.ledger.consume(id)).ok_or(FoldError::OutOfTurn { intent: id })?;
            let from = journal.block.changes.len();
            journal.begin_intent();
            let repeats = self.ledger.repeated(intent, step);
            let target = self.withdraws_before_its_turn(intent).and_then(&mut intents);
            self.apply_step(id, intent, step, &mut journal)?;
            self.ledger.remember((id, intent), step, (batch.time, journal.position), target);
            self.put_digest(id, step);
            journal.end_intent(refused(step));
            journal.answer(id, refused(step), repeats, from);
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
        if let Machine::Market(market) = &mut self.machine {
            block.levels = market.take_levels();
        }
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
        self.batches += 1;
    }

    /// What becomes of an intent if it withdraws an order that does not rest, or is withdrawn.
    fn withdrawal(&self, id: OrderId, intent: &Intent, others: &impl Unconsumed) -> Option<Step> {
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

    /// Cancels a resting order on a withdraw that may have named it by another id.
    fn withdraw(
        &mut self,
        id: OrderId,
        intent: &Intent,
        target: OrderId,
        journal: &mut Journal,
    ) -> Result<Step, FoldError> {
        match &mut self.machine {
            Machine::Market(market) => market.sequence_cancel(id, intent, target, journal),
            Machine::Directory(_) => Err(FoldError::Misfit { intent: id }),
        }
    }

    /// Changes the next generation's voters, if the change is one that can be made.
    fn change_voters(&mut self, change: VoterChange, journal: &mut Journal) -> Step {
        journal.advance();
        match self.voters.change(change) {
            Ok(()) => Step::plain(Outcome::VotersChanged, Reason::Unspecified),
            Err(reason) => Step::refused(reason),
        }
    }

    fn apply_step(
        &mut self,
        id: OrderId,
        intent: &Intent,
        step: &Step,
        journal: &mut Journal,
    ) -> Result<(), FoldError> {
        if let (Outcome::VotersChanged, Action::ChangeVoters(change)) = (step.outcome, &intent.request.action)
        {
            let fits = self.change_voters(*change, journal).outcome == step.outcome;
            return fits.then_some(()).ok_or(FoldError::Misfit { intent: id });
        }
        if let (Outcome::Withdrawn, Action::Withdraw(order)) = (step.outcome, &intent.request.action)
            && !self.ledger.may_withdraw(*order)
        {
            return Err(FoldError::Misfit { intent: id });
        }
        match &mut self.machine {
            Machine::Market(market) => market.apply(id, intent, step, journal),
            Machine::Directory(directory) => directory.apply(id, intent, step, journal),
        }
    }

    fn expire(&mut self, order: OrderId, journal: &mut Journal) -> Result<(), FoldError> {
        let error = FoldError::NotDue { order };
        let Machine::Market(market) = &mut self.machine else {
            return Err(error);
        };
        let due =
            market.order(&order).and_then(|order| order.expires).is_some_and(|at| at <= journal.block.time);
        if !due || !market.take_expired_out(order) {
            return Err(error);
        }
        market.close(order, OrderStatus::Expired, Reason::ExpireTime, journal).ok_or(error)?;
        self.digest.put([order.node.0, order.counter]);
        Ok(())
    }

    fn put_digest(&mut self, id: OrderId, step: &Step) {
        match &self.machine {
            Machine::Market(market) => market.digest(id, step, &mut self.digest),
            Machine::Directory(directory) => directory.digest(id, step, &mut self.digest),
        }
        if step.outcome == Outcome::VotersChanged {
            let next = self.voters.next().unwrap_or_default();
            self.digest.put([next.len() as u64]);
            next.iter().for_each(|voter| self.digest.put([voter.0]));
        }
    }
}

/// Why a step refused its intent.
fn refused(step: &Step) -> Reason {
    match step.outcome {
        Outcome::Refused | Outcome::Expired => step.reason,
        _ => Reason::Unspecified,
    }
}

impl BatchBuilder {
    /// How many intents it consumes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.steps.len()
    }

    /// Bytes of what it records of the consumed intents, to within a few each.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing happened in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.steps.is_empty() && self.batch.expired.is_empty()
    }

    /// Whether more orders may be due than fitted.
    #[must_use]
    pub fn is_full_of_expired(&self) -> bool {
        self.batch.expired.len() >= self.most_expired
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

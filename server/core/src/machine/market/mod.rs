//! A market: its book, the orders in it, and what each event makes of them.
//!
//! The way of an intent: [`Market::sequence`] has the book match it and puts the outcome into a
//! [`Step`]; [`Market::apply`] has the book replay such a step. Both then [settle](settle) it: the
//! orders change, positions are counted, changes are noted.

mod order;
mod orders;
mod parts;
mod rules;
mod settle;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use xbook_proto::record::v1::Outcome;
use xbook_proto::v1::{Reason, TimeInForce};

pub use order::{Order, OrderStatus};
pub use rules::Rules;

use orders::Orders;

use super::intent::{Account, Action, Amend, Intent, NewSize, Origin, Place, SessionId, Target};
use super::journal::{Journal, LevelChange};
use super::near::BuildNearHasher;
use super::step::{Step, StepFill};
use crate::book::{self, Book, Command, Refusal, Style};
use crate::machine::{Caps, FoldError, Ledger};
use crate::types::{Lots, Micros, OrderId, Side, Ticks};

/// A market's state: a pure function of its tape.
#[derive(Clone, Debug)]
pub struct Market {
    name: Arc<str>,
    rules: Rules,
    book: Book,
    orders: Orders,
    by_account: BTreeMap<Account, BTreeSet<OrderId>>,
    by_command: HashMap<(SessionId, u64), OrderId, BuildNearHasher>,
    by_expiry: BTreeSet<(Micros, OrderId)>,
    last_price: Option<Ticks>,
    touched: Vec<(Side, Ticks)>,
    fills: Vec<book::Fill>,
}

impl Market {
    /// A market with an empty book.
    #[must_use]
    pub fn new(name: Arc<str>, rules: Rules) -> Self {
        Self {
            name,
            rules,
            book: Book::new().with_max_orders(Caps::default().open_orders),
            orders: Orders::default(),
            by_account: BTreeMap::new(),
            by_command: HashMap::default(),
            by_expiry: BTreeSet::new(),
            last_price: None,
            touched: Vec::new(),
            fills: Vec::new(),
        }
    }

    /// How many orders may rest in it; set before any does.
    pub(super) fn set_most_orders(&mut self, most: usize) {
        self.book = Book::new().with_max_orders(most);
    }

    /// The market's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Its book.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// A resting order.
    #[must_use]
    pub fn order(&self, id: &OrderId) -> Option<&Order> {
        self.orders.get(id)
    }

    /// The resting order that a command of a session placed.
    #[must_use]
    pub fn order_of_command(&self, session: SessionId, number: u64) -> Option<&Order> {
        self.orders.get(self.by_command.get(&(session, number))?)
    }

    /// An account's resting orders after an id, by id.
    pub fn orders_of(&self, account: &str, after: OrderId) -> impl Iterator<Item = &Order> {
        use std::ops::Bound::{Excluded, Unbounded};
        let ids = self.by_account.get(account).into_iter();
        ids.flat_map(move |ids| ids.range((Excluded(after), Unbounded))).filter_map(|id| self.orders.get(id))
    }

    /// Price of the last trade.
    #[must_use]
    pub fn last_price(&self) -> Option<Ticks> {
        self.last_price
    }

    /// The next resting order whose time has come, if its time is at most `time`.
    pub(super) fn due(&self, time: Micros) -> Option<OrderId> {
        self.by_expiry.first().filter(|(at, _)| *at <= time).map(|(_, id)| *id)
    }

    /// When the next resting order expires.
    pub(super) fn next_expiry(&self) -> Option<Micros> {
        self.by_expiry.first().map(|(at, _)| *at)
    }

    /// Decides what becomes of an intent and applies it.
    pub(super) fn sequence(
        &mut self,
        id: OrderId,
        intent: &Intent,
        ledger: &Ledger,
        journal: &mut Journal,
    ) -> Result<Step, FoldError> {
        let step = match &intent.request.action {
            Action::Place(_) if self.has_command_of(intent) => Step::refused(Reason::SessionForgotten),
            Action::Place(place) => self.match_place(id, place),
            Action::Amend(amend) => self.match_amend(intent, amend, ledger),
            Action::Cancel(target) => self.take_out(intent, *target, ledger),
            Action::Withdraw(order) => self.take_out(intent, Target::Order(*order), ledger),
            Action::CancelAll(side) => self.take_all_out(&intent.request.account, *side),
            Action::CreateMarket(_)
            | Action::ChangeVoters(_)
            | Action::Announce(_)
            | Action::RemoveNode(_)
            | Action::Invite(_)
            | Action::Invalid => Step::refused(Reason::UnknownValue),
        };
        self.settle(id, intent, &step, journal)?;
        Ok(step)
    }

    /// Decides what becomes of an intent that cancels an order, and applies it.
    pub(super) fn sequence_cancel(
        &mut self,
        id: OrderId,
        intent: &Intent,
        order: OrderId,
        journal: &mut Journal,
    ) -> Result<Step, FoldError> {
        let step = match self.own_order(intent, order) {
            Ok(order) => self.cancel_resting(order),
            Err(reason) => Step::refused(reason),
        };
        self.settle(id, intent, &step, journal)?;
        Ok(step)
    }

    /// Whether an order of the same session and number rests: then the session was forgotten since,
    /// and begins anew.
    fn has_command_of(&self, intent: &Intent) -> bool {
        match &intent.request.origin {
            Origin::Command { session, number } => self.by_command.contains_key(&(session.id, *number)),
            Origin::Request(_) => false,
        }
    }

    /// Applies a recorded step.
    pub(super) fn apply(
        &mut self,
        id: OrderId,
        intent: &Intent,
        step: &Step,
        journal: &mut Journal,
    ) -> Result<(), FoldError> {
        self.replay(id, intent, step).ok_or(FoldError::Misfit { intent: id })?;
        self.settle(id, intent, step, journal)
    }

    fn match_place(&mut self, id: OrderId, place: &Place) -> Step {
        let style = match (place.post_only, place.time_in_force, place.limit) {
            (true, ..) => Style::PostOnly,
            (_, TimeInForce::Fok, _) => Style::AllOrNothing,
            (_, TimeInForce::Ioc, _) | (.., None) => Style::Cancel,
            _ => Style::Rest,
        };
        let command =
            Command::Place { id, side: place.side, limit: place.limit, quantity: place.quantity, style };
        match self.run(&command) {
            book::Outcome::Placed { open, cancelled } => {
                let reason = if cancelled.is_zero() { Reason::Unspecified } else { Reason::NoLiquidity };
                Step { open, ..self.matched(Outcome::Placed, reason) }
            }
            outcome => refusal(outcome),
        }
    }

    fn match_amend(&mut self, intent: &Intent, amend: &Amend, ledger: &Ledger) -> Step {
        let order = match self.find(intent, amend.target, ledger) {
            Ok(order) => order,
            Err(reason) => return Step::refused(reason),
        };
        let id = order.id;
        let open = match amend.size {
            None => order.open,
            Some(NewSize::Open(open)) => open,
            Some(NewSize::Total(total)) => match total.0.checked_sub(order.filled.0) {
                None | Some(0) => return Step::refused(Reason::BelowFilled),
                Some(open) => Lots(open),
            },
        };
        let Some(price) = amend.price.or(order.limit) else {
            return Step::refused(Reason::OrderClosed);
        };
        if order.filled.0.saturating_add(open.0) > self.rules.max_lots.0 {
            return Step::refused(Reason::AboveMaximum);
        }
        let command = Command::Amend { id, price, open, post_only: order.post_only };
        match self.run(&command) {
            book::Outcome::Amended { open, .. } => {
                Step { open, orders: vec![id], ..self.matched(Outcome::Amended, Reason::Unspecified) }
            }
            outcome => refusal(outcome),
        }
    }

    fn take_out(&mut self, intent: &Intent, target: Target, ledger: &Ledger) -> Step {
        match self.find(intent, target, ledger) {
            Ok(order) => self.cancel_resting(order.id),
            Err(reason) => Step::refused(reason),
        }
    }

    fn cancel_resting(&mut self, id: OrderId) -> Step {
        match self.run(&Command::Cancel { id }) {
            book::Outcome::Cancelled { .. } => {
                Step { orders: vec![id], ..Step::plain(Outcome::Cancelled, Reason::Requested) }
            }
            outcome => refusal(outcome),
        }
    }

    fn take_all_out(&mut self, account: &str, side: Option<Side>) -> Step {
        let orders: Vec<OrderId> = self
            .orders_of(account, OrderId::default())
            .filter(|order| side.is_none_or(|side| side == order.side))
            .map(|order| order.id)
            .collect();
        for id in &orders {
            self.run(&Command::Cancel { id: *id });
        }
        Step { orders, ..Step::plain(Outcome::CancelledAll, Reason::Requested) }
    }

    /// The resting order that a request of the same account names.
    fn find(&self, intent: &Intent, target: Target, ledger: &Ledger) -> Result<&Order, Reason> {
        let id = match (target, &intent.request.origin) {
            (Target::Order(id), _) => Some(ledger.first_of(id)),
            (Target::Command(number), Origin::Command { session, .. }) => {
                self.by_command.get(&(session.id, number)).copied()
            }
            (Target::Command(_), Origin::Request(_)) => None,
        };
        let id = self.own_order(intent, id.ok_or(Reason::UnknownOrder)?)?;
        self.orders.get(&id).ok_or(Reason::UnknownOrder)
    }

    /// A resting order of the account that asks.
    fn own_order(&self, intent: &Intent, id: OrderId) -> Result<OrderId, Reason> {
        let order = self.orders.get(&id).ok_or(Reason::UnknownOrder)?;
        if order.account == intent.request.account { Ok(id) } else { Err(Reason::OtherAccount) }
    }

    fn run(&mut self, command: &Command) -> book::Outcome {
        self.fills.clear();
        self.book.apply(command, &mut self.fills)
    }

    /// A step with the executions of the last command.
    fn matched(&self, outcome: Outcome, reason: Reason) -> Step {
        let fills = self.fills.iter().map(|fill| StepFill { maker: fill.maker, quantity: fill.quantity });
        Step { fills: fills.collect(), ..Step::plain(outcome, reason) }
    }

    /// Has the book do what a step says, without matching; `None` if it does not fit.
    fn replay(&mut self, id: OrderId, intent: &Intent, step: &Step) -> Option<()> {
        match (step.outcome, &intent.request.action) {
            (Outcome::Placed, Action::Place(place)) => {
                self.replay_fills(step)?;
                if !step.open.is_zero() {
                    self.book.rest(id, place.side, place.limit?, step.open).ok()?;
                }
            }
            (Outcome::Amended, Action::Amend(amend)) => self.replay_amend(step, amend)?,
            (Outcome::Cancelled | Outcome::CancelledAll, _) => {
                for id in &step.orders {
                    self.book.remove(*id).ok()?;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn replay_amend(&mut self, step: &Step, amend: &Amend) -> Option<()> {
        let resting = self.book.get(*step.orders.first()?)?;
        let price = amend.price.unwrap_or(resting.price);
        let keeps_priority = price == resting.price && step.open <= resting.open && step.fills.is_empty();
        if keeps_priority {
            let by = Lots(resting.open.0 - step.open.0);
            // An amend may ask for what there is already.
            return by.is_zero().then_some(()).or_else(|| self.book.reduce(resting.id, by).ok().map(|_| ()));
        }
        self.book.remove(resting.id).ok()?;
        self.replay_fills(step)?;
        if !step.open.is_zero() {
            self.book.rest(resting.id, resting.side, price, step.open).ok()?;
        }
        Some(())
    }

    fn replay_fills(&mut self, step: &Step) -> Option<()> {
        step.fills.iter().try_for_each(|fill| self.book.reduce(fill.maker, fill.quantity).ok().map(|_| ()))
    }

    /// Takes an expired order out of the book; `false` if it does not rest.
    pub(super) fn take_expired_out(&mut self, id: OrderId) -> bool {
        self.book.remove(id).is_ok()
    }

    /// Nobody wants to know which levels changed.
    pub(super) fn forget_levels(&mut self) {
        self.touched.clear();
    }

    /// The levels that changed since the last call, with their totals: buys first, best first.
    pub(super) fn take_levels(&mut self) -> Vec<LevelChange> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable_by_key(|&(side, price)| match side {
            Side::Buy => (0, u64::MAX - price.0),
            Side::Sell => (1, price.0),
        });
        touched.dedup();
        let levels = touched.iter().map(|&(side, price)| {
            let level = self.book.level(side, price);
            let (open, orders) = level.map_or((Lots::ZERO, 0), |level| (level.open, level.orders));
            LevelChange { side, price, open, orders }
        });
        let levels = levels.collect();
        touched.clear();
        self.touched = touched;
        levels
    }
}

fn refusal(outcome: book::Outcome) -> Step {
    Step::refused(match outcome {
        book::Outcome::Refused(Refusal::WouldTake) => Reason::WouldTake,
        book::Outcome::Refused(Refusal::NotFillable) => Reason::NotFillable,
        book::Outcome::Refused(Refusal::LevelOverflow) => Reason::LevelFull,
        book::Outcome::Refused(Refusal::BookFull) => Reason::TooMany,
        book::Outcome::Refused(Refusal::ZeroQuantity) => Reason::NotPositive,
        book::Outcome::Refused(Refusal::NoLimit) => Reason::MissingField,
        _ => Reason::UnknownOrder,
    })
}

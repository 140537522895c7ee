//! Stops: orders that wait outside the book until a trade meets their trigger.
//!
//! A trade triggers what it meets: the nearest trigger first, and of one trigger the order that waits longest. Triggered
//! orders join one queue and run one by one, each in a step of its own, before anything else but time; what they
//! trigger joins the back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

use super::entry::Entry;
use super::{Hand, Market, Order, OrderStatus};
use crate::book::{Command, NewOrder, Style};
use crate::machine::intent::Amend;
use crate::machine::journal::Journal;
use crate::machine::tape::Event;
use crate::machine::terms::Stop;
use crate::plant::{Plant, planted};
use crate::types::{Lots, OrderId, Position, Reason, Side, Ticks};

/// The orders that wait, and those that were triggered and have not run.
#[derive(Clone, Default, Debug)]
pub(super) struct Stops {
    /// By trigger, the one first that falling prices meet first; then by since when they wait.
    sells: BTreeSet<(Reverse<Ticks>, Position, OrderId)>,
    /// The same for rising prices.
    buys: BTreeSet<(Ticks, Position, OrderId)>,
    /// By the position at which they were triggered.
    queue: BTreeMap<Position, OrderId>,
}

/// How far the trades of a step have gone: what they met before is not triggered again.
#[derive(Clone, Copy, Default)]
pub(super) struct Reached {
    lowest: Option<Ticks>,
    highest: Option<Ticks>,
}

impl Stops {
    pub fn len(&self) -> usize {
        self.sells.len() + self.buys.len() + self.queue.len()
    }

    /// Whether no trade can trigger any.
    pub fn is_idle(&self) -> bool {
        self.sells.is_empty() && self.buys.is_empty()
    }

    /// All, those that wait as they would be triggered and then those that were as they run.
    pub fn iter(&self) -> impl Iterator<Item = OrderId> {
        let waiting = self.sells.iter().map(|(.., id)| *id).chain(self.buys.iter().map(|(.., id)| *id));
        waiting.chain(self.queue.values().copied())
    }

    fn insert(&mut self, side: Side, stop: &Stop, id: OrderId) -> bool {
        match (side, stop.triggered) {
            (Side::Sell, Position(0)) => self.sells.insert((Reverse(stop.trigger), stop.since, id)),
            (Side::Buy, Position(0)) => self.buys.insert((stop.trigger, stop.since, id)),
            (_, triggered) => self.queue.insert(triggered, id).is_none(),
        }
    }

    fn remove(&mut self, side: Side, stop: &Stop, id: OrderId) {
        match (side, stop.triggered) {
            (Side::Sell, Position(0)) => _ = self.sells.remove(&(Reverse(stop.trigger), stop.since, id)),
            (Side::Buy, Position(0)) => _ = self.buys.remove(&(stop.trigger, stop.since, id)),
            (_, triggered) => _ = self.queue.remove(&triggered),
        }
    }

    /// Adds what a trade triggers, as it does.
    pub fn meet(&self, price: Ticks, reached: &mut Reached, events: &mut Vec<Event>) {
        let from = events.len();
        const FIRST: (Position, OrderId) =
            (Position(0), OrderId { node: crate::types::NodeId(0), counter: 0 });
        let above = match reached.lowest {
            // The trigger that was reached before was met, and all above it.
            Some(lowest) => Included((Reverse(Ticks(lowest.0.saturating_sub(1))), FIRST.0, FIRST.1)),
            None => Unbounded,
        };
        let below = Excluded((Reverse(Ticks(price.0.saturating_sub(1))), FIRST.0, FIRST.1));
        if reached.lowest.is_none_or(|lowest| price < lowest) {
            let met = self.sells.range((above, below));
            events.extend(met.map(|(.., order)| Event::Triggered { order: *order }));
            reached.lowest = Some(price);
        }
        let from_below = match reached.highest {
            Some(highest) => Included((Ticks(highest.0.saturating_add(1)), FIRST.0, FIRST.1)),
            None => Unbounded,
        };
        let to_above = Excluded((Ticks(price.0.saturating_add(1)), FIRST.0, FIRST.1));
        if reached.highest.is_none_or(|highest| price > highest) {
            let met = self.buys.range((from_below, to_above));
            events.extend(met.map(|(.., order)| Event::Triggered { order: *order }));
            reached.highest = Some(price);
        }
        if planted(Plant::StopsOutOfTurn) {
            events[from..].reverse();
        }
    }
}

impl Order {
    /// Whether it waits outside the book: for a trade, or for its turn once one triggered it.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.stop().is_some_and(|stop| !stop.runs)
    }

    /// What it waits for, or did.
    #[must_use]
    pub fn stop(&self) -> Option<&Stop> {
        self.terms.as_deref()?.stop.as_ref()
    }

    fn set_stop(&mut self, stop: Stop) {
        if let Some(terms) = &mut self.terms {
            std::sync::Arc::make_mut(terms).stop = Some(stop);
        }
    }
}

/// Whether a trade at a price meets a trigger.
fn meets(side: Side, price: Ticks, trigger: Ticks) -> bool {
    match side {
        Side::Buy => price >= trigger,
        Side::Sell => price <= trigger,
    }
}

impl Market {
    /// Whether an order waits outside the book.
    pub(super) fn waits(&self, id: &OrderId) -> bool {
        self.stops.len() > 0 && self.orders.get(id).is_some_and(Order::is_waiting)
    }

    /// The triggered order that runs next.
    pub(in crate::machine) fn next_triggered(&self) -> Option<OrderId> {
        self.stops.queue.first_key_value().map(|(_, id)| *id)
    }

    /// A new order begins to wait, or is refused. `replaced` is the one in whose place it comes.
    pub(super) fn begin_to_wait(
        &mut self,
        (id, side, stop): (OrderId, Side, Stop),
        entry: Entry,
        replaced: Option<OrderId>,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        if self.book.is_full() && replaced.is_none() {
            return Err(Reason::TooMany);
        }
        if self.last_price.is_some_and(|last| meets(side, last, stop.trigger)) {
            return Err(Reason::WouldTrigger);
        }
        let Entry { limit, quantity, expires } = entry;
        self.take_out_replaced(replaced, events)?;
        events.push(Event::Accepted { order: id, price: None, expires });
        events.push(Event::Waiting { order: id, trigger: stop.trigger, price: limit, open: quantity });
        Ok(())
    }

    /// Amends an order that waits. Less of it, and nothing else, keeps its place.
    pub(super) fn amend_waiting(
        &self,
        order: &Order,
        amend: &Amend,
        open: Lots,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        let stop = order.stop().filter(|stop| stop.triggered == Position(0)).ok_or(Reason::WouldTrigger)?;
        let trigger = amend.trigger.unwrap_or(stop.trigger);
        if open.0 > self.rules.max_lots.0 {
            return Err(Reason::AboveMaximum);
        }
        if self.last_price.is_some_and(|last| meets(order.side, last, trigger)) {
            return Err(Reason::WouldTrigger);
        }
        let (id, price) = (order.id, amend.price.or(order.limit));
        events.push(match (trigger, price, open <= order.open) == (stop.trigger, order.limit, true) {
            true => Event::Reduced { order: id, open },
            false => Event::Waiting { order: id, trigger, price, open },
        });
        Ok(())
    }

    /// Decides what becomes of the triggered order that runs next.
    pub(in crate::machine) fn decide_triggered(
        &mut self,
        id: OrderId,
        events: &mut Vec<Event>,
    ) -> Option<()> {
        let order = self.orders.get(&id)?;
        let (account, side, limit, open) = (order.account.clone(), order.side, order.limit, order.open);
        let prevention = self.prevention(order.self_trade);
        let best = self.best_price(side.opposite(), None);
        let style = if limit.is_some() { Style::Rest } else { Style::Cancel };
        let worst = limit.or_else(|| self.protection(side, None, best));
        let new = NewOrder::new(id, side, worst, open, style).of(self.owner(&account), prevention);
        self.book.promise(self.stops.len().saturating_sub(1));
        if self.run(&Command::Place(new), Lots::ZERO, events).is_err() {
            // Its level can't hold it: it may not rest.
            events.push(Event::Removed { order: id, open, reason: Reason::NoLiquidity });
        }
        if limit.is_none() && self.best_price(side.opposite(), None).is_some() {
            self.say_protected(id, events);
        }
        Some(())
    }

    /// What waits has its places, whatever was tried.
    pub(super) fn keep_promises(&mut self) {
        self.book.promise(self.stops.len());
    }

    /// Its book is about to follow the step of a triggered order: its place is promised to nobody any more.
    pub(in crate::machine) fn begin_to_run(&mut self) {
        self.book.promise(self.stops.len().saturating_sub(1));
    }

    /// Takes an event of a triggered order's step; `None` if it does not fit.
    pub(in crate::machine) fn fold_triggered(
        &mut self,
        event: &Event,
        (id, is_first): (OrderId, bool),
        journal: &mut Journal,
    ) -> Option<()> {
        if is_first {
            (self.next_triggered() == Some(id)).then_some(())?;
            let mut order = self.leave(id)?;
            let stop = Stop { runs: true, ..*order.stop()? };
            order.set_stop(stop);
            order.status = order.resting_status();
            let untold = matches!(event, Event::Rested { .. }).then_some(journal.position);
            self.hand.replace(Hand { order, placed: false, untold }).is_none().then_some(())?;
        }
        if let Some(used_up) = self.used_up.take() {
            return self.replenish(event, used_up, journal);
        }
        match event {
            Event::Traded(trade, fees) => self.trade(trade, *fees, journal),
            Event::Prevented(prevented) => self.prevent(prevented, journal),
            Event::Triggered { order } => self.trigger(*order, journal),
            Event::Rested { order, side, price, open, shown } => {
                self.rest((*order, *side, *price, *open), *shown, journal)
            }
            Event::Removed { order, open, reason } => {
                let own = matches!(reason, Reason::NoLiquidity | Reason::Protection | Reason::SelfTrade);
                own.then_some(())?;
                self.remove(*order, *open, *reason, journal)
            }
            _ => None,
        }
    }

    /// An order waits: one in hand, or one that waited already and has new terms.
    pub(super) fn wait(
        &mut self,
        (id, trigger, price, open): (OrderId, Ticks, Option<Ticks>, Lots),
        journal: &mut Journal,
    ) -> Option<()> {
        let (mut order, placed) = match self.hand.take() {
            Some(hand) => (hand.order, hand.placed),
            None => (self.leave(id).filter(Order::is_waiting)?, false),
        };
        let stop = *order.stop()?;
        let fits = order.id == id && !open.is_zero() && stop.triggered == Position(0) && !stop.runs;
        let asked = (stop.trigger, order.limit, order.open) == (trigger, price, open);
        (fits && (asked || !placed)).then_some(())?;
        order.set_stop(Stop { trigger, since: journal.position, ..stop });
        (order.limit, order.open) = (price, open);
        order.quantity = Lots(order.used().0.checked_add(open.0)?);
        order.status = OrderStatus::Waiting;
        journal.first(&mut order, placed);
        self.enter(order);
        Some(())
    }

    /// A trade met an order's trigger.
    pub(super) fn trigger(&mut self, id: OrderId, journal: &mut Journal) -> Option<()> {
        let order = self.orders.get_mut(&id)?;
        let stop = *order.stop().filter(|stop| !stop.runs && stop.triggered == Position(0))?;
        meets(order.side, self.last_price?, stop.trigger).then_some(())?;
        self.stops.remove(order.side, &stop, id);
        let stop = Stop { triggered: journal.position, ..stop };
        self.stops.insert(order.side, &stop, id);
        order.set_stop(stop);
        journal.order(order, None);
        Some(())
    }

    /// An order that waits is filed; `false` if another has its place.
    pub(super) fn file_stop(&mut self, order: &Order) -> bool {
        let filed = match order.stop().filter(|stop| !stop.runs) {
            Some(stop) => self.stops.insert(order.side, stop, order.id),
            None => return true,
        };
        self.book.promise(self.stops.len());
        filed
    }

    /// An order that waited does so no more.
    pub(super) fn unfile_stop(&mut self, order: &Order) {
        if let Some(stop) = order.stop().filter(|stop| !stop.runs) {
            self.stops.remove(order.side, stop, order.id);
            self.book.promise(self.stops.len());
        }
    }
}

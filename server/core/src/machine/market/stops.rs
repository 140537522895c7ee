//! Stops: orders that wait outside the book until a trade meets their trigger.
//!
//! A trade triggers what it meets: the nearest trigger first, and of one trigger the order that waits longest. Triggered
//! orders join one queue and run one by one, each in a step of its own, before anything else but time; what they
//! trigger joins the back. The trigger of a trailing stop follows the trades: each is first compared with it, and then,
//! if that is better, moves it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

use super::entry::Entry;
use super::{Hand, Market, Order, OrderStatus};
use crate::book::{Command, NewOrder, Style};
use crate::decimal::MAX_STEPS;
use crate::machine::intent::Amend;
use crate::machine::journal::Journal;
use crate::machine::tape::Event;
use crate::machine::terms::Stop;
use crate::plant::{Plant, planted};
use crate::types::{Lots, MarketState, Micros, OrderId, Position, Reason, Side, Ticks};

/// The orders that wait, and those that were triggered and have not run.
#[derive(Clone, Default, Debug)]
pub(super) struct Stops {
    /// By trigger, the one first that falling prices meet first; then by since when they wait.
    sells: BTreeSet<(Reverse<Ticks>, Position, OrderId)>,
    /// The same for rising prices.
    buys: BTreeSet<(Ticks, Position, OrderId)>,
    /// Those whose trigger follows the trades, by since when they wait. They are few.
    trailing: BTreeMap<(Position, OrderId), (Side, Stop)>,
    /// By the position at which they were triggered.
    queue: BTreeMap<Position, OrderId>,
}

/// How far the trades of a step have gone: what they met before is not triggered again.
#[derive(Default)]
pub(super) struct Reached {
    lowest: Option<Ticks>,
    highest: Option<Ticks>,
    last: Option<Ticks>,
    /// Trailing stops whose trigger moved, and those that were triggered.
    moved: BTreeMap<(Position, OrderId), Ticks>,
    triggered: BTreeSet<(Position, OrderId)>,
}

impl Reached {
    /// Says where triggers have gone, at the end of a step.
    pub fn tell_moved(self, events: &mut Vec<Event>) {
        let stay = self.moved.into_iter().filter(|(key, _)| !self.triggered.contains(key));
        events.extend(stay.map(|((_, order), trigger)| Event::TriggerMoved { order, trigger }));
    }
}

impl Stops {
    pub fn len(&self) -> usize {
        self.sells.len() + self.buys.len() + self.trailing.len() + self.queue.len()
    }

    /// How many trail.
    pub fn trailing(&self) -> usize {
        self.trailing.len()
    }

    /// Whether any were triggered and are still to run.
    pub fn are_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether no trade can trigger any.
    pub fn is_idle(&self) -> bool {
        self.sells.is_empty() && self.buys.is_empty() && self.trailing.is_empty()
    }

    /// All, those that wait as they would be triggered and then those that were as they run.
    pub fn iter(&self) -> impl Iterator<Item = OrderId> {
        let waiting = self.sells.iter().map(|(.., id)| *id).chain(self.buys.iter().map(|(.., id)| *id));
        let trailing = self.trailing.keys().map(|(_, id)| *id);
        waiting.chain(trailing).chain(self.queue.values().copied())
    }

    fn insert(&mut self, side: Side, stop: &Stop, id: OrderId) -> bool {
        match (side, stop.triggered) {
            (_, Position(0)) if stop.trails() => {
                self.trailing.insert((stop.since, id), (side, *stop)).is_none()
            }
            (Side::Sell, Position(0)) => self.sells.insert((Reverse(stop.trigger), stop.since, id)),
            (Side::Buy, Position(0)) => self.buys.insert((stop.trigger, stop.since, id)),
            (_, triggered) => self.queue.insert(triggered, id).is_none(),
        }
    }

    fn remove(&mut self, side: Side, stop: &Stop, id: OrderId) {
        match (side, stop.triggered) {
            (_, Position(0)) if stop.trails() => _ = self.trailing.remove(&(stop.since, id)),
            (Side::Sell, Position(0)) => _ = self.sells.remove(&(Reverse(stop.trigger), stop.since, id)),
            (Side::Buy, Position(0)) => _ = self.buys.remove(&(stop.trigger, stop.since, id)),
            (_, triggered) => _ = self.queue.remove(&triggered),
        }
    }

    /// Adds what a trade triggers, as it does: the sells, then the buys.
    pub fn meet(&self, price: Ticks, reached: &mut Reached, events: &mut Vec<Event>) {
        if reached.last.replace(price) == Some(price) {
            return;
        }
        let from = events.len();
        let mut trailing = self.trail(price, reached);
        let told = |(order, trigger)| Event::Triggered { order, trigger };
        let first = |trigger: u64| (Ticks(trigger), Position(0), OrderId::default());
        if reached.lowest.is_none_or(|lowest| price < lowest) {
            // What was met before has its trigger at the lowest price or above.
            let above = reached.lowest.map_or(Unbounded, |lowest| {
                let (trigger, since, id) = first(lowest.0.saturating_sub(1));
                Included((Reverse(trigger), since, id))
            });
            let below = match price.0.checked_sub(1) {
                Some(below) => Excluded((Reverse(first(below).0), Position(0), OrderId::default())),
                None => Unbounded,
            };
            trailing.sells.extend(self.sells.range((above, below)).map(|key| (*key, None)));
            reached.lowest = Some(price);
        }
        if reached.highest.is_none_or(|highest| price > highest) {
            let above =
                reached.highest.map_or(Unbounded, |highest| Included(first(highest.0.saturating_add(1))));
            let below = price.0.checked_add(1).map_or(Unbounded, |beyond| Excluded(first(beyond)));
            trailing.buys.extend(self.buys.range((above, below)).map(|key| (*key, None)));
            reached.highest = Some(price);
        }
        trailing.sells.sort_unstable();
        trailing.buys.sort_unstable();
        events.extend(trailing.sells.into_iter().map(|((.., order), trigger)| told((order, trigger))));
        events.extend(trailing.buys.into_iter().map(|((.., order), trigger)| told((order, trigger))));
        if planted(Plant::StopsOutOfTurn) {
            events[from..].reverse();
        }
    }

    /// The trailing stops that a trade meets; the others follow it.
    fn trail(&self, price: Ticks, reached: &mut Reached) -> Met {
        let mut met = Met::default();
        for (key @ (since, id), (side, stop)) in &self.trailing {
            if reached.triggered.contains(key) {
                continue;
            }
            let trigger = reached.moved.get(key).copied().unwrap_or(stop.trigger);
            if meets(*side, price, trigger) {
                reached.triggered.insert(*key);
                match side {
                    Side::Sell => met.sells.push(((Reverse(trigger), *since, *id), Some(trigger))),
                    Side::Buy => met.buys.push(((trigger, *since, *id), Some(trigger))),
                }
            } else if let Some(better) = behind(*side, price, stop.distance)
                && is_better(*side, better, trigger)
            {
                reached.moved.insert(*key, better);
            }
        }
        met
    }
}

/// How an order that waits is sorted, by its trigger; and that again if it trails.
type Sorted<T> = ((T, Position, OrderId), Option<Ticks>);

/// What a trade triggers.
#[derive(Default)]
struct Met {
    sells: Vec<Sorted<Reverse<Ticks>>>,
    buys: Vec<Sorted<Ticks>>,
}

/// The trigger of a trailing stop after a trade; `None` if that is no price.
fn behind(side: Side, price: Ticks, distance: Ticks) -> Option<Ticks> {
    let trigger = match side {
        Side::Sell => price.0.checked_sub(distance.0),
        Side::Buy => price.0.checked_add(distance.0),
    };
    trigger.filter(|trigger| (1..=MAX_STEPS).contains(trigger)).map(Ticks)
}

/// Whether a trigger is nearer to the trades.
fn is_better(side: Side, trigger: Ticks, than: Ticks) -> bool {
    match side {
        Side::Sell => trigger > than,
        Side::Buy => trigger < than,
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

    /// The triggered order that runs next: none while nothing trades.
    pub(in crate::machine) fn next_triggered(&self) -> Option<OrderId> {
        let first = self.stops.queue.first_key_value().map(|(_, id)| *id);
        first.filter(|_| self.state() == MarketState::Continuous)
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
        let trigger = self.first_trigger(side, &stop, replaced)?;
        let Entry { limit, quantity, expires } = entry;
        self.take_out_replaced(replaced, events)?;
        events.push(Event::Accepted { order: id, price: None, expires });
        events.push(Event::Waiting { order: id, trigger, price: limit, open: quantity });
        Ok(())
    }

    /// The trigger with which a stop begins to wait.
    fn first_trigger(&self, side: Side, stop: &Stop, replaced: Option<OrderId>) -> Result<Ticks, Reason> {
        if !stop.trails() {
            let met = self.last_price.is_some_and(|last| meets(side, last, stop.trigger));
            return if met { Err(Reason::WouldTrigger) } else { Ok(stop.trigger) };
        }
        let of_replaced = replaced.and_then(|id| self.orders.get(&id)).filter(|order| order.is_waiting());
        let gone = of_replaced.and_then(Order::stop).is_some_and(Stop::trails);
        if self.stops.trailing.len() - usize::from(gone) >= self.most_trailing {
            return Err(Reason::TooMany);
        }
        let last = self.last_price.ok_or(Reason::NoLastTrade)?;
        let none = if side == Side::Sell { Reason::NotPositive } else { Reason::AboveMaximum };
        behind(side, last, stop.distance).ok_or(none)
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
        // The trigger of a trailing stop is the trades', and so is its limit.
        if stop.trails() && (amend.trigger.is_some() || amend.price.is_some()) {
            return Err(Reason::UnknownValue);
        }
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
        time: Micros,
        events: &mut Vec<Event>,
    ) -> Option<()> {
        self.now = time;
        self.lay_band();
        let order = self.orders.get(&id)?;
        let (account, side, limit, open) = (order.account.clone(), order.side, order.limit, order.open);
        let prevention = self.prevention(order.self_trade);
        if limit.is_some_and(|price| self.is_outside_static(side, price)) {
            events.push(Event::Removed { order: id, open, reason: Reason::PriceBand });
            return Some(());
        }
        let best = self.best_price(side.opposite(), None);
        let style = if limit.is_some() { Style::Rest } else { Style::Cancel };
        let worst = limit.or_else(|| self.protection(side, None, best));
        let new = NewOrder::new(id, side, worst, open, style).of(self.owner(&account), prevention);
        self.begin_to_run();
        if self.run(&Command::Place(new), Lots::ZERO, events).is_err() {
            // Its level can't hold it: it may not rest.
            events.push(Event::Removed { order: id, open, reason: Reason::NoLiquidity });
        }
        if limit.is_none() && self.best_price(side.opposite(), None).is_some() {
            self.say_protected(id, events);
        }
        Some(())
    }

    /// What waits outside the book has its places, whatever was tried.
    pub(super) fn promise(&mut self) {
        self.book.promise(self.stops.len() + self.unpriced.len());
    }

    /// Whether an order is in no book: it waits for a trade, or for an uncross.
    pub(super) fn is_outside(&self, id: &OrderId) -> bool {
        self.waits(id) || self.is_unpriced(id)
    }

    /// An order that waits outside the book is about to do so no more: its place is promised to nobody.
    pub(in crate::machine) fn begin_to_run(&mut self) {
        self.book.promise((self.stops.len() + self.unpriced.len()).saturating_sub(1));
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
            Event::Triggered { order, trigger } => self.trigger(*order, *trigger, journal),
            Event::TriggerMoved { order, trigger } => self.move_trigger(*order, *trigger, journal),
            Event::StateChanged { state, until } => self.halt_by_band(*state, *until),
            Event::Rested { order, side, price, open, shown } => {
                self.rest((*order, *side, *price, *open), *shown, journal)
            }
            Event::Removed { order, open, reason } => {
                use Reason::{NoLiquidity, PriceBand, Protection, SelfTrade};
                let own = matches!(reason, NoLiquidity | Protection | SelfTrade | PriceBand);
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
        let same = stop.trails() || stop.trigger == trigger;
        let asked = same && (order.limit, order.open) == (price, open);
        (fits && (asked || !placed)).then_some(())?;
        order.set_stop(Stop { trigger, since: journal.position, ..stop });
        (order.limit, order.open) = (price, open);
        order.quantity = Lots(order.used().0.checked_add(open.0)?);
        order.status = OrderStatus::Waiting;
        journal.first(&mut order, placed);
        self.enter(order);
        Some(())
    }

    /// A trade met an order's trigger; `moved` is that of one that trails.
    pub(super) fn trigger(&mut self, id: OrderId, moved: Option<Ticks>, journal: &mut Journal) -> Option<()> {
        let last = self.last_price?;
        let order = self.orders.get_mut(&id)?;
        let stop = *order.stop().filter(|stop| !stop.runs && stop.triggered == Position(0))?;
        (stop.trails() == moved.is_some()).then_some(())?;
        let trigger = moved.unwrap_or(stop.trigger);
        let met = meets(order.side, last, trigger);
        (met && !is_better(order.side, stop.trigger, trigger)).then_some(())?;
        self.stops.remove(order.side, &stop, id);
        let stop = Stop { trigger, triggered: journal.position, ..stop };
        self.stops.insert(order.side, &stop, id);
        order.set_stop(stop);
        order.limit = stop.limit(order.side).or(order.limit);
        journal.order(order, None);
        Some(())
    }

    /// The trigger of a trailing stop has followed the trades.
    pub(super) fn move_trigger(&mut self, id: OrderId, trigger: Ticks, journal: &mut Journal) -> Option<()> {
        let order = self.orders.get_mut(&id)?;
        let stop =
            *order.stop().filter(|stop| stop.trails() && !stop.runs && stop.triggered == Position(0))?;
        is_better(order.side, trigger, stop.trigger).then_some(())?;
        self.stops.remove(order.side, &stop, id);
        let stop = Stop { trigger, ..stop };
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
        self.promise();
        filed
    }

    /// An order that waited does so no more.
    pub(super) fn unfile_stop(&mut self, order: &Order) {
        if let Some(stop) = order.stop().filter(|stop| !stop.runs) {
            self.stops.remove(order.side, stop, order.id);
            self.promise();
        }
    }
}

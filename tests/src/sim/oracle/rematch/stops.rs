//! Stops, from the rules' words: an order waits until a trade meets its trigger. Each trade triggers what it meets, the
//! nearest trigger first (sells from high to low, buys from low to high), then who waits longest. Triggered orders join
//! one queue and run one by one before anything else but time, a bounded number in a batch.

use xbook::book::{Command, Event, NewOrder, Style};
use xbook::machine::{Amend, Block, Change, NewSize, OrderStatus, Stop};
use xbook::types::{Liquidity, Lots, OrderId, Position, Reason, Side, Ticks};

use super::rules::prevention;
use super::{Live, Rematch, RematchViolation};

/// What a stop waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    pub trigger: Ticks,
    /// How far the trigger of one that trails is behind the best trade, and its limit beyond that; zero for neither.
    pub distance: u64,
    pub limit_distance: u64,
    pub limit: Option<Ticks>,
    pub open: u64,
    /// Who has the lower one waits longer with this trigger.
    pub since: u64,
    pub triggered: bool,
}

/// Something that is told in its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// An order was triggered.
    Triggered(OrderId),
    /// An order took from another, so much at a price; or sold to it in an auction, if the last says so.
    Took(OrderId, OrderId, Lots, Ticks, bool),
    /// An order ended with its auction.
    AuctionEnded(OrderId),
    /// An order ended at a band.
    Banded(OrderId),
}

fn meets(side: Side, price: Ticks, trigger: Ticks) -> bool {
    match side {
        Side::Buy => trigger <= price,
        Side::Sell => trigger >= price,
    }
}

/// So far behind a trade.
fn behind(side: Side, price: Ticks, distance: u64) -> Ticks {
    match side {
        Side::Buy => Ticks(price.0 + distance),
        Side::Sell => Ticks(price.0 - distance),
    }
}

impl Rematch {
    /// The trigger with which an order may begin to wait; `None` if it may not.
    pub(super) fn may_wait(&self, side: Side, stop: &Stop) -> Option<Ticks> {
        if self.book.is_full() {
            return None;
        }
        if stop.distance == Ticks(0) {
            let met = self.last.is_some_and(|last| meets(side, last, stop.trigger));
            return (!met).then_some(stop.trigger);
        }
        let trailing = |live: &&Live| live.stop.is_some_and(|waits| waits.distance > 0 && !waits.triggered);
        if self.live.values().filter(trailing).count() >= self.most_trailing {
            return None;
        }
        // Prices of the simulator are far from both ends.
        self.last.map(|last| behind(side, last, stop.distance.0))
    }

    /// The next number of what begins to wait.
    pub(super) fn next_wait(&mut self) -> u64 {
        self.waits += 1;
        self.waits
    }

    /// An amend of an order that waits: whether it is done. Less of it, and nothing else, keeps its place.
    pub(super) fn amend_waiting(&mut self, id: OrderId, amend: &Amend) -> bool {
        let since = self.next_wait();
        let Some(live) = self.live.get_mut(&id) else {
            return false;
        };
        let Some(waits) = live.stop.as_mut().filter(|waits| !waits.triggered) else {
            return false;
        };
        let open = match amend.size {
            None => waits.open,
            Some(NewSize::Open(Lots(open)) | NewSize::Total(Lots(open))) => open,
        };
        if waits.distance > 0 && (amend.trigger.is_some() || amend.price.is_some()) {
            return false;
        }
        let (trigger, limit) = (amend.trigger.unwrap_or(waits.trigger), amend.price.or(waits.limit));
        if self.last.is_some_and(|last| meets(live.side, last, trigger)) {
            return false;
        }
        if trigger != waits.trigger || limit != waits.limit || open > waits.open {
            waits.since = since;
        }
        (waits.trigger, waits.limit, waits.open) = (trigger, limit, open);
        true
    }

    /// An amend of a market order of an auction, which has no price: whether it is done.
    pub(super) fn amend_at_market(&mut self, id: OrderId, amend: &Amend, open: u64) -> bool {
        let Some(live) = self.live.get(&id) else {
            return false;
        };
        let used = live.filled + live.prevented;
        let new = match amend.size {
            None => open,
            Some(NewSize::Open(new)) => new.0,
            Some(NewSize::Total(total)) if total.0 <= used => return false,
            Some(NewSize::Total(total)) => total.0 - used,
        };
        let keeps = new <= open && amend.price.is_none() && amend.trigger.is_none();
        let allowed = self.allows(&live.account, Ticks(0), used + new);
        let done =
            self.trading.amends(keeps, false) && allowed && amend.price.is_none() && amend.trigger.is_none();
        if done {
            self.book.amend_at_market(id, new);
        }
        done
    }

    /// What the trades among the events trigger, each in its turn.
    pub(super) fn meet(&mut self, events: &[Event], auction: bool) {
        for event in events {
            let Event::Traded(trade) = event else {
                continue;
            };
            self.last = Some(trade.price);
            let (taker, maker) = (trade.taker, trade.maker);
            self.log.push(Told::Took(taker, maker, trade.quantity, trade.price, auction));
            let met = |live: &Live| {
                live.stop.filter(|waits| !waits.triggered && meets(live.side, trade.price, waits.trigger))
            };
            let waiting = self.live.iter().filter_map(|(id, live)| Some((*id, live.side, met(live)?)));
            let (mut sells, mut buys): (Vec<_>, Vec<_>) =
                waiting.partition(|(_, side, _)| *side == Side::Sell);
            sells.sort_by_key(|(.., waits)| (u64::MAX - waits.trigger.0, waits.since));
            buys.sort_by_key(|(.., waits)| (waits.trigger.0, waits.since));
            for (id, ..) in sells.into_iter().chain(buys) {
                self.queue.push_back(id);
                self.log.push(Told::Triggered(id));
                let waits = self.live.get_mut(&id).and_then(|live| live.stop.as_mut());
                waits.into_iter().for_each(|waits| waits.triggered = true);
            }
            // First compared, then moved.
            for live in self.live.values_mut() {
                let side = live.side;
                let Some(waits) = live.stop.as_mut().filter(|waits| !waits.triggered && waits.distance > 0)
                else {
                    continue;
                };
                let now = behind(side, trade.price, waits.distance);
                waits.trigger =
                    if side == Side::Buy { waits.trigger.min(now) } else { waits.trigger.max(now) };
            }
        }
    }

    /// Runs what was triggered, for as long as the batch has room.
    pub(super) fn run_triggered(&mut self) {
        while self.ran < self.most_triggered
            && self.trading.runs()
            && let Some(id) = self.queue.pop_front()
        {
            // It may have been cancelled.
            let Some(live) = self.live.remove(&id) else {
                continue;
            };
            let Some(waits) = live.stop else {
                continue;
            };
            self.ran += 1;
            self.did.clear();
            self.ended.clear();
            let limit = match (waits.limit_distance, live.side) {
                (0, _) => waits.limit,
                (distance, Side::Buy) => Some(Ticks(waits.trigger.0 + distance)),
                (distance, Side::Sell) => Some(Ticks(waits.trigger.0 - distance)),
            };
            if limit.is_some_and(|limit| self.is_beyond(live.side, limit)) {
                self.log.push(Told::Banded(id));
                self.keep_root();
                continue;
            }
            let style = if limit.is_some() { Style::Rest } else { Style::Cancel };
            let order = NewOrder::new(id, live.side, limit, Lots(waits.open), style)
                .of(self.owner(&live.account), prevention(live.self_trade, &self.rules));
            let _refused = self.run(&Command::Place(order));
            let (filled, prevented) = self.settle_makers(id, 0);
            if self.book.get(id).is_some() {
                self.live.insert(id, Live { stop: None, filled, prevented, ..live });
            }
            self.keep_root();
        }
    }

    /// Compares what waits in a market with what does here: with which triggers.
    ///
    /// # Errors
    /// It is something else.
    pub fn compare_waiting(
        &self,
        at: Position,
        trigger: impl Fn(OrderId) -> Option<Ticks>,
    ) -> Result<(), RematchViolation> {
        let waiting = self.live.iter().filter_map(|(id, live)| Some((*id, live.stop?.trigger)));
        for (order, naive) in waiting {
            let shown = trigger(order);
            if shown != Some(naive) {
                return Err(RematchViolation::Trigger { order, at, shown, naive });
            }
        }
        Ok(())
    }

    /// Compares what a block tells of stops and of what was taken with what was found.
    pub(super) fn compare_told(&mut self, block: &Block) -> Result<(), RematchViolation> {
        let told = block.changes.iter().filter_map(|change| match change {
            Change::Order { order, fill: Some(fill), .. } if fill.liquidity == Liquidity::Taker => {
                let (maker, quantity) = (fill.counter_order, fill.quantity);
                Some(Told::Took(order.id, maker, quantity, fill.price, fill.auction))
            }
            Change::Order { order, .. } if order.status == OrderStatus::Waiting => {
                let triggered = order.stop().is_some_and(|stop| stop.triggered == order.position);
                triggered.then_some(Told::Triggered(order.id))
            }
            Change::Order { order, .. }
                if order.reason == Reason::PriceBand && order.status == OrderStatus::Cancelled =>
            {
                Some(Told::Banded(order.id))
            }
            Change::Order { order, .. } if order.reason == Reason::AuctionEnded => {
                Some(Told::AuctionEnded(order.id))
            }
            _ => None,
        });
        let (shown, naive) = (told.collect::<Vec<_>>(), std::mem::take(&mut self.log));
        if shown == naive { Ok(()) } else { Err(RematchViolation::Turn { at: block.last, shown, naive }) }
    }
}

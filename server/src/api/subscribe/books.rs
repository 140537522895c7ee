//! Lines of books: levels, orders, the best quote.

use std::collections::BTreeSet;
use std::sync::Arc;

use xbook_proto::v1::subscribe_response::Event;
use xbook_proto::v1::{self, BookLevels, BookOrders, OrderEntry};

use super::feed::{Book, Feed};
use super::{Forever, Line};
use crate::api::convert::{self, Units};
use crate::api::ladder::{CHECKED_LEVELS, Rung, Step, of_levels, of_orders};
use crate::api::trading::units;
use crate::book::Resting;
use crate::mirror::{Mirror, Moved};
use crate::types::{Position, Side, Ticks};

/// Most levels or orders in a message: with the longest texts there are, 2 MB.
pub(in crate::api) const MAX_ENTRIES: usize = 20_000;

const SIDES: [Side; 2] = [Side::Buy, Side::Sell];

/// What a line of levels shows: bids, asks.
type Rungs = [Vec<Rung>; 2];

/// A message of a book: its events, whether it is a snapshot, the checksum after it.
pub(in crate::api) struct Told {
    pub position: Position,
    pub events: Vec<Event>,
    snapshot: bool,
    checksum: u32,
}

impl Line<'_> {
    /// Levels: all, or the best of each side.
    pub async fn levels(
        &mut self,
        feed: &Arc<Feed>,
        (depth, step): (Option<usize>, Step),
        after: Option<Position>,
    ) -> Forever {
        let units = units(self.market)?;
        self.wait_for(feed, after).await?;
        // Of the best only this node knows what was sent, and of all anybody does.
        let mut known = after.filter(|_| depth.is_none());
        let mut shown: Rungs = [Vec::new(), Vec::new()];
        loop {
            let (told, seen) = match depth {
                None => feed.read(self.market, |book| all_levels(&units, book, step, known)).await?,
                Some(depth) => {
                    let read = |book: &Book| (rungs(&book.mirror, step, depth), book.position);
                    let (now, position) = feed.read(self.market, read).await?;
                    let told = best_levels(&units, known.is_some(), &shown, &now, position);
                    shown = now;
                    (told, position)
                }
            };
            self.book_told(told, seen, &mut known).await?;
            self.wait(seen).await?;
        }
    }

    /// All orders.
    pub async fn orders(&mut self, feed: &Arc<Feed>, after: Option<Position>) -> Forever {
        let units = units(self.market)?;
        self.wait_for(feed, after).await?;
        let mut known = after;
        loop {
            let read = |book: &Book| all_orders(&units, book, known);
            let (told, seen) = feed.read(self.market, read).await?;
            self.book_told(told, seen, &mut known).await?;
            self.wait(seen).await?;
        }
    }

    /// Waits until the feed has what a client has: it follows a moment after a block is shown.
    async fn wait_for(&mut self, feed: &Feed, after: Option<Position>) -> Result<(), super::End> {
        while feed.read(self.market, |book| book.position).await? < after.unwrap_or(Position(0)) {
            self.wait(self.position).await?;
        }
        Ok(())
    }

    /// Sends what there is to say; something is always said first.
    async fn book_told(
        &mut self,
        told: Option<Told>,
        seen: Position,
        known: &mut Option<Position>,
    ) -> Result<(), super::End> {
        match told {
            Some(Told { position, events, snapshot, checksum }) => {
                self.send(position, events, snapshot, Some(checksum)).await?;
            }
            None if !self.begun => self.heartbeat(seen).await?,
            None => {}
        }
        self.begun = true;
        *known = Some(seen);
        Ok(())
    }

    /// The best bid and offer.
    pub async fn quote(&mut self, feed: &Arc<Feed>) -> Forever {
        let units = units(self.market)?;
        let mut sent: Option<Rungs> = None;
        loop {
            let read = |book: &Book| (rungs(&book.mirror, Step::TICK, 1), book.position);
            let (best, position) = feed.read(self.market, read).await?;
            if sent.as_ref() != Some(&best) {
                let [bid, ask] = best.each_ref().map(|side| side.first().map(|rung| rung.told(&units)));
                let market = self.market.name().to_owned();
                let quote = v1::BestQuote { market, position: position.0, bid, ask };
                self.tell(position, Event::Quote(quote)).await?;
                sent = Some(best);
            }
            self.wait(position).await?;
        }
    }
}

fn rungs(mirror: &Mirror, step: Step, depth: usize) -> Rungs {
    SIDES.map(|side| step.rungs(side, mirror.levels(side)).take(depth).collect())
}

/// The levels of the whole book that changed after a position; a snapshot if that is not at hand.
pub(in crate::api) fn all_levels(
    units: &Units<'_>,
    book: &Book,
    step: Step,
    known: Option<Position>,
) -> (Option<Told>, Position) {
    let position = book.position;
    let touched = known.and_then(|known| book.touched(known));
    let snapshot = touched.is_none();
    let sides = match touched {
        None => rungs(&book.mirror, step, usize::MAX),
        Some(touched) => {
            let mut sides = SIDES.into_iter().zip(touched);
            [sides.next(), sides.next()].map(|side| {
                side.map(|(side, prices)| totals(&book.mirror, step, side, &prices)).unwrap_or_default()
            })
        }
    };
    if !snapshot && sides.iter().all(Vec::is_empty) {
        return (None, position);
    }
    let checksum = {
        let best = rungs(&book.mirror, step, CHECKED_LEVELS);
        of_levels(units, best.each_ref().map(Vec::as_slice))
    };
    (Some(Told { position, events: level_events(units, &sides, snapshot), snapshot, checksum }), position)
}

/// The totals under which touched prices are told now, best first.
fn totals(mirror: &Mirror, step: Step, side: Side, prices: &BTreeSet<Ticks>) -> Vec<Rung> {
    let told: BTreeSet<Ticks> = prices.iter().map(|price| step.of(side, *price)).collect();
    let total = |price: Ticks| {
        let (low, high) = step.span(side, price);
        let none = Rung { price, open: 0, orders: 0 };
        mirror.levels_between(side, low, high).fold(none, |sum, level| Rung {
            price,
            open: sum.open + u128::from(level.open.0),
            orders: sum.orders.saturating_add(level.orders),
        })
    };
    match side {
        Side::Buy => told.into_iter().rev().map(total).collect(),
        Side::Sell => told.into_iter().map(total).collect(),
    }
}

/// How the best levels differ from what was sent.
fn best_levels(
    units: &Units<'_>,
    begun: bool,
    sent: &Rungs,
    now: &Rungs,
    position: Position,
) -> Option<Told> {
    let checksum = of_levels(units, now.each_ref().map(Vec::as_slice));
    if !begun {
        return Some(Told { position, events: level_events(units, now, true), snapshot: true, checksum });
    }
    let mut sides: Rungs = [Vec::new(), Vec::new()];
    for ((side, changed), (sent, now)) in SIDES.iter().zip(&mut sides).zip(sent.iter().zip(now)) {
        let gone = sent.iter().filter(|rung| !now.iter().any(|other| other.price == rung.price));
        changed.extend(gone.map(|rung| Rung { open: 0, orders: 0, ..*rung }));
        changed.extend(now.iter().filter(|rung| !sent.contains(rung)));
        changed.sort_unstable_by_key(|rung| match side {
            Side::Buy => u64::MAX - rung.price.0,
            Side::Sell => rung.price.0,
        });
    }
    let changed = sides.iter().any(|side| !side.is_empty());
    changed.then(|| Told { position, events: level_events(units, &sides, false), snapshot: false, checksum })
}

/// Levels in messages of a bounded size.
fn level_events(units: &Units<'_>, sides: &Rungs, snapshot: bool) -> Vec<Event> {
    let event = |levels| if snapshot { Event::LevelsSnapshot(levels) } else { Event::LevelsChange(levels) };
    parts(units, sides, MAX_ENTRIES).into_iter().map(event).collect()
}

/// Levels, bids first, in parts of at most so many; one without levels if there are none.
fn parts(units: &Units<'_>, [bids, asks]: &Rungs, most: usize) -> Vec<BookLevels> {
    let all: Vec<(Side, &Rung)> =
        bids.iter().map(|rung| (Side::Buy, rung)).chain(asks.iter().map(|rung| (Side::Sell, rung))).collect();
    let parts = all.chunks(most).chain(all.is_empty().then_some(&[][..]));
    let part = |part: &[(Side, &Rung)]| {
        let (bids, asks) = part.split_at(part.partition_point(|(side, _)| *side == Side::Buy));
        let [bids, asks] = [bids, asks].map(|side| side.iter().map(|(_, rung)| rung.told(units)).collect());
        BookLevels { bids, asks }
    };
    parts.map(part).collect()
}

/// The orders that changed after a position; a snapshot if that is not at hand.
fn all_orders(units: &Units<'_>, book: &Book, known: Option<Position>) -> (Option<Told>, Position) {
    let position = book.position;
    let moved = known.and_then(|known| book.moved(known));
    let snapshot = moved.is_none();
    let entries: Vec<OrderEntry> = match moved {
        Some(moved) if moved.is_empty() => return (None, position),
        Some(moved) => moved.iter().map(|moved| changed(units, moved)).collect(),
        None => {
            let orders = SIDES.into_iter().flat_map(|side| orders_of(&book.mirror, side, usize::MAX));
            orders.map(|order| resting(units, &order, true)).collect()
        }
    };
    let best = SIDES.map(|side| orders_of(&book.mirror, side, CHECKED_LEVELS).collect::<Vec<_>>());
    let checksum = of_orders(units, best.each_ref().map(Vec::as_slice));
    let parts = entries.chunks(MAX_ENTRIES).chain(entries.is_empty().then_some(&[][..]));
    let event = |part: &[OrderEntry]| {
        let orders = BookOrders { orders: part.to_vec() };
        if snapshot { Event::OrdersSnapshot(orders) } else { Event::OrdersChange(orders) }
    };
    (Some(Told { position, events: parts.map(event).collect(), snapshot, checksum }), position)
}

/// The orders of the best levels of a side.
fn orders_of(mirror: &Mirror, side: Side, levels: usize) -> impl Iterator<Item = Resting> {
    mirror.levels(side).take(levels).flat_map(move |level| mirror.orders_at(side, level.price))
}

fn changed(units: &Units<'_>, moved: &Moved) -> OrderEntry {
    match moved.after {
        None => {
            OrderEntry { order_id: moved.id.to_string(), quantity: "0".to_owned(), ..OrderEntry::default() }
        }
        Some(after) => {
            let order = Resting { id: moved.id, side: after.side, price: after.price, open: after.open };
            resting(units, &order, moved.is_back())
        }
    }
}

fn resting(units: &Units<'_>, order: &Resting, back: bool) -> OrderEntry {
    OrderEntry {
        order_id: order.id.to_string(),
        side: convert::side(order.side).into(),
        price: units.price(order.price),
        quantity: units.quantity(order.open),
        back,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Grid;
    use crate::history::Sizes;

    #[test]
    fn what_is_too_large_comes_in_parts() {
        let one = Grid::new("1".parse().unwrap()).unwrap();
        let units = Units { market: "A/B", sizes: Sizes { tick: one, lot: one } };
        let side = |begin: u64, count: u64| -> Vec<Rung> {
            (begin..begin + count).map(|price| Rung { price: Ticks(price), open: 1, orders: 1 }).collect()
        };
        let cut = |bids, asks| parts(&units, &[side(0, bids), side(100, asks)], 4);
        let counts = |bids, asks| -> Vec<(usize, usize)> {
            cut(bids, asks).iter().map(|part| (part.bids.len(), part.asks.len())).collect()
        };
        assert_eq!(counts(0, 0), [(0, 0)]);
        assert_eq!(counts(2, 2), [(2, 2)]);
        assert_eq!(counts(3, 2), [(3, 1), (0, 1)]);
        assert_eq!(counts(4, 5), [(4, 0), (0, 4), (0, 1)]);
        let all = cut(5, 6).into_iter().flat_map(|part| part.bids.into_iter().chain(part.asks));
        let all: Vec<String> = all.map(|level| level.price).collect();
        assert_eq!(all, ["0", "1", "2", "3", "4", "100", "101", "102", "103", "104", "105"]);
    }
}

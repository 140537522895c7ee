//! Lines of books: levels, orders, the best quote.

use std::collections::BTreeSet;
use std::sync::Arc;

use xbook_proto::v1::subscribe_response::Event;
use xbook_proto::v1::{self, BookLevels, BookOrders, OrderEntry};

use super::feed::{Book, Feed};
use super::{Forever, Line};
use crate::api::convert::{self, Units};
use crate::api::market_data::ladder::{CHECKED_LEVELS, Rung, Step, of_levels, of_orders};
use crate::api::markets::units;
use crate::book::Resting;
use crate::mirror::{Mirror, Place};
use crate::types::{OrderId, Position, Side, Ticks};

/// Most levels or orders in a message: with the longest texts there are, 2 MB.
pub(in crate::api) const MAX_ENTRIES: usize = 20_000;

const SIDES: [Side; 2] = [Side::Buy, Side::Sell];

/// What a line of levels shows: bids, asks.
type Rungs = [Vec<Rung>; 2];

/// What is to be told of a book. It is made into messages one by one, as they are sent.
pub(in crate::api) struct Told {
    pub position: Position,
    body: Body,
    snapshot: bool,
    checksum: u32,
}

enum Body {
    /// Bids, then asks; best first.
    Levels(Vec<(Side, Rung)>),
    Orders(Vec<Entry>),
}

/// An order, where it rests, and whether it came to the back.
type Entry = (OrderId, Option<Place>, bool);

impl Told {
    /// Its messages, of a bounded size; one that is empty if there is nothing in it.
    pub fn events<'a>(&'a self, units: &'a Units<'_>) -> impl ExactSizeIterator<Item = Event> + Send + 'a {
        let count = match &self.body {
            Body::Levels(levels) => levels.len(),
            Body::Orders(orders) => orders.len(),
        };
        (0..count.div_ceil(MAX_ENTRIES).max(1)).map(move |part| match &self.body {
            Body::Levels(all) => {
                let levels = levels_of(units, all.chunks(MAX_ENTRIES).nth(part).unwrap_or_default());
                if self.snapshot { Event::LevelsSnapshot(levels) } else { Event::LevelsChange(levels) }
            }
            Body::Orders(all) => {
                let part = all.chunks(MAX_ENTRIES).nth(part).unwrap_or_default();
                let orders = BookOrders { orders: part.iter().map(|entry| told(units, entry)).collect() };
                if self.snapshot { Event::OrdersSnapshot(orders) } else { Event::OrdersChange(orders) }
            }
        })
    }
}

impl Line<'_> {
    /// Levels: all, or the best of each side.
    pub async fn levels(
        &mut self,
        feed: &Arc<Feed>,
        (depth, step): (Option<usize>, Step),
        after: Option<Position>,
    ) -> Forever {
        let units = units(self.market);
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
        let units = units(self.market);
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
            Some(told) => {
                let units = units(self.market);
                let (snapshot, checksum) = (told.snapshot, Some(told.checksum));
                self.send(told.position, told.events(&units), snapshot, checksum).await?;
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
        let units = units(self.market);
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
    (Some(Told { position, body: in_order(sides), snapshot, checksum }), position)
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
        return Some(Told { position, body: in_order(now.clone()), snapshot: true, checksum });
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
    changed.then(|| Told { position, body: in_order(sides), snapshot: false, checksum })
}

fn in_order([bids, asks]: Rungs) -> Body {
    let bids = bids.into_iter().map(|rung| (Side::Buy, rung));
    Body::Levels(bids.chain(asks.into_iter().map(|rung| (Side::Sell, rung))).collect())
}

/// A part of levels, bids first.
fn levels_of(units: &Units<'_>, part: &[(Side, Rung)]) -> BookLevels {
    let (bids, asks) = part.split_at(part.partition_point(|(side, _)| *side == Side::Buy));
    let [bids, asks] = [bids, asks].map(|side| side.iter().map(|(_, rung)| rung.told(units)).collect());
    BookLevels { bids, asks }
}

/// The orders that changed after a position; a snapshot if that is not at hand.
fn all_orders(units: &Units<'_>, book: &Book, known: Option<Position>) -> (Option<Told>, Position) {
    let position = book.position;
    let moved = known.and_then(|known| book.moved(known));
    let snapshot = moved.is_none();
    let entries: Vec<Entry> = match moved {
        Some(moved) if moved.is_empty() => return (None, position),
        Some(moved) => moved.iter().map(|moved| (moved.id, moved.after, moved.is_back())).collect(),
        None => {
            let orders = SIDES.into_iter().flat_map(|side| orders_of(&book.mirror, side, usize::MAX));
            orders.map(|order| (order.id, book.mirror.get(order.id), true)).collect()
        }
    };
    let best = SIDES.map(|side| orders_of(&book.mirror, side, CHECKED_LEVELS).collect::<Vec<_>>());
    let checksum = of_orders(units, best.each_ref().map(Vec::as_slice));
    (Some(Told { position, body: Body::Orders(entries), snapshot, checksum }), position)
}

/// The orders of the best levels of a side.
fn orders_of(mirror: &Mirror, side: Side, levels: usize) -> impl Iterator<Item = Resting> {
    mirror.levels(side).take(levels).flat_map(move |level| mirror.orders_at(side, level.price))
}

fn told(units: &Units<'_>, (id, place, back): &Entry) -> OrderEntry {
    match place {
        None => OrderEntry { order_id: id.to_string(), quantity: "0".to_owned(), ..OrderEntry::default() },
        Some(place) => OrderEntry {
            order_id: id.to_string(),
            side: convert::side(place.side).into(),
            price: units.price(place.price),
            quantity: units.quantity(place.open),
            back: *back,
        },
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
        let most = MAX_ENTRIES as u64;
        let cut = |bids, asks| -> Vec<BookLevels> {
            let body = in_order([side(0, bids), side(most, asks)]);
            let told = Told { position: Position(1), body, snapshot: true, checksum: 0 };
            let levels = |event| match event {
                Event::LevelsSnapshot(levels) => levels,
                other => panic!("{other:?}"),
            };
            told.events(&units).map(levels).collect()
        };
        let counts = |bids, asks| -> Vec<(usize, usize)> {
            cut(bids, asks).iter().map(|part| (part.bids.len(), part.asks.len())).collect()
        };
        let whole = MAX_ENTRIES;
        assert_eq!(counts(0, 0), [(0, 0)]);
        assert_eq!(counts(most - 2, 2), [(whole - 2, 2)]);
        assert_eq!(counts(most - 1, 2), [(whole - 1, 1), (0, 1)]);
        assert_eq!(counts(most, most + 1), [(whole, 0), (0, whole), (0, 1)]);
        let all = cut(most - 1, 3).into_iter().flat_map(|part| part.bids.into_iter().chain(part.asks));
        let expected = (0..most - 1).chain(most..most + 3).map(|price| price.to_string());
        assert!(all.map(|level| level.price).eq(expected));
    }
}

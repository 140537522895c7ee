//! A market's orders as what blocks tell of them: a book without matching.
//!
//! The one projection from changes to a book. Streams follow the newest blocks with it, and what is read of the
//! past is made of the history's. It knows no rule but two: what rests, and when an order keeps its place.

use std::collections::BTreeMap;
use std::ops::Bound;

use rustc_hash::FxHashMap;

use crate::book::{LevelView, Resting};
use crate::machine::{Change, Order};
use crate::types::{Lots, OrderId, OrderStatus, Side, Ticks};

/// The orders that rest.
#[derive(Clone, Default, Debug)]
pub struct Mirror {
    orders: FxHashMap<OrderId, Place>,
    sides: [BTreeMap<Ticks, Level>; 2],
    /// The rank of the order that came to the back of its level last.
    last_rank: u64,
}

/// Where an order rests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The side.
    pub side: Side,
    /// The price.
    pub price: Ticks,
    /// What is open and shown.
    pub open: Lots,
    /// All that is open.
    pub whole: Lots,
    /// Who has the lower one trades first within a level.
    pub rank: u64,
}

#[derive(Clone, Default, Debug)]
struct Level {
    open: u128,
    orders: BTreeMap<u64, OrderId>,
}

/// What a change did to the book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moved {
    /// The order.
    pub id: OrderId,
    /// Where it rested.
    pub before: Option<Place>,
    /// Where it rests.
    pub after: Option<Place>,
}

impl Moved {
    /// Whether it came to the back of its level.
    #[must_use]
    pub fn is_back(&self) -> bool {
        self.after.is_some_and(|after| self.before.is_none_or(|before| before.rank != after.rank))
    }
}

fn number(side: Side) -> usize {
    match side {
        Side::Buy => 0,
        Side::Sell => 1,
    }
}

/// What an order has open and what it shows of that, if it rests. An iceberg of which all that it showed has
/// traded does not, until it shows its next part.
fn resting(order: &Order) -> Option<Resting> {
    let live = matches!(order.status, OrderStatus::Open | OrderStatus::PartiallyFilled);
    let (id, side, open) = (order.id, order.side, order.shown());
    let hidden = Lots(order.open.0.saturating_sub(open.0));
    let rests = live && order.may_rest() && !open.is_zero();
    order.limit.filter(|_| rests).map(|price| Resting { id, side, price, open, hidden })
}

impl Mirror {
    /// A copy of orders that rest, those of a level in time priority.
    pub fn of(orders: impl Iterator<Item = Resting>) -> Self {
        let mut mirror = Self::default();
        for order in orders {
            mirror.enter(order);
        }
        mirror
    }

    /// Takes the next change; `None` if nothing rests otherwise than before.
    pub fn apply(&mut self, change: &Change) -> Option<Moved> {
        let order = change.order()?;
        let before = self.orders.get(&order.id).copied();
        let after = match (before, resting(order)) {
            (None, None) => return None,
            (None, Some(resting)) => Some(self.enter(resting)),
            (Some(place), None) => {
                self.leave(order.id, place);
                None
            }
            // With another price or more to trade, an order goes to the back.
            (Some(place), Some(resting)) if place.price != resting.price || resting.whole() > place.whole => {
                self.leave(order.id, place);
                Some(self.enter(resting))
            }
            (Some(place), Some(resting)) => Some(self.reduce(place, resting)),
        };
        Some(Moved { id: order.id, before, after })
    }

    fn enter(&mut self, order: Resting) -> Place {
        let Resting { id, side, price, open, .. } = order;
        self.last_rank += 1;
        let place = Place { side, price, open, whole: order.whole(), rank: self.last_rank };
        let level = self.sides[number(side)].entry(price).or_default();
        level.open += u128::from(open.0);
        level.orders.insert(place.rank, id);
        self.orders.insert(id, place);
        place
    }

    fn leave(&mut self, id: OrderId, place: Place) {
        self.orders.remove(&id);
        let side = &mut self.sides[number(place.side)];
        if let Some(level) = side.get_mut(&place.price) {
            level.open = level.open.saturating_sub(place.open.0.into());
            level.orders.remove(&place.rank);
            if level.orders.is_empty() {
                side.remove(&place.price);
            }
        }
    }

    fn reduce(&mut self, place: Place, order: Resting) -> Place {
        let Resting { id, open, .. } = order;
        if let Some(level) = self.sides[number(place.side)].get_mut(&place.price) {
            level.open = level.open.saturating_sub(place.open.0.into()) + u128::from(open.0);
        }
        let place = Place { open, whole: order.whole(), ..place };
        self.orders.insert(id, place);
        place
    }

    /// How many orders rest.
    #[must_use]
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    /// Whether no order rests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// Where an order rests.
    #[must_use]
    pub fn get(&self, id: OrderId) -> Option<Place> {
        self.orders.get(&id).copied()
    }

    /// The level at a price.
    #[must_use]
    pub fn level(&self, side: Side, price: Ticks) -> Option<LevelView> {
        self.sides[number(side)].get(&price).map(|level| view(price, level))
    }

    /// The levels of a side, from the best outwards.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = LevelView> {
        let levels = self.sides[number(side)].iter();
        let (up, down) = match side {
            Side::Buy => (None, Some(levels.rev())),
            Side::Sell => (Some(levels), None),
        };
        let levels = up.into_iter().flatten().chain(down.into_iter().flatten());
        levels.map(|(price, level)| view(*price, level))
    }

    /// The levels of a side from one price to another, both included, by price.
    pub fn levels_between(&self, side: Side, from: Ticks, to: Ticks) -> impl Iterator<Item = LevelView> {
        self.sides[number(side)].range(from..=to).map(|(price, level)| view(*price, level))
    }

    /// The levels of a side that are further from the best than a price, from there outwards.
    pub fn levels_beyond(&self, side: Side, price: Ticks) -> impl Iterator<Item = LevelView> {
        let levels = &self.sides[number(side)];
        let (up, down) = match side {
            Side::Buy => (None, Some(levels.range(..price).rev())),
            Side::Sell => (Some(levels.range((Bound::Excluded(price), Bound::Unbounded))), None),
        };
        let levels = up.into_iter().flatten().chain(down.into_iter().flatten());
        levels.map(|(price, level)| view(*price, level))
    }

    /// The orders behind one in its level, in time priority; none if it does not rest.
    pub fn orders_behind(&self, id: OrderId) -> impl Iterator<Item = Resting> {
        let place = self.orders.get(&id).copied();
        let level = place.and_then(|place| self.sides[number(place.side)].get(&place.price).zip(Some(place)));
        level.into_iter().flat_map(move |(level, Place { rank, .. })| {
            let behind = level.orders.range((Bound::Excluded(rank), Bound::Unbounded));
            behind.filter_map(move |(_, id)| self.resting(*id))
        })
    }

    /// The orders of a level in time priority.
    pub fn orders_at(&self, side: Side, price: Ticks) -> impl Iterator<Item = Resting> {
        let ids = self.sides[number(side)].get(&price).into_iter().flat_map(|level| level.orders.values());
        ids.filter_map(move |id| self.resting(*id))
    }

    fn resting(&self, id: OrderId) -> Option<Resting> {
        let Place { side, price, open, whole, .. } = self.get(id)?;
        Some(Resting { id, side, price, open, hidden: Lots(whole.0.saturating_sub(open.0)) })
    }
}

fn view(price: Ticks, level: &Level) -> LevelView {
    let open = Lots(u64::try_from(level.open).unwrap_or(u64::MAX));
    LevelView { price, open, orders: u32::try_from(level.orders.len()).unwrap_or(u32::MAX) }
}

//! The order book of one market: price-time priority over integer ticks and lots.
//!
//! ```text
//! Command ──> apply ──┬─ refused: nothing was changed
//!                     └─ events: it traded with ..., the rest rested, or was removed
//! ```
//!
//! Two callers use a [`Book`]. A lease holder *matches* with it: [`Book::apply`] decides what a
//! command does and says so in [`Event`]s. Everyone else *replays* what a holder decided:
//! [`Book::replay`] applies such events one by one, never matches, and answers with a [`Misfit`] if an
//! event does not fit the book.
//!
//! The book knows no clock, no accounts, no documents and no networks. Of accounts it has a number
//! beside each order, by which it tells orders that must not trade with each other (`prevention`). The same commands give the
//! same outcomes and the same book everywhere, and once it has reached its largest size it no longer
//! allocates. Inside, from an order outwards:
//!
//! - `queue`: a level's orders, in time priority, in chunks that never move;
//! - `tree`: the levels of a side by price;
//! - `index`: from an order's id to its place in a chunk;
//! - `instead`: a new order in place of one that rests;
//! - `iceberg`: what orders hide that show only a part of themselves;
//! - `uncross`: what an auction gives in which orders rest and don't trade;
//! - `slab`: where chunks, levels and tree nodes live.

mod iceberg;
mod index;
mod instead;
mod matching;
mod prevention;
mod queue;
mod read;
mod replay;
mod slab;
mod tree;
mod uncross;
mod words;

pub use read::digest_of;
pub use replay::Misfit;
pub use uncross::{AtMarket, Auction};
pub use words::{
    Command, Event, LevelView, NewOrder, Owner, Prevented, Prevention, Refusal, Removal, Resting, Style,
    Trade,
};

use std::fmt;

use iceberg::Icebergs;
use index::{Hash, OrderIndex};
use queue::{Entry, Handle, Level, MAX_CHUNKS, Queues};
use slab::{NIL, Slab};
use tree::PriceTree;

use crate::types::{OrderId, Side, Ticks};

/// The order book of one market. See the module's documentation.
#[derive(Clone)]
pub struct Book {
    queues: Queues,
    levels: Slab<Level>,
    buys: Ladder,
    sells: Ladder,
    index: OrderIndex,
    icebergs: Icebergs,
    max_orders: usize,
    /// Orders that wait outside, and are promised a place.
    promised: usize,
    /// Orders rest whatever their prices are, and don't trade.
    stands: bool,
    band: Option<Band>,
}

/// The prices between which orders trade, edges inside.
#[derive(Clone, Copy)]
struct Band {
    lowest: u64,
    highest: u64,
    /// Whether what is left of an order that would trade beyond rests, if it may.
    rests: bool,
}

/// One side of the book.
#[derive(Clone)]
struct Ladder {
    tree: PriceTree,
    /// The level nearest to the other side, or `NIL` if the side is empty.
    best: u32,
    /// The price of `best`; means nothing without it.
    best_price: u64,
}

impl Ladder {
    fn new() -> Self {
        Self { tree: PriceTree::new(), best: NIL, best_price: 0 }
    }
}

/// The level's total would not fit into 64 bits.
struct Overflow;

/// Size and best levels; the orders would be too many to print.
impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book")
            .field("orders", &self.len())
            .field("best_buy", &self.best(Side::Buy))
            .field("best_sell", &self.best(Side::Sell))
            .finish_non_exhaustive()
    }
}

impl Default for Book {
    fn default() -> Self {
        Self::new()
    }
}

impl Book {
    /// The most orders that a book can hold.
    pub const MAX_ORDERS: usize = MAX_CHUNKS as usize;

    /// An empty book for at most [`Self::MAX_ORDERS`] orders.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty book with memory for about this many resting orders.
    #[must_use]
    pub fn with_capacity(orders: usize) -> Self {
        Self {
            queues: Queues::with_capacity(orders),
            levels: Slab::with_capacity(0),
            buys: Ladder::new(),
            sells: Ladder::new(),
            index: OrderIndex::with_capacity(orders),
            icebergs: Icebergs::new(),
            max_orders: Self::MAX_ORDERS,
            promised: 0,
            stands: false,
            band: None,
        }
    }

    /// The same book, which refuses orders that may rest while it holds this many
    /// ([`Refusal::BookFull`], [`Misfit::BookFull`]). Orders that rest already stay.
    #[must_use]
    pub fn with_max_orders(mut self, orders: usize) -> Self {
        self.max_orders = orders.min(Self::MAX_ORDERS);
        self
    }

    /// Keeps places for so many orders that wait outside: others are refused that would take them.
    pub fn promise(&mut self, places: usize) {
        self.promised = places;
    }

    /// From here on orders rest and don't trade, so that the sides may cross; or they do again, which is for a book
    /// that was uncrossed.
    pub fn stand(&mut self, stands: bool) {
        self.stands = stands;
    }

    /// From here on orders trade only at these prices, the lowest and the highest one included. What is left of an order that
    /// would trade beyond is removed, or, if it may rest and `rests` says so, rests there: the sides cross then.
    pub fn set_band(&mut self, band: Option<(Ticks, Ticks)>, rests: bool) {
        self.band = band.map(|(lowest, highest)| Band { lowest: lowest.0, highest: highest.0, rests });
    }

    /// Whether an order that may rest would be refused, since so many do, or are to.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.has_no_place()
    }

    /// The same book, which refuses icebergs with whose it would hide more parts than this
    /// ([`Refusal::BookFull`], [`Misfit::BookFull`]): as many times more than its orders one command may trade.
    #[must_use]
    pub fn with_max_hidden_parts(mut self, parts: u64) -> Self {
        self.icebergs.most_parts = parts;
        self
    }

    #[inline]
    fn ladder(&self, side: Side) -> &Ladder {
        match side {
            Side::Buy => &self.buys,
            Side::Sell => &self.sells,
        }
    }

    #[inline]
    fn ladder_mut(&mut self, side: Side) -> &mut Ladder {
        match side {
            Side::Buy => &mut self.buys,
            Side::Sell => &mut self.sells,
        }
    }

    #[inline]
    fn find(&self, hash: Hash, id: OrderId) -> Option<Handle> {
        self.index.find(hash, |handle| self.queues.entry(handle).id == id)
    }

    #[inline]
    fn level_of(&self, handle: Handle) -> u32 {
        self.queues.chunks[handle.chunk()].level
    }

    #[inline]
    fn has_no_place(&self) -> bool {
        self.index.len() + self.promised >= self.max_orders
    }

    /// Whether an order would take from the other side.
    #[inline]
    fn would_take(&self, taker: Side, limit: u64) -> bool {
        let other = self.ladder(taker.opposite());
        other.best != NIL && reaches(taker, limit, other.best_price) && !self.stands
    }

    /// How far an order that takes reaches, within its limit and the band. `best` is where it would begin.
    #[inline]
    fn reach(&self, side: Side, limit: u64, best: u64) -> u64 {
        match (&self.band, side) {
            (None, _) => limit,
            (Some(band), Side::Buy) if best >= band.lowest => limit.min(band.highest),
            (Some(band), Side::Sell) if best <= band.highest => limit.max(band.lowest),
            // It would begin beyond.
            (Some(_), Side::Buy) => 0,
            (Some(_), Side::Sell) => u64::MAX,
        }
    }

    /// The band that keeps an order which has taken what it may from taking more, if that is it.
    #[inline]
    fn stopping_band(&self, side: Side, limit: u64) -> Option<Band> {
        self.band.filter(|_| self.would_take(side, limit))
    }

    /// Puts an order at the back of the queue at a price. Does not touch the index.
    #[inline]
    fn attach(&mut self, side: Side, price: u64, entry: Entry, owner: Owner) -> Result<Handle, Overflow> {
        let ladder = self.ladder(side);
        let found = ladder.tree.get(&self.levels, price);
        let number = match found {
            Some(number) => {
                self.levels[number].total.checked_add(entry.open).ok_or(Overflow)?;
                number
            }
            None => self.add_level(side, price),
        };
        Ok(self.queues.push(number, &mut self.levels[number], entry, owner))
    }

    fn add_level(&mut self, side: Side, price: u64) -> u32 {
        let number = self.levels.take();
        self.levels[number] = Level { price, total: 0, hidden: 0, head: NIL, tail: NIL, count: 0, side };
        let ladder = match side {
            Side::Buy => &mut self.buys,
            Side::Sell => &mut self.sells,
        };
        ladder.tree.insert(&self.levels, price, number);
        if ladder.best == NIL || reaches(side, price, ladder.best_price) {
            (ladder.best, ladder.best_price) = (number, price);
        }
        number
    }

    /// Takes an order out of its queue. Does not touch the index.
    #[inline]
    fn detach(&mut self, number: u32, handle: Handle) {
        let level = &mut self.levels[number];
        if self.queues.tag(handle).is_iceberg() {
            iceberg::surface(&mut self.queues, &mut self.icebergs, level, handle);
        }
        self.queues.remove(level, handle);
        if level.count == 0 {
            self.drop_level(number);
        }
    }

    /// Removes a level without orders.
    fn drop_level(&mut self, number: u32) {
        let Level { price, side, .. } = self.levels[number];
        self.levels.give_back(number);
        let ladder = self.ladder_mut(side);
        ladder.tree.remove(price);
        if ladder.best != number {
            return;
        }
        ladder.best = match side {
            Side::Buy => ladder.tree.highest(),
            Side::Sell => ladder.tree.lowest(),
        };
        let best = ladder.best;
        self.ladder_mut(side).best_price = self.levels[best].price;
    }
}

/// Whether a price of this side is as good as the other price or better for whoever trades with it:
/// for a taker's limit and a maker's price, whether they trade.
#[inline]
fn reaches(side: Side, limit: u64, price: u64) -> bool {
    match side {
        Side::Buy => limit >= price,
        Side::Sell => limit <= price,
    }
}

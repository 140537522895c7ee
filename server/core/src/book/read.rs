//! Reading the book: best prices, levels (L2), orders (L3), the digest.

use super::index::Hash;
use super::queue::{Handle, QueueIter};
use super::slab::NIL;
use super::tree::TreeIter;
use super::{Book, LevelView, Resting, reaches};
use crate::types::{Lots, OrderId, Side, Ticks};

impl Book {
    /// How many orders rest.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no order rests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The level nearest to the other side.
    #[must_use]
    pub fn best(&self, side: Side) -> Option<LevelView> {
        let best = self.ladder(side).best;
        (best != NIL).then(|| self.view(best))
    }

    /// A resting order.
    #[must_use]
    pub fn get(&self, id: OrderId) -> Option<Resting> {
        let handle = self.find(Hash::of(id), id)?;
        let level = &self.levels[self.level_of(handle)];
        let (open, hidden) = (Lots(self.queues.entry(handle).open), Lots(self.hidden(handle)));
        Some(Resting { id, side: level.side, price: Ticks(level.price), open, hidden })
    }

    /// The price levels of a side, from the best outwards.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = LevelView> {
        self.walk(side).map(|number| self.view(number))
    }

    /// The price levels of a side that are further from the best than a price, from there outwards.
    pub fn levels_beyond(&self, side: Side, price: Ticks) -> impl Iterator<Item = LevelView> {
        let tree = &self.ladder(side).tree;
        tree.iter_beyond(&self.levels, price.0, side == Side::Buy).map(|number| self.view(number))
    }

    /// The level at a price.
    #[must_use]
    pub fn level(&self, side: Side, price: Ticks) -> Option<LevelView> {
        self.ladder(side).tree.get(&self.levels, price.0).map(|number| self.view(number))
    }

    /// The orders of a level in time priority; none if there is no such level.
    pub fn orders_at(&self, side: Side, price: Ticks) -> impl Iterator<Item = Resting> {
        let found = self.ladder(side).tree.get(&self.levels, price.0);
        found.into_iter().flat_map(|number| self.queue(number))
    }

    /// The orders behind a resting order in its level, in time priority; none if it does not rest.
    pub fn orders_behind(&self, id: OrderId) -> impl Iterator<Item = Resting> {
        let found = self.find(Hash::of(id), id);
        found
            .into_iter()
            .flat_map(move |handle| self.resting(self.level_of(handle), self.queues.iter_behind(handle)))
    }

    /// All orders of a side in the order in which they would trade: from the best price outwards, and
    /// within a level in time priority.
    pub fn orders(&self, side: Side) -> impl Iterator<Item = Resting> {
        self.walk(side).flat_map(|number| self.queue(number))
    }

    /// Whether a buy and a sell rest that could trade. Never true between two commands, unless orders rest and
    /// don't trade.
    #[must_use]
    pub fn is_crossed(&self) -> bool {
        let (buys, sells) = (&self.buys, &self.sells);
        buys.best != NIL && sells.best != NIL && reaches(Side::Buy, buys.best_price, sells.best_price)
    }

    /// A digest over all resting orders, see [`digest_of`]. Books with the same orders in the same
    /// queues have the same digest, whatever led to them. Reads the whole book.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest_of(self.orders(Side::Buy).chain(self.orders(Side::Sell)))
    }

    /// Bytes that the book has allocated.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.queues.chunks.bytes()
            + self.levels.bytes()
            + self.index.bytes()
            + self.buys.tree.bytes()
            + self.sells.tree.bytes()
            + self.icebergs.bytes()
    }

    /// Checks what must hold inside of the book, for tests: reads everything.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn audit(&self) -> Result<(), &'static str> {
        let mut orders = 0;
        for side in [Side::Buy, Side::Sell] {
            let mut previous: Option<u64> = None;
            for number in self.walk(side) {
                let level = &self.levels[number];
                if previous.is_some_and(|better| reaches(side, level.price, better)) {
                    return Err("levels are not in order");
                }
                if previous.is_none() && self.ladder(side).best != number {
                    return Err("the best level is not the first");
                }
                previous = Some(level.price);
                if level.side != side || self.ladder(side).tree.get(&self.levels, level.price) != Some(number)
                {
                    return Err("a level is not found by its price");
                }
                orders += self.audit_level(number)?;
            }
            if previous.is_none() && self.ladder(side).best != NIL {
                return Err("an empty side has a best level");
            }
        }
        if orders != self.len() {
            return Err("the index has another number of orders");
        }
        let icebergs = |side| self.walk(side).map(|number| self.icebergs_in(number)).sum::<usize>();
        if icebergs(Side::Buy) + icebergs(Side::Sell) != self.icebergs.len() {
            return Err("another number of icebergs is known");
        }
        if self.is_crossed() && !self.stands { Err("the book is crossed") } else { Ok(()) }
    }

    fn audit_level(&self, number: u32) -> Result<usize, &'static str> {
        let level = &self.levels[number];
        let (mut total, mut hidden, mut count) = (0u64, 0u64, 0u32);
        for (handle, entry) in self.queues.iter(level) {
            let hides = self.hidden(handle);
            // Between two events of a replayed trade an iceberg may show nothing.
            if entry.open == 0 && hides == 0 {
                return Err("an order without quantity rests");
            }
            if self.find(Hash::of(entry.id), entry.id) != Some(handle) || self.level_of(handle) != number {
                return Err("an order is not found by its id");
            }
            total = total.wrapping_add(entry.open).wrapping_add(hides);
            hidden = hidden.wrapping_add(hides);
            count += 1;
        }
        if count == 0 {
            return Err("a level without orders");
        }
        if (total, hidden, count) != (level.total, level.hidden, level.count) {
            return Err("a level's total, hidden part or count is wrong");
        }
        Ok(count as usize)
    }

    /// The numbers of a side's levels, from the best outwards.
    pub(super) fn walk(&self, side: Side) -> TreeIter<'_> {
        self.ladder(side).tree.iter(side == Side::Buy)
    }

    fn view(&self, number: u32) -> LevelView {
        let level = &self.levels[number];
        LevelView { price: Ticks(level.price), open: Lots(level.total - level.hidden), orders: level.count }
    }

    fn queue(&self, number: u32) -> impl Iterator<Item = Resting> {
        self.resting(number, self.queues.iter(&self.levels[number]))
    }

    /// Orders of a level as they are read.
    fn resting<'a>(&'a self, number: u32, queue: QueueIter<'a>) -> impl Iterator<Item = Resting> + use<'a> {
        let level = &self.levels[number];
        let (side, price) = (level.side, Ticks(level.price));
        let resting = move |(handle, entry): (Handle, &super::Entry)| {
            let (open, hidden) = (Lots(entry.open), Lots(self.hidden(handle)));
            Resting { id: entry.id, side, price, open, hidden }
        };
        queue.map(resting)
    }
}

/// The digest of a book, given all its orders: the buys in the order in which they would trade, then
/// the sells.
///
/// BLAKE3 over a version byte and 33 bytes an order: side (0 buy, 1 sell), then price, shown open quantity,
/// node and counter, little-endian. What an order hides follows it as another one of its side, 2 more.
pub fn digest_of(orders: impl Iterator<Item = Resting>) -> [u8; 32] {
    const ORDER_BYTES: usize = 33;
    let orders = orders.flat_map(|order| {
        let hidden = (!order.hidden.is_zero()).then_some((order, 2, order.hidden));
        std::iter::once((order, 0, order.open)).chain(hidden)
    });
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[1]);
    // BLAKE3 is several times faster on long inputs than on many short ones.
    let mut buffer = [0; ORDER_BYTES * 256];
    let mut used = 0;
    for (order, kind, open) in orders {
        let record = &mut buffer[used..used + ORDER_BYTES];
        record[0] = kind
            + match order.side {
                Side::Buy => 0,
                Side::Sell => 1,
            };
        let words = [order.price.0, open.0, order.id.node.0, order.id.counter];
        for (bytes, word) in record[1..].chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        used += ORDER_BYTES;
        if used == buffer.len() {
            hasher.update(&buffer);
            used = 0;
        }
    }
    hasher.update(&buffer[..used]);
    hasher.finalize().into()
}

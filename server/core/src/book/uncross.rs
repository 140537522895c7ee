//! Auctions: orders rest and don't trade, until all that can trade does at one price.
//!
//! The price is the one at which most trades; of several that with the least surplus of one side; of several, if all have
//! a surplus of buys the highest, if all have one of sells the lowest; else the nearest to a reference. All ticks count from
//! the lowest to the highest limit in the book, also those that nobody named. What both sides have at a price changes only
//! at limits, and the most trades about where both sides' queues end once they are paired off from their fronts: so the price
//! is found from the levels that trade and the next one of each side, however many there are beyond.

use super::index::Hash;
use super::queue::Level;
use super::replay::Misfit;
use super::slab::NIL;
use super::tree::TreeIter;
use super::{Book, reaches};
use crate::plant::{Plant, planted};
use crate::types::{Lots, OrderId, Side, Ticks};

/// What orders without a limit have open that are not in the book, by side.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AtMarket {
    /// Of those that buy.
    pub buys: u128,
    /// Of those that sell.
    pub sells: u128,
}

/// What an uncross gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Auction {
    /// The price of all trades.
    pub price: Ticks,
    /// How much trades, never zero; at most what a `u64` holds is told.
    pub volume: Lots,
    /// What buys at the price or better less what sells at it or better; at most what an `i64` holds is told.
    pub surplus: i64,
}

/// A side from its front: how much there is up to each price.
struct Front<'a> {
    side: Side,
    /// What has no limit.
    at_market: u128,
    /// The levels that were read, from the best, each with all that is there up to it.
    levels: Vec<(u64, u128)>,
    rest: TreeIter<'a>,
}

impl Front<'_> {
    /// What there is at a price and better, as far as levels were read.
    fn up_to(&self, price: u64) -> u128 {
        let count = self.levels.partition_point(|(level, _)| reaches(self.side, *level, price));
        let last = count.checked_sub(1).and_then(|last| self.levels.get(last));
        last.map_or(self.at_market, |(_, sum)| *sum)
    }

    fn sum(&self) -> u128 {
        self.levels.last().map_or(self.at_market, |(_, sum)| *sum)
    }

    fn last(&self) -> Option<u64> {
        self.levels.last().map(|(price, _)| *price)
    }

    /// Reads the next level; its price.
    fn read(&mut self, book: &Book) -> Option<u64> {
        let level = &book.levels[self.rest.next()?];
        let sum = self.sum() + u128::from(level.total);
        self.levels.push((level.price, sum));
        Some(level.price)
    }
}

/// What trades at a price, and the surplus of buys.
#[derive(Clone, Copy)]
struct At {
    price: u64,
    volume: u128,
    surplus: i128,
}

impl At {
    fn new(price: u64, buys: u128, sells: u128) -> Self {
        // Sums of 64 bits of at most 2^32 orders: they fit.
        Self { price, volume: buys.min(sells), surplus: buys.cast_signed() - sells.cast_signed() }
    }

    fn told(self) -> Option<Auction> {
        let volume = Lots(u64::try_from(self.volume).unwrap_or(u64::MAX));
        let least = if self.surplus < 0 { i64::MIN } else { i64::MAX };
        let surplus = i64::try_from(self.surplus).unwrap_or(least);
        (!volume.is_zero()).then_some(Auction { price: Ticks(self.price), volume, surplus })
    }
}

/// How many levels of a side's end may bound the price: the last that trades, the next one, and what was read beyond.
const ENDS: usize = 5;

impl Book {
    /// What an uncross would give now; `None` if nothing would trade, or there is no price. `reference` breaks ties, and
    /// is the price if no order has a limit.
    #[must_use]
    pub fn auction(&self, at_market: AtMarket, reference: Option<Ticks>) -> Option<Auction> {
        let AtMarket { buys, sells } = at_market;
        let ends = [&self.buys.tree, &self.sells.tree].map(|tree| [tree.lowest(), tree.highest()]);
        let ends = ends.into_iter().flatten().filter(|number| *number != NIL);
        let ends: Vec<u64> = ends.map(|number| self.levels[number].price).collect();
        let (Some(lowest), Some(highest)) = (ends.iter().min(), ends.iter().max()) else {
            return At::new(reference?.0, buys, sells).told();
        };
        let (buys, sells) = self.fronts(at_market);
        // Beyond these prices not all was read, and it is worse there.
        let from = buys.last().filter(|_| buys.rest.clone().next().is_some()).unwrap_or(*lowest);
        let to = sells.last().filter(|_| sells.rest.clone().next().is_some()).unwrap_or(*highest);
        let near = [&buys, &sells].into_iter().flat_map(|front| front.levels.iter().rev().take(ENDS));
        let near = near.flat_map(|(price, _)| [price.saturating_sub(1), *price, price.saturating_add(1)]);
        let prices = near.chain([*lowest, *highest]).filter(|price| (from..=to).contains(price));
        let all: Vec<At> =
            prices.map(|price| At::new(price, buys.up_to(price), sells.up_to(price))).collect();
        pick(&all, reference)?.told()
    }

    /// Both sides as far as they trade, and a level further: paired off from their fronts, whoever has less up to there goes
    /// on, as long as that crosses.
    fn fronts(&self, at_market: AtMarket) -> (Front<'_>, Front<'_>) {
        let front = |side, at_market| Front { side, at_market, levels: Vec::new(), rest: self.walk(side) };
        let mut buys = front(Side::Buy, at_market.buys);
        let mut sells = front(Side::Sell, at_market.sells);
        loop {
            let buys_go_on = buys.sum() <= sells.sum();
            let (shorter, longer) = if buys_go_on { (&mut buys, &sells) } else { (&mut sells, &buys) };
            let Some(price) = shorter.read(self) else { break };
            if longer.last().is_some_and(|other| !reaches(shorter.side, price, other)) {
                break;
            }
        }
        buys.read(self);
        sells.read(self);
        (buys, sells)
    }

    /// An order that rests trades in an uncross: so much of all that it has open, in its place. An iceberg shows as much as
    /// it can of the rest.
    ///
    /// # Errors
    /// [`Misfit`]: it does not rest, at another price than such an order may trade at, or has something else open.
    pub fn fill(&mut self, id: OrderId, (price, quantity): (Ticks, Lots), left: Lots) -> Result<(), Misfit> {
        let hash = Hash::of(id);
        let handle = self.find(hash, id).ok_or(Misfit::UnknownOrder(id))?;
        if quantity.is_zero() {
            return Err(Misfit::ZeroQuantity(id));
        }
        let number = self.level_of(handle);
        let Level { side, price: limit, .. } = self.levels[number];
        if !reaches(side, limit, price.0) {
            return Err(Misfit::Price { id, recorded: price, rests: Ticks(limit) });
        }
        let open = self.queues.entry(handle).open + self.hidden(handle);
        if open.checked_sub(quantity.0) != Some(left.0) {
            return Err(Misfit::Amount { id, recorded: left, open: Lots(open) });
        }
        if left.is_zero() {
            self.take_out(hash, handle);
        } else {
            self.shrink(number, handle, left.0);
            self.show_most(handle);
        }
        Ok(())
    }
}

/// The best price.
fn pick(all: &[At], reference: Option<Ticks>) -> Option<At> {
    let volume = all.iter().map(|at| at.volume).max()?;
    let most = all.iter().filter(|at| at.volume == volume);
    let surplus = most.clone().map(|at| at.surplus.unsigned_abs()).min()?;
    let best = most.filter(|at| at.surplus.unsigned_abs() == surplus);
    let (lowest, highest) =
        (best.clone().min_by_key(|at| at.price)?, best.clone().max_by_key(|at| at.price)?);
    if best.clone().all(|at| at.surplus > 0) {
        return Some(*highest);
    }
    if best.clone().all(|at| at.surplus < 0) {
        return Some(*lowest);
    }
    let reference = reference.filter(|_| !planted(Plant::UncrossedLow)).map_or(lowest.price, |price| price.0);
    // All between them are as good.
    if reference <= lowest.price {
        Some(*lowest)
    } else if reference >= highest.price {
        Some(*highest)
    } else {
        // With no surplus at all it is none at the reference; else there is a price where it turns.
        let near = best.filter(|at| at.price <= reference).max_by_key(|at| at.price)?;
        Some(At { price: reference, ..*near })
    }
}

#[cfg(test)]
mod tests;

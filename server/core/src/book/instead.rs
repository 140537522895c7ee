//! A new order in place of one that rests: judged as if that were gone, before anything has changed.

use super::index::Hash;
use super::queue::Handle;
use super::slab::NIL;
use super::{Book, NewOrder, Refusal, reaches};
use crate::types::{OrderId, Side, Ticks};

/// A resting order that is taken to be gone, if there is one.
pub(super) type Without = Option<Handle>;

impl Book {
    /// The best price of a side as if an order were gone.
    #[must_use]
    pub fn best_price_without(&self, side: Side, gone: OrderId) -> Option<Ticks> {
        let handle = self.find(Hash::of(gone), gone);
        self.best_without(side, handle).map(|number| Ticks(self.levels[number].price))
    }

    /// Whether a new order would be refused in place of one that rests, which is gone then. If not, it isn't
    /// refused either once that order is taken out.
    ///
    /// # Errors
    /// [`Refusal`]: why; [`Refusal::UnknownOrder`] if there is no such order.
    pub fn check_instead(&self, order: &NewOrder, of: OrderId) -> Result<(), Refusal> {
        let gone = self.find(Hash::of(of), of).ok_or(Refusal::UnknownOrder)?;
        if self.find(Hash::of(order.id), order.id).is_some_and(|handle| handle != gone) {
            return Err(Refusal::DuplicateId);
        }
        if order.quantity.is_zero() {
            return Err(Refusal::ZeroQuantity);
        }
        let limit = super::matching::limit_or_any(order);
        let best = self.best_without(order.side.opposite(), Some(gone));
        let reached = best.is_some_and(|number| reaches(order.side, limit, self.levels[number].price));
        let takes = reached && !self.stands;
        let reach = match best {
            Some(number) if takes => self.reach(order.side, limit, self.levels[number].price),
            _ => limit,
        };
        self.check_style(order, reach, takes, Some(gone))?;
        let level = self.ladder(order.side).tree.get(&self.levels, limit).filter(|_| order.limit.is_some());
        let total = level.map_or(0, |number| self.total_without(number, Some(gone)));
        let fits = takes || total.checked_add(order.quantity.0).is_some();
        if fits { Ok(()) } else { Err(Refusal::LevelOverflow) }
    }

    /// The best level of a side.
    fn best_without(&self, side: Side, gone: Without) -> Option<u32> {
        let best = self.ladder(side).best;
        let only = gone.is_some_and(|gone| best == self.level_of(gone) && self.levels[best].count == 1);
        match only {
            true => self.walk(side).nth(1),
            false => (best != NIL).then_some(best),
        }
    }

    /// All that is open in a level.
    pub(super) fn total_without(&self, number: u32, gone: Without) -> u64 {
        let there = gone.filter(|gone| self.level_of(*gone) == number);
        let share = there.map_or(0, |gone| self.queues.entry(gone).open + self.hidden(gone));
        self.levels[number].total - share
    }
}

//! What a step makes of the orders: the same code wherever the step came from.
//!
//! Events of a placed order: it is accepted; each fill, which changes maker and taker; and, if
//! anything is left that may not rest, its cancellation. An amended order's first event is the
//! amend. Every consumed intent has at least one event, so it has a position.

use xbook_proto::record::v1::Outcome;
use xbook_proto::v1::{Liquidity, Reason};

use super::{Market, Order, OrderStatus};
use crate::machine::FoldError;
use crate::machine::digest::Digest;
use crate::machine::intent::{Action, Amend, Intent, Origin};
use crate::machine::journal::{FillOf, Journal};
use crate::machine::step::{Step, StepFill};
use crate::types::{Lots, OrderId};

impl Market {
    pub(super) fn settle(
        &mut self,
        id: OrderId,
        intent: &Intent,
        step: &Step,
        journal: &mut Journal,
    ) -> Result<(), FoldError> {
        let settled = match (step.outcome, &intent.request.action) {
            (Outcome::Placed, Action::Place(place)) => {
                let mut order = Order::pending(id, intent, place);
                order.status = OrderStatus::Open;
                self.accept(order, step, journal)
            }
            (Outcome::Amended, Action::Amend(amend)) => self.change(step, amend, journal),
            (Outcome::Cancelled | Outcome::CancelledAll, _) => self.cancel(step, journal),
            (Outcome::Refused | Outcome::Expired | Outcome::Withdrawn, Action::Place(place)) => {
                let status = match step.outcome {
                    Outcome::Refused => OrderStatus::Rejected,
                    Outcome::Expired => OrderStatus::Expired,
                    _ => OrderStatus::Cancelled,
                };
                journal.advance();
                let mut order = Order::pending(id, intent, place);
                order.close(status, step.reason);
                journal.placed(&mut order);
                Some(())
            }
            (Outcome::Withdrawn, Action::Withdraw(_))
            | (Outcome::Refused | Outcome::Expired | Outcome::Repeated, _) => {
                journal.advance();
                Some(())
            }
            _ => None,
        };
        settled.ok_or(FoldError::Misfit { intent: id })
    }

    fn accept(&mut self, mut order: Order, step: &Step, journal: &mut Journal) -> Option<()> {
        journal.advance();
        journal.placed(&mut order);
        self.take(&mut order, step, journal)?;
        if order.open != step.open {
            // What is left and does not rest is cancelled; nothing else may be missing.
            (step.open.is_zero() && step.reason != Reason::Unspecified).then_some(())?;
            journal.advance();
            order.close(OrderStatus::Cancelled, step.reason);
            journal.order(&mut order, None);
        }
        if !step.open.is_zero() {
            self.enter(order);
        }
        Some(())
    }

    fn change(&mut self, step: &Step, amend: &Amend, journal: &mut Journal) -> Option<()> {
        let mut order = self.leave(*step.orders.first()?)?;
        let filled_now = step.fills.iter().try_fold(0_u64, |sum, fill| sum.checked_add(fill.quantity.0))?;
        order.limit = amend.price.or(order.limit);
        order.open = Lots(step.open.0.checked_add(filled_now)?);
        order.quantity = Lots(order.filled.0.checked_add(order.open.0)?);
        order.status = order.resting_status();
        journal.advance();
        journal.order(&mut order, None);
        self.take(&mut order, step, journal)?;
        if !step.open.is_zero() {
            self.enter(order);
        }
        Some(())
    }

    /// Fills a taker, and its makers, from a step.
    fn take(&mut self, taker: &mut Order, step: &Step, journal: &mut Journal) -> Option<()> {
        step.fills.iter().try_for_each(|fill| self.fill(taker, fill, journal))
    }

    fn fill(&mut self, taker: &mut Order, fill: &StepFill, journal: &mut Journal) -> Option<()> {
        journal.advance();
        let maker = self.orders.get_mut(&fill.maker)?;
        let price = maker.limit?;
        (maker.side != taker.side).then_some(())?;
        let (quantity, side) = (fill.quantity, maker.side);
        (maker.fill(price, quantity) && taker.fill(price, quantity)).then_some(())?;
        let of = |counter_order, liquidity| Some(FillOf { counter_order, liquidity, price, quantity });
        journal.order(maker, of(taker.id, Liquidity::Maker));
        journal.order(taker, of(fill.maker, Liquidity::Taker));
        self.last_price = Some(price);
        self.touched.push((side, price));
        if maker.open.is_zero() {
            self.leave(fill.maker)?;
        }
        Some(())
    }

    fn cancel(&mut self, step: &Step, journal: &mut Journal) -> Option<()> {
        if step.orders.is_empty() {
            journal.advance();
        }
        step.orders.iter().try_for_each(|id| self.close(*id, OrderStatus::Cancelled, step.reason, journal))
    }

    /// Closes a resting order that the book has let go.
    pub(in crate::machine) fn close(
        &mut self,
        id: OrderId,
        status: OrderStatus,
        reason: Reason,
        journal: &mut Journal,
    ) -> Option<()> {
        let mut order = self.leave(id)?;
        journal.advance();
        order.close(status, reason);
        journal.order(&mut order, None);
        Some(())
    }

    /// An order begins to rest.
    pub(super) fn enter(&mut self, order: Order) {
        if let Some(price) = order.limit {
            self.touched.push((order.side, price));
        }
        if let Some(at) = order.expires {
            self.by_expiry.insert((at, order.id));
        }
        if let Origin::Command { session, number } = &order.origin {
            self.by_command.insert((session.id, *number), order.id);
        }
        match self.by_account.get_mut(&order.account) {
            Some(ids) => _ = ids.insert(order.id),
            None => _ = self.by_account.insert(order.account.clone(), [order.id].into()),
        }
        self.orders.insert(order.id, order);
    }

    /// An order rests no more.
    fn leave(&mut self, id: OrderId) -> Option<Order> {
        let order = self.orders.remove(&id)?;
        if let Some(price) = order.limit {
            self.touched.push((order.side, price));
        }
        if let Some(at) = order.expires {
            self.by_expiry.remove(&(at, id));
        }
        if let Origin::Command { session, number } = &order.origin {
            self.by_command.remove(&(session.id, *number));
        }
        if let Some(ids) = self.by_account.get_mut(&order.account) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_account.remove(&order.account);
            }
        }
        Some(order)
    }

    /// Puts what a step left behind into the digest, beside the changes of orders.
    pub(in crate::machine) fn digest(&self, id: OrderId, step: &Step, digest: &mut Digest) {
        digest.put([id.node.0, id.counter, step.outcome as u64, step.reason as u64, step.open.0]);
        for fill in &step.fills {
            let left = self.book.get(fill.maker).map_or(0, |maker| maker.open.0);
            digest.put([left]);
        }
        let best = [crate::types::Side::Buy, crate::types::Side::Sell]
            .map(|side| self.book.best(side).map_or(0, |level| level.price.0));
        digest.put([best[0], best[1], self.orders.len() as u64]);
    }
}

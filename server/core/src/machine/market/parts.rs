//! A market as records, and back.

use super::{Market, Order};
use crate::machine::intent::Origin;
use crate::machine::ledger::Ledger;
use crate::machine::parts::{Part, Writer};
use crate::types::Side;

impl Market {
    pub(in crate::machine) fn write_parts(&self, writer: &mut Writer) {
        writer.last_price(self.last_price);
        let resting = self.book.orders(Side::Buy).chain(self.book.orders(Side::Sell));
        for (resting, order) in resting.filter_map(|it| Some((it, self.orders.get(&it.id)?))) {
            writer.order(order, resting.price);
        }
    }

    /// Takes what a part says about the market; `None` if it can't be.
    pub(in crate::machine) fn read_part(&mut self, part: &mut Part, ledger: &Ledger) -> Option<()> {
        if let Some(price) = part.last_price() {
            self.last_price.replace(price).is_none().then_some(())?;
        }
        for order in part.orders()? {
            ledger.has_consumed(order.id).then_some(())?;
            self.restore(order)?;
        }
        self.forget_levels();
        Some(())
    }

    /// An order rests at the back of its level.
    fn restore(&mut self, order: Order) -> Option<()> {
        if let Origin::Command { session, number } = &order.origin {
            (!self.by_command.contains_key(&(session.id, *number))).then_some(())?;
        }
        self.book.rest(order.id, order.side, order.limit?, order.open).ok()?;
        self.enter(order);
        Some(())
    }
}

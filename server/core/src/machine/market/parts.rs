//! A market as records, and back.

use std::collections::BTreeMap;

use super::{Market, Order};
use crate::book::Event;
use crate::machine::intent::{Account, Origin};
use crate::machine::ledger::Ledger;
use crate::machine::parts::{Part, Writer};
use crate::types::{Lots, MarketState, Micros, OrderId, Side};

/// How many orders are looked up in a row before they are written: the memory is waited for once.
const ROW: usize = 64;

impl Market {
    pub(in crate::machine) fn write_parts(&self, writer: &mut Writer) {
        self.switches.iter().for_each(|(of, armed)| writer.switch(of, armed));
        self.killed.iter().for_each(|account| writer.killed(account));
        writer.state(self.state);
        self.limits.iter().for_each(|(account, limits)| writer.limits(account, *limits));
        writer.last_price(self.last_price);
        writer.auction(self.uncrossed_price, self.indicated);
        writer.changes(self.ends, self.extended, self.scheduled);
        let root = self.root_price.filter(|_| self.stops.are_queued());
        root.into_iter().for_each(|price| writer.root_price(price));
        let mut resting = self.book.orders(Side::Buy).chain(self.book.orders(Side::Sell));
        loop {
            let row: Vec<_> =
                resting.by_ref().take(ROW).map(|it| (self.orders.get(&it.id), it.price)).collect();
            if row.is_empty() {
                break;
            }
            for (order, price) in row.into_iter().filter_map(|(order, price)| Some((order?, price))) {
                writer.order(order, price);
            }
        }
        self.stops.iter().filter_map(|id| self.orders.get(&id)).for_each(|order| writer.waiting(order));
        let unpriced = [Side::Buy, Side::Sell].into_iter().flat_map(|side| self.unpriced.iter(side));
        unpriced.filter_map(|id| self.orders.get(&id)).for_each(|order| writer.at_market(order));
    }

    /// Takes what a part says about the market; `None` if it can't be.
    pub(in crate::machine) fn read_part(&mut self, part: &mut Part, ledger: &Ledger) -> Option<()> {
        self.read_protection(part, ledger)?;
        if let Some(state) = part.state()? {
            (self.state == MarketState::Continuous).then_some(())?;
            self.enter_state(state, None)?;
        }
        self.read_changes(part.changes())?;
        if let Some(price) = part.root_price() {
            self.root_price.replace(price).is_none().then_some(())?;
        }
        if let Some(price) = part.uncrossed_price() {
            self.uncrossed_price.replace(price).is_none().then_some(())?;
        }
        if let Some(indicated) = part.indication()? {
            let first = self.indicated.replace(indicated).is_none();
            (first && self.state == MarketState::Auction).then_some(())?;
        }
        if let Some(price) = part.last_price() {
            self.last_price.replace(price).is_none().then_some(())?;
        }
        for order in part.orders()? {
            ledger.has_consumed(order.id).then_some(())?;
            self.restore(order)?;
        }
        for order in part.waiting()? {
            ledger.has_consumed(order.id).then_some(())?;
            // It is promised a place in the book.
            (!self.book.is_full() && order.is_waiting() && self.file_stop(&order)).then_some(())?;
            (self.stops.trailing() <= self.most_trailing).then_some(())?;
            self.orders.push(order);
        }
        for order in part.at_market()? {
            ledger.has_consumed(order.id).then_some(())?;
            let stands = !matches!(self.state, MarketState::Continuous | MarketState::PostOnly);
            (stands && !self.book.is_full()).then_some(())?;
            self.file_unpriced(&order);
            self.orders.push(order);
        }
        Some(())
    }

    fn read_changes(&mut self, (ends, extended, scheduled): (Option<Micros>, bool, Micros)) -> Option<()> {
        if ends.is_some() || extended || scheduled > Micros(0) {
            let first = self.ends.is_none() && !self.extended && self.scheduled == Micros(0);
            let of_auction = ends.is_none() || self.state == MarketState::Auction;
            (first && of_auction && (ends.is_some() || !extended)).then_some(())?;
            (self.ends, self.extended, self.scheduled) = (ends, extended, scheduled);
        }
        Some(())
    }

    /// Switches and killed accounts, each once and in the order in which they are written.
    fn read_protection(&mut self, part: &mut Part, ledger: &Ledger) -> Option<()> {
        for (of, armed) in part.switches()? {
            ledger.has_consumed(armed.set_by).then_some(())?;
            self.switches.iter().next_back().is_none_or(|(last, _)| *last < of).then_some(())?;
            self.switches.arm(of, armed)?;
        }
        for account in part.killed()? {
            self.killed.iter().next_back().is_none_or(|last| *last < account).then_some(())?;
            self.killed.set(&account, true);
        }
        for (account, limits) in part.limits()? {
            let after = self.limits.iter().next_back().is_none_or(|(last, _)| *last < account);
            (after && !limits.are_none()).then_some(())?;
            self.limits.set(&account, limits);
        }
        let most = self.switches.len().max(self.killed.len()).max(self.limits.len());
        (most <= self.most_protected).then_some(())
    }

    /// An order rests at the back of its level. It is filed with all others.
    fn restore(&mut self, order: Order) -> Option<()> {
        (!order.is_waiting()).then_some(())?;
        let owner = self.owners.of(&order.account);
        let (id, side, open) = (order.id, order.side, order.open);
        let display = order.terms.as_deref().map_or(Lots::ZERO, |terms| terms.display);
        let price = order.limit?;
        self.book.replay(&Event::Rested { order: id, side, price, open, display, owner }).ok()?;
        if display.is_zero() {
            order.terms.as_deref().is_none_or(|terms| terms.shown.is_zero()).then_some(())?;
        } else {
            self.book.show(id, order.shown()).ok()?;
        }
        self.orders.push(order);
        Some(())
    }

    /// All parts are read: the orders are filed under everything by which they are found. `None` if two have
    /// one id or one name, or are of one command.
    pub(in crate::machine) fn file_orders(&mut self) -> Option<()> {
        self.orders.file().then_some(())?;
        let mut by_account: BTreeMap<&Account, Vec<OrderId>> = BTreeMap::new();
        let mut by_command = Vec::new();
        let mut named = 0;
        for order in self.orders.iter() {
            by_account.entry(&order.account).or_default().push(order.id);
            if let Origin::Command { session, number } = &order.origin {
                by_command.push(((session.id, *number), order.id));
            }
            if let Some(name) = order.client_id() {
                self.by_client.insert((order.account.clone(), name), order.id);
                named += 1;
            }
        }
        self.owners.fill(by_account);
        (self.root_price.is_none() || self.stops.are_queued()).then_some(())?;
        self.keep_root();
        self.owners.forget_idle();
        self.by_expiry = self.orders.iter().filter_map(|order| Some((order.expires?, order.id))).collect();
        // Neighbours in the map come one after the other.
        by_command.sort_unstable_by_key(|((session, number), _)| (session.0, *number));
        let count = by_command.len();
        self.by_command = by_command.into_iter().collect();
        (self.by_command.len() == count && self.by_client.len() == named).then_some(())
    }
}

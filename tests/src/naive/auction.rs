//! Auctions of the naive book, from the proto's words: each tick is tried.

use xbook::book::{Auction, Owner, Trade};
use xbook::types::{Lots, OrderId, Side, Ticks};

use super::{NaiveBook, Order, shown_of};

impl NaiveBook {
    /// From here on orders rest and don't trade, or they do again.
    pub fn stand(&mut self, stands: bool) {
        self.stands = stands;
    }

    /// From here on orders trade only at these prices. One that would trade beyond is removed, or rests if it may.
    pub fn set_band(&mut self, band: Option<(Ticks, Ticks)>, rests_beyond: bool) {
        (self.band, self.rests_beyond) = (band, rests_beyond);
    }

    /// Whether a buy and a sell rest that could trade.
    #[must_use]
    pub fn is_crossed(&self) -> bool {
        let best = |side: &[Order]| side.first().map(|order| order.price);
        best(&self.buys).zip(best(&self.sells)).is_some_and(|(buy, sell)| buy >= sell)
    }

    /// A market order waits for the uncross, behind all others of its side; `false` if there is no place.
    pub fn rest_at_market(&mut self, id: OrderId, side: Side, open: u64) -> bool {
        let full = self.is_full();
        if !full {
            let (price, owner) = (Ticks(0), Owner::NOBODY);
            self.at_market.push(Order { id, side, price, open, shown: open, display: 0, owner });
        }
        !full
    }

    /// What a market order that waits for the uncross has open.
    #[must_use]
    pub fn at_market(&self, id: OrderId) -> Option<u64> {
        self.at_market.iter().find(|order| order.id == id).map(|order| order.open)
    }

    /// A market order that waits has so much open. With more it is behind all others.
    pub fn amend_at_market(&mut self, id: OrderId, open: u64) {
        let Some(place) = self.at_market.iter().position(|order| order.id == id) else {
            return;
        };
        let more = open > self.at_market[place].open;
        (self.at_market[place].open, self.at_market[place].shown) = (open, open);
        if more {
            let order = self.at_market.remove(place);
            self.at_market.push(order);
        }
    }

    /// What an uncross would give: of all ticks from the lowest to the highest limit (or the reference, if there is no
    /// limit) those at which most trades; of them those with the least surplus; if all have one of buys the highest, if
    /// all have one of sells the lowest; else the nearest to the reference, or without one the lowest.
    #[must_use]
    pub fn auction(&self, reference: Option<Ticks>) -> Option<Auction> {
        let limits: Vec<u64> = self.buys.iter().chain(&self.sells).map(|order| order.price.0).collect();
        let ticks = match (limits.iter().min(), limits.iter().max()) {
            (Some(lowest), Some(highest)) => (*lowest..=*highest).collect(),
            _ => reference.into_iter().map(|price| price.0).collect::<Vec<u64>>(),
        };
        let open = |side, price| {
            let open = self.that_accept(side, price).map(|order| i128::from(order.open));
            open.sum::<i128>()
        };
        let at = |price| (price, open(Side::Buy, price), open(Side::Sell, price));
        let mut best: Vec<(u64, i128, i128)> = ticks.into_iter().map(at).collect();
        let volume = best.iter().map(|(_, buys, sells)| *buys.min(sells)).max().filter(|most| *most > 0)?;
        best.retain(|(_, buys, sells)| *buys.min(sells) == volume);
        let surplus = best.iter().map(|(_, buys, sells)| (buys - sells).abs()).min()?;
        best.retain(|(_, buys, sells)| (buys - sells).abs() == surplus);
        let nearest = |(price, ..): &&(u64, i128, i128)| {
            (reference.map_or(0, |reference| price.abs_diff(reference.0)), *price)
        };
        let (price, buys, sells) = if best.iter().all(|(_, buys, sells)| buys > sells) {
            *best.last()?
        } else if best.iter().all(|(_, buys, sells)| buys < sells) {
            *best.first()?
        } else {
            *best.iter().min_by_key(nearest)?
        };
        let volume = Lots(u64::try_from(volume).unwrap_or(u64::MAX));
        let surplus = i64::try_from(buys - sells).unwrap_or(0);
        Some(Auction { price: Ticks(price), volume, surplus })
    }

    /// The orders of a side that accept a price as they trade: without a limit, then by price, then by arrival.
    fn that_accept(&self, side: Side, price: u64) -> impl Iterator<Item = &Order> {
        let at_market = self.at_market.iter().filter(move |order| order.side == side);
        let accepts = move |order: &&Order| match side {
            Side::Buy => order.price.0 >= price,
            Side::Sell => order.price.0 <= price,
        };
        at_market.chain(self.side(side).iter().filter(accepts))
    }

    /// Uncrosses: lot by lot of the first buy and the first sell that accept the price. The buy is the maker.
    pub fn uncross(&mut self, reference: Option<Ticks>) -> Vec<Trade> {
        let Some(Auction { price, .. }) = self.auction(reference) else {
            return Vec::new();
        };
        let mut trades = Vec::new();
        loop {
            let first = |side| self.that_accept(side, price.0).next().map(|order| (order.id, order.open));
            let (Some(buy), Some(sell)) = (first(Side::Buy), first(Side::Sell)) else {
                return trades;
            };
            let quantity = buy.1.min(sell.1);
            let (maker_open, taker_open) = (buy.1 - quantity, sell.1 - quantity);
            self.leave_open(buy.0, maker_open);
            self.leave_open(sell.0, taker_open);
            trades.push(Trade {
                maker: buy.0,
                taker: sell.0,
                price,
                quantity: Lots(quantity),
                maker_open: Lots(maker_open),
                taker_open: Lots(taker_open),
            });
        }
    }

    /// An order has so much left in its place, and shows as much of it as it may.
    fn leave_open(&mut self, id: OrderId, open: u64) {
        for orders in [&mut self.buys, &mut self.sells, &mut self.at_market] {
            for order in orders.iter_mut().filter(|order| order.id == id) {
                (order.open, order.shown) = (open, shown_of(order.display, open));
            }
            orders.retain(|order| order.open > 0);
        }
    }
}

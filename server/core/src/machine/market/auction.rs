//! Auctions: while orders rest and don't trade, what an uncross would give; and the uncross.
//!
//! Market orders of an auction are in no book, since they have no price: they wait beside it, and are promised a place.

use std::collections::BTreeMap;

use super::stops::Reached;
use super::{Market, Order};
use crate::book::{self, AtMarket, Auction, Trade};
use crate::machine::digest::Digest;
use crate::machine::intent::Amend;
use crate::machine::journal::{FillOf, Journal};
use crate::machine::tape::Event;
use crate::types::{Liquidity, Lots, MarketState, OrderId, Reason, Side, Ticks, TimeInForce};

/// The market orders that wait for an uncross.
#[derive(Clone, Default, Debug)]
pub(super) struct Unpriced {
    /// By side, in the order in which they came.
    sides: [BTreeMap<u64, OrderId>; 2],
    ranks: BTreeMap<OrderId, u64>,
    last_rank: u64,
    /// What they have open.
    open: AtMarket,
}

impl Unpriced {
    pub fn len(&self) -> usize {
        self.ranks.len()
    }

    /// Whether an order is one of them. Asked for many orders: mostly there are none.
    pub fn has(&self, id: &OrderId) -> bool {
        !self.ranks.is_empty() && self.ranks.contains_key(id)
    }

    /// Those of a side as they trade.
    pub fn iter(&self, side: Side) -> impl Iterator<Item = OrderId> {
        self.sides[side as usize].values().copied()
    }

    fn insert(&mut self, order: &Order) {
        self.last_rank += 1;
        self.sides[order.side as usize].insert(self.last_rank, order.id);
        self.ranks.insert(order.id, self.last_rank);
        *self.open_of(order.side) += u128::from(order.open.0);
    }

    /// `order` is as it stood here.
    fn remove(&mut self, order: &Order) {
        if let Some(rank) = self.ranks.remove(&order.id) {
            self.sides[order.side as usize].remove(&rank);
            self.lose(order.side, order.open);
        }
    }

    /// One of them has so much less open.
    pub fn lose(&mut self, side: Side, lots: Lots) {
        let open = self.open_of(side);
        *open = open.saturating_sub(lots.0.into());
    }

    fn open_of(&mut self, side: Side) -> &mut u128 {
        match side {
            Side::Buy => &mut self.open.buys,
            Side::Sell => &mut self.open.sells,
        }
    }
}

/// An order in an uncross: what it has left.
struct Left {
    id: OrderId,
    open: Lots,
}

impl Market {
    /// What the auction would give, as it was told last.
    #[must_use]
    pub fn indication(&self) -> Option<Auction> {
        self.indicated
    }

    /// What an uncross would give now. Its reference is the last trade, else the last uncross.
    pub(super) fn auction(&self) -> Option<Auction> {
        self.book.auction(self.unpriced.open, self.last_price.or(self.uncrossed_price))
    }

    /// Whether an order waits beside the book for an uncross.
    pub(super) fn is_unpriced(&self, id: &OrderId) -> bool {
        self.unpriced.has(id)
    }

    /// Whether a step with these events opens trading in a book in which nothing traded: it is uncrossed just before.
    pub(in crate::machine) fn opens(&self, events: &[Event]) -> bool {
        let trades = |state| matches!(state, MarketState::Continuous | MarketState::PostOnly);
        let opened = |event: &Event| matches!(event, Event::StateChanged { state, .. } if trades(*state));
        !trades(self.state) && events.iter().any(opened)
    }

    /// Says in events what an uncross does: none if it does nothing.
    pub(in crate::machine) fn say_uncross(&self, events: &mut Vec<Event>) {
        let mut reached = Reached::default();
        let mut rests = BTreeMap::new();
        if let Some(auction) = self.auction() {
            for trade in self.pairs(auction.price) {
                let (tick, lot) = (self.rules.tick, self.rules.lot);
                let fees = self.rules.fees.of_auction(trade.price, trade.quantity, (tick, lot));
                rests.insert(trade.maker, trade.maker_open);
                rests.insert(trade.taker, trade.taker_open);
                events.push(Event::Traded(trade, fees));
                self.stops.meet(trade.price, &mut reached, events);
            }
            events.push(Event::Uncrossed(auction));
        }
        for order in self.ids(|time_in_force| time_in_force == TimeInForce::Auction) {
            let open = rests.get(&order).copied().or_else(|| self.orders.get(&order).map(|order| order.open));
            let left = open.filter(|open| !open.is_zero());
            let reason = Reason::AuctionEnded;
            events.extend(left.map(|open| Event::Removed { order, open, reason }));
        }
        reached.tell_moved(events);
    }

    /// Buys and sells paired off from the front at a price, each with all that it has open: the buy as the maker.
    fn pairs(&self, price: Ticks) -> Vec<Trade> {
        let (mut buys, mut sells) = (self.queue_at(Side::Buy, price), self.queue_at(Side::Sell, price));
        let (mut buy, mut sell) = (buys.next(), sells.next());
        let mut trades = Vec::new();
        while let (Some(maker), Some(taker)) = (&mut buy, &mut sell) {
            let quantity = maker.open.min(taker.open);
            maker.open.0 -= quantity.0;
            taker.open.0 -= quantity.0;
            let (maker_open, taker_open) = (maker.open, taker.open);
            trades.push(Trade { maker: maker.id, taker: taker.id, price, quantity, maker_open, taker_open });
            if maker_open.is_zero() {
                buy = buys.next();
            }
            if taker_open.is_zero() {
                sell = sells.next();
            }
        }
        trades
    }

    /// The orders of a side that accept a price, market orders first.
    fn queue_at(&self, side: Side, price: Ticks) -> impl Iterator<Item = Left> {
        let unpriced = self.unpriced.iter(side).filter_map(|id| self.orders.get(&id));
        let unpriced = unpriced.map(|order| Left { id: order.id, open: order.open });
        let accepts = move |limit: Ticks| if side == Side::Buy { limit >= price } else { limit <= price };
        let priced = self.book.orders(side).take_while(move |order| accepts(order.price));
        unpriced.chain(priced.map(|order| Left { id: order.id, open: order.whole() }))
    }

    /// What is to be told at the end of a batch: that an uncross would give something else than was told.
    pub(in crate::machine) fn say_indication(&self) -> Option<Event> {
        if self.state != MarketState::Auction {
            return None;
        }
        let auction = self.auction();
        (auction != self.indicated).then_some(Event::Indicated(auction))
    }

    /// Has the book do what an event of an uncross says; `None` if it does not fit.
    pub(in crate::machine) fn follow_uncross(&mut self, event: &Event) -> Option<()> {
        match *event {
            Event::Traded(Trade { maker, taker, price, quantity, maker_open, taker_open }, _) => {
                for (id, left) in [(maker, maker_open), (taker, taker_open)] {
                    if !self.is_unpriced(&id) {
                        self.book.fill(id, (price, quantity), left).ok()?;
                    }
                }
                Some(())
            }
            Event::Removed { order, open, .. } if !self.is_unpriced(&order) => {
                let why = book::Removal::Left;
                self.book.replay(&book::Event::Removed { order, open, why }).ok()
            }
            _ => Some(()),
        }
    }

    /// Takes an event of an uncross that the book has done; `None` if it does not fit.
    pub(in crate::machine) fn fold_uncross(&mut self, event: &Event, journal: &mut Journal) -> Option<()> {
        match event {
            Event::Traded(trade, fees) => {
                let Trade { maker: buyer, taker: seller, price, quantity, maker_open, taker_open } = *trade;
                let fill = |counter_order, liquidity, fee| FillOf {
                    counter_order,
                    liquidity,
                    price,
                    quantity,
                    fee,
                    auction: true,
                };
                let bought = fill(seller, Liquidity::Maker, fees.maker);
                self.fill_at((buyer, Side::Buy), bought, maker_open, journal)?;
                let sold = fill(buyer, Liquidity::Taker, fees.taker);
                self.fill_at((seller, Side::Sell), sold, taker_open, journal)?;
                self.last_price = Some(price);
                Some(())
            }
            Event::Triggered { order, trigger } => self.trigger(*order, *trigger, journal),
            Event::TriggerMoved { order, trigger } => self.move_trigger(*order, *trigger, journal),
            Event::Uncrossed(auction) => {
                self.uncrossed_price = Some(auction.price);
                self.root_price = Some(auction.price);
                (self.last_price == self.uncrossed_price).then_some(())
            }
            Event::Removed { order, open, reason: reason @ Reason::AuctionEnded } => {
                (self.orders.get(order)?.time_in_force == TimeInForce::Auction).then_some(())?;
                self.remove(*order, *open, *reason, journal)
            }
            Event::Indicated(auction) => {
                self.indicated = *auction;
                (self.state == MarketState::Auction).then_some(())
            }
            _ => None,
        }
    }

    /// Puts what an uncross left behind into the digest, or what it would give.
    pub(in crate::machine) fn digest_auction(&self, digest: &mut Digest) {
        let uncrossed = self.uncrossed_price.map_or(0, |price| price.0);
        let ends = self.ends.map_or(0, |at| at.0);
        let indicated =
            self.indicated.map_or([0; 3], |it| [it.price.0, it.volume.0, it.surplus.cast_unsigned()]);
        digest.put([uncrossed, self.unpriced.len() as u64, ends]);
        digest.put(indicated);
    }

    /// An order of a side has traded in an uncross. An iceberg shows as much then as it may.
    fn fill_at(
        &mut self,
        (id, side): (OrderId, Side),
        fill: FillOf,
        left: Lots,
        journal: &mut Journal,
    ) -> Option<()> {
        let order = self.orders.get_mut(&id)?;
        let accepts =
            |limit: Ticks| if side == Side::Buy { limit >= fill.price } else { limit <= fill.price };
        (order.side == side && !order.is_waiting() && order.limit.is_none_or(accepts)).then_some(())?;
        order.fill(fill.price, fill.quantity, left)?;
        order.set_shown(order.first_shown());
        journal.order(order, Some(fill));
        if self.unpriced.has(&id) {
            self.unpriced.lose(side, fill.quantity);
        }
        if left.is_zero() {
            self.leave(id)?;
        }
        Some(())
    }

    /// A market order of an auction begins to wait for the uncross. `replaced` is the one in whose place it comes.
    pub(super) fn rest_at_market(
        &mut self,
        (order, open): (OrderId, Lots),
        replaced: Option<OrderId>,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        if self.book.is_full() && replaced.is_none() {
            return Err(Reason::TooMany);
        }
        self.take_out_replaced(replaced, events)?;
        events.push(Event::Accepted { order, price: None, expires: None });
        events.push(Event::RestedAtMarket { order, open });
        Ok(())
    }

    /// Amends a market order of an auction. Less of it keeps its place; it takes no price.
    pub(super) fn amend_at_market(
        &self,
        order: &Order,
        amend: &Amend,
        open: Lots,
        events: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        if amend.price.is_some() || amend.trigger.is_some() {
            return Err(Reason::UnknownValue);
        }
        if order.used().0.saturating_add(open.0) > self.rules.max_lots.0 {
            return Err(Reason::AboveMaximum);
        }
        let id = order.id;
        events.push(match open <= order.open {
            true => Event::Reduced { order: id, open },
            false => Event::RestedAtMarket { order: id, open },
        });
        Ok(())
    }

    /// A market order waits for the uncross: one in hand, or one that did already and has more open.
    pub(super) fn wait_at_market(&mut self, id: OrderId, open: Lots, journal: &mut Journal) -> Option<()> {
        let (mut order, placed) = match self.hand.take() {
            Some(hand) => (hand.order, hand.placed),
            None => (self.leave(id)?, false),
        };
        let unpriced = order.limit.is_none() && order.time_in_force == TimeInForce::Auction;
        let fits = order.id == id && unpriced && order.stop().is_none() && !open.is_zero();
        (fits && (order.open == open || !placed)).then_some(())?;
        order.open = open;
        order.quantity = Lots(order.used().0.checked_add(open.0)?);
        order.status = order.resting_status();
        journal.first(&mut order, placed);
        self.enter(order);
        Some(())
    }

    /// A market order of an auction is filed.
    pub(super) fn file_unpriced(&mut self, order: &Order) {
        if order.limit.is_none() && order.stop().is_none() {
            self.unpriced.insert(order);
            self.promise();
        }
    }

    /// A market order of an auction waits no more.
    pub(super) fn unfile_unpriced(&mut self, order: &Order) {
        if self.unpriced.has(&order.id) {
            self.unpriced.remove(order);
            self.promise();
        }
    }
}

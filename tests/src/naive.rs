//! The naive book: the oracle for the fast one.
//!
//! One list a side, sorted by price and then by arrival, scanned from the front. Slow and obviously
//! right; it shares the words with [`xbook::book`] and nothing else.

use xbook::book::{Command, Event, Refusal, Resting, Style, Trade, digest_of};
use xbook::types::{Lots, OrderId, Side, Ticks};

/// The naive book.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NaiveBook {
    /// Best price first, longest waiting first.
    buys: Vec<Resting>,
    /// Best price first, longest waiting first.
    sells: Vec<Resting>,
    max_orders: usize,
}

impl Default for NaiveBook {
    fn default() -> Self {
        Self { buys: Vec::new(), sells: Vec::new(), max_orders: usize::MAX }
    }
}

impl NaiveBook {
    /// An empty book that refuses orders that may rest while it holds this many.
    #[must_use]
    pub fn with_max_orders(max_orders: usize) -> Self {
        Self { max_orders, ..Self::default() }
    }

    /// Applies a command, as [`xbook::book::Book::apply`] does.
    ///
    /// # Errors
    /// Why it is refused; nothing was changed.
    pub fn apply(&mut self, command: &Command, events: &mut Vec<Event>) -> Result<(), Refusal> {
        match *command {
            Command::Place { id, side, limit, quantity, style } => {
                self.place(id, side, limit, quantity, style, events)
            }
            Command::Amend { id, price, open, post_only } => self.amend(id, price, open, post_only, events),
            Command::Cancel { id } => {
                let order = self.take_out(id).ok_or(Refusal::UnknownOrder)?;
                events.push(Event::Removed { order: id, open: order.open });
                Ok(())
            }
        }
    }

    fn place(
        &mut self,
        id: OrderId,
        side: Side,
        limit: Option<Ticks>,
        quantity: Lots,
        style: Style,
        events: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        if self.get(id).is_some() {
            return Err(Refusal::DuplicateId);
        }
        if quantity.is_zero() {
            return Err(Refusal::ZeroQuantity);
        }
        let may_rest = style == Style::Rest || style == Style::PostOnly;
        if may_rest && limit.is_none() {
            return Err(Refusal::NoLimit);
        }
        if may_rest && self.buys.len() + self.sells.len() >= self.max_orders {
            return Err(Refusal::BookFull);
        }
        let available = self.available(side, limit);
        if style == Style::PostOnly && available > 0 {
            return Err(Refusal::WouldTake);
        }
        if style == Style::AllOrNothing && available < u128::from(quantity.0) {
            return Err(Refusal::NotFillable);
        }
        let left = u128::from(quantity.0).saturating_sub(available) as u64;
        if let (true, Some(price)) = (may_rest, limit)
            && self.level_total(side, price) + u128::from(left) > u128::from(u64::MAX)
        {
            return Err(Refusal::LevelOverflow);
        }
        self.take((id, side), limit, quantity, events);
        match limit {
            _ if left == 0 => {}
            Some(price) if may_rest => self.join(Resting { id, side, price, open: Lots(left) }, events),
            _ => events.push(Event::Removed { order: id, open: Lots(left) }),
        }
        Ok(())
    }

    fn amend(
        &mut self,
        id: OrderId,
        price: Ticks,
        open: Lots,
        post_only: bool,
        events: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let before = self.get(id).ok_or(Refusal::UnknownOrder)?;
        if open.is_zero() {
            return Err(Refusal::ZeroQuantity);
        }
        let side = before.side;
        if price == before.price && open <= before.open {
            for order in self.side_mut(side).iter_mut().filter(|order| order.id == id) {
                order.open = open;
            }
            events.push(Event::Reduced { order: id, open });
            return Ok(());
        }
        let available = self.available(side, Some(price));
        if post_only && available > 0 {
            return Err(Refusal::WouldTake);
        }
        let left = u128::from(open.0).saturating_sub(available) as u64;
        let own = if price == before.price { u128::from(before.open.0) } else { 0 };
        if self.level_total(side, price) - own + u128::from(left) > u128::from(u64::MAX) {
            return Err(Refusal::LevelOverflow);
        }
        self.take_out(id);
        events.push(Event::Lifted { order: id, price, open });
        self.take((id, side), Some(price), open, events);
        if left > 0 {
            self.join(Resting { id, side, price, open: Lots(left) }, events);
        }
        Ok(())
    }

    fn take(
        &mut self,
        (taker, side): (OrderId, Side),
        limit: Option<Ticks>,
        quantity: Lots,
        events: &mut Vec<Event>,
    ) {
        let mut left = quantity.0;
        let makers = self.side_mut(side.opposite());
        while left > 0 && !makers.is_empty() && trades(side, limit, makers[0].price) {
            let maker = &mut makers[0];
            let traded = left.min(maker.open.0);
            left -= traded;
            maker.open.0 -= traded;
            events.push(Event::Traded(Trade {
                maker: maker.id,
                taker,
                price: maker.price,
                quantity: Lots(traded),
                maker_open: maker.open,
                taker_open: Lots(left),
            }));
            if maker.open.is_zero() {
                makers.remove(0);
            }
        }
    }

    fn available(&self, taker: Side, limit: Option<Ticks>) -> u128 {
        let makers = self.orders(taker.opposite());
        makers.filter(|maker| trades(taker, limit, maker.price)).map(|maker| u128::from(maker.open.0)).sum()
    }

    fn level_total(&self, side: Side, price: Ticks) -> u128 {
        self.orders(side).filter(|order| order.price == price).map(|order| u128::from(order.open.0)).sum()
    }

    /// Puts an order behind all orders at its price and at better ones.
    fn join(&mut self, order: Resting, events: &mut Vec<Event>) {
        let Resting { id, side, price, open } = order;
        events.push(Event::Rested { order: id, side, price, open });
        let orders = self.side_mut(order.side);
        let ahead = |other: &Resting| match order.side {
            Side::Buy => other.price >= order.price,
            Side::Sell => other.price <= order.price,
        };
        let place = orders.iter().position(|other| !ahead(other)).unwrap_or(orders.len());
        orders.insert(place, order);
    }

    fn take_out(&mut self, id: OrderId) -> Option<Resting> {
        let side = self.get(id)?.side;
        let orders = self.side_mut(side);
        let place = orders.iter().position(|order| order.id == id)?;
        Some(orders.remove(place))
    }

    fn side_mut(&mut self, side: Side) -> &mut Vec<Resting> {
        match side {
            Side::Buy => &mut self.buys,
            Side::Sell => &mut self.sells,
        }
    }

    /// A resting order.
    #[must_use]
    pub fn get(&self, id: OrderId) -> Option<Resting> {
        self.buys.iter().chain(&self.sells).find(|order| order.id == id).copied()
    }

    /// All orders of a side in the order in which they would trade.
    pub fn orders(&self, side: Side) -> impl Iterator<Item = Resting> {
        match side {
            Side::Buy => self.buys.iter().copied(),
            Side::Sell => self.sells.iter().copied(),
        }
    }

    /// The digest that a fast book with these orders has.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest_of(self.orders(Side::Buy).chain(self.orders(Side::Sell)))
    }
}

fn trades(taker: Side, limit: Option<Ticks>, maker_price: Ticks) -> bool {
    match (limit, taker) {
        (None, _) => true,
        (Some(limit), Side::Buy) => maker_price <= limit,
        (Some(limit), Side::Sell) => maker_price >= limit,
    }
}

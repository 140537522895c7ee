//! The naive book: the oracle for the fast one.
//!
//! One list a side, sorted by price and then by arrival, scanned from the front. Slow and obviously
//! right; it shares the words with [`xbook::book`] and nothing else. What an order would do is found by letting
//! it do it to a copy.

mod auction;

use xbook::book::{
    Command, Event, NewOrder, Owner, Prevented, Prevention, Refusal, Removal, Resting, Style, Trade,
    digest_of,
};
use xbook::types::{Lots, OrderId, Side, Ticks};

/// The naive book.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NaiveBook {
    /// Best price first, longest waiting first.
    buys: Vec<Order>,
    /// Best price first, longest waiting first.
    sells: Vec<Order>,
    /// Market orders of an auction, longest waiting first. Their price means nothing.
    at_market: Vec<Order>,
    /// Orders rest and don't trade.
    stands: bool,
    /// Orders trade only at these prices, both ends included.
    band: Option<(Ticks, Ticks)>,
    /// An order that would trade beyond rests, if it may.
    rests_beyond: bool,
    max_orders: usize,
    /// Orders that wait outside and are promised a place.
    promised: usize,
    /// How many parts icebergs may hide in all.
    max_parts: u64,
}

/// A resting order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Order {
    id: OrderId,
    side: Side,
    price: Ticks,
    /// All that is open of it.
    open: u64,
    /// What it shows of that: alone this trades, and when it is used up the next part is shown behind all others at
    /// the price.
    shown: u64,
    /// How much it shows at a time; zero for all of it.
    display: u64,
    owner: Owner,
}

/// An order that takes.
#[derive(Clone, Copy)]
struct Taker {
    id: OrderId,
    side: Side,
    limit: Option<Ticks>,
    owner: Owner,
    prevention: Prevention,
}

/// What became of an order that took.
struct Taken {
    left: u64,
    traded: u64,
    /// It met an order of its owner and is to go.
    stopped: bool,
    /// It would have traded outside the band.
    banded: bool,
}

impl Default for NaiveBook {
    fn default() -> Self {
        Self {
            buys: Vec::new(),
            sells: Vec::new(),
            at_market: Vec::new(),
            stands: false,
            band: None,
            rests_beyond: false,
            max_orders: usize::MAX,
            promised: 0,
            max_parts: u64::MAX,
        }
    }
}

impl NaiveBook {
    /// An empty book that refuses orders that may rest while it holds this many.
    #[must_use]
    pub fn with_max_orders(max_orders: usize) -> Self {
        Self { max_orders, ..Self::default() }
    }

    /// The same book, which refuses icebergs that would hide more parts.
    #[must_use]
    pub fn with_max_parts(self, max_parts: u64) -> Self {
        Self { max_parts, ..self }
    }

    /// Keeps places for so many orders that wait outside.
    pub fn promise(&mut self, places: usize) {
        self.promised = places;
    }

    /// Whether it has no place for one more order.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.buys.len() + self.sells.len() + self.at_market.len() + self.promised >= self.max_orders
    }

    /// Applies a command, as [`xbook::book::Book::apply`] does.
    ///
    /// # Errors
    /// Why it is refused; nothing was changed.
    pub fn apply(&mut self, command: &Command, events: &mut Vec<Event>) -> Result<(), Refusal> {
        match *command {
            Command::Place(ref order) => self.place(order, events),
            Command::Amend { id, price, open, post_only, prevention } => {
                self.amend(id, (price, open.0), post_only, prevention, events)
            }
            Command::Cancel { id } => {
                let order = self.take_out(id).ok_or(Refusal::UnknownOrder)?;
                let why = Removal::Cancelled;
                events.push(Event::Removed { order: id, open: Lots(order.open), why });
                Ok(())
            }
        }
    }

    fn place(&mut self, order: &NewOrder, events: &mut Vec<Event>) -> Result<(), Refusal> {
        let NewOrder { id, side, limit, quantity: Lots(quantity), style, .. } = *order;
        let NewOrder { minimum, display: Lots(display), owner, prevention, .. } = *order;
        if self.find(id).is_some() {
            return Err(Refusal::DuplicateId);
        }
        if quantity == 0 {
            return Err(Refusal::ZeroQuantity);
        }
        let may_rest = style == Style::Rest || style == Style::PostOnly;
        if may_rest && limit.is_none() {
            return Err(Refusal::NoLimit);
        }
        if may_rest && self.is_full() {
            return Err(Refusal::BookFull);
        }
        if may_rest && !self.has_room_for(None, display, quantity) {
            return Err(Refusal::BookFull);
        }
        if style == Style::PostOnly && self.would_take(side, limit) {
            return Err(Refusal::WouldTake);
        }
        let taker = Taker { id, side, limit, owner, prevention };
        let mut after = self.clone();
        let mut done = Vec::new();
        let taken = after.take(taker, quantity, &mut done);
        let needed = if style == Style::AllOrNothing { quantity } else { minimum.0 };
        if taken.traded < needed {
            return Err(Refusal::NotFillable);
        }
        let open = taken.left;
        match limit {
            _ if taken.stopped => {
                done.push(Event::Removed { order: id, open: Lots(open), why: Removal::SelfTrade });
            }
            _ if open == 0 => {}
            _ if taken.banded && !(may_rest && self.rests_beyond) => {
                done.push(Event::Removed { order: id, open: Lots(open), why: Removal::Band });
            }
            Some(price) if may_rest => {
                let shown = shown_of(display, open);
                after.join(Order { id, side, price, open, shown, display, owner }, &mut done)?;
            }
            _ => done.push(Event::Removed { order: id, open: Lots(open), why: Removal::Left }),
        }
        *self = after;
        events.append(&mut done);
        Ok(())
    }

    fn amend(
        &mut self,
        id: OrderId,
        (price, open): (Ticks, u64),
        post_only: bool,
        prevention: Prevention,
        events: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let before = *self.find(id).ok_or(Refusal::UnknownOrder)?;
        if open == 0 {
            return Err(Refusal::ZeroQuantity);
        }
        let Order { side, owner, display, .. } = before;
        if price == before.price && open <= before.open {
            let same = self.side_mut(side).iter_mut().filter(|order| order.id == id);
            // What is hidden goes first.
            same.for_each(|order| (order.open, order.shown) = (open, order.shown.min(open)));
            events.push(Event::Reduced { order: id, open: Lots(open) });
            return Ok(());
        }
        if !self.has_room_for(Some(id), before.display, open) {
            return Err(Refusal::BookFull);
        }
        if post_only && self.would_take(side, Some(price)) {
            return Err(Refusal::WouldTake);
        }
        let mut after = self.clone();
        after.take_out(id);
        let mut done = vec![Event::Lifted { order: id, price, open: Lots(open) }];
        let taken = after.take(Taker { id, side, limit: Some(price), owner, prevention }, open, &mut done);
        let open = taken.left;
        if taken.stopped {
            done.push(Event::Removed { order: id, open: Lots(open), why: Removal::SelfTrade });
        } else if open > 0 && taken.banded && !self.rests_beyond {
            done.push(Event::Removed { order: id, open: Lots(open), why: Removal::Band });
        } else if open > 0 {
            let shown = shown_of(display, open);
            after.join(Order { id, side, price, open, shown, display, owner }, &mut done)?;
        }
        *self = after;
        events.append(&mut done);
        Ok(())
    }

    fn take(&mut self, taker: Taker, quantity: u64, events: &mut Vec<Event>) -> Taken {
        let mut taken = Taken { left: quantity, traded: 0, stopped: false, banded: false };
        let band = self.band;
        while taken.left > 0 && !taken.stopped && !self.stands {
            let makers = self.side_mut(taker.side.opposite());
            let Some(maker) =
                makers.first_mut().filter(|maker| reaches(taker.side, taker.limit, maker.price))
            else {
                break;
            };
            if band.is_some_and(|(lowest, highest)| maker.price < lowest || maker.price > highest) {
                taken.banded = true;
                break;
            }
            let own = maker.owner == taker.owner && taker.owner != Owner::NOBODY;
            if own && taker.prevention != Prevention::Allow {
                self.prevent(taker, &mut taken, events);
                continue;
            }
            let quantity = taken.left.min(maker.shown);
            taken.left -= quantity;
            taken.traded += quantity;
            maker.open -= quantity;
            maker.shown -= quantity;
            events.push(Event::Traded(Trade {
                maker: maker.id,
                taker: taker.id,
                price: maker.price,
                quantity: Lots(quantity),
                maker_open: Lots(maker.open),
                taker_open: Lots(taken.left),
            }));
            let used_up = maker.shown == 0;
            makers.retain(|maker| maker.open > 0);
            if used_up && makers.first().is_some_and(|maker| maker.shown == 0) {
                let mut maker = makers.remove(0);
                maker.shown = shown_of(maker.display, maker.open);
                events.push(Event::Replenished { order: maker.id, shown: Lots(maker.shown) });
                self.insert(maker);
            }
        }
        taken
    }

    /// The taker has reached an order of its owner, the first of the other side.
    fn prevent(&mut self, taker: Taker, taken: &mut Taken, events: &mut Vec<Event>) {
        let makers = self.side_mut(taker.side.opposite());
        let gone = |maker: Order| Event::Removed {
            order: maker.id,
            open: Lots(maker.open),
            why: Removal::SelfTrade,
        };
        match taker.prevention {
            Prevention::Allow => {}
            Prevention::CancelTaker => taken.stopped = true,
            Prevention::CancelMaker => events.push(gone(makers.remove(0))),
            Prevention::CancelBoth => {
                events.push(gone(makers.remove(0)));
                taken.stopped = true;
            }
            Prevention::Decrement => {
                let lost = taken.left.min(makers[0].open);
                taken.left -= lost;
                makers[0].open -= lost;
                makers[0].shown = makers[0].shown.min(makers[0].open);
                events.push(Event::Prevented(Prevented {
                    maker: makers[0].id,
                    taker: taker.id,
                    quantity: Lots(lost),
                    maker_open: Lots(makers[0].open),
                    taker_open: Lots(taken.left),
                }));
                makers.retain(|maker| maker.open > 0);
            }
        }
    }

    fn would_take(&self, side: Side, limit: Option<Ticks>) -> bool {
        let best = self.side(side.opposite()).first();
        best.is_some_and(|best| reaches(side, limit, best.price) && !self.stands)
    }

    /// Puts an order behind all orders at its price and at better ones.
    fn join(&mut self, order: Order, events: &mut Vec<Event>) -> Result<(), Refusal> {
        let Order { id, side, price, open, display, owner, .. } = order;
        let level = self.side(side).iter().filter(|other| other.price == price);
        if level.map(|other| u128::from(other.open)).sum::<u128>() + u128::from(open) > u128::from(u64::MAX) {
            return Err(Refusal::LevelOverflow);
        }
        let (open, display) = (Lots(open), Lots(display));
        events.push(Event::Rested { order: id, side, price, open, display, owner });
        self.insert(order);
        Ok(())
    }

    fn insert(&mut self, order: Order) {
        let Order { side, price, .. } = order;
        let ahead = |other: &Order| match side {
            Side::Buy => other.price >= price,
            Side::Sell => other.price <= price,
        };
        let orders = self.side_mut(side);
        let place = orders.iter().position(|other| !ahead(other)).unwrap_or(orders.len());
        orders.insert(place, order);
    }

    /// Whether icebergs would not hide too many parts with one that has so much open, in place of one that rests.
    fn has_room_for(&self, instead_of: Option<OrderId>, display: u64, open: u64) -> bool {
        let resting = self.buys.iter().chain(&self.sells).filter(|order| Some(order.id) != instead_of);
        let parts = resting.map(|order| parts(order.display, order.open - order.shown)).sum::<u128>();
        let hidden = open - shown_of(display, open);
        display == 0 || parts + self::parts(display, hidden) <= self.max_parts.into()
    }

    fn take_out(&mut self, id: OrderId) -> Option<Order> {
        if let Some(place) = self.at_market.iter().position(|order| order.id == id) {
            return Some(self.at_market.remove(place));
        }
        let side = self.find(id)?.side;
        let orders = self.side_mut(side);
        let place = orders.iter().position(|order| order.id == id)?;
        Some(orders.remove(place))
    }

    fn find(&self, id: OrderId) -> Option<&Order> {
        self.buys.iter().chain(&self.sells).find(|order| order.id == id)
    }

    fn side(&self, side: Side) -> &[Order] {
        match side {
            Side::Buy => &self.buys,
            Side::Sell => &self.sells,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Vec<Order> {
        match side {
            Side::Buy => &mut self.buys,
            Side::Sell => &mut self.sells,
        }
    }

    /// A resting order.
    #[must_use]
    pub fn get(&self, id: OrderId) -> Option<Resting> {
        self.find(id).map(Order::shown)
    }

    /// All orders of a side in the order in which they would trade.
    pub fn orders(&self, side: Side) -> impl Iterator<Item = Resting> {
        self.side(side).iter().map(Order::shown)
    }

    /// The digest that a fast book with these orders has.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest_of(self.orders(Side::Buy).chain(self.orders(Side::Sell)))
    }
}

impl Order {
    fn shown(&self) -> Resting {
        let Self { id, side, price, open, shown, .. } = *self;
        Resting { id, side, price, open: Lots(shown), hidden: Lots(open - shown) }
    }
}

fn shown_of(display: u64, open: u64) -> u64 {
    if display == 0 { open } else { display.min(open) }
}

/// In how many parts so much is shown.
fn parts(display: u64, hidden: u64) -> u128 {
    if display == 0 { 0 } else { hidden.div_ceil(display).into() }
}

fn reaches(taker: Side, limit: Option<Ticks>, maker_price: Ticks) -> bool {
    match (limit, taker) {
        (None, _) => true,
        (Some(limit), Side::Buy) => maker_price <= limit,
        (Some(limit), Side::Sell) => maker_price >= limit,
    }
}

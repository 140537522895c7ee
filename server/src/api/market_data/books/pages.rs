//! Pages of a book: what a page takes of a side, and where the next one goes on.
//!
//! Time priority has no number of its own, so a page that ends within a level names its last order, and
//! the position at which it was read. An order that no event has changed since keeps its place in its queue,
//! and whatever was behind it is behind it. If it has changed or gone, nobody knows where it was: the level
//! is told from its front again.

use xbook_proto::v1::{self, BookDetail};

use crate::api::error::Refusal;
use crate::api::market_data::ladder::{Rung, Step};
use crate::api::pages::{self, Token};
use crate::book::{LevelView, Resting};
use crate::machine::Market;
use crate::mirror::Mirror;
use crate::types::{NodeId, OrderId, Position, Side, Ticks};

/// Where a page begins on a side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Begin {
    /// With the best level.
    Best,
    /// With the level after this price.
    After(Ticks),
    /// In the level at this price, behind this order.
    Behind(Ticks, OrderId),
    /// All of the side was told.
    End,
}

/// Where a page begins on both sides, and the position that the page before was read at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub read_at: Position,
    pub sides: [Begin; 2],
}

impl Place {
    pub const FIRST: Self = Self { read_at: Position(0), sides: [Begin::Best; 2] };

    /// The token of a page that begins here; empty if there is none.
    pub fn token(self, list: &str) -> String {
        let [buys, sells] = self.sides.map(|side| match side {
            Begin::End => [0, 0, 0, 0],
            Begin::After(price) => [1, price.0, 0, 0],
            Begin::Behind(price, id) => [2, price.0, id.node.0, id.counter],
            Begin::Best => [3, 0, 0, 0],
        });
        if self.sides == [Begin::End; 2] {
            return String::new();
        }
        let at = [self.read_at.0, buys[0], buys[1], buys[2], buys[3], sells[0], sells[1], sells[2], sells[3]];
        Token { part: 'b', at }.text(list)
    }

    /// The place that a token names.
    ///
    /// # Errors
    /// It is no token of this list.
    pub fn of_token(text: &str, list: &str) -> Result<Self, Refusal> {
        let Some(Token { at: [read_at, numbers @ ..], .. }) = Token::<9>::read(text, list)? else {
            return Ok(Self::FIRST);
        };
        let side = |numbers: &[u64]| match *numbers {
            [0, ..] => Ok(Begin::End),
            [1, price, ..] => Ok(Begin::After(Ticks(price))),
            [2, price, node, counter] => {
                Ok(Begin::Behind(Ticks(price), OrderId { node: NodeId(node), counter }))
            }
            [3, ..] => Ok(Begin::Best),
            _ => Err(pages::not_a_token(text)),
        };
        let (buys, sells) = numbers.split_at(4);
        Ok(Self { read_at: Position(read_at), sides: [side(buys)?, side(sells)?] })
    }
}

/// The list that the tokens of a market's book belong to.
pub(super) fn list_of(request: &v1::GetOrderBookRequest) -> String {
    let v1::GetOrderBookRequest { market, price_step, as_of, .. } = request;
    let mut list = format!("book {market} {}", request.detail() == BookDetail::Orders);
    if !price_step.is_empty() || as_of.is_some() {
        list.push_str(&format!(" {price_step} {as_of:?}"));
    }
    list
}

/// What a page has room for on each side, and how it is told.
#[derive(Clone, Copy)]
pub(super) struct Room {
    /// Levels.
    pub levels: usize,
    /// Orders in all of them; not set if orders are not wanted.
    pub orders: Option<usize>,
    /// What prices are put together to, without orders.
    pub step: Step,
}

/// A level on a page.
pub(super) struct PageLevel {
    pub rung: Rung,
    /// Whether its first orders are on the page before.
    pub continued: bool,
    pub orders: Vec<Resting>,
}

/// What a page has of a side, and where the next one goes on.
pub(super) struct PageSide {
    pub levels: Vec<PageLevel>,
    pub next: Begin,
}

/// A book that pages are made of.
pub(super) trait Shelf {
    fn levels(&self, side: Side) -> impl Iterator<Item = LevelView>;
    fn levels_beyond(&self, side: Side, price: Ticks) -> impl Iterator<Item = LevelView>;
    fn level(&self, side: Side, price: Ticks) -> Option<LevelView>;
    fn orders_at(&self, side: Side, price: Ticks) -> impl Iterator<Item = Resting>;
    fn orders_behind(&self, id: OrderId) -> impl Iterator<Item = Resting>;
    /// Whether an order rests there, and nothing has changed it since the book had a position.
    fn is_unchanged(&self, id: OrderId, place: (Side, Ticks), since: Position) -> bool;
}

impl Shelf for Market {
    fn levels(&self, side: Side) -> impl Iterator<Item = LevelView> {
        self.book().levels(side)
    }

    fn levels_beyond(&self, side: Side, price: Ticks) -> impl Iterator<Item = LevelView> {
        self.book().levels_beyond(side, price)
    }

    fn level(&self, side: Side, price: Ticks) -> Option<LevelView> {
        self.book().level(side, price)
    }

    fn orders_at(&self, side: Side, price: Ticks) -> impl Iterator<Item = Resting> {
        self.book().orders_at(side, price)
    }

    fn orders_behind(&self, id: OrderId) -> impl Iterator<Item = Resting> {
        self.book().orders_behind(id)
    }

    fn is_unchanged(&self, id: OrderId, place: (Side, Ticks), since: Position) -> bool {
        self.order(&id).is_some_and(|order| order.position <= since)
            && self.book().get(id).is_some_and(|order| (order.side, order.price) == place)
    }
}

/// The past does not change any more.
impl Shelf for Mirror {
    fn levels(&self, side: Side) -> impl Iterator<Item = LevelView> {
        self.levels(side)
    }

    fn levels_beyond(&self, side: Side, price: Ticks) -> impl Iterator<Item = LevelView> {
        self.levels_beyond(side, price)
    }

    fn level(&self, side: Side, price: Ticks) -> Option<LevelView> {
        self.level(side, price)
    }

    fn orders_at(&self, side: Side, price: Ticks) -> impl Iterator<Item = Resting> {
        self.orders_at(side, price)
    }

    fn orders_behind(&self, id: OrderId) -> impl Iterator<Item = Resting> {
        self.orders_behind(id)
    }

    fn is_unchanged(&self, id: OrderId, place: (Side, Ticks), _since: Position) -> bool {
        self.get(id).is_some_and(|order| (order.side, order.price) == place)
    }
}

/// A page of a side.
pub(super) fn read(shelf: &impl Shelf, side: Side, begin: Begin, read_at: Position, room: Room) -> PageSide {
    let after = |price| shelf.levels_beyond(side, price);
    match begin {
        Begin::End => PageSide { levels: Vec::new(), next: Begin::End },
        Begin::Best => take(shelf, side, None, shelf.levels(side), room),
        Begin::After(price) => take(shelf, side, None, after(price), room),
        Begin::Behind(price, id) => {
            let unchanged = shelf.is_unchanged(id, (side, price), read_at);
            let level = shelf.level(side, price).into_iter().chain(after(price));
            take(shelf, side, Some(id).filter(|_| unchanged), level, room)
        }
    }
}

/// Takes levels while there is room: of the first one the orders behind an order, if one is named.
fn take(
    shelf: &impl Shelf,
    side: Side,
    mut behind: Option<OrderId>,
    levels: impl Iterator<Item = LevelView>,
    room: Room,
) -> PageSide {
    let mut page = PageSide { levels: Vec::new(), next: Begin::End };
    let mut left = room.orders.unwrap_or(0);
    for rung in room.step.rungs(side, levels) {
        let last = page.levels.last().map(|last| last.rung.price);
        if let Some(last) =
            last.filter(|_| page.levels.len() == room.levels || room.orders.is_some() && left == 0)
        {
            page.next = Begin::After(last);
            break;
        }
        let continued = behind.is_some();
        let mut orders: Vec<Resting> = match (behind.take(), room.orders) {
            (_, None) => Vec::new(),
            (Some(id), _) => shelf.orders_behind(id).take(left + 1).collect(),
            (None, _) => shelf.orders_at(side, rung.price).take(left + 1).collect(),
        };
        if continued && orders.is_empty() {
            continue;
        }
        let cut = orders.len() > left;
        orders.truncate(left);
        left -= orders.len();
        let last = orders.last().map(|order| order.id);
        page.levels.push(PageLevel { rung, continued, orders });
        if let Some(last) = last.filter(|_| cut) {
            page.next = Begin::Behind(rung.price, last);
            break;
        }
    }
    page
}

//! Pages of a book: what a page takes of a side, and where the next one goes on.
//!
//! Time priority has no number of its own, so a page that ends within a level names its last order, and
//! the position at which it was read. An order that no event has changed since keeps its place in its queue,
//! and whatever was behind it is behind it. If it has changed or gone, nobody knows where it was: the level
//! is told from its front again.

use xbook_proto::v1::BookDetail;

use crate::api::error::Refusal;
use crate::api::page::{self, Token};
use crate::book::{Book, LevelView, Resting};
use crate::machine::Market;
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
            _ => Err(page::not_a_token(text)),
        };
        let (buys, sells) = numbers.split_at(4);
        Ok(Self { read_at: Position(read_at), sides: [side(buys)?, side(sells)?] })
    }
}

/// The list that the tokens of a market's book belong to.
pub(super) fn list_of(market: &str, detail: BookDetail) -> String {
    format!("book {market} {}", detail == BookDetail::Orders)
}

/// What a page has room for on each side.
#[derive(Clone, Copy)]
pub(super) struct Room {
    /// Levels.
    pub levels: usize,
    /// Orders in all of them; not set if orders are not wanted.
    pub orders: Option<usize>,
}

/// A level on a page.
pub(super) struct PageLevel {
    pub view: LevelView,
    /// Whether its first orders are on the page before.
    pub continued: bool,
    pub orders: Vec<Resting>,
}

/// What a page has of a side, and where the next one goes on.
pub(super) struct PageSide {
    pub levels: Vec<PageLevel>,
    pub next: Begin,
}

/// A page of a side.
pub(super) fn read(market: &Market, side: Side, begin: Begin, read_at: Position, room: Room) -> PageSide {
    let book = market.book();
    let after = |price| book.levels_beyond(side, price);
    match begin {
        Begin::End => PageSide { levels: Vec::new(), next: Begin::End },
        Begin::Best => take(book, side, None, book.levels(side), room),
        Begin::After(price) => take(book, side, None, after(price), room),
        Begin::Behind(price, id) => {
            let unchanged = market.order(&id).is_some_and(|order| order.position <= read_at);
            let rests = book.get(id).is_some_and(|order| (order.side, order.price) == (side, price));
            let level = book.level(side, price).into_iter().chain(after(price));
            take(book, side, Some(id).filter(|_| unchanged && rests), level, room)
        }
    }
}

/// Takes levels while there is room: of the first one the orders behind an order, if one is named.
fn take(
    book: &Book,
    side: Side,
    mut behind: Option<OrderId>,
    levels: impl Iterator<Item = LevelView>,
    room: Room,
) -> PageSide {
    let mut page = PageSide { levels: Vec::new(), next: Begin::End };
    let mut left = room.orders.unwrap_or(0);
    for view in levels {
        let last = page.levels.last().map(|last| last.view.price);
        if let Some(last) =
            last.filter(|_| page.levels.len() == room.levels || room.orders.is_some() && left == 0)
        {
            page.next = Begin::After(last);
            break;
        }
        let continued = behind.is_some();
        let mut orders: Vec<Resting> = match (behind.take(), room.orders) {
            (_, None) => Vec::new(),
            (Some(id), _) => book.orders_behind(id).take(left + 1).collect(),
            (None, _) => book.orders_at(side, view.price).take(left + 1).collect(),
        };
        if continued && orders.is_empty() {
            continue;
        }
        let cut = orders.len() > left;
        orders.truncate(left);
        left -= orders.len();
        let last = orders.last().map(|order| order.id);
        page.levels.push(PageLevel { view, continued, orders });
        if let Some(last) = last.filter(|_| cut) {
            page.next = Begin::Behind(view.price, last);
            break;
        }
    }
    page
}

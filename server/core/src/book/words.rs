//! The words spoken with the book: commands in, events out, or a refusal.

use crate::types::{Lots, OrderId, Side, Ticks};

/// A request to change the book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Brings a new order. It takes what it may from the other side at once; its style says what
    /// happens with the rest.
    Place(NewOrder),
    /// Changes the price, the open quantity or both of a resting order.
    ///
    /// At the same price with the same or a smaller quantity the order keeps its place in the
    /// queue. Anything else is a cancel and a new order at the back, which may take. A refused
    /// amend changes nothing.
    Amend {
        /// The resting order.
        id: OrderId,
        /// Its new price.
        price: Ticks,
        /// Its new open quantity.
        open: Lots,
        /// Refuse if the order would take at its new price.
        post_only: bool,
        /// What happens when it would trade with an order of its own owner.
        prevention: Prevention,
    },
    /// Takes a resting order out of the book.
    Cancel {
        /// The resting order.
        id: OrderId,
    },
}

impl Command {
    /// The order that the command is about.
    #[must_use]
    #[inline]
    pub fn id(&self) -> OrderId {
        let (Self::Place(NewOrder { id, .. }) | Self::Amend { id, .. } | Self::Cancel { id }) = *self;
        id
    }
}

/// A new order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewOrder {
    /// Its id; no order resting now may have it.
    pub id: OrderId,
    /// Buy or sell.
    pub side: Side,
    /// The worst price that it accepts; `None` is a market order, which takes any price.
    pub limit: Option<Ticks>,
    /// How much to trade.
    pub quantity: Lots,
    /// What happens with what is not filled at once.
    pub style: Style,
    /// How much must trade at once, or it is refused; zero for nothing.
    pub minimum: Lots,
    /// The most that it shows of itself while it rests; zero for all of it.
    pub display: Lots,
    /// Whose it is.
    pub owner: Owner,
    /// What happens when it would trade with an order of its own owner.
    pub prevention: Prevention,
}

impl NewOrder {
    /// An order of nobody, which trades with everyone.
    #[must_use]
    #[inline]
    pub fn new(id: OrderId, side: Side, limit: Option<Ticks>, quantity: Lots, style: Style) -> Self {
        let (minimum, display) = (Lots::ZERO, Lots::ZERO);
        let (owner, prevention) = (Owner::NOBODY, Prevention::Allow);
        Self { id, side, limit, quantity, style, minimum, display, owner, prevention }
    }

    /// The same order of an owner.
    #[must_use]
    pub fn of(self, owner: Owner, prevention: Prevention) -> Self {
        Self { owner, prevention, ..self }
    }
}

/// Whose an order is: a number that means nothing but that two are the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Owner(u32);

impl Owner {
    /// Nobody, who is never the same as anyone.
    pub const NOBODY: Self = Self(0);

    /// The owner with a number from 1 to [`Self::MOST`]; nobody for any other.
    #[must_use]
    #[inline]
    pub fn new(number: u32) -> Self {
        if number <= Self::MOST { Self(number) } else { Self::NOBODY }
    }

    /// Owners that can be told apart.
    pub const MOST: u32 = u32::MAX >> 1;

    #[inline]
    pub(super) fn number(self) -> u32 {
        self.0
    }
}

/// What happens when an order would trade with a resting one of the same owner: it is reached, and
/// something is left to trade. Earlier trades stand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Prevention {
    /// They trade.
    #[default]
    Allow,
    /// What is left of the order that came in is removed.
    CancelTaker,
    /// The resting order is removed, the other one goes on.
    CancelMaker,
    /// Both are removed.
    CancelBoth,
    /// Both lose what the smaller one has open. Who has nothing left is gone; a resting order that has
    /// keeps its place.
    Decrement,
}

/// What happens with the quantity of a new order that is not filled at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// It rests in the book (GTC, GTD: the book knows no time, whoever does sends the cancel).
    Rest,
    /// It is cancelled (IOC, and market orders).
    Cancel,
    /// There is none: the order fills whole or is refused (FOK).
    AllOrNothing,
    /// All of it rests, or the order is refused because it would take.
    PostOnly,
}

/// What a command did, one thing at a time. Each event is complete in itself: whoever applies it needs no
/// rule, never matches, and finds in it what the orders have left afterwards.
///
/// A placed order trades, and what is left is `Rested` or `Removed`; on the way resting orders of its own
/// owner may be `Removed` or lose with it what is `Prevented`. An amended order is `Reduced` where it
/// stands, or `Lifted` and goes on like a new one. A cancelled order is `Removed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Two orders traded.
    Traded(Trade),
    /// Two orders of one owner lost as much of what they had open, rather than trade it.
    Prevented(Prevented),
    /// What is open of an order rests at the back of its level.
    Rested {
        /// The order.
        order: OrderId,
        /// Its side.
        side: Side,
        /// Its price.
        price: Ticks,
        /// What is open, never zero.
        open: Lots,
        /// The most that it shows of that at a time; zero for all of it.
        display: Lots,
        /// Whose it is.
        owner: Owner,
    },
    /// What an order showed has traded, and the next part of what it has open rests at the back of its level.
    Replenished {
        /// The order.
        order: OrderId,
        /// What it shows now, never zero.
        shown: Lots,
    },
    /// A resting order has less open, or as much as before, and kept its place. What it does not show goes
    /// first.
    Reduced {
        /// The order.
        order: OrderId,
        /// What is open now, never zero.
        open: Lots,
    },
    /// A resting order left its level with new terms. What follows says where it goes.
    Lifted {
        /// The order.
        order: OrderId,
        /// Its new price.
        price: Ticks,
        /// Its new open quantity, never zero.
        open: Lots,
    },
    /// An order left wherever it was: the book, or the hand that had just tried to trade it.
    Removed {
        /// The order.
        order: OrderId,
        /// What was open, never zero.
        open: Lots,
        /// Why.
        why: Removal,
    },
}

/// Why an order was removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// The command was to cancel it.
    Cancelled,
    /// It is what is left of an order that may not rest.
    Left,
    /// It would have traded with an order of its own owner.
    SelfTrade,
    /// It is what is left of an order that would have traded outside the band.
    Band,
}

/// What two orders of one owner lost: the order of the command, the taker, and a resting one, the maker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prevented {
    /// The resting order.
    pub maker: OrderId,
    /// The order that came.
    pub taker: OrderId,
    /// What each of them lost, never zero.
    pub quantity: Lots,
    /// What the maker has left in the book; at zero it is gone. What it does not show goes first.
    pub maker_open: Lots,
    /// What the taker has left.
    pub taker_open: Lots,
}

/// One trade between the order of the command, the taker, and a resting order, the maker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trade {
    /// The resting order.
    pub maker: OrderId,
    /// The order that came.
    pub taker: OrderId,
    /// The maker's price, at which they trade.
    pub price: Ticks,
    /// How much they trade, never zero; at most what the maker shows.
    pub quantity: Lots,
    /// What the maker has left in the book, shown or not; at zero it is gone.
    pub maker_open: Lots,
    /// What the taker has left.
    pub taker_open: Lots,
}

/// Why a command was refused. If several reasons hold, the first in this order is given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
pub enum Refusal {
    /// Place: an order with this id rests already.
    #[error("an order with this id rests already")]
    DuplicateId,
    /// Amend, cancel: no order with this id rests.
    #[error("no order with this id rests")]
    UnknownOrder,
    /// Place, amend: a quantity of zero.
    #[error("the quantity is zero")]
    ZeroQuantity,
    /// Place: without a limit there is no price to rest at ([`Style::Rest`], [`Style::PostOnly`]).
    #[error("an order without a limit cannot rest")]
    NoLimit,
    /// Place: an order that may rest, but the book holds its maximum of orders. Also refused if it
    /// would have filled whole: the answer must not depend on more than the book's size. Place, amend: the same
    /// for parts that are not shown.
    #[error("the book holds its maximum of orders")]
    BookFull,
    /// Place, amend: post-only, but it would take.
    #[error("post-only, but it would take")]
    WouldTake,
    /// Place: all-or-nothing, or with a minimum, but not so much would trade with others within the limit.
    #[error("all or nothing, or a minimum, but there is not enough to take")]
    NotFillable,
    /// Place, amend: the total of the price level would be more than a `u64` of lots.
    #[error("the total of the price level would not fit into 64 bits")]
    LevelOverflow,
}

/// A resting order as read from the book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resting {
    /// The order.
    pub id: OrderId,
    /// Its side.
    pub side: Side,
    /// Its price.
    pub price: Ticks,
    /// What is open and shown, never zero.
    pub open: Lots,
    /// What is open and not shown.
    pub hidden: Lots,
}

impl Resting {
    /// All that is open of it.
    #[must_use]
    pub fn whole(&self) -> Lots {
        Lots(self.open.0.saturating_add(self.hidden.0))
    }
}

/// A price level as read from the book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LevelView {
    /// The price.
    pub price: Ticks,
    /// The sum of what its orders show, never zero.
    pub open: Lots,
    /// How many orders rest here, never zero.
    pub orders: u32,
}

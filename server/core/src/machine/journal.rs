//! What applying a batch did, event by event: the source of answers, streams and history.

use std::ops::Range;

use super::chain::{ChainHead, Content, RequestOutcome};
use super::tape::{Batch, Event};
use super::{Fee, MarketEntry, Order};
use crate::types::{Liquidity, Lots, Micros, OrderId, Position, Reason, Ticks};

/// What one committed batch did.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Block {
    /// Position of the first event.
    pub first: Position,
    /// Position of the last event.
    pub last: Position,
    /// Tape time.
    pub time: Micros,
    /// Heads of the chain over the market's history before and after it.
    pub chain: (ChainHead, ChainHead),
    /// The events that changed something, by position. A fill changes two orders at one position,
    /// the maker first.
    pub changes: Vec<Change>,
    /// What became of each consumed intent, in their order.
    pub answers: Vec<Answer>,
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// An order changed.
    Order {
        /// The order after the event; its `position` is the event's.
        order: Order,
        /// The execution, if the event was one.
        fill: Option<FillOf>,
        /// Whether it is the order's first event.
        placed: bool,
    },
    /// A market was created.
    Market(MarketEntry),
}

/// An execution as one of its orders sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FillOf {
    /// The order on the other side.
    pub counter_order: OrderId,
    /// Maker or taker.
    pub liquidity: Liquidity,
    /// The maker's price.
    pub price: Ticks,
    /// The quantity.
    pub quantity: Lots,
    /// What it costs the order.
    pub fee: Fee,
    /// Whether it is one of an uncross: the buyer stands as the maker then.
    pub auction: bool,
}

/// What became of an intent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The intent.
    pub intent: OrderId,
    /// Why it was refused; `Unspecified` if it was done.
    pub refused: Reason,
    /// For a repeat: the first request's intent. The changes are then in the block of its position.
    pub repeats: Option<Repeated>,
    /// Position of the last event of this outcome.
    pub position: Position,
    /// The changes it made, as indices into the block's changes.
    pub changes: Range<usize>,
}

/// The first request that another one repeats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repeated {
    /// Its intent.
    pub intent: OrderId,
    /// Position of the last event of its outcome; the changes of that outcome are in the block
    /// that contains it. Zero if the first is not remembered.
    pub position: Position,
}

impl Block {
    /// The changes that an answer speaks of.
    #[must_use]
    pub fn changes_of(&self, answer: &Answer) -> &[Change] {
        self.changes.get(answer.changes.clone()).unwrap_or_default()
    }
}

impl Change {
    /// The changed order; `None` if a market was created.
    #[must_use]
    pub fn order(&self) -> Option<&Order> {
        match self {
            Self::Order { order, .. } => Some(order),
            Self::Market(_) => None,
        }
    }

    /// Position of the event.
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Self::Order { order, .. } => order.position,
            Self::Market(market) => market.position,
        }
    }
}

/// Counts positions while a batch is applied, and keeps its changes if somebody wants them. The
/// lease holder's own copy runs ahead of what may be shown and keeps none.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    pub block: Block,
    pub position: Position,
    /// What goes into the chain, also where no changes are kept.
    pub content: Content,
    /// How many changes the running intent made, and the position of its first.
    changed: (usize, Option<Position>),
    keep: bool,
}

impl Journal {
    /// A journal that goes on after a position. `content` lends its room.
    pub fn after(position: Position, time: Micros, keep: bool, content: Content) -> Self {
        let block = Block { first: position.next(), last: position, time, ..Block::default() };
        Self { block, position, content, changed: (0, None), keep }
    }

    /// Makes room for what a batch will do, or nearly so: changes are large, and growing moves them.
    pub fn make_room(&mut self, batch: &Batch) {
        let changes: usize = batch.events.iter().map(|event| 1 + usize::from(is_trade(event))).sum();
        self.block.changes.reserve(changes);
        self.block.answers.reserve(batch.steps.len());
    }

    /// The next event's position.
    pub fn advance(&mut self) -> Position {
        self.position = self.position.next();
        self.position
    }

    /// Stamps an order with the current event and notes the change.
    pub fn order(&mut self, order: &mut Order, fill: Option<FillOf>) {
        self.note(self.position, order, fill, false);
    }

    /// The same for an order that was just placed.
    pub fn placed(&mut self, order: &mut Order) {
        self.first(order, true);
    }

    /// The same for the first change that a step makes of its order, which may have been placed by it.
    pub fn first(&mut self, order: &mut Order, placed: bool) {
        self.first_at(self.position, order, placed);
    }

    /// The same for an event before the current one.
    pub fn first_at(&mut self, at: Position, order: &mut Order, placed: bool) {
        self.note(at, order, None, placed);
    }

    fn note(&mut self, at: Position, order: &mut Order, fill: Option<FillOf>, placed: bool) {
        order.position = at;
        order.updated = self.block.time;
        self.content.put_change(order, fill.as_ref(), placed);
        self.changed = (self.changed.0 + 1, self.changed.1.or(Some(at)));
        if self.keep {
            self.block.changes.push(Change::Order { order: order.clone(), fill, placed });
        }
    }

    /// Notes a created market.
    pub fn market(&mut self, market: &MarketEntry) {
        if self.keep {
            self.block.changes.push(Change::Market(market.clone()));
        }
    }

    /// An intent has its turn.
    pub fn begin_intent(&mut self) {
        self.changed = (0, None);
    }

    /// An intent had its turn.
    pub fn end_intent(&mut self, refused: Reason) {
        let (changes, first) = self.changed;
        if let Some(outcome) = RequestOutcome::kept(changes, first, self.position, refused) {
            self.content.put_outcome(&outcome);
        }
    }

    /// Notes what became of an intent whose changes begin at `from`.
    pub fn answer(&mut self, intent: OrderId, refused: Reason, repeats: Option<Repeated>, from: usize) {
        if self.keep {
            let changes = from..self.block.changes.len();
            self.block.answers.push(Answer { intent, refused, repeats, position: self.position, changes });
        }
    }
}

fn is_trade(event: &Event) -> bool {
    matches!(event, Event::Traded(..))
}

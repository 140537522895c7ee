//! What the naive matcher finds.

use std::collections::BTreeSet;

use super::stops::Told;
use xbook::book::Auction;
use xbook::types::{Lots, Micros, OrderId, Position, Reason, Ticks};

/// The naive matcher finds something else.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RematchViolation {
    /// Other executions.
    #[error("intent {intent} at position {at} has the fills {shown:?}, the naive book finds {naive:?}")]
    Fills {
        /// The intent.
        intent: OrderId,
        /// Its position.
        at: Position,
        /// Maker, price and quantity, as shown.
        shown: Vec<(OrderId, Ticks, Lots)>,
        /// As matched again.
        naive: Vec<(OrderId, Ticks, Lots)>,
    },
    /// Refused here and not there.
    #[error("intent {intent} at position {at}: shown as {shown:?}, the naive book says done: {naive}")]
    Refused {
        /// The intent.
        intent: OrderId,
        /// Its position.
        at: Position,
        /// The reason shown.
        shown: Reason,
        /// Whether the naive book does it.
        naive: bool,
    },
    /// What was taken and what was triggered is not what it should be, or not in its turn.
    #[error("up to position {at} is told {shown:?}, the naive market finds {naive:?}")]
    Turn {
        /// The position.
        at: Position,
        /// As told.
        shown: Vec<Told>,
        /// As found.
        naive: Vec<Told>,
    },
    /// An order waits for something else, or not at all.
    #[error("order {order} at position {at} waits for {shown:?}, the naive market says {naive:?}")]
    Trigger {
        /// The order.
        order: OrderId,
        /// The position.
        at: Position,
        /// Its trigger, if it waits.
        shown: Option<Ticks>,
        /// As found.
        naive: Ticks,
    },
    /// An auction would give something else.
    #[error("the auction at position {at} is told to give {shown:?}, the naive book finds {naive:?}")]
    Indication {
        /// The position.
        at: Position,
        /// As told.
        shown: Option<Auction>,
        /// As found.
        naive: Option<Auction>,
    },
    /// An intent had its turn before an order that was triggered.
    #[error("intent {intent} at position {at} had its turn before the triggered order {order}")]
    Unrun {
        /// The intent.
        intent: OrderId,
        /// The order.
        order: OrderId,
        /// Its position.
        at: Position,
    },
    /// Another book.
    #[error("the book at position {at} is not the naive one")]
    Book {
        /// The position.
        at: Position,
    },
    /// In the book at or after its own time, while others have their turn.
    #[error("order {order} of the book at position {at} was to expire at {expires:?}, and it is {time:?}")]
    Late {
        /// The order.
        order: OrderId,
        /// The position.
        at: Position,
        /// Its time.
        expires: Micros,
        /// Tape time.
        time: Micros,
    },
    /// Others left the book as their time or their account's switch came, or in another order.
    #[error(
        "before position {at} the orders {shown:?} left as something was due, the naive market has {naive:?}"
    )]
    Due {
        /// The position of the block's last event.
        at: Position,
        /// What was shown.
        shown: Vec<(OrderId, Reason)>,
        /// What is due next.
        naive: Vec<(OrderId, Reason)>,
    },
    /// Others ended to protect their account, or with the market's session.
    #[error("intent {intent} at position {at} ended {shown:?}, the naive market ends {naive:?}")]
    Protected {
        /// The intent.
        intent: OrderId,
        /// Its position.
        at: Position,
        /// What was shown.
        shown: Vec<(OrderId, Reason)>,
        /// What the naive market cancels.
        naive: Vec<(OrderId, Reason)>,
    },
    /// A switch did not fire though others have their turn.
    #[error("a switch was to fire at {due:?}, and intents have their turn at {time:?}, position {at}")]
    Silent {
        /// When it was to fire.
        due: Micros,
        /// Tape time.
        time: Micros,
        /// The position.
        at: Position,
    },
    /// A fill costs something else.
    #[error("a fill of order {order} at position {at} costs {shown}, and by the rules {naive}")]
    Fee {
        /// The order.
        order: OrderId,
        /// The position.
        at: Position,
        /// What is shown.
        shown: String,
        /// By the rules.
        naive: String,
    },
    /// Expired before its time.
    #[error("order {order} is expired at position {at}, before its time")]
    Early {
        /// The order.
        order: OrderId,
        /// The position.
        at: Position,
    },
    /// Others ended rather than trade with their own account.
    #[error("intent {intent} at position {at} ended {shown:?} for self-trade, the naive book ends {naive:?}")]
    SelfTrade {
        /// The intent.
        intent: OrderId,
        /// Its position.
        at: Position,
        /// The orders that ended, as shown.
        shown: BTreeSet<OrderId>,
        /// As matched again.
        naive: BTreeSet<OrderId>,
    },
    /// Its quantity is not what is filled, prevented, open and cancelled.
    #[error("order {order} is not filled, prevented and open as its quantity says at position {at}")]
    Overfilled {
        /// The order.
        order: OrderId,
        /// The position.
        at: Position,
    },
}

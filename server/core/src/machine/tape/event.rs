//! The words of a tape: why a step was taken, and what happened in it.

use prost::encoding::encoded_len_varint;

use super::super::{Fees, OrderStatus};
use crate::book::{self, Auction, Owner, Prevented, Removal, Trade};
use crate::types::{Lots, MarketState, Micros, OrderId, Reason, Side, Ticks};

/// What the fees of a fill take in its record, to within a few: most are small numbers.
const FEES_BYTES: usize = 6;

/// Why a step was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// An intent had its turn.
    Intent(OrderId),
    /// Orders reached their time.
    Expiry {
        /// The time, at most the batch's.
        due: Micros,
    },
    /// A triggered order has its turn.
    Trigger(OrderId),
    /// A switch was not renewed in time.
    Switch {
        /// The time at which it fires, at most the batch's.
        due: Micros,
    },
    /// The market changes its state by itself.
    Session {
        /// When, at most the batch's time.
        due: Micros,
    },
    /// The step after it opens trading; or, at the end of a batch, what an uncross would give has changed.
    Uncross,
}

/// Something that happened. Each event has a position, and is complete in itself: whoever applies it
/// needs no rule, never matches and looks at no other order. What its intent says is not said again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The order of the intent exists, all of it open. It rests nowhere yet.
    Accepted {
        /// The order: the intent's id.
        order: OrderId,
        /// Its limit, if the rules made it and not the intent.
        price: Option<Ticks>,
        /// When it expires, if the rules made that and not the intent.
        expires: Option<Micros>,
    },
    /// The intent has no effect. If it was to place an order, that is REJECTED or EXPIRED, as the
    /// reason says.
    Refused {
        /// Why.
        reason: Reason,
    },
    /// The intent repeats an earlier one and has no effect.
    Repeated {
        /// The first one; `None` if it is not remembered which it was.
        first: Option<OrderId>,
    },
    /// An order is cancelled before it is matched. In a step of its own intent it is CANCELLED now; in
    /// that of the withdraw it will be when it has its turn.
    Withdrawn {
        /// The order.
        order: OrderId,
    },
    /// There was nothing to do, and that is what was asked for.
    Nothing,
    /// Two orders traded, and what that costs them; who has nothing open is FILLED and gone.
    Traded(Trade, Fees),
    /// Two orders of one account lost as much, rather than trade it; who has nothing open is CANCELLED and gone.
    Prevented(Prevented),
    /// What is open of an order rests at the back of its level.
    Rested {
        /// The order.
        order: OrderId,
        /// Its side.
        side: Side,
        /// Its price.
        price: Ticks,
        /// What is open.
        open: Lots,
        /// What it shows of that.
        shown: Lots,
    },
    /// What an order showed has traded; the next part of what it has open rests at the back of its level.
    Replenished {
        /// The order.
        order: OrderId,
        /// What it shows now.
        shown: Lots,
    },
    /// An order waits outside the book for a trade, the latest of its trigger.
    Waiting {
        /// The order.
        order: OrderId,
        /// Its trigger.
        trigger: Ticks,
        /// Its limit once it runs, if it has one.
        price: Option<Ticks>,
        /// What is open.
        open: Lots,
    },
    /// A trade met the trigger of an order that waits: it joins the back of the queue of those that run next.
    Triggered {
        /// The order.
        order: OrderId,
        /// The trigger that was met, of a trailing stop: it may have moved in the same step.
        trigger: Option<Ticks>,
    },
    /// The trigger of a trailing stop has followed the trades of the step.
    TriggerMoved {
        /// The order.
        order: OrderId,
        /// Its new trigger.
        trigger: Ticks,
    },
    /// An order has less open, or as much as before, and kept its place. What it lost was never traded:
    /// its quantity is less by as much. What it does not show goes first.
    Reduced {
        /// The order.
        order: OrderId,
        /// What is open now.
        open: Lots,
    },
    /// An order left its level with new terms. It trades, rests or is removed next.
    Lifted {
        /// The order.
        order: OrderId,
        /// Its new price.
        price: Ticks,
        /// Its new open quantity.
        open: Lots,
        /// Its new quantity, what was filled included.
        quantity: Lots,
    },
    /// An order left wherever it was and is closed, as the reason says.
    Removed {
        /// The order.
        order: OrderId,
        /// What was open, and is cancelled.
        open: Lots,
        /// Why.
        reason: Reason,
    },
    /// A switch is as the intent says.
    SwitchSet {
        /// When it fires; `None` if it is disarmed.
        fires: Option<Micros>,
    },
    /// A switch fired and is disarmed. The orders that it is about are removed next.
    SwitchFired {
        /// The intent that armed it.
        switch: OrderId,
    },
    /// The account of the intent is killed or not, as the intent says.
    Killed,
    /// The limits of the intent's account are as the intent says.
    LimitsSet,
    /// The market's rules are as the intent says.
    RulesChanged,
    /// The market's state changed. The orders that end with it are removed next.
    StateChanged {
        /// The new one.
        state: MarketState,
        /// When an auction ends by itself.
        until: Option<Micros>,
    },
    /// A market order waits for the uncross, the latest of its side.
    RestedAtMarket {
        /// The order.
        order: OrderId,
        /// What is open.
        open: Lots,
    },
    /// What traded before it in its step was an uncross: what that gave.
    Uncrossed(Auction),
    /// What an uncross would give; `None` if nothing would trade.
    Indicated(Option<Auction>),
    /// The next generation's voters are changed as the intent says.
    VotersChanged,
    /// The intent's market is in the directory.
    MarketCreated,
    /// The directory's entry of a node, or a token for nodes to come, is as the intent says.
    NodeChanged,
}

/// How an order that is refused or withdrawn at its turn is closed.
#[must_use]
pub fn closes_as(reason: Reason) -> OrderStatus {
    match reason {
        Reason::ExpireTime | Reason::SequenceBy | Reason::Forgotten => OrderStatus::Expired,
        Reason::Requested => OrderStatus::Cancelled,
        _ => OrderStatus::Rejected,
    }
}

/// How an order that was accepted is closed when it is removed; `None` if none is removed for this.
#[must_use]
pub fn ends_as(reason: Reason) -> Option<OrderStatus> {
    match reason {
        Reason::ExpireTime | Reason::SessionEnd => Some(OrderStatus::Expired),
        Reason::Requested
        | Reason::Replaced
        | Reason::NoLiquidity
        | Reason::Protection
        | Reason::SelfTrade
        | Reason::DeadMan
        | Reason::Disconnected
        | Reason::AccountKilled
        | Reason::AuctionEnded
        | Reason::PriceBand
        | Reason::Delisted => Some(OrderStatus::Cancelled),
        _ => None,
    }
}

impl Event {
    /// Bytes of its record, to within a few.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // A kind, a node's index, a cause; and the numbers, most of which are small.
        match self {
            Self::Traded(trade, fees) => {
                let charged = if *fees == Fees::default() { 0 } else { FEES_BYTES };
                let ids = encoded_len_varint(trade.maker.counter) + encoded_len_varint(trade.taker.counter);
                6 + charged
                    + ids
                    + [trade.price.0, trade.quantity.0].map(encoded_len_varint).iter().sum::<usize>()
            }
            Self::Prevented(prevented) => {
                let Prevented { maker, taker, quantity, .. } = prevented;
                let numbers = [maker.counter, taker.counter, quantity.0, quantity.0, quantity.0];
                6 + numbers.map(encoded_len_varint).iter().sum::<usize>()
            }
            Self::Rested { price, open, .. } => {
                4 + [price.0, open.0].map(encoded_len_varint).iter().sum::<usize>()
            }
            Self::Removed { order, open, .. } => {
                4 + [order.counter, open.0].map(encoded_len_varint).iter().sum::<usize>()
            }
            _ => 12,
        }
    }

    /// What the book has to do for it; `None` if that is nothing. `owner` is that of the order that the step is
    /// about, and `display` how much that shows at a time.
    #[must_use]
    pub fn in_book(&self, (owner, display): (Owner, Lots)) -> Option<book::Event> {
        Some(match *self {
            Self::Traded(trade, _) => book::Event::Traded(trade),
            Self::Prevented(prevented) => book::Event::Prevented(prevented),
            Self::Rested { order, side, price, open, .. } => {
                book::Event::Rested { order, side, price, open, display, owner }
            }
            Self::Replenished { order, shown } => book::Event::Replenished { order, shown },
            Self::Reduced { order, open } => book::Event::Reduced { order, open },
            Self::Lifted { order, price, open, .. } => book::Event::Lifted { order, price, open },
            Self::Removed { order, open, reason } => {
                let why = if reason == Reason::SelfTrade { Removal::SelfTrade } else { Removal::Cancelled };
                book::Event::Removed { order, open, why }
            }
            _ => return None,
        })
    }
}

/// Why a step's intent had no effect; unspecified if it had, or is a repeat.
#[must_use]
pub fn refused(events: &[Event]) -> Reason {
    match events.first() {
        Some(Event::Refused { reason }) => *reason,
        _ => Reason::Unspecified,
    }
}

/// Whether a step's intent was withdrawn, or withdrew an order before its turn.
#[must_use]
pub fn is_withdrawn(events: &[Event]) -> bool {
    matches!(events.first(), Some(Event::Withdrawn { .. }))
}

/// Whether a step's intent was a repeat.
#[must_use]
pub fn is_repeated(events: &[Event]) -> bool {
    matches!(events.first(), Some(Event::Repeated { .. }))
}

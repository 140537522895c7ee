//! The server's words as the proto files say them.

use prost_types::Timestamp;
use rust_decimal::Decimal;
use xbook_proto::v1;

use crate::book::Auction;
use crate::history::Sizes;
use crate::machine::{Change, Fee, FillOf, Limits, Order, Origin, Rules, SessionTime, Stop};
use crate::types::{
    Liquidity, Lots, MarketState, Micros, OrderStatus, Reason, SelfTrade, Side, Ticks, TimeInForce,
};

/// A market's name and what its prices and quantities count in: what it takes to write its
/// numbers as decimals.
#[derive(Clone, Copy)]
pub struct Units<'a> {
    /// The market's name.
    pub market: &'a str,
    /// Its tick and lot size.
    pub sizes: Sizes,
}

impl<'a> Units<'a> {
    /// The units of a market with these rules.
    #[must_use]
    pub fn new(market: &'a str, rules: &Rules) -> Self {
        Self { market, sizes: Sizes { tick: rules.tick, lot: rules.lot } }
    }

    /// A price.
    #[must_use]
    pub fn price(&self, price: Ticks) -> String {
        self.sizes.tick.text(price.0)
    }

    /// A quantity.
    #[must_use]
    pub fn quantity(&self, quantity: Lots) -> String {
        self.sizes.lot.text(quantity.0)
    }

    /// An order.
    #[must_use]
    pub fn order(&self, order: &Order) -> v1::Order {
        let (request_id, session, command_number) = match &order.origin {
            Origin::Request(id) => (id.to_string(), String::new(), 0),
            Origin::Command { session, number } => (String::new(), session.name.to_string(), *number),
        };
        let terms = order.terms.as_deref().copied().unwrap_or_default();
        let kind = match order.limit {
            _ if terms.market_to_limit => v1::OrderType::MarketToLimit,
            _ if terms.stop.is_some_and(|stop| stop.trails()) => v1::OrderType::TrailingStop,
            Some(_) if terms.stop.is_some() => v1::OrderType::StopLimit,
            None if terms.stop.is_some() => v1::OrderType::Stop,
            Some(_) => v1::OrderType::Limit,
            None => v1::OrderType::Market,
        };
        let minimum = (!terms.minimum.is_zero()).then(|| self.quantity(terms.minimum));
        let stop_price = |of: fn(&Stop) -> Ticks| {
            let price = terms.stop.as_ref().map(of).filter(|price| price.0 > 0);
            price.map(|price| self.price(price)).unwrap_or_default()
        };
        let shows_part = !terms.display.is_zero();
        v1::Order {
            order_id: order.id.to_string(),
            market: self.market.to_owned(),
            account: order.account.to_string(),
            request_id,
            command_number,
            session,
            side: side(order.side).into(),
            r#type: kind.into(),
            time_in_force: time_in_force(order.time_in_force).into(),
            post_only: order.post_only,
            price: order.limit.map(|price| self.price(price)).unwrap_or_default(),
            quantity: self.quantity(order.quantity),
            filled_quantity: self.quantity(order.filled),
            open_quantity: self.quantity(order.open),
            filled_value: self.sizes.tick.product_text(self.sizes.lot, order.value),
            status: status(order.status).into(),
            reason: reason(order.reason).into(),
            accept_time: Some(timestamp(order.accepted)),
            expire_time: order.expires.map(timestamp),
            update_time: (order.position.0 > 0).then(|| timestamp(order.updated)),
            position: order.position.0,
            self_trade_prevention: self_trade(order.self_trade).into(),
            prevented_quantity: self.quantity(order.prevented),
            protection_price: terms.protection.map(|price| self.price(price)).unwrap_or_default(),
            min_quantity: minimum.unwrap_or_default(),
            slide: terms.slide,
            trigger_price: stop_price(|stop| stop.trigger),
            trail_distance: stop_price(|stop| stop.distance),
            limit_distance: stop_price(|stop| stop.limit_distance),
            triggered_position: terms.stop.map_or(0, |stop| stop.triggered.0),
            client_order_id: terms.client_id.map(|id| id.to_string()).unwrap_or_default(),
            display_quantity: if shows_part { self.quantity(terms.display) } else { String::new() },
            shown_quantity: if shows_part { self.quantity(terms.shown) } else { String::new() },
        }
    }

    /// An account's limits.
    #[must_use]
    pub fn limits(&self, limits: &Limits) -> v1::AccountLimits {
        let Limits { quantity, notional, orders } = *limits;
        let quantity = (!quantity.is_zero()).then(|| self.quantity(quantity));
        let notional = (notional > 0).then(|| self.sizes.tick.product_text(self.sizes.lot, notional));
        v1::AccountLimits {
            max_quantity: quantity.unwrap_or_default(),
            max_notional: notional.unwrap_or_default(),
            max_open_orders: orders,
        }
    }

    /// An order as it is read at a time of this node's clock: one whose own time has come is not told as
    /// open, though only the tape closes it, which stands still without a majority.
    #[must_use]
    pub fn order_at(&self, order: &Order, now: Micros) -> v1::Order {
        let rests = order.is_live() && order.status != OrderStatus::Pending;
        let mut told = self.order(order);
        if rests && order.expires.is_some_and(|at| at <= now) {
            told.set_status(v1::OrderStatus::Expiring);
        }
        told
    }

    /// A fill of an order.
    #[must_use]
    pub fn fill(&self, order: &Order, fill: &FillOf) -> v1::Fill {
        v1::Fill {
            position: order.position.0,
            order_id: order.id.to_string(),
            counter_order_id: fill.counter_order.to_string(),
            side: side(order.side).into(),
            liquidity: liquidity(fill.liquidity).into(),
            price: self.price(fill.price),
            quantity: self.quantity(fill.quantity),
            time: Some(timestamp(order.updated)),
            market: self.market.to_owned(),
            fee: fill.fee.to_string(),
            auction: fill.auction,
        }
    }

    /// The trade that a change tells of: the taker's side of a fill.
    #[must_use]
    pub fn trade(&self, change: &Change) -> Option<v1::Trade> {
        let Change::Order { order, fill: Some(fill), .. } = change else {
            return None;
        };
        (fill.liquidity == Liquidity::Taker).then(|| v1::Trade {
            position: order.position.0,
            price: self.price(fill.price),
            quantity: self.quantity(fill.quantity),
            taker_side: side(order.side).into(),
            maker_order_id: fill.counter_order.to_string(),
            taker_order_id: order.id.to_string(),
            time: Some(timestamp(order.updated)),
            auction: fill.auction,
        })
    }

    /// What an uncross would give.
    #[must_use]
    pub fn indication(&self, auction: &Auction) -> v1::Indication {
        let surplus = self.quantity(Lots(auction.surplus.unsigned_abs()));
        v1::Indication {
            price: self.price(auction.price),
            volume: self.quantity(auction.volume),
            surplus: if auction.surplus < 0 { format!("-{surplus}") } else { surplus },
        }
    }

    /// A price level, without its orders.
    #[must_use]
    pub fn level(&self, price: Ticks, open: Lots, orders: u32) -> v1::Level {
        v1::Level {
            price: self.price(price),
            quantity: self.quantity(open),
            order_count: orders,
            orders: Vec::new(),
            continued: false,
        }
    }
}

/// Microseconds of a minute.
pub const MINUTE: u64 = 60_000_000;

/// A market's rules, with every field set.
#[must_use]
pub fn rules(rules: &Rules) -> v1::MarketRules {
    v1::MarketRules {
        tick_size: rules.tick.to_string(),
        lot_size: rules.lot.to_string(),
        min_quantity: rules.lot.text(rules.min_lots.0),
        max_quantity: rules.lot.text(rules.max_lots.0),
        default_self_trade_prevention: self_trade(rules.self_trade).into(),
        protection_bp: rules.protection_bp,
        day_end_minute: u32::try_from(rules.day_end.0 / MINUTE).unwrap_or(0),
        maker_fee_bp: fee_rate(rules.fees.maker),
        taker_fee_bp: fee_rate(rules.fees.taker),
        fee_step: Fee::sum_text(rules.fees.step.into()),
        auction_fee_bp: fee_rate(rules.fees.auction),
        static_band_bp: rules.bands.static_bp,
        dynamic_band_bp: rules.bands.dynamic_bp,
        volatility_auction_seconds: seconds(rules.bands.volatility_auction),
        auction_extension_seconds: seconds(rules.bands.auction_extension),
        sessions: rules.sessions.iter().map(session_time).collect(),
    }
}

/// Microseconds of a second.
pub const SECOND: u64 = 1_000_000;

fn seconds(span: Micros) -> u32 {
    u32::try_from(span.0 / SECOND).unwrap_or(u32::MAX)
}

fn session_time(session: &SessionTime) -> v1::SessionTime {
    let minute = u32::try_from(session.at.0 / MINUTE).unwrap_or(0);
    v1::SessionTime { minute, state: market_state(session.state).into() }
}

/// A fee's rate in basis points.
fn fee_rate(rate: i32) -> String {
    Decimal::new(rate.into(), 2).normalize().to_string()
}

/// A market's state.
#[must_use]
pub fn market_state(state: MarketState) -> v1::MarketState {
    match state {
        MarketState::Unspecified => v1::MarketState::Unspecified,
        MarketState::PreOpen => v1::MarketState::PreOpen,
        MarketState::Auction => v1::MarketState::Auction,
        MarketState::Continuous => v1::MarketState::Continuous,
        MarketState::PostOnly => v1::MarketState::PostOnly,
        MarketState::CancelOnly => v1::MarketState::CancelOnly,
        MarketState::Halted => v1::MarketState::Halted,
        MarketState::Closed => v1::MarketState::Closed,
        MarketState::Delisted => v1::MarketState::Delisted,
    }
}

/// A state that a client asks for; `None` if it is not set.
#[must_use]
pub fn market_state_asked(state: v1::MarketState) -> Option<MarketState> {
    Some(match state {
        v1::MarketState::Unspecified => return None,
        v1::MarketState::PreOpen => MarketState::PreOpen,
        v1::MarketState::Auction => MarketState::Auction,
        v1::MarketState::Continuous => MarketState::Continuous,
        v1::MarketState::PostOnly => MarketState::PostOnly,
        v1::MarketState::CancelOnly => MarketState::CancelOnly,
        v1::MarketState::Halted => MarketState::Halted,
        v1::MarketState::Closed => MarketState::Closed,
        v1::MarketState::Delisted => MarketState::Delisted,
    })
}

/// A side.
#[must_use]
pub fn side(side: Side) -> v1::Side {
    match side {
        Side::Buy => v1::Side::Buy,
        Side::Sell => v1::Side::Sell,
    }
}

/// A side that a client sent; `None` if it is not set.
#[must_use]
pub fn side_asked(side: v1::Side) -> Option<Side> {
    match side {
        v1::Side::Unspecified => None,
        v1::Side::Buy => Some(Side::Buy),
        v1::Side::Sell => Some(Side::Sell),
    }
}

/// A time in force.
#[must_use]
pub fn time_in_force(time_in_force: TimeInForce) -> v1::TimeInForce {
    match time_in_force {
        TimeInForce::Unspecified => v1::TimeInForce::Unspecified,
        TimeInForce::Gtc => v1::TimeInForce::Gtc,
        TimeInForce::Gtd => v1::TimeInForce::Gtd,
        TimeInForce::Ioc => v1::TimeInForce::Ioc,
        TimeInForce::Fok => v1::TimeInForce::Fok,
        TimeInForce::Day => v1::TimeInForce::Day,
        TimeInForce::Auction => v1::TimeInForce::Auction,
    }
}

/// A time in force that a client sent; `None` if it is not set.
#[must_use]
pub fn time_in_force_asked(time_in_force: v1::TimeInForce) -> Option<TimeInForce> {
    match time_in_force {
        v1::TimeInForce::Unspecified => None,
        v1::TimeInForce::Gtc => Some(TimeInForce::Gtc),
        v1::TimeInForce::Gtd => Some(TimeInForce::Gtd),
        v1::TimeInForce::Ioc => Some(TimeInForce::Ioc),
        v1::TimeInForce::Fok => Some(TimeInForce::Fok),
        v1::TimeInForce::Day => Some(TimeInForce::Day),
        v1::TimeInForce::Auction => Some(TimeInForce::Auction),
    }
}

/// What happens between orders of one account.
#[must_use]
pub fn self_trade(self_trade: SelfTrade) -> v1::SelfTradePrevention {
    match self_trade {
        SelfTrade::Unspecified => v1::SelfTradePrevention::Unspecified,
        SelfTrade::CancelTaker => v1::SelfTradePrevention::CancelTaker,
        SelfTrade::CancelMaker => v1::SelfTradePrevention::CancelMaker,
        SelfTrade::CancelBoth => v1::SelfTradePrevention::CancelBoth,
        SelfTrade::Decrement => v1::SelfTradePrevention::Decrement,
        SelfTrade::Allow => v1::SelfTradePrevention::Allow,
    }
}

/// What a client asked for between orders of one account.
#[must_use]
pub fn self_trade_asked(asked: v1::SelfTradePrevention) -> SelfTrade {
    match asked {
        v1::SelfTradePrevention::Unspecified => SelfTrade::Unspecified,
        v1::SelfTradePrevention::CancelTaker => SelfTrade::CancelTaker,
        v1::SelfTradePrevention::CancelMaker => SelfTrade::CancelMaker,
        v1::SelfTradePrevention::CancelBoth => SelfTrade::CancelBoth,
        v1::SelfTradePrevention::Decrement => SelfTrade::Decrement,
        v1::SelfTradePrevention::Allow => SelfTrade::Allow,
    }
}

/// Where an order stands.
#[must_use]
pub fn status(status: OrderStatus) -> v1::OrderStatus {
    match status {
        OrderStatus::Unspecified => v1::OrderStatus::Unspecified,
        OrderStatus::Pending => v1::OrderStatus::Pending,
        OrderStatus::Open => v1::OrderStatus::Open,
        OrderStatus::PartiallyFilled => v1::OrderStatus::PartiallyFilled,
        OrderStatus::Filled => v1::OrderStatus::Filled,
        OrderStatus::Cancelled => v1::OrderStatus::Cancelled,
        OrderStatus::Rejected => v1::OrderStatus::Rejected,
        OrderStatus::Expired => v1::OrderStatus::Expired,
        OrderStatus::Waiting => v1::OrderStatus::Waiting,
    }
}

fn liquidity(liquidity: Liquidity) -> v1::Liquidity {
    match liquidity {
        Liquidity::Unspecified => v1::Liquidity::Unspecified,
        Liquidity::Maker => v1::Liquidity::Maker,
        Liquidity::Taker => v1::Liquidity::Taker,
    }
}

/// Why a request was refused at its turn, or an order closed.
#[must_use]
pub fn reason(reason: Reason) -> v1::Reason {
    match reason {
        Reason::Unspecified => v1::Reason::Unspecified,
        Reason::MissingField => v1::Reason::MissingField,
        Reason::MalformedText => v1::Reason::MalformedText,
        Reason::UnknownValue => v1::Reason::UnknownValue,
        Reason::NotPositive => v1::Reason::NotPositive,
        Reason::AboveMaximum => v1::Reason::AboveMaximum,
        Reason::MarketExists => v1::Reason::MarketExists,
        Reason::UnknownOrder => v1::Reason::UnknownOrder,
        Reason::OtherAccount => v1::Reason::OtherAccount,
        Reason::OrderClosed => v1::Reason::OrderClosed,
        Reason::RequestIdReused => v1::Reason::RequestIdReused,
        Reason::SessionGap => v1::Reason::SessionGap,
        Reason::Forgotten => v1::Reason::Forgotten,
        Reason::AlreadyVoter => v1::Reason::AlreadyVoter,
        Reason::NotVoter => v1::Reason::NotVoter,
        Reason::LastVoter => v1::Reason::LastVoter,
        Reason::TooManyVoters => v1::Reason::TooManyVoters,
        Reason::UnknownNode => v1::Reason::UnknownNode,
        Reason::SessionForgotten => v1::Reason::SessionForgotten,
        Reason::CommandReused => v1::Reason::CommandReused,
        Reason::BelowFilled => v1::Reason::BelowFilled,
        Reason::ClientIdInUse => v1::Reason::ClientIdInUse,
        Reason::WouldTake => v1::Reason::WouldTake,
        Reason::NotFillable => v1::Reason::NotFillable,
        Reason::NoLiquidity => v1::Reason::NoLiquidity,
        Reason::LevelFull => v1::Reason::LevelFull,
        Reason::Requested => v1::Reason::Requested,
        Reason::Replaced => v1::Reason::Replaced,
        Reason::WouldTrigger => v1::Reason::WouldTrigger,
        Reason::NoLastTrade => v1::Reason::NoLastTrade,
        Reason::ExpireTime => v1::Reason::ExpireTime,
        Reason::SequenceBy => v1::Reason::SequenceBy,
        Reason::TooMany => v1::Reason::TooMany,
        Reason::SelfTrade => v1::Reason::SelfTrade,
        Reason::MinNotFillable => v1::Reason::MinNotFillable,
        Reason::Protection => v1::Reason::Protection,
        Reason::AuctionEnded => v1::Reason::AuctionEnded,
        Reason::PriceBand => v1::Reason::PriceBand,
        Reason::FixedRule => v1::Reason::FixedRule,
        Reason::AccountKilled => v1::Reason::AccountKilled,
        Reason::DeadMan => v1::Reason::DeadMan,
        Reason::Disconnected => v1::Reason::Disconnected,
        Reason::MarketState => v1::Reason::MarketState,
        Reason::SessionEnd => v1::Reason::SessionEnd,
        Reason::Delisted => v1::Reason::Delisted,
        Reason::AccountQuantity => v1::Reason::AccountQuantity,
        Reason::AccountNotional => v1::Reason::AccountNotional,
        Reason::NotInvited => v1::Reason::NotInvited,
        Reason::OtherKey => v1::Reason::OtherKey,
    }
}

/// A point in time.
#[must_use]
pub fn timestamp(at: Micros) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(at.0 / SECOND).unwrap_or(i64::MAX),
        nanos: i32::try_from(at.0 % SECOND * 1_000).unwrap_or(0),
    }
}

/// A point in time that a client sent; `None` before 1970 or after 9999.
#[must_use]
pub fn micros(at: &Timestamp) -> Option<Micros> {
    const LAST_SECOND: u64 = 253_402_300_799;
    let seconds = u64::try_from(at.seconds).ok().filter(|seconds| *seconds <= LAST_SECOND)?;
    let nanos = u64::try_from(at.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Micros(seconds * 1_000_000 + nanos / 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What only the API says: admission's refusals, and those of a node that can't answer.
    const NEVER_RECORDED: [v1::Reason; 20] = [
        v1::Reason::MalformedDecimal,
        v1::Reason::ConflictingFields,
        v1::Reason::OffTick,
        v1::Reason::OffLot,
        v1::Reason::BelowMinimum,
        v1::Reason::TimePassed,
        v1::Reason::UnknownMarket,
        v1::Reason::Overloaded,
        v1::Reason::SlowReader,
        v1::Reason::ShuttingDown,
        v1::Reason::StoreFailed,
        v1::Reason::Deadline,
        v1::Reason::Position,
        v1::Reason::Away,
        v1::Reason::Quarantined,
        v1::Reason::Starting,
        v1::Reason::TooMuchUnread,
        v1::Reason::TooManyConnections,
        v1::Reason::FormatUnready,
        v1::Reason::FormatUnreadable,
    ];

    #[test]
    fn each_reason_is_recorded_under_the_name_that_clients_see_or_never() {
        for number in 0..1_000 {
            let told = v1::Reason::try_from(number).ok();
            let recorded = Reason::try_from(number).ok();
            let never = told.is_some_and(|told| NEVER_RECORDED.contains(&told));
            assert_eq!(recorded.map(reason), told.filter(|_| !never), "{number}");
            if let Some(recorded) = recorded {
                assert_eq!(recorded.as_str_name(), reason(recorded).as_str_name());
            }
        }
    }

    #[test]
    fn words_of_an_order_are_recorded_under_the_names_that_clients_see() {
        for number in 0..1_000 {
            let told = v1::TimeInForce::try_from(number).ok();
            assert_eq!(TimeInForce::try_from(number).ok().map(time_in_force), told, "{number}");
            if let Some(told) = told.filter(|told| *told != v1::TimeInForce::Unspecified) {
                assert_eq!(time_in_force_asked(told).map(time_in_force), Some(told));
            }
            let told = v1::SelfTradePrevention::try_from(number).ok();
            assert_eq!(SelfTrade::try_from(number).ok().map(self_trade), told, "{number}");
            if let Some(told) = told {
                assert_eq!(self_trade(self_trade_asked(told)), told);
            }
            let told = v1::Liquidity::try_from(number).ok();
            assert_eq!(Liquidity::try_from(number).ok().map(liquidity), told, "{number}");
            // That an order's time has come by a node's clock is no event.
            let told = v1::OrderStatus::try_from(number).ok().filter(|s| *s != v1::OrderStatus::Expiring);
            assert_eq!(OrderStatus::try_from(number).ok().map(status), told, "{number}");
        }
    }
}

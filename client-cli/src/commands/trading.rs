//! `buy`, `sell`, `amend`, `replace`, `cancel`, `cancel-all`: the verbs that change something.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use tonic::Status;
use xbook_proto::v1::amend_order_request::Size;
use xbook_proto::v1::{
    AmendOrderRequest, AnswerWhen, CancelAllOrdersRequest, CancelAllOrdersResponse, CancelOrderRequest,
    MarketCancelled, NewOrder, Order, OrderStatus, OrderType, PlaceOrderRequest, ReplaceOrderRequest,
    SelfTradePrevention, Side, TimeInForce,
};

use super::Context;
use crate::args::{
    AmendArgs, CancelAllArgs, CancelArgs, Expiry, PlaceArgs, Price, ReplaceArgs, SelfTradeArg, SideArg, Tif,
};
use crate::failure::{Exit, Failure, Repeat};

use crate::show;
use crate::show::steps::Steps;
use crate::show::words;

/// Fills of an order that took all that may rest in a market.
const MOST_FILLS: u32 = 500_000;

/// `buy` or `sell`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Buy,
    Sell,
}

pub async fn place(context: Context<'_, '_>, direction: Direction, args: PlaceArgs) -> Result<Exit, Failure> {
    let asked = Asked::new(&context, direction, args)?;
    let request = PlaceOrderRequest {
        request_id: asked.repeat.request_id.clone(),
        market: asked.market.clone(),
        order: Some(asked.order.clone()),
        answer_when: asked.answer_when().into(),
    };
    let request = context.client.request(request);
    let answer = context.client.trading().place_order(request).await;
    let answer = answer.map_err(|status| asked.lost(&status))?.into_inner();
    let order = answer.order.clone().unwrap_or_default();
    let steps = context.steps(&asked.market).await;
    let turn_by = turn_by(&order, asked.drawn.then_some(asked.sent), context.timeout);
    context.output.show(&answer, |terminal| {
        let shown = show::order::outcome(&order, &answer.fills, turn_by.as_ref(), &steps, terminal);
        shown + &more_fills(&order, answer.more_fills)
    })?;
    Ok(exit_of(&order, asked.no_wait))
}

pub async fn replace(context: Context<'_, '_>, args: ReplaceArgs) -> Result<Exit, Failure> {
    let direction = match args.side {
        SideArg::Buy => Direction::Buy,
        SideArg::Sell => Direction::Sell,
    };
    let asked = Asked::new(&context, direction, args.place)?;
    let (order_id, client_order_id) = match args.by_client_id {
        true => (String::new(), args.replaced),
        false => (args.replaced, String::new()),
    };
    let request = ReplaceOrderRequest {
        request_id: asked.repeat.request_id.clone(),
        market: asked.market.clone(),
        order_id,
        client_order_id,
        order: Some(asked.order.clone()),
        answer_when: asked.answer_when().into(),
    };
    let request = context.client.request(request);
    let answer = context.client.trading().replace_order(request).await;
    let answer = answer.map_err(|status| asked.lost(&status))?.into_inner();
    let order = answer.order.clone().unwrap_or_default();
    let steps = context.steps(&asked.market).await;
    let turn_by = turn_by(&order, asked.drawn.then_some(asked.sent), context.timeout);
    context.output.show(&answer, |terminal| {
        let gone = answer.replaced.as_ref();
        let gone = gone.map(|order| show::order::outcome(order, &[], None, &steps, terminal));
        let shown = show::order::outcome(&order, &answer.fills, turn_by.as_ref(), &steps, terminal);
        gone.unwrap_or_default() + &shown + &more_fills(&order, answer.more_fills)
    })?;
    Ok(exit_of(&order, asked.no_wait))
}

/// A new order that is asked for.
struct Asked {
    market: String,
    order: NewOrder,
    repeat: Repeat,
    sent: SystemTime,
    /// Whether the request's name was drawn, so that this is no repeat.
    drawn: bool,
    no_wait: bool,
}

impl Asked {
    fn new(context: &Context<'_, '_>, direction: Direction, args: PlaceArgs) -> Result<Self, Failure> {
        let sent = context.typed.at;
        let expire_time = args.expires.map(|expiry| expiry.resolve(sent));
        let relative = matches!(args.expires, Some(Expiry::In(_)));
        let fixed = expire_time.filter(|_| relative).map(|time| time.to_string());
        let drawn = args.request.request_id.is_none();
        let repeat = context.repeat(args.request, fixed.as_deref());
        let (order_type, price) = match args.price {
            Price::Limit(price) if args.stop.is_some() => (OrderType::StopLimit, price),
            Price::Market if args.trail.is_some() => (OrderType::TrailingStop, String::new()),
            Price::Market if args.stop.is_some() => (OrderType::Stop, String::new()),
            Price::Limit(price) => (OrderType::Limit, price),
            Price::Market => (OrderType::Market, String::new()),
            Price::MarketToLimit => (OrderType::MarketToLimit, String::new()),
        };
        let order = NewOrder {
            side: match direction {
                Direction::Buy => Side::Buy.into(),
                Direction::Sell => Side::Sell.into(),
            },
            r#type: order_type.into(),
            price,
            quantity: args.quantity,
            time_in_force: time_in_force(args.tif, expire_time.is_some()).into(),
            post_only: args.post_only || args.slide,
            slide: args.slide,
            min_quantity: args.min.unwrap_or_default(),
            trigger_price: args.stop.unwrap_or_default(),
            trail_distance: args.trail.unwrap_or_default(),
            limit_distance: args.trail_limit.unwrap_or_default(),
            client_order_id: args.client_id.unwrap_or_default(),
            display_quantity: args.show.unwrap_or_default(),
            protection_price: args.protection.unwrap_or_default(),
            expire_time,
            sequence_by: None,
            self_trade_prevention: self_trade(args.self_trade).into(),
        };
        Ok(Self { market: args.market, order, repeat, sent, drawn, no_wait: args.no_wait })
    }

    fn answer_when(&self) -> AnswerWhen {
        if self.no_wait { AnswerWhen::Accepted } else { AnswerWhen::Committed }
    }

    fn lost(&self, status: &Status) -> Failure {
        lost(Failure::of_change(status, &self.repeat), &self.market)
    }
}

/// When a pending order that may not rest expires: the node counts the call's deadline from when it
/// accepted the order. Where it does not tell when that was, it was about when this first call was
/// `sent`; a call that may be a repeat says nothing of that.
fn turn_by(order: &Order, sent: Option<SystemTime>, timeout: Duration) -> Option<Timestamp> {
    let accepted = order.accept_time.and_then(|time| SystemTime::try_from(time).ok());
    Some(Timestamp::from(accepted.or(sent)? + timeout))
}

/// An order whose answer is lost may be on the node's disk.
fn lost(failure: Failure, market: &str) -> Failure {
    if failure.exit != Exit::OutcomeUnknown {
        return failure;
    }
    failure.advise(format!(
        "until then it may trade: the repeat's answer, or `xcli orders {market} --all`, has its id, and \
         `xcli cancel {market} ID` withdraws it"
    ))
}

fn time_in_force(tif: Option<Tif>, expires: bool) -> TimeInForce {
    match tif {
        Some(Tif::Gtc) => TimeInForce::Gtc,
        Some(Tif::Gtd) => TimeInForce::Gtd,
        Some(Tif::Ioc) => TimeInForce::Ioc,
        Some(Tif::Fok) => TimeInForce::Fok,
        Some(Tif::Day) => TimeInForce::Day,
        Some(Tif::Auction) => TimeInForce::Auction,
        None if expires => TimeInForce::Gtd,
        None => TimeInForce::Unspecified,
    }
}

fn self_trade(way: Option<SelfTradeArg>) -> SelfTradePrevention {
    match way {
        None => SelfTradePrevention::Unspecified,
        Some(SelfTradeArg::CancelTaker) => SelfTradePrevention::CancelTaker,
        Some(SelfTradeArg::CancelMaker) => SelfTradePrevention::CancelMaker,
        Some(SelfTradeArg::CancelBoth) => SelfTradePrevention::CancelBoth,
        Some(SelfTradeArg::Decrement) => SelfTradePrevention::Decrement,
    }
}

/// An order that is still pending has no outcome yet; whether that is news depends on whether the
/// caller wanted to wait for it.
fn exit_of(order: &Order, pending_is_done: bool) -> Exit {
    match OrderStatus::try_from(order.status).unwrap_or_default() {
        OrderStatus::Rejected | OrderStatus::Expired => Exit::Refused,
        OrderStatus::Pending if !pending_is_done => Exit::OutcomeUnknown,
        _ => Exit::Done,
    }
}

pub async fn amend(context: Context<'_, '_>, args: AmendArgs) -> Result<Exit, Failure> {
    let repeat = context.repeat(args.request, None);
    let size = args.quantity.map(Size::TotalQuantity).or(args.open.map(Size::OpenQuantity));
    let request = AmendOrderRequest {
        request_id: repeat.request_id.clone(),
        market: args.market.clone(),
        order_id: args.named.order.unwrap_or_default(),
        client_order_id: args.named.client_id.unwrap_or_default(),
        price: args.price.unwrap_or_default(),
        trigger_price: args.stop.unwrap_or_default(),
        size,
    };
    let request = context.client.request(request);
    let answer = context.client.trading().amend_order(request).await;
    let answer = answer.map_err(|status| Failure::of_change(&status, &repeat))?.into_inner();
    let order = answer.order.clone().unwrap_or_default();
    let steps = context.steps(&args.market).await;
    context.output.show(&answer, |terminal| {
        show::order::outcome(&order, &answer.fills, None, &steps, terminal)
            + &more_fills(&order, answer.more_fills)
    })?;
    Ok(exit_of(&order, false))
}

pub async fn cancel(context: Context<'_, '_>, args: CancelArgs) -> Result<Exit, Failure> {
    let repeat = context.repeat(args.request, None);
    let request = CancelOrderRequest {
        request_id: repeat.request_id.clone(),
        market: args.market,
        order_id: args.named.order.clone().unwrap_or_default(),
        client_order_id: args.named.client_id.clone().unwrap_or_default(),
        // Whoever cancels by hand wants the order gone, pending or not.
        withdraw: true,
        ..CancelOrderRequest::default()
    };
    let request = context.client.request(request);
    let answer = context.client.trading().cancel_order(request).await;
    let answer = answer.map_err(|status| Failure::of_change(&status, &repeat))?.into_inner();
    context.output.show(&answer, |terminal| match &answer.order {
        Some(order) => show::order::outcome(order, &[], None, &Steps::default(), terminal),
        None if answer.withdrawn => format!(
            "Order {} is withdrawn: it can't trade any more. It is shown as cancelled once its turn has come.\n",
            args.named.words()
        ),
        None => format!("Order {} is withdrawn: it will be cancelled at its turn.\n", args.named.words()),
    })?;
    Ok(Exit::Done)
}

/// What stands for all markets.
pub(super) const ALL: &str = "all";

pub async fn cancel_all(context: Context<'_, '_>, args: CancelAllArgs) -> Result<Exit, Failure> {
    let repeat = context.repeat(args.request, None);
    let side = match args.side {
        Some(SideArg::Buy) => Side::Buy,
        Some(SideArg::Sell) => Side::Sell,
        None => Side::Unspecified,
    };
    let request = CancelAllOrdersRequest {
        request_id: repeat.request_id.clone(),
        market: if args.market == ALL { String::new() } else { args.market.clone() },
        side: side.into(),
    };
    let request = context.client.request(request);
    let answer = context.client.trading().cancel_all_orders(request).await;
    let answer = answer.map_err(|status| Failure::of_change(&status, &repeat))?.into_inner();
    context.output.show(&answer, |_| cancelled(&args.market, &answer))?;
    Ok(Exit::Done)
}

pub(super) fn cancelled(market: &str, answer: &CancelAllOrdersResponse) -> String {
    let CancelAllOrdersResponse { order_ids, count, markets, .. } = answer;
    if market == ALL {
        let line =
            |of: &MarketCancelled| format!("  {}: {}\n", of.market, words::count_of(of.count, "order"));
        let lines: String = markets.iter().map(line).collect();
        return match markets.as_slice() {
            [] => "There was nothing to cancel. `xcli orders --all` lists your orders, closed ones too.\n"
                .to_owned(),
            _ => format!("Cancelled {}:\n{lines}", words::count_of(*count, "order")),
        };
    }
    if order_ids.is_empty() {
        return format!(
            "There was nothing to cancel in {market}. `xcli orders {market} --all` lists your orders, closed \
             ones too.\n"
        );
    }
    let ids: String = order_ids.iter().map(|id| format!("  {id}\n")).collect();
    let more = match count.saturating_sub(order_ids.len() as u64) {
        0 => String::new(),
        more => format!("and {more} more: see them with `xcli orders {market} --all --limit {count}`.\n"),
    };
    let count = usize::try_from(*count).unwrap_or(usize::MAX);
    format!("Cancelled {} in {market}:\n{ids}{more}", words::count(count, "order"))
}

/// Where the fills are that an answer had no room for.
fn more_fills(order: &Order, more: bool) -> String {
    if !more {
        return String::new();
    }
    let Order { market, order_id, .. } = order;
    format!(
        "It has more fills than are shown: see all with `xcli fills {market} --order {order_id} --limit {MOST_FILLS}`.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orders_status_decides_the_exit_code() {
        use OrderStatus::*;
        for (status, expected) in [
            (Open, Exit::Done),
            (PartiallyFilled, Exit::Done),
            (Filled, Exit::Done),
            (Cancelled, Exit::Done),
            (Rejected, Exit::Refused),
            (Expired, Exit::Refused),
            (Expiring, Exit::Done),
            (Pending, Exit::OutcomeUnknown),
        ] {
            let order = Order { status: status.into(), ..Order::default() };
            assert_eq!(exit_of(&order, false), expected, "{status:?}");
        }
        let pending = Order { status: Pending.into(), ..Order::default() };
        assert_eq!(exit_of(&pending, true), Exit::Done);
    }

    #[test]
    fn the_deadline_counts_from_when_the_order_was_accepted() {
        let stamp = |seconds| Timestamp { seconds, nanos: 0 };
        let sent = SystemTime::try_from(stamp(1_000)).unwrap();
        let order = |accept_time| Order { accept_time, ..Order::default() };
        let timeout = Duration::from_secs(10);
        for (accepted, sent, expected) in [
            (Some(stamp(900)), Some(sent), Some(stamp(910))),
            (Some(stamp(900)), None, Some(stamp(910))),
            (None, Some(sent), Some(stamp(1_010))),
            (None, None, None),
        ] {
            assert_eq!(turn_by(&order(accepted), sent, timeout), expected);
        }
    }

    #[test]
    fn an_expiry_makes_an_order_good_till_date() {
        assert_eq!(time_in_force(None, true), TimeInForce::Gtd);
        assert_eq!(time_in_force(None, false), TimeInForce::Unspecified);
        assert_eq!(time_in_force(Some(Tif::Ioc), true), TimeInForce::Ioc);
    }

    #[test]
    fn cancelled_orders_are_counted_and_named() {
        let order_ids = vec!["a-1".to_owned(), "a-2".to_owned()];
        let answer = CancelAllOrdersResponse { order_ids, count: 2, position: 7, markets: Vec::new() };
        assert_eq!(cancelled("A/B", &answer), "Cancelled 2 orders in A/B:\n  a-1\n  a-2\n");
        assert!(cancelled("A/B", &CancelAllOrdersResponse::default()).contains("nothing to cancel"));
        let of = MarketCancelled { market: "A/B".to_owned(), count: 2, ..MarketCancelled::default() };
        let answer = CancelAllOrdersResponse { count: 2, markets: vec![of], ..answer };
        assert_eq!(cancelled(ALL, &answer), "Cancelled 2 orders:\n  A/B: 2 orders\n");
        assert!(cancelled(ALL, &CancelAllOrdersResponse::default()).contains("nothing to cancel"));
    }
}

//! `TradingService`.

use std::pin::Pin;

use futures::Stream;
use tonic::{Request, Response, Status, Streaming};
use xbook_proto::v1::trading_service_server::TradingService;
use xbook_proto::v1::{self, AnswerWhen, Reason};

use super::admission::{self, Caller, NotAdmitted, Times};
use super::call::{self, Deadline};
use super::convert::{self, Units};
use super::error::Refusal;
use super::submit::{Reached, Settled, read_history};
use super::{Api, cancel_all, limits, lists, orders, positions, replace, size, streams, trade_session};
use crate::layers;
use crate::machine::{self, Account, Action, Change, Intent, Order, Target};
use crate::node::MarketHandle;
use crate::types::{ClientId, Liquidity, Micros, OrderId, Position};

type Answer<T> = Result<Response<T>, Status>;

/// The answers of a streaming call.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl TradingService for Api {
    type TradeStream = Answers<v1::TradeResponse>;
    type StreamOrderUpdatesStream = Answers<v1::StreamOrderUpdatesResponse>;

    async fn place_order(&self, call: Request<v1::PlaceOrderRequest>) -> Answer<v1::PlaceOrderResponse> {
        let (mut caller, deadline) = self.caller(&call)?;
        let message = call.into_inner();
        layers::concern(&message.market, "");
        let market = self.listed(&message.market)?;
        let rules = market.as_ref().map(MarketHandle::rules);
        caller.times.tape_ahead =
            market.as_ref().map_or(Micros(0), |market| market.tape_ahead(caller.times.now));
        // Times that have passed are judged again below.
        let timed =
            message.order.as_ref().filter(|new| new.expire_time.is_some() || new.sequence_by.is_some());
        let again = timed.is_some().then(|| message.clone());
        let admitted = admission::place_order(message, rules, &caller);
        let missing = || Refusal::unknown_market(market.as_ref().map_or("", |market| market.name()));
        match (admitted, &market) {
            (Ok((request, when)), Some(market)) => {
                Ok(Response::new(Box::pin(self.place(market, request, when, deadline)).await?))
            }
            (Ok(_), None) => Err(missing().into()),
            (Err(rejected), Some(market)) => Ok(Response::new(
                Box::pin(self.place_again(market, *rejected, again, caller, deadline)).await?,
            )),
            (Err(rejected), None) => Err(rejected.refusal.into()),
        }
    }

    async fn amend_order(&self, call: Request<v1::AmendOrderRequest>) -> Answer<v1::AmendOrderResponse> {
        let (caller, deadline) = self.caller(&call)?;
        let message = call.into_inner();
        layers::concern(&message.market, &message.order_id);
        let market = self.listed(&message.market)?;
        let named = admission::target(&message.order_id, &message.client_order_id).ok();
        let admitted = admission::amend_order(message, market.as_ref().map(MarketHandle::rules), &caller);
        let Some(market) = market else {
            return Err(admitted
                .map_or_else(|rejected| rejected.refusal, |_| Refusal::shutting_down())
                .into());
        };
        let (settled, target) = match admitted {
            Ok(request) => Box::pin(self.change(&market, request, deadline)).await?,
            Err(rejected) => self.amended_before(&market, *rejected, named, deadline).await?,
        };
        let units = units(&market);
        let (fills, more_fills) = taker_fills(&units, &settled, target);
        let order = settled.order(target).map(|order| units.order(order));
        let position = settled.position.0;
        Ok(Response::new(v1::AmendOrderResponse { order, fills, more_fills, position }))
    }

    async fn cancel_order(&self, call: Request<v1::CancelOrderRequest>) -> Answer<v1::CancelOrderResponse> {
        let (caller, deadline) = self.caller(&call)?;
        let mut message = call.into_inner();
        layers::concern(&message.market, &message.order_id);
        let market = self.listed(&message.market)?;
        // A plain cancel by the client's name finds its order at its turn.
        let by_client = !message.client_order_id.is_empty();
        let others = [&message.order_id, &message.placed_by_request_id, &message.session];
        let several = by_client && others.iter().any(|name| !name.is_empty());
        let named = !message.placed_by_request_id.is_empty()
            || !message.session.is_empty()
            || by_client && message.withdraw
            || several;
        if let Some(market) = market.as_ref().filter(|_| named) {
            let name = orders::Named {
                order_id: &message.order_id,
                request_id: &message.placed_by_request_id,
                session: &message.session,
                command_number: message.command_number,
                client_order_id: &message.client_order_id,
            };
            let id = deadline.wait(orders::named(market, &caller.account, name)).await??;
            message = v1::CancelOrderRequest {
                request_id: message.request_id,
                market: message.market,
                order_id: id.to_string(),
                withdraw: message.withdraw,
                ..v1::CancelOrderRequest::default()
            };
        }
        let request = admission::cancel_order(message, market.as_ref().map(MarketHandle::rules), &caller)?;
        let market = market.ok_or_else(Refusal::shutting_down)?;
        let account = request.account.clone();
        let withdraws = match request.action {
            Action::Withdraw(order) => Some(order),
            _ => None,
        };
        let (settled, target) = match (Box::pin(self.change(&market, request, deadline)).await, withdraws) {
            (Ok(changed), _) => changed,
            // Accepted, or else it would have another reason.
            (Err(refusal), Some(order)) if refusal.reason() == Reason::Deadline => {
                if self.waits_withdrawn(&market, order, &account).await? {
                    let (order, position) = (None, 0);
                    return Ok(Response::new(v1::CancelOrderResponse { order, position, withdrawn: true }));
                }
                return Err(refusal.into());
            }
            (Err(refusal), _) => return Err(refusal.into()),
        };
        let units = units(&market);
        let mut order = settled.order(target).map(|order| units.order(order));
        if order.is_none() {
            // Withdrawn: it was closed, or will be, at its own turn.
            let found = orders::find(&market, target, &account, deadline).await;
            let closed = found.ok().filter(|found| !found.order.is_live());
            order = closed.map(|found| Units { sizes: found.sizes, ..units }.order(&found.order));
        }
        Ok(Response::new(v1::CancelOrderResponse { order, position: settled.position.0, withdrawn: false }))
    }

    async fn replace_order(
        &self,
        call: Request<v1::ReplaceOrderRequest>,
    ) -> Answer<v1::ReplaceOrderResponse> {
        Ok(Response::new(Box::pin(replace::replace(self, call)).await?))
    }

    async fn cancel_all_orders(
        &self,
        call: Request<v1::CancelAllOrdersRequest>,
    ) -> Answer<v1::CancelAllOrdersResponse> {
        Ok(Response::new(Box::pin(cancel_all::cancel_all(self, call)).await?))
    }

    async fn cancel_all_after(
        &self,
        call: Request<v1::CancelAllAfterRequest>,
    ) -> Answer<v1::CancelAllAfterResponse> {
        Ok(Response::new(Box::pin(cancel_all::cancel_all_after(self, call)).await?))
    }

    async fn kill_account(&self, call: Request<v1::KillAccountRequest>) -> Answer<v1::KillAccountResponse> {
        Ok(Response::new(Box::pin(cancel_all::kill(self, call)).await?))
    }

    async fn set_account_limits(
        &self,
        call: Request<v1::SetAccountLimitsRequest>,
    ) -> Answer<v1::SetAccountLimitsResponse> {
        Ok(Response::new(Box::pin(limits::set(self, call)).await?))
    }

    async fn get_account_limits(
        &self,
        call: Request<v1::GetAccountLimitsRequest>,
    ) -> Answer<v1::GetAccountLimitsResponse> {
        Ok(Response::new(limits::get(self, call).await?))
    }

    async fn get_order(&self, call: Request<v1::GetOrderRequest>) -> Answer<v1::GetOrderResponse> {
        Ok(Response::new(orders::get(self, call).await?))
    }

    async fn list_orders(&self, call: Request<v1::ListOrdersRequest>) -> Answer<v1::ListOrdersResponse> {
        Ok(Response::new(lists::orders(self, call).await?))
    }

    async fn list_fills(&self, call: Request<v1::ListFillsRequest>) -> Answer<v1::ListFillsResponse> {
        Ok(Response::new(lists::fills(self, call).await?))
    }

    async fn list_positions(
        &self,
        call: Request<v1::ListPositionsRequest>,
    ) -> Answer<v1::ListPositionsResponse> {
        Ok(Response::new(positions::list(self, call).await?))
    }

    async fn trade(&self, call: Request<Streaming<v1::TradeRequest>>) -> Answer<Self::TradeStream> {
        let account = call::account(call.metadata())?;
        let unread = self.unread.of_call(&call);
        Ok(Response::new(trade_session::open(self.clone(), account, call.into_inner(), unread)?))
    }

    async fn stream_order_updates(
        &self,
        call: Request<v1::StreamOrderUpdatesRequest>,
    ) -> Answer<Self::StreamOrderUpdatesStream> {
        let account = call::account(call.metadata())?;
        let unread = self.unread.of_call(&call);
        let message = call.into_inner();
        let market = self.find_market(&message.market)?;
        let updates = streams::OrderUpdates { account };
        Ok(Response::new(streams::follow(self, &market, message.after_position, updates, unread).await?))
    }
}

impl Api {
    /// Who calls, and until when.
    pub(super) fn caller<T>(&self, call: &Request<T>) -> Result<(Caller, Deadline), Refusal> {
        let now = self.node.clock().now();
        let deadline = Deadline::of(call.metadata(), now);
        let account = call::account(call.metadata())?;
        let times = Times { now, deadline: deadline.of_client(), tape_ahead: Micros(0) };
        if times.deadline.is_some_and(|at| at <= now) {
            return Err(Refusal::deadline());
        }
        Ok((Caller { account, times }, deadline))
    }

    /// Whether an order waits here and a withdraw of its account does so behind it, and nobody else has
    /// the order.
    async fn waits_withdrawn(
        &self,
        market: &MarketHandle,
        order: OrderId,
        account: &Account,
    ) -> Result<bool, Refusal> {
        let account = account.clone();
        let read = market.read(move |replica| {
            let own = |intent: &Intent| intent.request.account == account;
            let withdraw = |intent: &Intent| {
                own(intent) && matches!(intent.request.action, Action::Withdraw(of) if of == order)
            };
            replica.waiting_intent(order).is_some_and(own)
                && replica.pending().any(|(_, intent)| withdraw(intent))
                && replica.waits_here_alone(order)
        });
        Ok(read.await?)
    }

    /// Answers a place that is not admitted now: it may repeat one that was. Whether a time has passed
    /// for a first request or for a repeat, which another node may have taken, only the tape knows.
    async fn place_again(
        &self,
        market: &MarketHandle,
        rejected: NotAdmitted,
        again: Option<v1::PlaceOrderRequest>,
        mut caller: Caller,
        deadline: Deadline,
    ) -> Result<v1::PlaceOrderResponse, Refusal> {
        let NotAdmitted { refusal, asked } = rejected;
        let Some(asked) = asked else { return Err(refusal) };
        if let Some(reached) = self.known_before(market, &asked, deadline).await? {
            return self.placed(market, asked, reached, deadline).await;
        }
        let Some(message) = again.filter(|_| refusal.reason() == Reason::TimePassed) else {
            return Err(refusal);
        };
        caller.times.now = Micros(0);
        let admitted = admission::place_order(message, Some(market.rules()), &caller);
        let (request, when) = admitted.map_err(|rejected| rejected.refusal)?;
        let reached = match self.submit(market, request.clone(), when, deadline).await {
            Ok(Reached::Committed(settled)) if settled.is_new() && is_late(settled.refused) => {
                return Err(refusal);
            }
            Err(reused) if reused.reason() == Reason::RequestIdReused => return Err(refusal),
            reached => reached?,
        };
        self.placed(market, request, reached, deadline).await
    }

    /// The outcome of an amend that is not admitted now, if it repeats one that was.
    async fn amended_before(
        &self,
        market: &MarketHandle,
        NotAdmitted { refusal, asked }: NotAdmitted,
        named: Option<Target>,
        deadline: Deadline,
    ) -> Result<(Settled, OrderId), Refusal> {
        let (Some(asked), Some(target)) = (asked, named) else {
            return Err(refusal);
        };
        match self.known_before(market, &asked, deadline).await? {
            None => Err(refusal),
            Some(Reached::Accepted(_)) => Err(Refusal::deadline()),
            Some(Reached::Committed(settled)) => done(market, settled, target, &asked.account).await,
        }
    }

    async fn place(
        &self,
        market: &MarketHandle,
        request: machine::Request,
        when: AnswerWhen,
        deadline: Deadline,
    ) -> Result<v1::PlaceOrderResponse, Refusal> {
        let asked = request.clone();
        let reached = self.submit(market, request, when, deadline).await?;
        self.placed(market, asked, reached, deadline).await
    }

    async fn placed(
        &self,
        market: &MarketHandle,
        asked: machine::Request,
        reached: Reached,
        deadline: Deadline,
    ) -> Result<v1::PlaceOrderResponse, Refusal> {
        let units = units(market);
        match reached {
            Reached::Accepted(id) => {
                let order = self.accepted_order(market, id, asked, deadline).await?;
                let position = order.as_ref().map_or(0, |order| order.position);
                Ok(v1::PlaceOrderResponse { order, position, ..v1::PlaceOrderResponse::default() })
            }
            Reached::Committed(settled) => {
                let order = settled.order(settled.intent).ok_or_else(|| {
                    Refusal::new(settled.refused, "the order was refused").field("request_id")
                })?;
                let (fills, more_fills) = taker_fills(&units, &settled, settled.intent);
                let order = Some(units.order(order));
                Ok(v1::PlaceOrderResponse { order, fills, more_fills, position: settled.position.0 })
            }
        }
    }

    /// An accepted order as this node has it: pending, if it was not sequenced in the meantime.
    pub(super) async fn accepted_order(
        &self,
        market: &MarketHandle,
        id: OrderId,
        asked: machine::Request,
        deadline: Deadline,
    ) -> Result<Option<v1::Order>, Refusal> {
        let units = units(market);
        if let Ok(Some(order)) = market.read(move |replica| orders::live_order(replica, id)).await {
            return Ok(Some(units.order(&order)));
        }
        if let Ok(found) = orders::find(market, id, &asked.account, deadline).await {
            return Ok(Some(units.order(&found.order)));
        }
        // Closed, and there is no time left to look, or the node is ending: it is told as it was
        // sent. Only the moment at which it was accepted is not known here.
        let now = self.node.clock().now();
        let intent = Intent { request: asked, based_on: now, accepted: now };
        let Action::Place(place) = &intent.request.action else {
            return Ok(None);
        };
        let order = units.order(&Order::pending(id, &intent, place));
        Ok(Some(v1::Order { accept_time: None, ..order }))
    }

    /// Amends or cancels: a refusal is an error. Returns the outcome and the order concerned.
    async fn change(
        &self,
        market: &MarketHandle,
        request: machine::Request,
        deadline: Deadline,
    ) -> Result<(Settled, OrderId), Refusal> {
        let target = match &request.action {
            Action::Amend(amend) => amend.target,
            Action::Cancel(target) => *target,
            Action::Withdraw(order) => Target::Order(*order),
            _ => Target::Command(0),
        };
        let account = request.account.clone();
        let settled = self.committed(market, request, deadline).await?;
        done(market, settled, target, &account).await
    }

    pub(super) async fn committed(
        &self,
        market: &MarketHandle,
        request: machine::Request,
        deadline: Deadline,
    ) -> Result<Settled, Refusal> {
        match self.submit(market, request, AnswerWhen::Committed, deadline).await? {
            Reached::Committed(settled) => Ok(settled),
            Reached::Accepted(_) => Err(Refusal::deadline()),
        }
    }
}

/// The outcome of a change of an order, and the order that it is about: a refusal is an error.
async fn done(
    market: &MarketHandle,
    settled: Settled,
    target: Target,
    account: &str,
) -> Result<(Settled, OrderId), Refusal> {
    let named = match target {
        Target::Order(id) => id,
        Target::Client(name) => return done_by_name(settled, name),
        Target::Command(_) => return Err(Refusal::new(Reason::Unspecified, "the request names no order")),
    };
    // An id that lost to its twin stands for the first one. One that was changed lost to none.
    let target = match settled.order(named) {
        Some(_) => named,
        None => market.read(move |replica| orders::resolve(replica, named)).await?,
    };
    match settled.refused {
        Reason::Unspecified => Ok((settled, target)),
        Reason::UnknownOrder | Reason::OrderClosed => Err(closed_or_unknown(market, target, account).await?),
        Reason::OtherAccount => Err(Refusal::other_account(named)),
        Reason::BelowFilled => Err(below_filled(market, target).await?),
        reason => Err(Refusal::new(reason, refused_words(reason)).field("order_id").value(named)),
    }
}

/// The same for an order that is named by its client's name: the first change is its own.
fn done_by_name(settled: Settled, name: ClientId) -> Result<(Settled, OrderId), Refusal> {
    let changed = settled.changes().iter().find_map(Change::order).map(|order| order.id);
    match (settled.refused, changed) {
        (Reason::Unspecified, Some(id)) => Ok((settled, id)),
        (Reason::Unspecified | Reason::UnknownOrder | Reason::OrderClosed, _) => {
            Err(Refusal::unknown_client_id(name))
        }
        (Reason::BelowFilled, _) => {
            let words = "must be above what is filled; the order is as it was";
            Err(Refusal::new(Reason::BelowFilled, words).field("total_quantity"))
        }
        (reason, _) => Err(Refusal::new(reason, refused_words(reason)).field("client_order_id").value(name)),
    }
}

/// An amend to a total that is filled already.
async fn below_filled(market: &MarketHandle, id: OrderId) -> Result<Refusal, Refusal> {
    let order = market.read(move |replica| orders::live_order(replica, id)).await?;
    let units = units(market);
    let words = match order {
        Some(order) => format!(
            "must be above what is filled, {} of {}; the order is as it was",
            units.quantity(order.filled),
            units.quantity(order.quantity)
        ),
        None => "must be above what is filled; the order is as it was".to_owned(),
    };
    Ok(Refusal::new(Reason::BelowFilled, words).field("total_quantity"))
}

/// Why an order that does not rest can't be changed.
pub(super) async fn closed_or_unknown(
    market: &MarketHandle,
    id: OrderId,
    account: &str,
) -> Result<Refusal, Refusal> {
    let history = market.history();
    let closed = read_history(history, move |history| history.lookup().closed_order(id)).await?;
    Ok(match closed {
        None => Refusal::unknown_order(id),
        Some((order, _)) if *order.account != *account => Refusal::other_account(id),
        Some((order, _)) => {
            let status = convert::status(order.status).as_str_name().trim_start_matches("ORDER_STATUS_");
            Refusal::new(Reason::OrderClosed, format!("the order is closed: {status}"))
                .field("order_id")
                .value(id)
        }
    })
}

/// Whether an order was refused at its turn because one of its times had passed.
pub(super) fn is_late(refused: Reason) -> bool {
    matches!(refused, Reason::ExpireTime | Reason::SequenceBy)
}

fn refused_words(reason: Reason) -> &'static str {
    match reason {
        Reason::WouldTrigger => {
            "the last trade meets the trigger already, or the order does not wait; it is as it was"
        }
        Reason::UnknownValue => "a trailing stop's trigger and limit are the trades'; it is as it was",
        Reason::WouldTake => "a post-only order must not trade at once; the order is as it was",
        Reason::AboveMaximum => "the new total is above the market's maximum; the order is as it was",
        Reason::LevelFull => "the price level can't hold the quantity; the order is as it was",
        Reason::AccountQuantity => "it would be above the account's largest order; the order is as it was",
        Reason::AccountNotional => "it would be above the account's largest notional; the order is as it was",
        Reason::MarketState => "the market does not take it in its state; the order is as it was",
        Reason::AccountKilled => "the account is killed in this market",
        Reason::Forgotten => "the request is older than what is remembered; the order is as it was",
        _ => "refused; the order is as it was",
    }
}

/// The first fills that an outcome brought an order as a taker, and whether there are more.
pub(super) fn taker_fills(units: &Units<'_>, settled: &Settled, id: OrderId) -> (Vec<v1::Fill>, bool) {
    let fills = settled.changes().iter().filter_map(|change| match change {
        Change::Order { order, fill: Some(fill), .. }
            if order.id == id && fill.liquidity == Liquidity::Taker =>
        {
            Some(units.fill(order, fill))
        }
        _ => None,
    });
    size::first(fills, size::MAX_FILLS)
}

/// What a market's numbers count in.
pub(super) fn units(market: &MarketHandle) -> Units<'_> {
    Units::new(market.name(), market.rules())
}

impl Api {
    /// A market by its name.
    pub(super) fn find_market(&self, name: &str) -> Result<MarketHandle, Refusal> {
        layers::concern(name, "");
        admission::market_name(name)?;
        self.listed(name)?.ok_or_else(|| Refusal::unknown_market(name))
    }

    /// A market by its name, if there is one.
    ///
    /// # Errors
    /// It is quarantined.
    pub(super) fn listed(&self, name: &str) -> Result<Option<MarketHandle>, Refusal> {
        match self.node.market(name) {
            Some(market) => Ok(Some(market.usable()?)),
            None if self.node.knows_directory() => Ok(None),
            // The first of the two words may have been said just before the second changed.
            None => match self.node.market(name) {
                Some(market) => Ok(Some(market.usable()?)),
                None => Err(Refusal::starting(&format!("a market {name}"))),
            },
        }
    }

    /// A market that shows at least a position.
    pub(super) async fn market_at(
        &self,
        name: &str,
        at_least: u64,
        deadline: Deadline,
    ) -> Result<MarketHandle, Refusal> {
        let market = self.find_market(name)?;
        let late = |_| {
            let words = "not shown before the call's deadline";
            Refusal::new(Reason::Deadline, words).field("at_least").value(at_least)
        };
        deadline.wait(market.reached(Position(at_least))).await.map_err(late)??;
        Ok(market)
    }
}

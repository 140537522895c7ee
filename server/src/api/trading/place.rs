//! `PlaceOrder`.

use tonic::Request;
use xbook_proto::v1::{self, AnswerWhen, Reason};

use super::orders;
use super::outcome::{is_late, taker_fills};
use crate::api::Api;
use crate::api::access::Deadline;
use crate::api::admission::{self, Caller, NotAdmitted};
use crate::api::error::Refusal;
use crate::api::markets::{units, unlisted};
use crate::api::submit::Reached;
use crate::layers;
use crate::machine::{self, Action, Intent, Order};
use crate::node::MarketHandle;
use crate::types::{Micros, OrderId};

/// `PlaceOrder`.
pub(in crate::api) async fn place_order(
    api: &Api,
    call: Request<v1::PlaceOrderRequest>,
) -> Result<v1::PlaceOrderResponse, Refusal> {
    let (mut caller, deadline) = api.caller(&call)?;
    let message = call.into_inner();
    layers::concern(&message.market, "");
    let market = api.listed(&message.market)?;
    let rules = market.as_ref().map(MarketHandle::rules);
    caller.times.tape_ahead = market.as_ref().map_or(Micros(0), |market| market.tape_ahead(caller.times.now));
    // Times that have passed are judged again below.
    let timed = message.order.as_ref().filter(|new| new.expire_time.is_some() || new.sequence_by.is_some());
    let again = timed.is_some().then(|| message.clone());
    let name = unlisted(market.as_ref(), &message.market);
    let admitted = admission::place_order(message, rules, &caller);
    match (admitted, &market) {
        (Ok((request, when)), Some(market)) => Box::pin(api.place(market, request, when, deadline)).await,
        (Ok(_), None) => Err(Refusal::unknown_market(&name)),
        (Err(rejected), Some(market)) => {
            Box::pin(api.place_again(market, *rejected, again, caller, deadline)).await
        }
        (Err(rejected), None) => Err(rejected.refusal),
    }
}

impl Api {
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
    pub(in crate::api) async fn accepted_order(
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
}

//! `AmendOrder` and `CancelOrder`.

use tonic::Request;
use xbook_proto::v1::{self, Reason};

use super::orders;
use super::outcome::{closed_or_unknown, refused_words, taker_fills};
use crate::api::Api;
use crate::api::access::Deadline;
use crate::api::admission::{self, NotAdmitted};
use crate::api::convert::Units;
use crate::api::error::Refusal;
use crate::api::markets::{units, unlisted};
use crate::api::submit::{Reached, Settled};
use crate::layers;
use crate::machine::{self, Account, Action, Change, Intent, Target};
use crate::node::MarketHandle;
use crate::types::{ClientId, OrderId};

/// `AmendOrder`.
pub(in crate::api) async fn amend_order(
    api: &Api,
    call: Request<v1::AmendOrderRequest>,
) -> Result<v1::AmendOrderResponse, Refusal> {
    let (caller, deadline) = api.caller(&call)?;
    let message = call.into_inner();
    layers::concern(&message.market, &message.order_id);
    let market = api.listed(&message.market)?;
    let named = admission::target(&message.order_id, &message.client_order_id).ok();
    let name = unlisted(market.as_ref(), &message.market);
    let admitted = admission::amend_order(message, market.as_ref().map(MarketHandle::rules), &caller);
    let Some(market) = market else {
        return Err(admitted.map_or_else(|rejected| rejected.refusal, |_| Refusal::unknown_market(&name)));
    };
    let (settled, target) = match admitted {
        Ok(request) => Box::pin(api.change(&market, request, deadline)).await?,
        Err(rejected) => api.amended_before(&market, *rejected, named, deadline).await?,
    };
    let units = units(&market);
    let (fills, more_fills) = taker_fills(&units, &settled, target);
    let order = settled.order(target).map(|order| units.order(order));
    let position = settled.position.0;
    Ok(v1::AmendOrderResponse { order, fills, more_fills, position })
}

/// `CancelOrder`.
pub(in crate::api) async fn cancel_order(
    api: &Api,
    call: Request<v1::CancelOrderRequest>,
) -> Result<v1::CancelOrderResponse, Refusal> {
    let (caller, deadline) = api.caller(&call)?;
    let mut message = call.into_inner();
    layers::concern(&message.market, &message.order_id);
    let market = api.listed(&message.market)?;
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
    let name = unlisted(market.as_ref(), &message.market);
    let request = admission::cancel_order(message, market.as_ref().map(MarketHandle::rules), &caller)?;
    let market = market.ok_or_else(|| Refusal::unknown_market(&name))?;
    let account = request.account.clone();
    let withdraws = match request.action {
        Action::Withdraw(order) => Some(order),
        _ => None,
    };
    let (settled, target) = match (Box::pin(api.change(&market, request, deadline)).await, withdraws) {
        (Ok(changed), _) => changed,
        // Accepted, or else it would have another reason.
        (Err(refusal), Some(order)) if refusal.reason() == Reason::Deadline => {
            if api.waits_withdrawn(&market, order, &account).await? {
                let (order, position) = (None, 0);
                return Ok(v1::CancelOrderResponse { order, position, withdrawn: true });
            }
            return Err(refusal);
        }
        (Err(refusal), _) => return Err(refusal),
    };
    let units = units(&market);
    let mut order = settled.order(target).map(|order| units.order(order));
    if order.is_none() {
        // Withdrawn: it was closed, or will be, at its own turn.
        let found = orders::find(&market, target, &account, deadline).await;
        let closed = found.ok().filter(|found| !found.order.is_live());
        order = closed.map(|found| Units { sizes: found.sizes, ..units }.order(&found.order));
    }
    Ok(v1::CancelOrderResponse { order, position: settled.position.0, withdrawn: false })
}

impl Api {
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

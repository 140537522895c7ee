//! `TradingService`.

mod cancel_all;
mod change;
mod limits;
mod lists;
pub(in crate::api) mod orders;
mod outcome;
mod place;
pub(in crate::api) mod positions;
mod replace;
mod trade_session;

use tonic::{Request, Response, Status, Streaming};
use xbook_proto::v1::trading_service_server::TradingService;
use xbook_proto::v1::{self};

use crate::api::Api;
use crate::api::access::{self};
use crate::api::streams::{self, Answers};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl TradingService for Api {
    type TradeStream = Answers<v1::TradeResponse>;
    type StreamOrderUpdatesStream = Answers<v1::StreamOrderUpdatesResponse>;

    async fn place_order(&self, call: Request<v1::PlaceOrderRequest>) -> Answer<v1::PlaceOrderResponse> {
        Ok(Response::new(place::place_order(self, call).await?))
    }

    async fn amend_order(&self, call: Request<v1::AmendOrderRequest>) -> Answer<v1::AmendOrderResponse> {
        Ok(Response::new(change::amend_order(self, call).await?))
    }

    async fn cancel_order(&self, call: Request<v1::CancelOrderRequest>) -> Answer<v1::CancelOrderResponse> {
        Ok(Response::new(change::cancel_order(self, call).await?))
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
        let account = access::account(&call)?;
        let unread = self.unread.of_call(&call);
        Ok(Response::new(trade_session::open(self.clone(), account, call.into_inner(), unread)?))
    }

    async fn stream_order_updates(
        &self,
        call: Request<v1::StreamOrderUpdatesRequest>,
    ) -> Answer<Self::StreamOrderUpdatesStream> {
        let account = access::account(&call)?;
        let unread = self.unread.of_call(&call);
        let message = call.into_inner();
        let market = self.find_market(&message.market)?;
        let updates = streams::OrderUpdates { account };
        Ok(Response::new(streams::follow(self, &market, message.after_position, updates, unread).await?))
    }
}

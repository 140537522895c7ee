//! The connection to a node, and what every request carries.

use std::time::Duration;

use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response};
use xbook_proto::v1::GetMarketRequest;
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;
use xbook_proto::v1::market_data_service_client::MarketDataServiceClient;
use xbook_proto::v1::subscription_service_client::SubscriptionServiceClient;
use xbook_proto::v1::trading_service_client::TradingServiceClient;

use crate::args::Global;
use crate::failure::Failure;
use crate::show::steps::Steps;

/// A connected node and an account to act for.
pub struct Client {
    channel: Channel,
    account: AsciiMetadataValue,
    timeout: Duration,
}

impl Client {
    /// Connects at once, so that an unreachable node is told from an unknown outcome.
    pub async fn connect(global: &Global) -> Result<Self, Failure> {
        let node = global.node.as_str();
        let endpoint = Endpoint::from_shared(node.to_owned())
            .map_err(|error| Failure::unreachable(node, &error))?
            .user_agent(concat!("xcli/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| Failure::unreachable(node, &error))?
            .connect_timeout(global.timeout)
            .tcp_nodelay(true);
        let channel = endpoint.connect().await.map_err(|error| Failure::unreachable(node, &error))?;
        Ok(Self { channel, account: global.account.clone(), timeout: global.timeout })
    }

    pub fn trading(&self) -> TradingServiceClient<Channel> {
        TradingServiceClient::new(self.channel.clone())
    }

    pub fn market_data(&self) -> MarketDataServiceClient<Channel> {
        MarketDataServiceClient::new(self.channel.clone())
    }

    pub fn subscriptions(&self) -> SubscriptionServiceClient<Channel> {
        SubscriptionServiceClient::new(self.channel.clone())
    }

    pub fn cluster(&self) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.channel.clone())
    }

    /// A request for one answer, within the time-out.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = self.stream_request(message);
        request.set_timeout(self.timeout);
        request
    }

    /// A request for a stream, which may go on for ever.
    pub fn stream_request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("xbook-account", self.account.clone());
        request
    }

    /// The grid of a market, as far as the node tells it.
    pub async fn steps(&self, market: &str) -> Steps {
        let request = self.request(GetMarketRequest { market: market.to_owned() });
        let answer = self.market_data().get_market(request).await.map(Response::into_inner);
        Steps::new(answer.unwrap_or_default().market.unwrap_or_default().rules.as_ref())
    }

    /// How long to wait for an answer.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

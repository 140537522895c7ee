//! The connection to a node, and what every request carries.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response};
use xbook_proto::v1::GetMarketRequest;
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;
use xbook_proto::v1::market_data_service_client::MarketDataServiceClient;
use xbook_proto::v1::subscription_service_client::SubscriptionServiceClient;
use xbook_proto::v1::trading_service_client::TradingServiceClient;

use crate::args::{Global, NodeUrl};
use crate::failure::Failure;
use crate::show::steps::Steps;

/// How long one of several nodes may take to be connected: a node that is cut off says nothing.
const ONE_OF_SEVERAL: Duration = Duration::from_secs(2);

/// A connected node of those that were named, and an account to act for.
pub struct Client {
    nodes: Vec<NodeUrl>,
    connected: Mutex<Connected>,
    account: AsciiMetadataValue,
    timeout: Duration,
}

/// Which node is talked to.
#[derive(Clone)]
struct Connected {
    at: usize,
    channel: Channel,
}

impl Client {
    /// Connects at once, so that an unreachable node is told from an unknown outcome: to the first of the
    /// nodes that answers.
    pub async fn connect(global: &Global) -> Result<Self, Failure> {
        let (nodes, timeout) = (global.node.clone(), global.timeout);
        let connected = Mutex::new(first_of(&nodes, 0, timeout).await?);
        Ok(Self { nodes, connected, account: global.account.clone(), timeout })
    }

    /// Goes on with the next node that answers, which may be the same.
    pub async fn fail_over(&self) -> Result<(), Failure> {
        let next = first_of(&self.nodes, self.connected().at + 1, self.timeout).await?;
        *self.connected.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// How many nodes were named besides the one that is talked to.
    pub fn others(&self) -> usize {
        self.nodes.len().saturating_sub(1)
    }

    /// The node that is talked to.
    pub fn node(&self) -> &str {
        self.nodes.get(self.connected().at).map_or("", NodeUrl::as_str)
    }

    fn connected(&self) -> Connected {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn channel(&self) -> Channel {
        self.connected().channel
    }

    pub fn trading(&self) -> TradingServiceClient<Channel> {
        TradingServiceClient::new(self.channel())
    }

    pub fn market_data(&self) -> MarketDataServiceClient<Channel> {
        MarketDataServiceClient::new(self.channel())
    }

    pub fn subscriptions(&self) -> SubscriptionServiceClient<Channel> {
        SubscriptionServiceClient::new(self.channel())
    }

    pub fn cluster(&self) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.channel())
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

/// The first node that answers, from `begin` on and round.
async fn first_of(nodes: &[NodeUrl], begin: usize, timeout: Duration) -> Result<Connected, Failure> {
    let patience = if nodes.len() > 1 { timeout.min(ONE_OF_SEVERAL) } else { timeout };
    let mut cause = None;
    for at in (0..nodes.len()).map(|step| (begin + step) % nodes.len()) {
        match connect(nodes[at].as_str(), patience).await {
            Ok(channel) => return Ok(Connected { at, channel }),
            Err(error) => cause = Some(error),
        }
    }
    let names: Vec<&str> = nodes.iter().map(NodeUrl::as_str).collect();
    Err(match cause {
        Some(error) => Failure::unreachable(&names.join(" or "), &error),
        None => Failure::internal("no node is named"),
    })
}

async fn connect(node: &str, patience: Duration) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(node.to_owned())?
        .user_agent(concat!("xcli/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(patience)
        .tcp_nodelay(true);
    endpoint.connect().await
}

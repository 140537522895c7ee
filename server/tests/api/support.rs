//! A node that serves on a free loopback port, and short words for its calls.

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use xbook::api::Limits;
use xbook::format::Formats;
use xbook::machine::JoinToken;
use xbook::node::{Clock, Node, NodeError, Start};
use xbook_proto::v1;
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;
use xbook_proto::v1::market_data_service_client::MarketDataServiceClient;
use xbook_proto::v1::trading_service_client::TradingServiceClient;

pub const MARKET: &str = "BTC/USDT";

/// A served node and its clients.
pub struct Served {
    pub node: Node,
    pub address: SocketAddr,
    /// Where other nodes reach it.
    pub peer_address: SocketAddr,
    pub trading: TradingServiceClient<Channel>,
    pub data: MarketDataServiceClient<Channel>,
    pub cluster: ClusterServiceClient<Channel>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<anyhow::Result<()>>,
    directory: TempDir,
}

/// Lets all nodes of these tests join.
pub const TOKEN: JoinToken = JoinToken([7; 16]);

/// Small, so that tests see many generations.
const DOCUMENT_BYTES: u64 = 16 * 1024;

/// How a node is set up, where it matters.
struct Setup {
    limits: Limits,
    clock: Option<Clock>,
    formats: Formats,
}

impl Default for Setup {
    fn default() -> Self {
        Self { limits: Limits::default(), clock: None, formats: Formats::KNOWN }
    }
}

impl Served {
    /// A new node with the market BTC/USDT: ticks of 0.01, lots of 0.001, 0.002 to 1000.
    pub async fn start() -> Self {
        let mut served = Self::empty().await;
        served.create(MARKET).await.unwrap();
        served
    }

    /// A new node without markets.
    pub async fn empty() -> Self {
        Self::on(tempfile::tempdir().unwrap()).await
    }

    /// A new node that joins the cluster of another one.
    pub async fn joined(peers: &[SocketAddr]) -> Self {
        Self::with(tempfile::tempdir().unwrap(), peers).await
    }

    pub async fn on(directory: TempDir) -> Self {
        Self::with(directory, &[]).await
    }

    /// A node on its data directory, with peers that it dials.
    pub async fn with(directory: TempDir, peers: &[SocketAddr]) -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::serve(directory, peers, [free, free], Limits::default()).await
    }

    /// The node of a data directory, back at its addresses: for clients, and for other nodes.
    pub async fn at(directory: TempDir, addresses: [SocketAddr; 2]) -> Self {
        Self::serve(directory, &[], addresses, Limits::default()).await
    }

    /// A new node with the market BTC/USDT, of which clients may take no more than this.
    pub async fn limited(limits: Limits) -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut served = Self::serve(tempfile::tempdir().unwrap(), &[], [free, free], limits).await;
        served.create(MARKET).await.unwrap();
        served
    }

    /// A node on a data directory, with a clock of its own.
    pub async fn with_clock(directory: TempDir, clock: Clock) -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let setup = Setup { clock: Some(clock), ..Setup::default() };
        Self::try_serve(directory, &[], [free, free], setup).await.unwrap()
    }

    /// A node with a program that reads these formats.
    pub async fn reading(
        directory: TempDir,
        peers: &[SocketAddr],
        addresses: [SocketAddr; 2],
        formats: Formats,
    ) -> Self {
        let setup = Setup { formats, ..Setup::default() };
        Self::try_serve(directory, peers, addresses, setup).await.unwrap()
    }

    async fn serve(
        directory: TempDir,
        peers: &[SocketAddr],
        addresses: [SocketAddr; 2],
        limits: Limits,
    ) -> Self {
        Self::try_serve(directory, peers, addresses, Setup { limits, ..Setup::default() }).await.unwrap()
    }

    /// A node on a data directory that may be damaged.
    pub async fn try_with(directory: TempDir, peers: &[SocketAddr]) -> Result<Self, NodeError> {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::try_serve(directory, peers, [free, free], Setup::default()).await
    }

    async fn try_serve(
        directory: TempDir,
        peers: &[SocketAddr],
        addresses: [SocketAddr; 2],
        Setup { limits, clock, formats }: Setup,
    ) -> Result<Self, NodeError> {
        let [listener, peer_listener] =
            [TcpListener::bind(addresses[0]).await.unwrap(), TcpListener::bind(addresses[1]).await.unwrap()];
        let [address, peer_address] = [listener.local_addr().unwrap(), peer_listener.local_addr().unwrap()];
        let start = Start {
            data: directory.path().to_owned(),
            bootstrap: peers.is_empty(),
            join: peers.iter().map(SocketAddr::to_string).collect(),
            advertise: Some(address.to_string()),
            peer_advertise: Some(peer_address.to_string()),
            join_token: Some(TOKEN),
            document_bytes: Some(DOCUMENT_BYTES),
            trust_directory: false,
            clock,
            formats,
        };
        let node = Node::start(start).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(xbook::api::serve(node.clone(), listener, limits, async {
            let _ = stopped.await;
        }));
        let door = node.clone();
        tokio::spawn(async move { door.serve_peers(peer_listener).await });
        let channel = connect(address).await;
        Ok(Self {
            node,
            address,
            peer_address,
            trading: TradingServiceClient::new(channel.clone()),
            data: MarketDataServiceClient::new(channel.clone()),
            cluster: ClusterServiceClient::new(channel),
            stop: Some(stop),
            serving,
            directory,
        })
    }

    /// Where it is reached, to come back there.
    pub fn addresses(&self) -> [SocketAddr; 2] {
        [self.address, self.peer_address]
    }

    /// Asks the services to end.
    pub fn stop(&mut self) {
        self.stop.take();
    }

    /// Ends services and node; returns the data.
    pub async fn end(mut self) -> TempDir {
        self.stop();
        let _ = self.node.shutdown().await;
        self.serving.await.unwrap().unwrap();
        self.directory
    }

    pub async fn create(&mut self, market: &str) -> Result<v1::CreateMarketResponse, Status> {
        self.cluster.create_market(create_request(market)).await.map(tonic::Response::into_inner)
    }

    pub async fn place(&mut self, order: v1::PlaceOrderRequest) -> Result<v1::PlaceOrderResponse, Status> {
        self.trading.place_order(order).await.map(tonic::Response::into_inner)
    }

    pub async fn place_as(
        &mut self,
        account: &str,
        order: v1::PlaceOrderRequest,
    ) -> Result<v1::PlaceOrderResponse, Status> {
        self.trading.place_order(by(account, order)).await.map(tonic::Response::into_inner)
    }

    pub async fn order(&mut self, id: &str) -> v1::Order {
        let (market, order_id) = (MARKET.to_owned(), id.to_owned());
        let request = v1::GetOrderRequest { market, order_id, ..Default::default() };
        self.trading.get_order(request).await.unwrap().into_inner().order.unwrap()
    }

    pub async fn book(&mut self, at_least: u64) -> v1::GetOrderBookResponse {
        let request = v1::GetOrderBookRequest { market: MARKET.into(), at_least, ..Default::default() };
        self.data.get_order_book(request).await.unwrap().into_inner()
    }
}

pub async fn connect(address: SocketAddr) -> Channel {
    tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

pub fn create_request(market: &str) -> v1::CreateMarketRequest {
    v1::CreateMarketRequest {
        request_id: format!("create-{}", market.replace('/', "-")),
        market: market.into(),
        rules: Some(v1::MarketRules {
            tick_size: "0.01".into(),
            lot_size: "0.001".into(),
            min_quantity: "0.002".into(),
            max_quantity: "1000".into(),
            // One account trades with itself in most tests.
            default_self_trade_prevention: v1::SelfTradePrevention::Allow.into(),
            ..Default::default()
        }),
        voters: Vec::new(),
    }
}

/// The same call by an account.
pub fn by<T>(account: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("xbook-account", account.parse().unwrap());
    request
}

/// The same call with a deadline.
pub fn within<T>(timeout: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

pub fn new_order(side: v1::Side, price: &str, quantity: &str) -> v1::NewOrder {
    v1::NewOrder { side: side.into(), price: price.into(), quantity: quantity.into(), ..Default::default() }
}

pub fn buy(id: &str, price: &str, quantity: &str) -> v1::PlaceOrderRequest {
    order(id, new_order(v1::Side::Buy, price, quantity))
}

pub fn sell(id: &str, price: &str, quantity: &str) -> v1::PlaceOrderRequest {
    order(id, new_order(v1::Side::Sell, price, quantity))
}

pub fn order(id: &str, order: v1::NewOrder) -> v1::PlaceOrderRequest {
    v1::PlaceOrderRequest { request_id: id.into(), market: MARKET.into(), order: Some(order), answer_when: 0 }
}

/// The reason in an error's details.
pub fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// A failed call's code, reason and message.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(
    result: Result<T, Status>,
    code: Code,
    expected_reason: &str,
    message: &str,
) {
    let status = result.unwrap_err();
    let found = (status.code(), reason(&status), status.message().to_owned());
    assert_eq!(found, (code, expected_reason.to_owned(), message.to_owned()));
}

/// Levels as [price, quantity].
pub fn levels(levels: &[v1::Level]) -> Vec<(&str, &str)> {
    levels.iter().map(|level| (level.price.as_str(), level.quantity.as_str())).collect()
}

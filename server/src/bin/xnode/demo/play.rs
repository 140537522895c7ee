//! The example, played through the nodes' API as any client would.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;
use xbook_proto::v1::market_data_service_client::MarketDataServiceClient;
use xbook_proto::v1::trading_service_client::TradingServiceClient;
use xbook_proto::v1::{
    CreateMarketRequest, GetDigestRequest, GetMarketRequest, GetOrderBookRequest, GetOrderBookResponse,
    Lease, ListLeasesRequest, ListTradesRequest, MarketRules, NewOrder, PlaceOrderRequest,
    PlaceOrderResponse, SelfTradePrevention, Side, Trade,
};

use super::nodes::About;

/// The market of the example.
pub const MARKET: &str = "BTC/USDT";

/// Side, quantity and price of each order.
const ORDERS: [(Side, &str, &str); 4] =
    [(Side::Buy, "100", "10"), (Side::Buy, "100", "11"), (Side::Sell, "50", "11"), (Side::Sell, "75", "9")];

/// How long it may take until a node has the market.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is looked whether a node has the market yet.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What came of the example.
pub struct Played {
    /// What became of each order, in the order in which they were placed, and the number of the node
    /// that took it, from 0.
    pub orders: Vec<(usize, PlaceOrderResponse)>,
    /// The book afterwards; the same on each node.
    pub book: GetOrderBookResponse,
    /// Digest of everything that happened in the market; the same on each node.
    pub digest: String,
    /// The trades, oldest first.
    pub trades: Vec<Trade>,
    /// Who matched them.
    pub lease: Lease,
}

impl Played {
    /// Plays the example, each order through the next node.
    ///
    /// # Errors
    /// A call failed, or the nodes do not show the same.
    pub async fn example(nodes: &[About]) -> Result<Self> {
        let first = &nodes.first().context("there are no nodes")?.channel;
        create_market(first).await.map_err(|status| failed("creating the market", &status))?;
        for node in nodes {
            has_market(&node.channel).await?;
        }
        let mut orders = Vec::new();
        for (number, order) in ORDERS.into_iter().enumerate() {
            let through = number % nodes.len();
            let placed = place(&nodes[through].channel, number, order).await;
            orders.push((through, placed.map_err(|status| failed("placing an order", &status))?));
        }
        let position = orders.last().map_or(0, |(_, placed)| placed.position);
        let (book, digest) =
            shown(first, position).await.map_err(|status| failed("reading the book", &status))?;
        for other in nodes {
            let there = shown(&other.channel, position).await;
            let there = there.map_err(|status| failed("reading the book", &status))?;
            ensure!(
                there == (book.clone(), digest.clone()),
                "node {} shows another book: {there:?}, not {book:?}",
                other.id
            );
        }
        let trades = trades(first, position).await.map_err(|status| failed("reading the trades", &status))?;
        let lease = lease(first).await.map_err(|status| failed("reading the lease", &status))?;
        Ok(Self { orders, book, digest, trades, lease })
    }
}

/// Waits until a node has the market.
async fn has_market(node: &Channel) -> Result<()> {
    let mut client = MarketDataServiceClient::new(node.clone());
    let has = async {
        loop {
            match client.get_market(GetMarketRequest { market: MARKET.into() }).await {
                Ok(_) => return Ok(()),
                Err(status) if matches!(status.code(), Code::NotFound | Code::Unavailable) => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(status) => return Err(failed("waiting for the market", &status)),
            }
        }
    };
    tokio::time::timeout(TIMEOUT, has).await.context("a node did not get the market in time")?
}

/// The book that a node shows at a position, and its digest.
async fn shown(node: &Channel, position: u64) -> Result<(GetOrderBookResponse, String), Status> {
    let book = book(node, position).await?;
    let request = GetDigestRequest { market: MARKET.into(), position };
    let digest = ClusterServiceClient::new(node.clone()).get_digest(request).await?.into_inner();
    Ok((book, digest.digest))
}

async fn lease(node: &Channel) -> Result<Lease, Status> {
    let request = ListLeasesRequest { market: MARKET.into() };
    let listed = ClusterServiceClient::new(node.clone()).list_leases(request).await?.into_inner();
    listed.leases.into_iter().next().ok_or_else(|| Status::not_found("the market has no lease"))
}

async fn create_market(channel: &Channel) -> Result<(), Status> {
    // One account plays all parts.
    let rules = MarketRules {
        tick_size: "0.01".into(),
        lot_size: "0.001".into(),
        default_self_trade_prevention: SelfTradePrevention::Allow.into(),
        ..MarketRules::default()
    };
    let request = CreateMarketRequest {
        request_id: "demo-market".into(),
        market: MARKET.into(),
        rules: Some(rules),
        voters: Vec::new(),
    };
    ClusterServiceClient::new(channel.clone()).create_market(request).await.map(|_| ())
}

async fn place(
    channel: &Channel,
    number: usize,
    (side, quantity, price): (Side, &str, &str),
) -> Result<PlaceOrderResponse, Status> {
    let order =
        NewOrder { side: side.into(), quantity: quantity.into(), price: price.into(), ..NewOrder::default() };
    let request = PlaceOrderRequest {
        request_id: format!("demo-order-{}", number + 1),
        market: MARKET.into(),
        order: Some(order),
        ..PlaceOrderRequest::default()
    };
    let placed = TradingServiceClient::new(channel.clone()).place_order(Request::new(request)).await?;
    Ok(placed.into_inner())
}

async fn book(channel: &Channel, at_least: u64) -> Result<GetOrderBookResponse, Status> {
    let request = GetOrderBookRequest { market: MARKET.into(), at_least, ..GetOrderBookRequest::default() };
    let book = MarketDataServiceClient::new(channel.clone()).get_order_book(request).await?;
    Ok(book.into_inner())
}

async fn trades(channel: &Channel, at_least: u64) -> Result<Vec<Trade>, Status> {
    let request = ListTradesRequest { market: MARKET.into(), at_least, ..ListTradesRequest::default() };
    let listed = MarketDataServiceClient::new(channel.clone()).list_trades(request).await?;
    let mut trades = listed.into_inner().trades;
    trades.reverse();
    Ok(trades)
}

/// A failed call in words.
pub fn failed(what: &str, status: &Status) -> anyhow::Error {
    anyhow::anyhow!("{what}: {}", status.message())
}

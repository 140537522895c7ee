//! The example, played through the node's API as any client would.

use std::time::Duration;

use anyhow::{Context, Result};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;
use xbook_proto::v1::market_data_service_client::MarketDataServiceClient;
use xbook_proto::v1::trading_service_client::TradingServiceClient;
use xbook_proto::v1::{
    CreateMarketRequest, GetOrderBookRequest, GetOrderBookResponse, ListTradesRequest, MarketRules, NewOrder,
    PlaceOrderRequest, PlaceOrderResponse, Side, Trade,
};

/// The market of the example.
pub const MARKET: &str = "BTC/USDT";

/// Side, quantity and price of each order.
const ORDERS: [(Side, &str, &str); 4] =
    [(Side::Buy, "100", "10"), (Side::Buy, "100", "11"), (Side::Sell, "50", "11"), (Side::Sell, "75", "9")];

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What came of the example.
pub struct Played {
    /// What became of each order, in the order in which they were placed.
    pub orders: Vec<PlaceOrderResponse>,
    /// The book afterwards.
    pub book: GetOrderBookResponse,
    /// The trades, oldest first.
    pub trades: Vec<Trade>,
}

impl Played {
    /// Plays the example on the node at a URL.
    pub async fn example(url: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())?.timeout(TIMEOUT).tcp_nodelay(true);
        let channel = endpoint.connect().await.with_context(|| format!("can't connect to {url}"))?;
        create_market(&channel).await.map_err(|status| failed("creating the market", &status))?;
        let mut orders = Vec::new();
        for (number, order) in ORDERS.into_iter().enumerate() {
            let placed = place(&channel, number, order).await;
            orders.push(placed.map_err(|status| failed("placing an order", &status))?);
        }
        let position = orders.last().map_or(0, |placed| placed.position);
        let book = book(&channel, position).await.map_err(|status| failed("reading the book", &status))?;
        let trades =
            trades(&channel, position).await.map_err(|status| failed("reading the trades", &status))?;
        Ok(Self { orders, book, trades })
    }
}

async fn create_market(channel: &Channel) -> Result<(), Status> {
    let rules = MarketRules { tick_size: "0.01".into(), lot_size: "0.001".into(), ..MarketRules::default() };
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

fn failed(what: &str, status: &Status) -> anyhow::Error {
    anyhow::anyhow!("{what}: {}", status.message())
}

//! A client that follows the trades, over lost connections.

use tonic::transport::Channel;
use xbook_proto::v1::market_data_service_client::MarketDataServiceClient;
use xbook_proto::v1::stream_trades_response::Event;
use xbook_proto::v1::{StreamTradesRequest, Trade};

use super::promises::trades_hold;
use super::{Broken, Record};
use crate::process::Address;

/// Waits for the next trade of a market that a node shows.
///
/// # Errors
/// The connection is lost.
pub async fn next_trade(node: &Address, market: &str) -> anyhow::Result<()> {
    let mut data = MarketDataServiceClient::new(node.connect().await?);
    let request = StreamTradesRequest { market: market.into(), after_position: None };
    let mut trades = data.stream_trades(request).await?.into_inner();
    while let Some(message) = trades.message().await? {
        if let Some(Event::Trade(_)) = message.event {
            return Ok(());
        }
    }
    anyhow::bail!("the stream of trades ended")
}

/// A client that follows the trades from the first on.
#[derive(Default)]
pub struct Watcher {
    market: String,
    seen: Vec<Trade>,
    /// Everything up to here was seen.
    position: u64,
}

impl Watcher {
    /// A watcher of a market.
    #[must_use]
    pub fn new(market: &str) -> Self {
        Self { market: market.to_owned(), ..Self::default() }
    }

    /// Goes on where it was, until the connection is lost.
    pub async fn watch(&mut self, channel: Channel) {
        let mut data = MarketDataServiceClient::new(channel);
        let request =
            StreamTradesRequest { market: self.market.clone(), after_position: Some(self.position) };
        let Ok(trades) = data.stream_trades(request).await else { return };
        let mut trades = trades.into_inner();
        while let Ok(Some(message)) = trades.message().await {
            match message.event {
                Some(Event::Trade(trade)) => {
                    self.position = trade.position;
                    self.seen.push(trade);
                }
                Some(Event::Heartbeat(heartbeat)) => self.position = heartbeat.position,
                None => {}
            }
        }
    }

    /// Checks that it saw each trade once, in order, up to where it is.
    ///
    /// # Errors
    /// A gap, a repeat, or another trade.
    pub fn holds_in(&self, record: &Record) -> Result<(), Broken> {
        trades_hold(&self.seen, self.position, record)
    }
}

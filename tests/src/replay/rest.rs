//! Orders that only rest: what an open order costs.

use anyhow::{Context, Result, ensure};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use xbook_proto::v1::trade_command::Command;
use xbook_proto::v1::trading_service_client::TradingServiceClient;
use xbook_proto::v1::{NewOrder, OrderStatus, Side, TradeCommand, TradeRequest, TradeSession};

use super::{BUFFERED, create_market, next};

/// How many prices they rest at, so many orders at each.
const PRICES: u32 = 500;

/// Commands in a message.
const BATCH: u32 = 1_000;

/// Has so many orders rest in a new market of these voters, over one session.
///
/// # Errors
/// One of them does not rest.
pub async fn rest(channel: Channel, voters: Vec<String>, orders: u32) -> Result<String> {
    let market = create_market(channel.clone(), voters).await?;
    rest_in(channel, &market, orders).await?;
    Ok(market)
}

/// Has so many orders rest in a market, below the price of 501, over one session.
///
/// # Errors
/// One of them does not rest.
pub async fn rest_in(channel: Channel, market: &str, orders: u32) -> Result<()> {
    let (sender, requests) = mpsc::channel(BUFFERED);
    let session =
        TradeSession { market: market.to_owned(), session: "rest".to_owned(), ..Default::default() };
    sender.send(TradeRequest { open: Some(session), ..TradeRequest::default() }).await?;
    let mut client = TradingServiceClient::new(channel);
    let mut results = client.trade(ReceiverStream::new(requests)).await?.into_inner();
    next(&mut results).await?.opened.context("the session was not opened")?;
    let sending = async move {
        for first in (0..orders).step_by(BATCH as usize) {
            let numbers = first..orders.min(first + BATCH);
            let commands =
                numbers.map(|number| TradeCommand { command: Some(Command::Place(order(number))) });
            let first_number = u64::from(first) + 1;
            let request = TradeRequest { open: None, first_number, commands: commands.collect() };
            sender.send(request).await?;
        }
        anyhow::Ok(())
    };
    let reading = async {
        let mut rested = 0;
        while let Some(answer) = results.message().await? {
            let rests = |result: &&xbook_proto::v1::TradeResult| result.status() == OrderStatus::Open;
            rested += answer.results.iter().filter(rests).count();
        }
        anyhow::Ok(rested)
    };
    let ((), rested) = tokio::try_join!(sending, reading)?;
    ensure!(rested == orders as usize, "{rested} of {orders} orders rest");
    Ok(())
}

fn order(number: u32) -> NewOrder {
    NewOrder {
        side: Side::Buy.into(),
        price: (1 + number % PRICES).to_string(),
        quantity: "1".to_owned(),
        ..NewOrder::default()
    }
}

//! A client: `cargo run --example client [-- http://127.0.0.1:7001]`, against `xnode demo` or any node.
//!
//! It places an order by a unary call, trades against it in a session of numbered commands, and asks what became of the
//! order by the request that placed it.
#![allow(clippy::print_stdout, reason = "it shows what it does")]

use anyhow::{Context, Result, anyhow};
use tonic::Request;
use tonic::transport::Channel;
use xbook_proto::v1;
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;
use xbook_proto::v1::trading_service_client::TradingServiceClient;

const MARKET: &str = "GOLD/EUR";

#[tokio::main]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:7001".to_owned());
    let channel = Channel::from_shared(address)?.connect().await?;
    let mut cluster = ClusterServiceClient::new(channel.clone());
    let mut trading = TradingServiceClient::new(channel);
    // Names that nobody used before: a repeated request has the first one's answer and no effect of its own.
    let run = getrandom::u64().map_err(|error| anyhow!("no random numbers: {error}"))?;

    // The same request again creates nothing and gets the first answer.
    let rules = v1::MarketRules { tick_size: "0.01".into(), lot_size: "0.1".into(), ..Default::default() };
    let market = v1::CreateMarketRequest {
        request_id: "create".into(),
        market: MARKET.into(),
        rules: Some(rules),
        ..Default::default()
    };
    cluster.create_market(market).await?;

    let request_id = format!("sell-{run}");
    let placed = v1::PlaceOrderRequest {
        request_id: request_id.clone(),
        market: MARKET.into(),
        order: Some(limit(v1::Side::Sell, "2000.50", "3")),
        ..Default::default()
    };
    // The answer comes when the outcome is committed. After a time-out the same request is sent again, to any node.
    let order = trading.place_order(by("seller", placed)).await?.into_inner().order.context("an order")?;
    println!("order {} is {}", order.order_id, order.status().as_str_name());

    let open =
        v1::TradeSession { market: MARKET.into(), session: format!("session-{run}"), ..Default::default() };
    let commands = (0..3).map(|_| v1::TradeCommand {
        command: Some(v1::trade_command::Command::Place(limit(v1::Side::Buy, "2000.50", "1"))),
    });
    let first = v1::TradeRequest { open: Some(open), first_number: 1, commands: commands.collect() };
    let mut answers = trading.trade(by("buyer", tokio_stream::iter([first]))).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        for result in answer.results {
            let filled: Vec<String> =
                result.fills.iter().map(|fill| format!("{} at {}", fill.quantity, fill.price)).collect();
            println!("command {}: {}, bought {}", result.number, result.order_id, filled.join(" and "));
        }
    }

    let ask =
        v1::GetOrderRequest { market: MARKET.into(), placed_by_request_id: request_id, ..Default::default() };
    let order = trading.get_order(by("seller", ask)).await?.into_inner().order.context("an order")?;
    println!("order {} is {}", order.order_id, order.status().as_str_name());
    Ok(())
}

fn limit(side: v1::Side, price: &str, quantity: &str) -> v1::NewOrder {
    let mut order = v1::NewOrder { price: price.into(), quantity: quantity.into(), ..Default::default() };
    order.set_side(side);
    order.set_time_in_force(v1::TimeInForce::Gtc);
    order
}

/// A call in the name of an account.
fn by<T>(account: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("xbook-account", tonic::metadata::MetadataValue::from_static(account));
    request
}

//! The example as one JSON object, for programs.

use serde_json::{Value, json};
use xbook_proto::v1::{Level, PlaceOrderResponse, Trade};

use super::About;
use super::play::{MARKET, Played};
use super::show::{side, status};

/// The object: where the node serves, and what came of the example.
pub fn object(about: &About, played: &Played) -> Value {
    json!({
        "nodes": [{ "node_id": about.node.to_string(), "url": about.url }],
        "market": MARKET,
        "position": played.book.position,
        "orders": played.orders.iter().map(order).collect::<Vec<_>>(),
        "bids": levels(&played.book.bids),
        "asks": levels(&played.book.asks),
        "trades": played.trades.iter().map(trade).collect::<Vec<_>>(),
    })
}

/// What was first answered: a maker's later fills are in the trades.
fn order(placed: &PlaceOrderResponse) -> Value {
    let order = placed.order.clone().unwrap_or_default();
    json!({
        "order_id": order.order_id,
        "side": side(order.side),
        "quantity": order.quantity,
        "price": order.price,
        "status": status(order.status),
        "filled_quantity": order.filled_quantity,
        "open_quantity": order.open_quantity,
        "position": placed.position,
    })
}

fn levels(levels: &[Level]) -> Value {
    levels.iter().map(|level| json!([level.price, level.quantity])).collect()
}

fn trade(trade: &Trade) -> Value {
    json!({
        "position": trade.position,
        "price": trade.price,
        "quantity": trade.quantity,
        "taker_side": side(trade.taker_side),
        "maker_order_id": trade.maker_order_id,
        "taker_order_id": trade.taker_order_id,
    })
}

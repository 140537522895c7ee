//! The example as one JSON object, for programs.

use serde_json::{Value, json};
use xbook_proto::v1::{Level, PlaceOrderResponse, Trade};

use super::nodes::About;
use super::play::{MARKET, Played};
use super::show::{side, status};

/// The object: where the nodes serve, and what came of the example. Book and digest are the same on
/// each node; else there would be an error instead.
pub fn object(nodes: &[About], played: &Played) -> Value {
    let node = |about: &About| json!({ "node_id": about.id.to_string(), "url": about.url });
    let lease = &played.lease;
    json!({
        "nodes": nodes.iter().map(node).collect::<Vec<_>>(),
        "market": MARKET,
        "lease": { "holder": lease.holder, "term": lease.term, "voters": lease.voters },
        "position": played.book.position,
        "digest": played.digest,
        "orders": played.orders.iter().map(|(through, placed)| order(&nodes[*through], placed)).collect::<Vec<_>>(),
        "bids": levels(&played.book.bids),
        "asks": levels(&played.book.asks),
        "trades": played.trades.iter().map(trade).collect::<Vec<_>>(),
    })
}

/// What was first answered: a maker's later fills are in the trades.
fn order(through: &About, placed: &PlaceOrderResponse) -> Value {
    let order = placed.order.clone().unwrap_or_default();
    json!({
        "order_id": order.order_id,
        "through": through.id.to_string(),
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

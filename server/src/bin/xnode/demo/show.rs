//! The example as a person would want to see it.

use std::path::Path;

use comfy_table::{CellAlignment, Table};
use xbook_proto::v1::{Level, OrderStatus, PlaceOrderResponse, Side, Trade};

use super::nodes::About;
use super::play::{MARKET, Played};

/// Digits of a digest that are shown: enough to compare nodes by eye.
const DIGEST_DIGITS: usize = 12;

/// What runs.
pub fn welcome(nodes: &[About], directory: &Path) -> String {
    let mut table = new_table(&["node", "id", "serves on"], &[0]);
    for (at, node) in nodes.iter().enumerate() {
        table.add_row([(at + 1).to_string(), node.id.to_string(), node.url.clone()]);
    }
    format!(
        "An xbook cluster of {}, all in this process, data in {} (removed at the end):\n\n{}",
        nodes.len(),
        directory.display(),
        lines(&table)
    )
}

/// The orders and what became of them, the trades, the book.
pub fn played(nodes: &[About], played: &Played) -> String {
    let holder = nodes.iter().position(|node| node.id.to_string() == played.lease.holder);
    let holder = holder.map_or_else(|| played.lease.holder.clone(), |at| format!("node {}", at + 1));
    let digest: String = played.digest.chars().take(DIGEST_DIGITS).collect();
    format!(
        "\nFour limit orders on {MARKET}, one after the other, each through the next node:\n\n{}\nThe trades, \
         each at the price of the order that rested:\n\n{}\nWhat is left in the book:\n\n{}\nThe same on {} \
         at position {}, with digest {digest}.\nMatched by {holder}, under lease {} of {} voters.\n",
        orders(played),
        trades(played),
        book(&played.book.bids, &played.book.asks),
        if nodes.len() == 1 { "the node".to_owned() } else { format!("all {} nodes", nodes.len()) },
        played.book.position,
        played.lease.term,
        played.lease.voters.len(),
    )
}

/// What to type now.
pub fn what_next(nodes: &[About], directory: &Path) -> String {
    let url = nodes.first().map_or("", |node| &node.url);
    let other = nodes.last().map_or("", |node| &node.url);
    format!(
        "\nThe nodes go on serving until Ctrl-C, which removes {}. In another terminal:\n\n  \
         xcli --node {url} book {MARKET} --watch\n  \
         xcli --node {other} sell 25 {MARKET} 10\n  \
         xcli --node {url} trades {MARKET}\n  \
         xcli --node {url} nodes\n  \
         xcli --node {url} lease\n  \
         xcli --node {other} verify {MARKET}\n\n\
         In a checkout, `cargo run --release --bin xcli --` stands for xcli.\n",
        directory.display()
    )
}

/// "buy" or "sell".
pub fn side(side: i32) -> &'static str {
    match Side::try_from(side) {
        Ok(Side::Buy) => "buy",
        Ok(Side::Sell) => "sell",
        _ => "unknown",
    }
}

/// A status in lower case, as in the API but without its prefix.
pub fn status(status: i32) -> String {
    let status = OrderStatus::try_from(status).unwrap_or_default();
    status.as_str_name().trim_start_matches("ORDER_STATUS_").to_lowercase()
}

fn orders(played: &Played) -> String {
    let mut table =
        new_table(&["#", "through", "side", "quantity", "price", "what became of it"], &[0, 3, 4]);
    for (at, (through, placed)) in played.orders.iter().enumerate() {
        let order = placed.order.clone().unwrap_or_default();
        let outcome = outcome(placed, played);
        table.add_row([
            (at + 1).to_string(),
            format!("node {}", through + 1),
            side(order.side).to_owned(),
            order.quantity,
            order.price,
            outcome,
        ]);
    }
    lines(&table)
}

/// What the answer to an order said.
fn outcome(placed: &PlaceOrderResponse, played: &Played) -> String {
    let order = placed.order.clone().unwrap_or_default();
    let mut parts: Vec<String> = placed
        .fills
        .iter()
        .map(|fill| {
            let counter = number(&fill.counter_order_id, played);
            format!("{} @ {} with {counter}", fill.quantity, fill.price)
        })
        .collect();
    match OrderStatus::try_from(order.status).unwrap_or_default() {
        OrderStatus::Filled => format!("filled: {}", parts.join(", ")),
        OrderStatus::Open => format!("rests in the book, {} open", order.open_quantity),
        OrderStatus::PartiallyFilled => {
            parts.push(format!("{} open", order.open_quantity));
            format!("partly filled: {}", parts.join(", "))
        }
        _ => status(order.status),
    }
}

/// An order by its number in the example.
fn number(order_id: &str, played: &Played) -> String {
    let is_it = |(_, placed): &(usize, PlaceOrderResponse)| {
        placed.order.as_ref().is_some_and(|order| order.order_id == order_id)
    };
    played.orders.iter().position(is_it).map_or_else(|| order_id.to_owned(), |at| format!("order {}", at + 1))
}

fn trades(played: &Played) -> String {
    let mut table = new_table(&["quantity", "price", "taker", "maker", "position"], &[0, 1, 4]);
    for trade in &played.trades {
        let Trade { price, quantity, position, .. } = trade.clone();
        let taker = format!("{} ({})", number(&trade.taker_order_id, played), side(trade.taker_side));
        table.add_row([quantity, price, taker, number(&trade.maker_order_id, played), position.to_string()]);
    }
    lines(&table)
}

/// Asks above, bids below, the best prices in the middle.
fn book(bids: &[Level], asks: &[Level]) -> String {
    let mut table = new_table(&["", "price", "quantity", "orders"], &[1, 2, 3]);
    let row = |side: &str, level: &Level| {
        [side.to_owned(), level.price.clone(), level.quantity.clone(), level.order_count.to_string()]
    };
    for ask in asks.iter().rev() {
        table.add_row(row("ask", ask));
    }
    if asks.is_empty() {
        table.add_row(["ask", "none"]);
    }
    for bid in bids {
        table.add_row(row("bid", bid));
    }
    if bids.is_empty() {
        table.add_row(["bid", "none"]);
    }
    lines(&table)
}

/// A table whose columns with these indexes hold numbers.
fn new_table(header: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).force_no_tty();
    table.set_header(header);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((2, 1));
        if numbers.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn lines(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

//! Orders and fills.

use xbook_proto::v1::{
    Fill, MarketPosition, Order, OrderStatus, OrderType, OrderUpdate, Reason, Side, TimeInForce,
};

use prost_types::Timestamp;

use super::grid::{Column, Grid, Tint};
use super::steps::Steps;
use super::words;
use crate::output::Terminal;
use crate::reason;

/// How an order stands, in a sentence, and the fills that a command brought. `turn_by` is when an
/// order that is pending expires if its turn has not come.
pub fn outcome(
    order: &Order,
    fills: &[Fill],
    turn_by: Option<&Timestamp>,
    steps: &Steps,
    terminal: Terminal,
) -> String {
    let mut text = format!("{}\n", sentence(order, turn_by));
    if !fills.is_empty() {
        text.push_str(&fill_table(false, fills, steps, terminal));
    }
    text
}

fn sentence(order: &Order, turn_by: Option<&Timestamp>) -> String {
    let id = &order.order_id;
    let what = format!("{} {} {} at {}", words::side(order.side), order.quantity, order.market, price(order));
    let progress = progress(order);
    let why = why(order).map(|why| format!(" because {why}")).unwrap_or_default();
    match OrderStatus::try_from(order.status).unwrap_or_default() {
        OrderStatus::Pending => format!(
            "Order {id} is on the node's disk and waits for its turn: {what}.\n\
             It may still trade{}. Withdraw it with `xcli cancel {market} {id}`.\n\
             See what becomes of it with `xcli order {market} {id}`.",
            until(order, turn_by),
            market = order.market
        ),
        OrderStatus::Open => format!("Order {id} is open: {what}."),
        OrderStatus::Waiting if order.triggered_position > 0 => {
            format!("Order {id} was triggered at {} and runs next: {what}.", order.trigger_price)
        }
        OrderStatus::Waiting => {
            let beyond = if order.side == Side::Sell as i32 { "below" } else { "above" };
            format!("Order {id} waits for a trade at {} or {beyond}: {what}.", order.trigger_price)
        }
        OrderStatus::PartiallyFilled => {
            format!("Order {id} is open: {what}; {progress}, {} still open.", order.open_quantity)
        }
        OrderStatus::Filled => format!("Order {id} is filled: {what}; {progress}."),
        OrderStatus::Cancelled => format!("Order {id} is cancelled{why}: {what}; {progress}."),
        OrderStatus::Rejected => format!("Order {id} was rejected{why}: {what}."),
        OrderStatus::Expired => format!("Order {id} has expired{why}: {what}; {progress}."),
        OrderStatus::Expiring => format!(
            "Order {id} is past its time and not closed yet: {what}; {progress}. It is closed once a majority of the \
             market's voters is back."
        ),
        OrderStatus::Unspecified => format!("Order {id}: {what}."),
    }
}

/// Until when a pending order may trade, as the end of a sentence.
fn until(order: &Order, turn_by: Option<&Timestamp>) -> String {
    if may_not_rest(order) {
        let by = turn_by.map_or_else(
            || "its call's deadline".to_owned(),
            |by| format!("about {} UTC", words::time(Some(by))),
        );
        return format!(", until {by}: if its turn comes later, it expires");
    }
    match &order.expire_time {
        Some(time) => format!(", until it expires at {} UTC", words::time(Some(time))),
        None => ", until it is withdrawn".to_owned(),
    }
}

/// Whether an order trades at its turn or never.
pub fn may_not_rest(order: &Order) -> bool {
    let tif = order.time_in_force();
    order.r#type == OrderType::Market as i32 || matches!(tif, TimeInForce::Ioc | TimeInForce::Fok)
}

fn progress(order: &Order) -> String {
    match words::average(&order.filled_value, &order.filled_quantity) {
        Some(average) => {
            let verb = if order.side == Side::Sell as i32 { "sold" } else { "bought" };
            format!("{verb} {} for {} ({average} on average)", order.filled_quantity, order.filled_value)
        }
        None => "nothing was filled".to_owned(),
    }
}

/// Why the order is closed, with the reason's name, if there is a reason.
fn why(order: &Order) -> Option<String> {
    let known = Reason::try_from(order.reason).ok().filter(|reason| *reason != Reason::Unspecified)?;
    Some(format!("{} [{}]", reason::phrase(known), reason::name(known)))
}

fn price(order: &Order) -> &str {
    match (order.r#type(), order.price.as_str()) {
        (OrderType::MarketToLimit, "") => "mtl",
        (OrderType::Market | OrderType::Stop, _) | (OrderType::TrailingStop, "") | (_, "") => "mkt",
        (_, price) => price,
    }
}

/// Everything about an order, a line each.
pub fn detail(order: &Order) -> String {
    let yes = |flag: bool| if flag { "yes" } else { "" };
    let number = order.command_number;
    let closed = words::is_zero(&order.open_quantity);
    pairs(&[
        ("order", &order.order_id),
        ("market", &order.market),
        ("account", &order.account),
        ("side", &words::side(order.side)),
        ("price", price(order)),
        ("waits for", &order.trigger_price),
        ("trails by", &order.trail_distance),
        ("limit beyond", &order.limit_distance),
        (
            "triggered",
            &if order.triggered_position == 0 { String::new() } else { order.triggered_position.to_string() },
        ),
        ("quantity", &order.quantity),
        ("filled", &order.filled_quantity),
        ("open", &order.open_quantity),
        ("prevented", if words::is_zero(&order.prevented_quantity) { "" } else { &order.prevented_quantity }),
        ("average price", &words::average(&order.filled_value, &order.filled_quantity).unwrap_or_default()),
        ("status", &words::status(order.status)),
        ("reason", &why(order).unwrap_or_default()),
        ("time in force", &words::time_in_force(order.time_in_force)),
        ("post only", yes(order.post_only)),
        ("slides", yes(order.slide)),
        ("minimum", &order.min_quantity),
        ("shows", &order.display_quantity),
        ("shown now", if closed { "" } else { &order.shown_quantity }),
        ("protection", &order.protection_price),
        ("self trades", &words::self_trade(order.self_trade_prevention)),
        ("expires", &words::time(order.expire_time.as_ref())),
        ("accepted", &words::time(order.accept_time.as_ref())),
        ("updated", &words::time(order.update_time.as_ref())),
        ("position", &order.position.to_string()),
        ("request id", &order.request_id),
        ("client id", &order.client_order_id),
        ("command", &if number == 0 { String::new() } else { number.to_string() }),
    ])
}

/// Names and values, a line each; a name without a value is left out.
pub fn pairs(pairs: &[(&str, &str)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let shown = pairs.iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// The account's orders, in a market or in all; `all` if closed ones were asked for too.
pub fn orders(
    market: Option<&str>,
    orders: &[Order],
    all: bool,
    steps: &Steps,
    terminal: Terminal,
) -> String {
    if orders.is_empty() {
        let Some(market) = market else {
            let what = if all { "orders" } else { "open orders" };
            return format!("You have no {what}. See what there is to trade with `xcli market list`.\n");
        };
        let place = format!("`xcli buy {} {market} {}`", steps.any_quantity(), steps.any_price());
        return if all {
            format!("You have never placed an order in {market}. Place one with {place}.\n")
        } else {
            format!(
                "You have no open orders in {market}. Place one with {place}, or see the \
                 closed ones with `xcli orders {market} --all`.\n"
            )
        };
    }
    let mut grid = Grid::new(&[
        Column::Text("market"),
        Column::Text("order"),
        Column::Text("side"),
        Column::Number("price"),
        Column::Number("quantity"),
        Column::Number("filled"),
        Column::Number("open"),
        Column::Text("status"),
        Column::Text("tif"),
        Column::Text("reason"),
        Column::Text("updated (UTC)"),
    ]);
    for order in orders {
        let known = Reason::try_from(order.reason).unwrap_or_default();
        let reason = if known == Reason::Unspecified { "" } else { reason::name(known) };
        grid.row(
            Tint::Plain,
            [
                if market.is_some() { String::new() } else { order.market.clone() },
                order.order_id.clone(),
                words::side(order.side),
                steps.price(price(order)),
                order.quantity.clone(),
                order.filled_quantity.clone(),
                order.open_quantity.clone(),
                words::status(order.status),
                words::time_in_force(order.time_in_force),
                reason.to_owned(),
                words::time(order.update_time.as_ref()),
            ],
        );
    }
    grid.render(terminal)
}

/// The account's fills, in a market or in all.
pub fn fills(
    market: Option<&str>,
    order: Option<&str>,
    fills: &[Fill],
    steps: &Steps,
    terminal: Terminal,
) -> String {
    match (market, order) {
        _ if !fills.is_empty() => fill_table(market.is_none(), fills, steps, terminal),
        (None, _) => "You have no fills. See what there is to trade with `xcli market list`.\n".to_owned(),
        (Some(market), Some(order)) => {
            format!("Order {order} has no fills. See how it stands with `xcli order {market} {order}`.\n")
        }
        (Some(market), None) => format!(
            "You have no fills in {market}. See what you could trade with in `xcli book {market}`, and take \
             it with `xcli buy {} {market} mkt`.\n",
            steps.any_quantity()
        ),
    }
}

/// What the account has bought and sold.
pub fn positions(positions: &[MarketPosition], terminal: Terminal) -> String {
    if positions.is_empty() {
        return "You have no fills. See what there is to trade with `xcli market list`.\n".to_owned();
    }
    let mut grid = Grid::new(&[
        Column::Text("market"),
        Column::Number("net"),
        Column::Number("bought"),
        Column::Number("for"),
        Column::Number("sold"),
        Column::Number("for"),
        Column::Number("fees"),
        Column::Number("fills"),
        Column::Number("position"),
    ]);
    for position in positions {
        grid.row(
            Tint::Plain,
            [
                position.market.clone(),
                position.net_quantity.clone(),
                position.bought_quantity.clone(),
                position.bought_value.clone(),
                position.sold_quantity.clone(),
                position.sold_value.clone(),
                charged(&position.fees),
                position.fill_count.to_string(),
                position.position.to_string(),
            ],
        );
    }
    grid.render(terminal)
}

fn fill_table(with_market: bool, fills: &[Fill], steps: &Steps, terminal: Terminal) -> String {
    let mut grid = Grid::new(&[
        Column::Text("market"),
        Column::Text("time (UTC)"),
        Column::Text("side"),
        Column::Number("price"),
        Column::Number("quantity"),
        Column::Number("value"),
        Column::Number("fee"),
        Column::Text("as"),
        Column::Number("position"),
        Column::Text("order"),
        Column::Text("with"),
    ]);
    for fill in fills {
        grid.row(
            Tint::of_side(fill.side),
            [
                if with_market { fill.market.clone() } else { String::new() },
                words::time(fill.time.as_ref()),
                words::side(fill.side),
                steps.price(&fill.price),
                fill.quantity.clone(),
                words::value(&fill.price, &fill.quantity),
                charged(&fill.fee),
                role(fill),
                fill.position.to_string(),
                fill.order_id.clone(),
                fill.counter_order_id.clone(),
            ],
        );
    }
    grid.render(terminal)
}

/// What its order was in a fill: an auction has no makers and takers.
fn role(fill: &Fill) -> String {
    if fill.auction { "auction".to_owned() } else { words::liquidity(fill.liquidity) }
}

/// A fee; nothing if there is none, so that markets without fees have no column for them.
fn charged(fee: &str) -> String {
    if fee == "0" { String::new() } else { fee.to_owned() }
}

/// A change of an order, as a line of a stream.
pub fn update(update: &OrderUpdate, steps: &Steps) -> String {
    let order = update.order.clone().unwrap_or_default();
    let time = words::time(order.update_time.as_ref());
    let event = match &update.fill {
        Some(fill) => {
            let role = if fill.auction { "in an auction".to_owned() } else { format!("as {}", role(fill)) };
            format!(
                "; {} at {} {role}, with {}",
                fill.quantity,
                steps.price(&fill.price),
                fill.counter_order_id
            )
        }
        None => why(&order).map(|why| format!("; {why}")).unwrap_or_default(),
    };
    format!(
        "{time}  {position:>8}  {id}  {side:<4} {quantity} at {price}  {status}: {filled} filled, {open} open{event}\n",
        position = order.position,
        id = order.order_id,
        side = words::side(order.side),
        quantity = order.quantity,
        price = steps.price(price(&order)),
        status = words::status(order.status),
        filled = order.filled_quantity,
        open = order.open_quantity,
    )
}

#[cfg(test)]
mod tests;

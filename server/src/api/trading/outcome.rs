//! What an order's outcome says to its client: its first fills, or why it was refused.

use xbook_proto::v1::{self, Reason};

use crate::api::convert::{self, Units};
use crate::api::error::Refusal;
use crate::api::pages::size;
use crate::api::submit::{Settled, read_history};
use crate::machine::Change;
use crate::node::MarketHandle;
use crate::types::{Liquidity, OrderId};

/// Why an order that does not rest can't be changed.
pub(in crate::api) async fn closed_or_unknown(
    market: &MarketHandle,
    id: OrderId,
    account: &str,
) -> Result<Refusal, Refusal> {
    let history = market.history();
    let closed = read_history(history, move |history| history.lookup().closed_order(id)).await?;
    Ok(match closed {
        None => Refusal::unknown_order(id),
        Some((order, _)) if *order.account != *account => Refusal::other_account(id),
        Some((order, _)) => {
            let status = convert::status(order.status).as_str_name().trim_start_matches("ORDER_STATUS_");
            Refusal::new(Reason::OrderClosed, format!("the order is closed: {status}"))
                .field("order_id")
                .value(id)
        }
    })
}

/// Whether an order was refused at its turn because one of its times had passed.
pub(in crate::api) fn is_late(refused: Reason) -> bool {
    matches!(refused, Reason::ExpireTime | Reason::SequenceBy)
}

/// What a refused change of an order is told.
pub(in crate::api) fn refused_words(reason: Reason) -> &'static str {
    match reason {
        Reason::WouldTrigger => {
            "the last trade meets the trigger already, or the order does not wait; it is as it was"
        }
        Reason::UnknownValue => "a trailing stop's trigger and limit are the trades'; it is as it was",
        Reason::WouldTake => "a post-only order must not trade at once; the order is as it was",
        Reason::AboveMaximum => "the new total is above the market's maximum; the order is as it was",
        Reason::LevelFull => "the price level can't hold the quantity; the order is as it was",
        Reason::AccountQuantity => "it would be above the account's largest order; the order is as it was",
        Reason::AccountNotional => "it would be above the account's largest notional; the order is as it was",
        Reason::MarketState => "the market does not take it in its state; the order is as it was",
        Reason::AccountKilled => "the account is killed in this market",
        Reason::Forgotten => "the request is older than what is remembered; the order is as it was",
        _ => "refused; the order is as it was",
    }
}

/// The first fills that an outcome brought an order as a taker, and whether there are more.
pub(in crate::api) fn taker_fills(
    units: &Units<'_>,
    settled: &Settled,
    id: OrderId,
) -> (Vec<v1::Fill>, bool) {
    let fills = settled.changes().iter().filter_map(|change| match change {
        Change::Order { order, fill: Some(fill), .. }
            if order.id == id && fill.liquidity == Liquidity::Taker =>
        {
            Some(units.fill(order, fill))
        }
        _ => None,
    });
    size::first(fills, size::MAX_FILLS)
}

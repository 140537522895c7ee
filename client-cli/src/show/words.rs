//! Single values as text: enum values, times, numbers.

use std::time::Duration;

use prost_types::Timestamp;
use rust_decimal::Decimal;
use xbook_proto::v1::{Liquidity, MarketState, OrderStatus, SelfTradePrevention, Side, TimeInForce};

pub fn side(value: i32) -> String {
    Side::try_from(value).map_or_else(|_| unknown(value), |side| word(side.as_str_name(), "SIDE_"))
}

pub fn status(value: i32) -> String {
    OrderStatus::try_from(value)
        .map_or_else(|_| unknown(value), |status| word(status.as_str_name(), "ORDER_STATUS_"))
}

pub fn liquidity(value: i32) -> String {
    Liquidity::try_from(value)
        .map_or_else(|_| unknown(value), |liquidity| word(liquidity.as_str_name(), "LIQUIDITY_"))
}

pub fn time_in_force(value: i32) -> String {
    TimeInForce::try_from(value)
        .map_or_else(|_| unknown(value), |tif| word(tif.as_str_name(), "TIME_IN_FORCE_").to_uppercase())
}

/// What happens between orders of one account; nothing for what an order leaves to the market.
pub fn self_trade(value: i32) -> String {
    SelfTradePrevention::try_from(value).map_or_else(
        |_| unknown(value),
        |way| match way {
            SelfTradePrevention::Unspecified => String::new(),
            way => word(way.as_str_name(), "SELF_TRADE_PREVENTION_"),
        },
    )
}

/// What a market takes.
pub fn market_state(value: i32) -> String {
    MarketState::try_from(value)
        .map_or_else(|_| unknown(value), |state| word(state.as_str_name(), "MARKET_STATE_"))
}

/// `ORDER_STATUS_PARTIALLY_FILLED` as `partially filled`.
fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).replace('_', " ").to_lowercase()
}

fn unknown(value: i32) -> String {
    format!("unknown ({value})")
}

/// UTC to the millisecond, such as `2030-01-31 12:00:00.000`; nothing for no time.
pub fn time(time: Option<&Timestamp>) -> String {
    let Some(time) = time else { return String::new() };
    let seconds = Timestamp { seconds: time.seconds, nanos: 0 }.to_string();
    let millis = time.nanos.max(0) / 1_000_000;
    format!("{}.{millis:03}", seconds.trim_end_matches('Z').replace('T', " "))
}

/// UTC to the second.
pub fn second(time: Option<&Timestamp>) -> String {
    let text = self::time(time);
    text.split('.').next().unwrap_or_default().to_owned()
}

/// The number that a node sent as text.
pub fn decimal(text: &str) -> Option<Decimal> {
    text.parse().ok()
}

/// Price times quantity; nothing if that has too many digits.
pub fn value(price: &str, quantity: &str) -> String {
    decimal(price)
        .zip(decimal(quantity))
        .and_then(|(price, quantity)| price.checked_mul(quantity))
        .map_or_else(String::new, |value| value.normalize().to_string())
}

/// The average price of what was filled, to at most 8 digits after the point; nothing before the
/// first fill.
pub fn average(filled_value: &str, filled_quantity: &str) -> Option<String> {
    let average = decimal(filled_value)?.checked_div(decimal(filled_quantity)?)?;
    Some(average.round_dp(8).normalize().to_string())
}

/// A line that says of when a book is; nothing for one that is not of the past.
pub fn as_of(at: Option<&Timestamp>) -> String {
    at.map(|at| format!("as of {} (UTC)\n", time(Some(at)))).unwrap_or_default()
}

/// How much a price has changed, in percent to two digits; nothing without two prices.
pub fn change(from: &str, to: &str) -> Option<String> {
    let (from, to) = (decimal(from)?, decimal(to)?);
    let change = to.checked_sub(from)?.checked_mul(Decimal::ONE_HUNDRED)?.checked_div(from)?;
    Some(format!("{:+.2} %", change.round_dp(2)))
}

/// Whether the number is zero, or no number at all.
pub fn is_zero(text: &str) -> bool {
    decimal(text).is_none_or(|number| number.is_zero())
}

/// `1 order`, `2 orders`.
pub fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// The same of a number that a node sent.
pub fn count_of(number: u64, thing: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), thing)
}

/// A line for each document that is quarantined: its name, and why it is; empty if it is not.
pub fn quarantined<'a>(documents: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let line = |(name, why): (&str, &str)| format!("{name} is QUARANTINED on this node: {why}\n");
    documents.filter(|(_, why)| !why.is_empty()).map(line).collect()
}

/// A line for each document whose tape time is ahead: its name, and by how many microseconds.
pub fn tapes_ahead<'a>(documents: impl Iterator<Item = (&'a str, Option<u64>)>) -> String {
    let line = |(name, ahead): (&str, Option<u64>)| {
        let ahead = humantime::format_duration(Duration::from_secs(ahead? / 1_000_000));
        Some(format!(
            "warning: {name}: tape time is {ahead} ahead of this node's clock. Clocks were wrong, or this one is. \
             It stands still until they get there; orders whose time comes before have expired at their turn.\n"
        ))
    };
    documents.filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enum_values_read_as_words() {
        assert_eq!(side(Side::Buy.into()), "buy");
        assert_eq!(status(OrderStatus::PartiallyFilled.into()), "partially filled");
        assert_eq!(time_in_force(TimeInForce::Gtc.into()), "GTC");
        assert_eq!(status(99), "unknown (99)");
    }

    #[test]
    fn times_are_cut_to_the_millisecond() {
        let stamp = Timestamp { seconds: 86_400, nanos: 1_999_999 };
        assert_eq!(time(Some(&stamp)), "1970-01-02 00:00:00.001");
        assert_eq!(time(None), "");
    }

    #[test]
    fn a_tape_that_is_ahead_is_told_by_how_far() {
        let text = tapes_ahead([("directory", None), ("A/B", Some(3 * 3_600_000_000 + 900_000))].into_iter());
        assert!(text.starts_with("warning: A/B: tape time is 3h ahead of this node's clock."), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn numbers_stay_exact_and_never_overflow() {
        assert_eq!(value("0.1", "3.00"), "0.3");
        assert_eq!(value("79228162514264337593543950335", "2"), "");
        assert_eq!(average("10", "3").as_deref(), Some("3.33333333"));
        assert_eq!(average("0", "0"), None);
        assert!(is_zero("0.00") && is_zero("") && !is_zero("0.01"));
    }
}

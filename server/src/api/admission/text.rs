//! Names, ids and decimals as clients write them.

use rust_decimal::Decimal;
use xbook_proto::v1::Reason;

use crate::api::error::Refusal;
use crate::document::DIRECTORY;
use crate::machine::{is_chosen_name, is_market_name};
use crate::types::{ClientId, NodeId, OrderId};

/// Most digits of a decimal, before and after the point together.
const MAX_DIGITS: usize = 28;

/// A field that must be set and is empty.
pub(super) fn missing(field: &'static str) -> Refusal {
    Refusal::new(Reason::MissingField, "must be set").field(field)
}

fn malformed(field: &'static str, value: &str, limit: &'static str) -> Refusal {
    Refusal::new(Reason::MalformedText, limit).field(field).value(value)
}

/// A client's id of a request.
pub(super) fn request_id(id: &str) -> Result<&str, Refusal> {
    chosen_name("request_id", id)
}

/// A client's id of an earlier request.
///
/// # Errors
/// Empty, or not 1 to 64 visible ASCII characters.
pub fn placed_by_request_id(id: &str) -> Result<&str, Refusal> {
    chosen_name("placed_by_request_id", id)
}

/// A client's own name of an order.
///
/// # Errors
/// Not 1 to 36 visible ASCII characters.
pub fn client_order_id(id: &str) -> Result<ClientId, Refusal> {
    let limit = "must be 1 to 36 visible ASCII characters";
    ClientId::new(id).ok_or_else(|| malformed("client_order_id", id, limit))
}

/// A client's name of a session.
///
/// # Errors
/// Empty, or not 1 to 64 visible ASCII characters.
pub fn session_name(name: &str) -> Result<&str, Refusal> {
    chosen_name("session", name)
}

fn chosen_name<'a>(field: &'static str, text: &'a str) -> Result<&'a str, Refusal> {
    if text.is_empty() {
        return Err(missing(field));
    }
    if is_chosen_name(text) {
        Ok(text)
    } else {
        Err(malformed(field, text, "must be 1 to 64 visible ASCII characters"))
    }
}

/// A market's name.
///
/// # Errors
/// Empty, or not of the form BASE/QUOTE.
pub fn market_name(name: &str) -> Result<&str, Refusal> {
    if name.is_empty() {
        return Err(missing("market"));
    }
    if is_market_name(name) {
        return Ok(name);
    }
    Err(malformed("market", name, "must be BASE/QUOTE, each 1 to 12 of A-Z and 0-9"))
}

/// A document's name: a market's, or the directory's.
///
/// # Errors
/// Empty, or neither.
pub fn document_name(name: &str) -> Result<&str, Refusal> {
    if name == DIRECTORY { Ok(name) } else { market_name(name) }
}

/// An order's id.
///
/// # Errors
/// Empty, or not an order's id.
pub fn order_id(id: &str) -> Result<OrderId, Refusal> {
    if id.is_empty() {
        return Err(missing("order_id"));
    }
    // Node 0 does not exist; a document's records use it to name orders by command.
    let parsed = id.parse::<OrderId>().ok().filter(|id| id.node.0 != 0);
    parsed.ok_or_else(|| malformed("order_id", id, "must be 16 lower-case hex digits, a dash and a number"))
}

/// A node's id.
///
/// # Errors
/// Empty, or not a node's id.
pub fn node_id(field: &'static str, id: &str) -> Result<NodeId, Refusal> {
    if id.is_empty() {
        return Err(missing(field));
    }
    let parsed = id.parse::<NodeId>().ok().filter(|id| id.0 != 0);
    parsed.ok_or_else(|| malformed(field, id, "must be 16 lower-case hex digits"))
}

/// A decimal that must be set: digits, and a point with more digits if it has a fraction.
pub(in crate::api) fn decimal(field: &'static str, text: &str) -> Result<Decimal, Refusal> {
    if text.is_empty() {
        return Err(missing(field));
    }
    read_decimal(text).ok_or_else(|| {
        let limit = "must be a plain decimal of at most 28 digits, such as \"10.25\"";
        Refusal::new(Reason::MalformedDecimal, limit).field(field).value(text)
    })
}

fn read_decimal(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let mut mantissa: i128 = 0;
    let mut point = None;
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            // Only as many digits as fit; the length is checked below.
            b'0'..=b'9' if at <= MAX_DIGITS => mantissa = mantissa * 10 + i128::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let count = digits.len() - usize::from(point.is_some());
    let fraction = point.map_or(0, |at| count - at);
    let whole = count - fraction;
    let well_formed = whole > 0 && (fraction > 0 || point.is_none()) && count <= MAX_DIGITS;
    let scale = u32::try_from(fraction).ok().filter(|_| well_formed)?;
    let value = Decimal::try_from_i128_with_scale(mantissa, scale).ok()?;
    Some(if text.starts_with('-') { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_plain_decimals_are_read() {
        for text in ["0", "10", "10.25", "-3", "0.0001", "9999999999999999999999999999", "00012.50"] {
            assert_eq!(decimal("price", text), Ok(text.parse().unwrap()), "{text}");
        }
        let thirty_decimals = format!("0.{}1", "0".repeat(29));
        let huge = "9".repeat(1_000);
        let bad = [
            "NaN",
            "nan",
            "inf",
            "-inf",
            "1e5",
            "1E-5",
            "+1",
            " 1",
            "1 ",
            "1_000",
            "1,5",
            ".5",
            "5.",
            ".",
            "-",
            "--1",
            "0x10",
            "１",
            "1.2.3",
            "10000000000000000000000000000",
            "0.0000000000000000000000000001",
            &thirty_decimals,
            &huge,
        ];
        for text in bad {
            assert_eq!(decimal("price", text).unwrap_err().reason(), Reason::MalformedDecimal, "{text}");
        }
        assert_eq!(
            decimal("price", "NaN").unwrap_err().to_string(),
            "price is \"NaN\": must be a plain decimal of at most 28 digits, such as \"10.25\""
        );
        assert_eq!(decimal("price", "").unwrap_err().to_string(), "price: must be set");
    }

    #[test]
    fn names_have_their_form() {
        for name in ["BTC/USDT", "A/B", "1INCH/USD2"] {
            assert_eq!(market_name(name), Ok(name));
        }
        for name in
            ["BTC", "btc/usdt", "BTC/", "/USDT", "BTC/USDT/X", "BTC-USDT", "ABCDEFGHIJKLM/X", "B\u{0}C/X"]
        {
            assert_eq!(market_name(name).unwrap_err().reason(), Reason::MalformedText, "{name}");
        }
        assert_eq!(request_id(&"r".repeat(64)).unwrap().len(), 64);
        for id in ["r".repeat(65).as_str(), "a b", "é", "a\n"] {
            assert_eq!(request_id(id).unwrap_err().reason(), Reason::MalformedText, "{id}");
        }
        assert_eq!(order_id("0000000000000000-1").unwrap_err().reason(), Reason::MalformedText);
        assert_eq!(order_id("7f3a-1").unwrap_err().reason(), Reason::MalformedText);
        assert_eq!(order_id("").unwrap_err().reason(), Reason::MissingField);
    }

    proptest! {
        #[test]
        fn a_decimal_is_read_as_rust_decimal_reads_it(mantissa in 0..10_i128.pow(28), scale in 0..28_u32) {
            let text = Decimal::from_i128_with_scale(mantissa, scale).to_string();
            let digits = text.bytes().filter(u8::is_ascii_digit).count();
            prop_assert_eq!(read_decimal(&text).is_some(), digits <= MAX_DIGITS);
            prop_assume!(digits <= MAX_DIGITS);
            prop_assert_eq!(read_decimal(&text), text.parse().ok());
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".{0,80}") {
            if let Some(value) = read_decimal(&text) {
                prop_assert_eq!(Some(value), text.parse().ok());
            }
        }
    }
}

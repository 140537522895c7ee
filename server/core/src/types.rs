//! The small words that every room of the server shares: ids, sides, and integer prices and
//! quantities.
//!
//! Inside the server a price is a whole number of the market's *ticks* and a quantity a whole
//! number of its *lots*; decimals exist only at the edge (see `decimal`).
//!
//! The words that records store as they are, such as [`Reason`], are the records' own: what the API
//! calls them is the API's business.

use std::fmt;
use std::str::FromStr;

pub use xbook_proto::record::v1::{Liquidity, MarketState, OrderStatus, Reason, SelfTrade, TimeInForce};

/// A node's identity, drawn at random when its data directory is made. A node that lost its
/// directory has forgotten its promises and is a new node with a new id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub u64);

/// The number of an intent: the accepting node and that node's gapless counter, from 1.
///
/// An order carries the id of the intent that placed it, so ids are made without asking anyone
/// and never collide.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OrderId {
    /// The node that accepted the order.
    pub node: NodeId,
    /// The counter of the placing intent on that node.
    pub counter: u64,
}

/// A client's own name of an order: 1 to [`ClientId::MOST`] visible ASCII characters, and zeros behind them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId([u8; Self::MOST]);

/// Which side of the book an order is on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// Pays the quote currency for the base currency.
    Buy,
    /// Gives the base currency for the quote currency.
    Sell,
}

/// A price, in the market's ticks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Ticks(pub u64);

/// A quantity, in the market's lots.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Lots(pub u64);

/// A point in time or a span, in microseconds; a point counts from 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Micros(pub u64);

/// The number of an event on a market's committed tape, from 1; it only grows. Zero is before the
/// first event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Position(pub u64);

/// The number of a lease of one document, from 1; it only grows, over generations too. Zero is before the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Term(pub u64);

/// The number of a document's generation, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GenerationNumber(pub u64);

/// The place of a batch on a generation's effective tape, from 0; as an end, how many there are before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BatchIndex(pub u64);

/// Numbers that are shown as they are.
macro_rules! shown_as_number {
    ($($number:ty),*) => {$(
        impl fmt::Display for $number {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $number {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

shown_as_number!(Term, GenerationNumber, BatchIndex);

impl Term {
    /// The term after this one; the last one has none but itself.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl GenerationNumber {
    /// The number of the generation that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl BatchIndex {
    /// The place after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The place before this one; the first has none.
    #[must_use]
    pub fn before(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }

    /// The places from this one up to an end.
    pub fn until(self, end: Self) -> impl Iterator<Item = Self> + Clone {
        (self.0..end.0).map(Self)
    }
}

impl Micros {
    /// The sum; at the end of time it stays there.
    #[must_use]
    pub fn plus(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Position {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl ClientId {
    /// The most characters.
    pub const MOST: usize = 36;

    /// A name; `None` if it is none.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=Self::MOST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        let mut bytes = [0; Self::MOST];
        fits.then(|| {
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            Self(bytes)
        })
    }

    /// As the client wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::MOST);
        std::str::from_utf8(&self.0[..length]).unwrap_or_default()
    }

    /// As numbers.
    pub(crate) fn numbers(&self) -> [u64; 5] {
        let mut numbers = [0; 5];
        for (number, bytes) in numbers.iter_mut().zip(self.0.chunks(8)) {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            *number = u64::from_le_bytes(word);
        }
        numbers
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Side {
    /// The side that this one trades with.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

/// Whether what is left of an order with a price rests in the book.
#[must_use]
pub fn rests(time_in_force: TimeInForce) -> bool {
    matches!(time_in_force, TimeInForce::Gtc | TimeInForce::Gtd | TimeInForce::Day)
}

/// Whether an order of this time in force may stand in the book for a while: until it is cancelled or expires, or the
/// auction ends in which it comes.
#[must_use]
pub fn may_rest(time_in_force: TimeInForce) -> bool {
    rests(time_in_force) || time_in_force == TimeInForce::Auction
}

impl Lots {
    /// No quantity at all.
    pub const ZERO: Self = Self(0);

    /// Whether nothing is left.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let canonical = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !canonical {
            return Err(ParseIdError);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| ParseIdError)
    }
}

/// An order id as people and programs see it: the node's 16 hex digits, a dash, the counter.
///
/// Every result of a session carries one, so it is written by hand: in half the time.
impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NODE_DIGITS: usize = 16;
        const COUNTER_DIGITS: usize = 20;
        let mut text = [b'-'; NODE_DIGITS + 1 + COUNTER_DIGITS];
        let (node, counter) = text.split_at_mut(NODE_DIGITS);
        for (at, digit) in node.iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[(self.node.0 >> (4 * at)) as usize & 0xF];
        }
        let digits = self.counter.checked_ilog10().map_or(1, |power| power as usize + 1);
        let mut rest = self.counter;
        for digit in counter[1..=digits].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let text = std::str::from_utf8(&text[..NODE_DIGITS + 1 + digits]);
        f.write_str(text.map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for OrderId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (node, counter) = text.split_once('-').ok_or(ParseIdError)?;
        let canonical = counter.bytes().all(|b| b.is_ascii_digit()) && !counter.starts_with('0');
        if !canonical {
            return Err(ParseIdError);
        }
        let counter = counter.parse().map_err(|_| ParseIdError)?;
        Ok(Self { node: node.parse()?, counter })
    }
}

/// The text is not a node id (16 lower-case hex digits) or an order id (a node id, a dash, a
/// counter from 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected 16 lower-case hex digits, or those followed by a dash and a number")]
pub struct ParseIdError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print() {
        let id = OrderId { node: NodeId(0x7f3a), counter: 1042 };
        assert_eq!(id.to_string(), "0000000000007f3a-1042");
        assert_eq!(id.to_string().parse(), Ok(id));
        let first = OrderId { node: NodeId(u64::MAX), counter: 0 };
        assert_eq!(first.to_string(), "ffffffffffffffff-0");
        let last = OrderId { node: NodeId(0x0123_4567_89ab_cdef), counter: u64::MAX };
        assert_eq!(last.to_string(), "0123456789abcdef-18446744073709551615");
        assert_eq!(last.to_string().parse(), Ok(last));
    }

    #[test]
    fn a_client_id_is_what_its_client_wrote() {
        let longest = "~".repeat(ClientId::MOST);
        for text in ["k", "order-17", longest.as_str()] {
            let id = ClientId::new(text).unwrap();
            assert_eq!((id.as_str(), id.to_string().as_str()), (text, text));
        }
        assert_ne!(ClientId::new("k").unwrap().numbers(), ClientId::new("kk").unwrap().numbers());
        let longer = "~".repeat(ClientId::MOST + 1);
        for text in ["", "a b", "\0", "\u{e9}", longer.as_str()] {
            assert_eq!(ClientId::new(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_the_canonical_form_of_an_id_is_read() {
        for text in [
            "",
            "-",
            "7f3a-1",
            "0000000000007F3A-1",
            "0000000000007f3a-01",
            "0000000000007f3a-",
            "0000000000007f3a-0",
            "+000000000007f3a-1",
            "0000000000007f3a-99999999999999999999999",
        ] {
            assert_eq!(text.parse::<OrderId>(), Err(ParseIdError), "{text}");
        }
    }
}

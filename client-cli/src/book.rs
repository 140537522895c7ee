//! A copy of a market's book, kept by a snapshot and the changes after it.

mod pages;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use xbook_proto::v1::{BookDelta, BookSnapshot, GetOrderBookResponse, Level};

use crate::failure::Failure;
pub use pages::BookPages;

/// The book as of a position.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Book {
    /// Position of the last event in it.
    pub position: u64,
    /// Whether more of the snapshot or change that was taken last is still to come.
    partial: bool,
    bids: Levels,
    asks: Levels,
}

type Levels = BTreeMap<Decimal, Depth>;

/// What rests at a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// The total quantity.
    pub quantity: Decimal,
    /// The number of orders.
    pub orders: u32,
}

/// How a change was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It followed what was there.
    Applied,
    /// Something before it is missing: the book must be read again.
    Gap,
}

impl Book {
    /// The book of a snapshot.
    pub fn new(snapshot: &BookSnapshot) -> Result<Self, Failure> {
        let mut book = Self::default();
        book.take(snapshot)?;
        Ok(book)
    }

    /// The book of an answer.
    pub fn of_answer(answer: &GetOrderBookResponse) -> Result<Self, Failure> {
        let GetOrderBookResponse { position, bids, asks, .. } = answer.clone();
        Self::new(&BookSnapshot { position, bids, asks, more: false })
    }

    /// Takes a snapshot in the place of what was there, or more of one.
    pub fn take(&mut self, snapshot: &BookSnapshot) -> Result<(), Failure> {
        if !self.partial {
            *self = Self { position: snapshot.position, ..Self::default() };
        }
        self.partial = snapshot.more;
        set(&mut self.bids, &snapshot.bids)?;
        set(&mut self.asks, &snapshot.asks)
    }

    /// Has the next snapshot take the place of what was there, although more of the last was to come.
    pub fn begin_anew(&mut self) {
        self.partial = false;
    }

    /// Whether it is the book of its position: nothing of the last message is still to come.
    pub fn is_whole(&self) -> bool {
        !self.partial
    }

    /// Takes a change, whose quantities are the levels' new totals. A gap leaves the book as it
    /// was.
    pub fn apply(&mut self, delta: &BookDelta) -> Result<Change, Failure> {
        if delta.previous_position != self.position {
            return Ok(Change::Gap);
        }
        set(&mut self.bids, &delta.bids)?;
        set(&mut self.asks, &delta.asks)?;
        self.partial = delta.more;
        if !delta.more {
            self.position = delta.position;
        }
        Ok(Change::Applied)
    }

    /// Buy levels, best (highest) first.
    pub fn bids(&self) -> impl Iterator<Item = (Decimal, Depth)> {
        self.bids.iter().rev().map(|(price, depth)| (*price, *depth))
    }

    /// Sell levels, best (lowest) first.
    pub fn asks(&self) -> impl Iterator<Item = (Decimal, Depth)> {
        self.asks.iter().map(|(price, depth)| (*price, *depth))
    }
}

fn set(levels: &mut Levels, changed: &[Level]) -> Result<(), Failure> {
    for level in changed {
        let price = number(&level.price)?;
        let quantity = number(&level.quantity)?;
        if quantity.is_zero() {
            levels.remove(&price);
        } else {
            levels.insert(price, Depth { quantity, orders: level.order_count });
        }
    }
    Ok(())
}

fn number(text: &str) -> Result<Decimal, Failure> {
    text.parse().map_err(|_| Failure::internal(format!("the node sent {text:?} where a number belongs")))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn level(price: &str, quantity: &str, order_count: u32) -> Level {
        Level { price: price.to_owned(), quantity: quantity.to_owned(), order_count, ..Level::default() }
    }

    pub fn sample() -> Book {
        Book::new(&BookSnapshot {
            position: 7,
            bids: vec![level("10", "75", 1), level("9.5", "1.25", 2)],
            asks: vec![level("11", "50", 1), level("12.25", "5", 1)],
            more: false,
        })
        .unwrap()
    }

    #[test]
    fn a_delta_sets_totals_and_removes_empty_levels() {
        let mut book = sample();
        let delta = BookDelta {
            previous_position: 7,
            position: 9,
            bids: vec![level("10.0", "60", 1), level("9.50", "0", 0)],
            asks: vec![level("10.5", "3", 1)],
            more: false,
        };
        assert_eq!(book.apply(&delta).unwrap(), Change::Applied);
        assert_eq!(book.position, 9);
        let text = |levels: Vec<(Decimal, Depth)>| -> Vec<String> {
            levels.iter().map(|(price, depth)| format!("{}x{}", price.normalize(), depth.quantity)).collect()
        };
        assert_eq!(text(book.bids().collect()), ["10x60"]);
        assert_eq!(text(book.asks().collect()), ["10.5x3", "11x50", "12.25x5"]);
    }

    #[test]
    fn what_comes_in_parts_is_whole_after_the_last() {
        let part = |price, more| BookSnapshot {
            position: 7,
            bids: vec![level(price, "1", 1)],
            more,
            ..BookSnapshot::default()
        };
        let mut book = sample();
        for (price, more, count) in [("3", true, 1), ("2", true, 2), ("1", false, 3)] {
            book.take(&part(price, more)).unwrap();
            assert_eq!((book.is_whole(), book.bids().count(), book.asks().count()), (!more, count, 0));
        }
        let part = |price, more| BookDelta {
            previous_position: 7,
            position: 9,
            asks: vec![level(price, "1", 1)],
            more,
            ..BookDelta::default()
        };
        for (price, more, position) in [("5", true, 7), ("6", true, 7), ("7", false, 9)] {
            assert_eq!(book.apply(&part(price, more)).unwrap(), Change::Applied);
            assert_eq!((book.is_whole(), book.position), (!more, position));
        }
        assert_eq!(book.apply(&part("8", false)).unwrap(), Change::Gap);
        assert_eq!((book.bids().count(), book.asks().count()), (3, 3));
    }

    #[test]
    fn a_gap_is_seen_and_changes_nothing() {
        let mut book = sample();
        let bids = vec![level("10", "0", 0)];
        let delta = BookDelta { previous_position: 8, position: 9, bids, ..BookDelta::default() };
        assert_eq!(book.apply(&delta).unwrap(), Change::Gap);
        assert_eq!(book, sample());
    }

    #[test]
    fn text_that_is_no_number_is_the_nodes_fault() {
        let snapshot = BookSnapshot { bids: vec![level("ten", "1", 1)], ..BookSnapshot::default() };
        assert_eq!(Book::new(&snapshot).unwrap_err().exit, crate::Exit::Internal);
    }
}

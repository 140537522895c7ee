//! A copy of a market's book, kept by a snapshot and the changes after it.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use xbook_proto::v1::{BookDelta, BookSnapshot, GetOrderBookResponse, Level};

use crate::failure::Failure;

/// The book as of a position.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Book {
    /// Position of the last event in it.
    pub position: u64,
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
        let mut book = Self { position: snapshot.position, ..Self::default() };
        set(&mut book.bids, &snapshot.bids)?;
        set(&mut book.asks, &snapshot.asks)?;
        Ok(book)
    }

    /// The book of an answer.
    pub fn of_answer(answer: &GetOrderBookResponse) -> Result<Self, Failure> {
        let GetOrderBookResponse { position, bids, asks, .. } = answer.clone();
        Self::new(&BookSnapshot { position, bids, asks })
    }

    /// Takes a change, whose quantities are the levels' new totals. A gap leaves the book as it
    /// was.
    pub fn apply(&mut self, delta: &BookDelta) -> Result<Change, Failure> {
        if delta.previous_position != self.position {
            return Ok(Change::Gap);
        }
        set(&mut self.bids, &delta.bids)?;
        set(&mut self.asks, &delta.asks)?;
        self.position = delta.position;
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
        Level { price: price.to_owned(), quantity: quantity.to_owned(), order_count, orders: Vec::new() }
    }

    pub fn sample() -> Book {
        Book::new(&BookSnapshot {
            position: 7,
            bids: vec![level("10", "75", 1), level("9.5", "1.25", 2)],
            asks: vec![level("11", "50", 1), level("12.25", "5", 1)],
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
    fn a_gap_is_seen_and_changes_nothing() {
        let mut book = sample();
        let delta =
            BookDelta { previous_position: 8, position: 9, bids: vec![level("10", "0", 0)], asks: vec![] };
        assert_eq!(book.apply(&delta).unwrap(), Change::Gap);
        assert_eq!(book, sample());
    }

    #[test]
    fn text_that_is_no_number_is_the_nodes_fault() {
        let snapshot = BookSnapshot { position: 1, bids: vec![level("ten", "1", 1)], asks: vec![] };
        assert_eq!(Book::new(&snapshot).unwrap_err().exit, crate::Exit::Internal);
    }
}

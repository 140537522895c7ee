//! The price of an uncross against a search over all ticks.

use proptest::prelude::*;

use super::*;
use crate::book::{Command, NewOrder, Style};
use crate::types::NodeId;

const PRICES: std::ops::Range<u64> = 90..111;

/// All ticks from the lowest to the highest limit, each by all orders, as the rules are worded.
fn searched(orders: &[(Side, u64, u64)], at_market: AtMarket, reference: Option<u64>) -> Option<Auction> {
    let limits = orders.iter().map(|(_, price, _)| *price);
    let ticks: Vec<u64> = match (limits.clone().min(), limits.max()) {
        (Some(lowest), Some(highest)) => (lowest..=highest).collect(),
        _ => reference.into_iter().collect(),
    };
    let sum = |side: Side, price: u64| {
        let accepts = |limit: u64| if side == Side::Buy { limit >= price } else { limit <= price };
        let of_side = orders.iter().filter(|(of, limit, _)| *of == side && accepts(*limit));
        of_side.map(|(.., open)| i128::from(*open)).sum::<i128>()
    };
    let at = |price: u64| {
        let buys = sum(Side::Buy, price) + at_market.buys as i128;
        let sells = sum(Side::Sell, price) + at_market.sells as i128;
        (price, buys.min(sells), buys - sells)
    };
    let all: Vec<_> = ticks.into_iter().map(at).collect();
    let volume = all.iter().map(|(_, volume, _)| *volume).max().filter(|volume| *volume > 0)?;
    let most: Vec<_> = all.into_iter().filter(|(_, of, _)| *of == volume).collect();
    let least = most.iter().map(|(.., surplus)| surplus.abs()).min()?;
    let mut left: Vec<_> = most.into_iter().filter(|(.., surplus)| surplus.abs() == least).collect();
    left.sort_by_key(|(price, ..)| *price);
    let (price, _, surplus) = if left.iter().all(|(.., surplus)| *surplus > 0) {
        *left.last()?
    } else if left.iter().all(|(.., surplus)| *surplus < 0) {
        *left.first()?
    } else {
        let reference = reference.unwrap_or(0);
        *left.iter().min_by_key(|(price, ..)| (price.abs_diff(reference), *price))?
    };
    Some(Auction { price: Ticks(price), volume: Lots(volume as u64), surplus: surplus as i64 })
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Buy), Just(Side::Sell)]
}

fn book(orders: &[(Side, u64, u64)]) -> Book {
    let mut book = Book::new();
    book.stand(true);
    for (at, (side, price, quantity)) in orders.iter().enumerate() {
        let id = OrderId { node: NodeId(1), counter: at as u64 + 1 };
        let order = NewOrder::new(id, *side, Some(Ticks(*price)), Lots(*quantity), Style::Rest);
        book.apply(&Command::Place(order), &mut Vec::new()).unwrap();
    }
    assert_eq!(book.audit(), Ok(()));
    book
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn an_uncross_has_the_price_that_a_search_over_all_ticks_finds(
        orders in prop::collection::vec((side(), PRICES, 1_u64..6), 0..12),
        market in (0_u128..8, 0_u128..8),
        has_market in (any::<bool>(), any::<bool>()),
        reference in prop::option::of(85_u64..116),
    ) {
        let buys = if has_market.0 { market.0 } else { 0 };
        let at_market = AtMarket { buys, sells: if has_market.1 { market.1 } else { 0 } };
        let found = book(&orders).auction(at_market, reference.map(Ticks));
        prop_assert_eq!(found, searched(&orders, at_market, reference));
    }
}

#[test]
fn sums_beyond_a_word_are_told_as_the_most() {
    let most = u64::MAX;
    let orders =
        [(Side::Buy, 100, most), (Side::Buy, 101, most), (Side::Buy, 102, most), (Side::Sell, 100, most)];
    let found = book(&orders).auction(AtMarket { buys: 0, sells: 1 << 70 }, None);
    assert_eq!(found, Some(Auction { price: Ticks(100), volume: Lots(most), surplus: i64::MIN }));
}

#[test]
fn an_iceberg_that_trades_shows_a_whole_part_in_its_place() {
    let mut book = book(&[(Side::Sell, 100, 4)]);
    let id = |counter| OrderId { node: NodeId(2), counter };
    let iceberg = NewOrder {
        display: Lots(3),
        ..NewOrder::new(id(1), Side::Sell, Some(Ticks(100)), Lots(9), Style::Rest)
    };
    book.apply(&Command::Place(iceberg), &mut Vec::new()).unwrap();
    book.fill(id(1), (Ticks(100), Lots(4)), Lots(5)).unwrap();
    let shown = book.get(id(1)).map(|order| (order.open, order.hidden));
    assert_eq!((shown, book.audit()), (Some((Lots(3), Lots(2))), Ok(())));
    let beyond = book.fill(id(1), (Ticks(99), Lots(1)), Lots(4));
    assert_eq!(beyond, Err(Misfit::Price { id: id(1), recorded: Ticks(99), rests: Ticks(100) }));
    assert!(book.fill(id(1), (Ticks(100), Lots(1)), Lots(5)).is_err());
    book.fill(id(1), (Ticks(101), Lots(5)), Lots(0)).unwrap();
    assert_eq!((book.get(id(1)), book.len()), (None, 1));
}

//! The ladder: asks above, bids below, the spread between, best prices in the middle.

use rust_decimal::Decimal;

use super::grid::{Column, Grid, Tint};
use super::market;
use super::steps::Steps;
use crate::book::{Book, Depth};
use crate::output::Terminal;

/// Lines of a ladder that are not levels: title, header and spread.
pub const FRAME_LINES: u32 = 3;

/// The ladder with at most `depth` levels of each side.
pub fn ladder(name: &str, book: &Book, depth: usize, steps: &Steps, terminal: Terminal) -> String {
    let title = format!("{name} at position {}\n", book.position);
    let asks = rungs(book.asks(), depth, Tint::Ask, steps);
    let bids = rungs(book.bids(), depth, Tint::Bid, steps);
    if asks.is_empty() && bids.is_empty() {
        return format!("{title}{}", market::empty(name, steps));
    }
    let above = asks.len();
    let mut grid = Grid::new(&[
        Column::Number("price"),
        Column::Number("quantity"),
        Column::Number("sum"),
        Column::Number("orders"),
    ]);
    for (tint, cells) in asks.into_iter().rev().chain(bids) {
        grid.row(tint, cells);
    }
    let table = grid.render(terminal);
    let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
    lines.insert(1 + above, format!("  {}", spread(book, steps)));
    format!("{title}{}\n", lines.join("\n"))
}

/// A side's levels, best first, each with the sum from the best price to it.
fn rungs(
    levels: impl Iterator<Item = (Decimal, Depth)>,
    depth: usize,
    tint: Tint,
    steps: &Steps,
) -> Vec<(Tint, [String; 4])> {
    let sums = levels.take(depth).scan(Some(Decimal::ZERO), |sum, (price, level)| {
        *sum = sum.and_then(|sum| sum.checked_add(level.quantity));
        let sum = sum.map_or_else(String::new, text);
        Some((tint, [steps.price(&text(price)), text(level.quantity), sum, level.orders.to_string()]))
    });
    sums.collect()
}

fn spread(book: &Book, steps: &Steps) -> String {
    match (book.bids().next(), book.asks().next()) {
        (Some((bid, _)), Some((ask, _))) => {
            let spread = ask - bid;
            let share = (ask.checked_add(bid))
                .and_then(|twice_middle| (spread * Decimal::TWO).checked_div(twice_middle))
                .and_then(|share| share.checked_mul(Decimal::ONE_HUNDRED));
            match share {
                Some(share) => format!("spread {} ({:.2} %)", steps.price(&text(spread)), share),
                None => format!("spread {}", steps.price(&text(spread))),
            }
        }
        (None, _) => "no bids".to_owned(),
        (_, None) => "no asks".to_owned(),
    }
}

fn text(number: Decimal) -> String {
    number.normalize().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::tests::{level, sample};
    use crate::show::steps::tests::steps;
    use xbook_proto::v1::BookSnapshot;

    #[test]
    fn the_best_prices_meet_in_the_middle() {
        let expected = "\
BTC/USDT at position 7
price  quantity    sum  orders
12.25      5     55          1
11.00     50     50          1
  spread 1.00 (9.52 %)
10.00     75     75          1
 9.50      1.25  76.25       2
";
        assert_eq!(ladder("BTC/USDT", &sample(), 20, &steps("0.01", "0.01"), Terminal::NONE), expected);
    }

    #[test]
    fn the_depth_keeps_the_best_levels() {
        let text = ladder("BTC/USDT", &sample(), 1, &Steps::default(), Terminal::NONE);
        let prices: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(prices, ["BTC/USDT", "price", "11", "spread", "10"]);
        assert_eq!(text.lines().count(), 2 + FRAME_LINES as usize);
    }

    #[test]
    fn a_side_or_both_may_be_empty() {
        let bids = vec![level("10", "75", 1)];
        let one_side = Book::new(&BookSnapshot { position: 4, bids, ..BookSnapshot::default() }).unwrap();
        let expected = "\
BTC/USDT at position 4
price  quantity  sum  orders
  no asks
   10        75   75       1
";
        assert_eq!(ladder("BTC/USDT", &one_side, 20, &Steps::default(), Terminal::NONE), expected);
        let text = ladder("BTC/USDT", &Book::default(), 20, &steps("3", "1"), Terminal::NONE);
        assert!(text.contains("The book is empty. Place an order with `xcli buy 1 BTC/USDT 3`."), "{text}");
    }
}

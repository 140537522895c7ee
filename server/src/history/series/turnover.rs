//! Sums of fills.

use super::candle::{common, ratio};
use crate::history::Sizes;
use crate::types::{Lots, Ticks};

/// Quantity and value of fills, exact also where the market's sizes have changed.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Turnover {
    quantity: u128,
    value: u128,
    /// Number of fills.
    pub fills: u64,
    sizes: Option<Sizes>,
}

impl Turnover {
    /// Adds a fill.
    pub fn add(&mut self, price: Ticks, quantity: Lots, sizes: Sizes) {
        let mut fill = Self {
            quantity: quantity.0.into(),
            value: u128::from(price.0) * u128::from(quantity.0),
            fills: 1,
            sizes: Some(sizes),
        };
        self.match_sizes(&mut fill);
        self.quantity = self.quantity.saturating_add(fill.quantity);
        self.value = self.value.saturating_add(fill.value);
        self.fills += 1;
    }

    /// Has both count in the same sizes.
    fn match_sizes(&mut self, other: &mut Self) {
        match (self.sizes, other.sizes) {
            (Some(mine), Some(theirs)) if mine != theirs => {
                let sizes = Sizes { tick: common(mine.tick, theirs.tick), lot: common(mine.lot, theirs.lot) };
                self.count_in(sizes);
                other.count_in(sizes);
            }
            (None, sizes) => self.sizes = sizes,
            (sizes, None) => other.sizes = sizes,
            _ => {}
        }
    }

    fn count_in(&mut self, sizes: Sizes) {
        if let Some(mine) = self.sizes.replace(sizes) {
            let lots = ratio(mine.lot, sizes.lot);
            self.quantity = self.quantity.saturating_mul(lots);
            self.value = self.value.saturating_mul(ratio(mine.tick, sizes.tick)).saturating_mul(lots);
        }
    }

    /// The quantity, as a decimal.
    #[must_use]
    pub fn quantity_text(&self) -> String {
        self.sizes.map_or_else(|| "0".to_owned(), |sizes| sizes.lot.sum_text(self.quantity))
    }

    /// The sum of price times quantity, as a decimal.
    #[must_use]
    pub fn value_text(&self) -> String {
        self.sizes.map_or_else(|| "0".to_owned(), |sizes| sizes.tick.product_text(sizes.lot, self.value))
    }

    /// This quantity less another, as a decimal.
    #[must_use]
    pub fn less(&self, other: &Self) -> String {
        let (mut mine, mut theirs) = (self.clone(), other.clone());
        mine.match_sizes(&mut theirs);
        let (sign, difference) = match mine.quantity.checked_sub(theirs.quantity) {
            Some(difference) => ("", difference),
            None => ("-", theirs.quantity - mine.quantity),
        };
        let text = mine.sizes.map_or_else(|| "0".to_owned(), |sizes| sizes.lot.sum_text(difference));
        format!("{sign}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Grid;

    #[test]
    fn fills_are_added_exactly_in_whatever_sizes() {
        let grid = |text: &str| Grid::new(text.parse().unwrap()).unwrap();
        let (coarse, fine) =
            (Sizes { tick: grid("0.5"), lot: grid("2") }, Sizes { tick: grid("0.2"), lot: grid("0.1") });
        let (mut bought, mut sold) = (Turnover::default(), Turnover::default());
        assert_eq!((bought.quantity_text().as_str(), bought.less(&sold).as_str()), ("0", "0"));
        // 6 at 10.5, then 0.3 at 10.4.
        bought.add(Ticks(21), Lots(3), coarse);
        assert_eq!(bought.less(&sold), "6");
        bought.add(Ticks(52), Lots(3), fine);
        assert_eq!((bought.quantity_text(), bought.value_text()), ("6.3".to_owned(), "66.12".to_owned()));
        sold.add(Ticks(1), Lots(5), coarse);
        assert_eq!((bought.less(&sold), sold.less(&bought)), ("-3.7".to_owned(), "3.7".to_owned()));
        assert_eq!((bought.fills, sold.fills), (2, 1));
    }
}

//! A market's grid, for showing: prices are written to the tick, examples are on the grid.

use rust_decimal::Decimal;
use xbook_proto::v1::MarketRules;

use super::words;

/// What is known of a market's rules; by default nothing.
#[derive(Debug, Clone, Default)]
pub struct Steps {
    rules: MarketRules,
}

impl Steps {
    pub fn new(rules: Option<&MarketRules>) -> Self {
        Self { rules: rules.cloned().unwrap_or_default() }
    }

    /// The price with as many digits after the point as the tick has; what is no number is left as it
    /// is.
    pub fn price(&self, price: &str) -> String {
        let digits = |text: &str| text.split_once('.').map_or(0, |(_, digits)| digits.len());
        let missing = digits(&self.rules.tick_size).saturating_sub(digits(price));
        if missing == 0 || words::decimal(price).is_none() {
            return price.to_owned();
        }
        let point = if price.contains('.') { "" } else { "." };
        format!("{price}{point}{}", "0".repeat(missing))
    }

    /// A price that the market takes: 10, or one tick.
    pub fn any_price(&self) -> String {
        on_grid(Decimal::TEN, &self.rules.tick_size).unwrap_or_else(|| self.rules.tick_size.clone())
    }

    /// A quantity that the market takes: 1, or its smallest.
    pub fn any_quantity(&self) -> String {
        let limit = |text: &str| words::decimal(text);
        let fits = limit(&self.rules.min_quantity).is_none_or(|min| min <= Decimal::ONE)
            && limit(&self.rules.max_quantity).is_none_or(|max| max >= Decimal::ONE);
        let smallest = || match self.rules.min_quantity.as_str() {
            "" => self.rules.lot_size.clone(),
            min => min.to_owned(),
        };
        on_grid(Decimal::ONE, &self.rules.lot_size).filter(|_| fits).unwrap_or_else(smallest)
    }
}

/// The number, if it is a multiple of the step or the step is not known.
fn on_grid(number: Decimal, step: &str) -> Option<String> {
    let fits =
        words::decimal(step).is_none_or(|step| number.checked_rem(step).is_some_and(|rest| rest.is_zero()));
    fits.then(|| number.to_string())
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn steps(tick: &str, lot: &str) -> Steps {
        let rules =
            MarketRules { tick_size: tick.to_owned(), lot_size: lot.to_owned(), ..MarketRules::default() };
        Steps::new(Some(&rules))
    }

    #[test]
    fn prices_are_written_to_the_tick() {
        for (tick, price, padded) in [
            ("0.01", "10", "10.00"),
            ("0.01", "10.5", "10.50"),
            ("0.25", "10.25", "10.25"),
            ("10000", "20000", "20000"),
            ("0.01", "mkt", "mkt"),
            ("0.01", "", ""),
            ("", "10.5", "10.5"),
        ] {
            assert_eq!(steps(tick, "1").price(price), padded, "{price} on {tick}");
        }
    }

    #[test]
    fn examples_are_on_the_grid() {
        for (tick, lot, price, quantity) in [
            ("0.01", "0.001", "10", "1"),
            ("", "", "10", "1"),
            ("10000", "250", "10000", "250"),
            ("0.03", "0.3", "0.03", "0.3"),
            ("5", "1", "10", "1"),
        ] {
            let steps = steps(tick, lot);
            assert_eq!(
                (steps.any_price().as_str(), steps.any_quantity().as_str()),
                (price, quantity),
                "{tick} {lot}"
            );
        }
        let rules = |min: &str, max: &str| MarketRules {
            lot_size: "0.1".to_owned(),
            min_quantity: min.to_owned(),
            max_quantity: max.to_owned(),
            ..MarketRules::default()
        };
        assert_eq!(Steps::new(Some(&rules("2.5", "9"))).any_quantity(), "2.5");
        assert_eq!(Steps::new(Some(&rules("0.1", "0.5"))).any_quantity(), "0.1");
    }
}

//! What a fill costs its two sides.
//!
//! A fee is the fill's value times a rate, in quote currency, rounded up to the market's fee step: towards plus
//! infinity, so a fee grows by it and a rebate shrinks. It is counted in units of 10^-8, whatever the market's grids are.

use crate::decimal::{Grid, decimal_text};
use crate::types::{Lots, Ticks};

/// Digits after the point of what a fee counts in.
pub const FEE_SCALE: u32 = 8;

/// The highest rate, in hundredths of a basis point: a tenth of the value.
pub const MAX_FEE_RATE: i32 = 100_000;

/// The largest fee step, in units of 10^-8.
pub const MAX_FEE_STEP: u64 = 1_000_000_000_000;

/// A fee, or a rebate if it is below zero, in units of 10^-8 of the quote currency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Fee(pub i64);

impl Fee {
    /// The sum of fees as decimal text.
    #[must_use]
    pub fn sum_text(sum: i128) -> String {
        let text = decimal_text(sum.unsigned_abs(), FEE_SCALE.cast_signed());
        if sum < 0 { format!("-{text}") } else { text }
    }
}

impl std::fmt::Display for Fee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&Self::sum_text(self.0.into()))
    }
}

/// The fees of the two sides of a fill.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Fees {
    /// Of the order that rested.
    pub maker: Fee,
    /// Of the one that came in.
    pub taker: Fee,
}

/// A market's rates. The default charges nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FeeRates {
    /// Of an order that rested, in hundredths of a basis point; below zero for a rebate.
    pub maker: i32,
    /// Of one that came in.
    pub taker: i32,
    /// Of either in an uncross.
    pub auction: i32,
    /// What fees are rounded up to, in units of 10^-8.
    pub step: u64,
}

impl Default for FeeRates {
    fn default() -> Self {
        Self { maker: 0, taker: 0, auction: 0, step: 1 }
    }
}

impl FeeRates {
    /// Whether they are rates that a market may have.
    #[must_use]
    pub fn are_valid(&self) -> bool {
        let rates = -MAX_FEE_RATE..=MAX_FEE_RATE;
        [self.maker, self.taker, self.auction].iter().all(|rate| rates.contains(rate))
            && (1..=MAX_FEE_STEP).contains(&self.step)
    }

    /// What a fill costs.
    pub(super) fn of(&self, price: Ticks, quantity: Lots, grids: (Grid, Grid)) -> Fees {
        if (self.maker, self.taker) == (0, 0) {
            return Fees::default();
        }
        let fee = |rate| Fee(fee(rate, self.step, (price, quantity), grids));
        Fees { maker: fee(self.maker), taker: fee(self.taker) }
    }

    /// What a fill of an uncross costs.
    pub(super) fn of_auction(&self, price: Ticks, quantity: Lots, grids: (Grid, Grid)) -> Fees {
        Self { maker: self.auction, taker: self.auction, ..*self }.of(price, quantity, grids)
    }
}

/// A fee in units of 10^-8; at most what an `i64` holds of whole steps.
fn fee(rate: i32, step: u64, (price, quantity): (Ticks, Lots), (tick, lot): (Grid, Grid)) -> i64 {
    let ((tick, tick_scale), (lot, lot_scale)) = (tick.parts(), lot.parts());
    // Value times rate is the product of these times 10^-scale, in units of 10^-8 (a hundredth of a basis point is
    // 10^-6, so two digits are left over).
    let factors = [price.0, quantity.0, tick * lot, u64::from(rate.unsigned_abs()) * 100];
    let scale = tick_scale + lot_scale;
    let up = rate > 0;
    let mut wide = Wide::product(factors);
    if scale < 0 {
        wide.multiply(10_u64.saturating_pow(scale.unsigned_abs()));
    }
    // Rounded at each division in the same direction, which is the same as once.
    let mut digits = scale.max(0).unsigned_abs();
    while digits > 0 {
        let some = digits.min(18);
        wide.divide(10_u64.pow(some), up);
        digits -= some;
    }
    wide.divide(step, up);
    let most = i64::MAX.unsigned_abs() / step;
    let units = (wide.low().unwrap_or(most).min(most) * step).cast_signed();
    if up { units } else { -units }
}

/// A number of up to 256 bits, the lowest word first. The largest product there is has some 210.
struct Wide([u64; 4]);

impl Wide {
    fn product(factors: [u64; 4]) -> Self {
        let [first, rest @ ..] = factors;
        let mut wide = Self([first, 0, 0, 0]);
        rest.into_iter().for_each(|factor| wide.multiply(factor));
        wide
    }

    fn multiply(&mut self, factor: u64) {
        let mut carry = 0_u128;
        for word in &mut self.0 {
            let product = u128::from(*word) * u128::from(factor) + carry;
            *word = product as u64;
            carry = product >> 64;
        }
    }

    fn divide(&mut self, by: u64, up: bool) {
        let mut rest = 0_u128;
        for word in self.0.iter_mut().rev() {
            let part = rest << 64 | u128::from(*word);
            *word = (part / u128::from(by)) as u64;
            rest = part % u128::from(by);
        }
        if up && rest > 0 {
            self.increase();
        }
    }

    fn increase(&mut self) {
        for word in &mut self.0 {
            let (next, over) = word.overflowing_add(1);
            *word = next;
            if !over {
                return;
            }
        }
    }

    /// The number, if a word holds it.
    fn low(&self) -> Option<u64> {
        let [low, high @ ..] = self.0;
        (high == [0; 3]).then_some(low)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;

    fn grid(step: &str) -> Grid {
        Grid::new(step.parse().unwrap()).unwrap()
    }

    fn of(rate: i32, step: u64, fill: (u64, u64), grids: (&str, &str)) -> String {
        let fill = (Ticks(fill.0), Lots(fill.1));
        Fee(fee(rate, step, fill, (grid(grids.0), grid(grids.1)))).to_string()
    }

    #[test]
    fn fees_round_up_and_rebates_down() {
        const CENT: u64 = 1_000_000;
        let one = ("1", "1");
        for (rate, step, fill, grids, expected) in [
            (500, CENT, (100, 3), one, "0.15"),
            (-100, CENT, (100, 3), one, "-0.03"),
            (500, CENT, (101, 3), one, "0.16"),
            (500, CENT, (7, 1), one, "0.01"),
            (-100, CENT, (7, 1), one, "0"),
            (-100, CENT, (99, 1), one, "0"),
            (-100, CENT, (100, 1), one, "-0.01"),
            (525, 1, (1, 1), ("0.01", "0.001"), "0.00000001"),
            (-525, 1, (1, 1), ("0.01", "0.001"), "0"),
            (725, 1, (1_234_567, 1_000), ("0.01", "0.001"), "8.95061075"),
            (1, 1, (1, 1), ("1000000", "1000000"), "1000000"),
            (100_000, 1, (1, 1), ("0.000000000000000001", "0.000000000000000001"), "0.00000001"),
            (0, 1, (1, 1), one, "0"),
        ] {
            assert_eq!(of(rate, step, fill, grids), expected, "{rate} {step} {fill:?} {grids:?}");
        }
    }

    #[test]
    fn the_largest_fee_is_what_fits() {
        let most = crate::decimal::MAX_STEPS;
        let grids = ("9999000000000", "9999000000000");
        assert_eq!(of(100_000, 1, (most, most), grids), Fee(i64::MAX).to_string());
        assert_eq!(of(-100_000, 1, (most, most), grids), Fee(-i64::MAX).to_string());
    }

    proptest! {
        /// By decimals, as the proto says it.
        #[test]
        fn a_fee_is_the_value_times_the_rate(
            rate in -10_000_i32..10_000,
            step in prop_oneof![Just(1_u64), Just(250), Just(1_000_000)],
            price in 1_u64..1_000_000,
            quantity in 1_u64..10_000,
            grids in (0_u32..4, 0_u32..4),
        ) {
            let (tick, lot) = (Decimal::new(5, grids.0), Decimal::new(3, grids.1));
            let value = Decimal::from(price) * tick * Decimal::from(quantity) * lot;
            let unrounded = value * Decimal::new(rate.into(), 6);
            let step_size = Decimal::new(step.try_into().unwrap(), 8);
            let expected = (unrounded / step_size).ceil() * step_size;
            let read = of(rate, step, (price, quantity), (&tick.to_string(), &lot.to_string()));
            prop_assert_eq!(read.parse::<Decimal>().unwrap(), expected);
        }
    }
}

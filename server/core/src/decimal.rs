//! Decimals at the edge: text on the wire to whole steps of a grid, and back.
//!
//! A [`Grid`] is a tick or lot size. Its mantissa is kept small ([`MAX_MANTISSA`]), so that the
//! value of any order (ticks times lots) is an exact decimal in a `u128`. Zeros before the point are
//! no part of it, as those behind the point are not: 10000 is 1 with the scale -4.

use rust_decimal::Decimal;

/// Largest number of digits after the point of a tick or lot size.
pub const MAX_SCALE: u32 = 18;

/// Largest number of zeros that a tick or lot size ends with before the point. With them, the largest
/// price and quantity still have at most the 28 digits that a client may send.
pub const MAX_ZEROS: u32 = 9;

/// Largest tick or lot size, counted in units of its last digit that is no zero: "0.25" and "250"
/// count 25.
pub const MAX_MANTISSA: u64 = 9_999;

/// Most steps that a price or a quantity may have.
pub const MAX_STEPS: u64 = 1_000_000_000_000_000;

/// The step of a price or a quantity: all values are whole multiples of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grid {
    mantissa: u64,
    /// Digits after the point; below zero, zeros before it.
    scale: i32,
}

/// Why a decimal is not a number of steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GridError {
    /// Zero or negative.
    #[error("must be greater than zero")]
    NotPositive,
    /// Not a whole multiple of the step.
    #[error("must be a multiple of {0}")]
    OffGrid(Grid),
    /// More than [`MAX_STEPS`] steps.
    #[error("must be at most {}", .0.text(MAX_STEPS))]
    TooLarge(Grid),
}

/// Why a decimal can't be a tick or lot size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StepError {
    /// Zero or negative.
    #[error("must be greater than zero")]
    NotPositive,
    /// Too many digits.
    #[error(
        "must have at most {MAX_SCALE} digits after the point, at most 4 significant digits and at most \
         {MAX_ZEROS} zeros at the end"
    )]
    TooManyDigits,
}

impl Grid {
    /// A grid with this step.
    ///
    /// # Errors
    /// The step must be positive and within [`MAX_SCALE`], [`MAX_ZEROS`] and [`MAX_MANTISSA`].
    pub fn new(step: Decimal) -> Result<Self, StepError> {
        if step <= Decimal::ZERO {
            return Err(StepError::NotPositive);
        }
        let (mantissa, scale) = shortest(step);
        match u64::try_from(mantissa) {
            Ok(mantissa)
                if mantissa <= MAX_MANTISSA
                    && scale <= MAX_SCALE.cast_signed()
                    && -scale <= MAX_ZEROS.cast_signed() =>
            {
                Ok(Self { mantissa, scale })
            }
            _ => Err(StepError::TooManyDigits),
        }
    }

    /// How many steps a value has.
    ///
    /// # Errors
    /// The value must be a positive whole multiple of the step, of at most [`MAX_STEPS`] steps.
    pub fn steps(self, value: Decimal) -> Result<u64, GridError> {
        if value <= Decimal::ZERO {
            return Err(GridError::NotPositive);
        }
        let (mantissa, scale) = shortest(value);
        let missing = u32::try_from(self.scale - scale).map_err(|_| GridError::OffGrid(self))?;
        let factor = 10_i128.checked_pow(missing).ok_or(GridError::TooLarge(self))?;
        let units = mantissa.checked_mul(factor).ok_or(GridError::TooLarge(self))?;
        let step = i128::from(self.mantissa);
        if units % step != 0 {
            return Err(GridError::OffGrid(self));
        }
        match u64::try_from(units / step) {
            Ok(steps) if steps <= MAX_STEPS => Ok(steps),
            _ => Err(GridError::TooLarge(self)),
        }
    }

    /// A number of steps as decimal text, without trailing zeros.
    #[must_use]
    pub fn text(self, steps: u64) -> String {
        decimal_text(u128::from(steps) * u128::from(self.mantissa), self.scale)
    }

    /// A sum of many quantities as decimal text.
    #[must_use]
    pub fn sum_text(self, steps: u128) -> String {
        decimal_text(steps.saturating_mul(u128::from(self.mantissa)), self.scale)
    }

    /// Its mantissa and scale: the step is the mantissa times 10 to the power of minus the scale.
    #[must_use]
    pub fn parts(self) -> (u64, i32) {
        (self.mantissa, self.scale)
    }

    /// The grid of a mantissa and a scale, if there is such a one.
    #[must_use]
    pub fn of_parts(mantissa: u64, scale: i32) -> Option<Self> {
        let known = (1..=MAX_MANTISSA).contains(&mantissa)
            && (-MAX_ZEROS.cast_signed()..=MAX_SCALE.cast_signed()).contains(&scale);
        known.then_some(Self { mantissa, scale })
    }

    /// A value in steps of `self` times steps of `other` (a price times a quantity) as text.
    #[must_use]
    pub fn product_text(self, other: Self, steps: u128) -> String {
        let mantissa = u128::from(self.mantissa) * u128::from(other.mantissa);
        decimal_text(steps.saturating_mul(mantissa), self.scale + other.scale)
    }
}

impl std::fmt::Display for Grid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text(1))
    }
}

/// A positive value as digits that don't end with a zero, and how many of them are after the point;
/// below zero, how many zeros follow before the point.
fn shortest(value: Decimal) -> (i128, i32) {
    let (mut mantissa, mut scale) = (value.mantissa(), value.scale().cast_signed());
    while mantissa != 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    (mantissa, scale)
}

/// `units` of 10^-`scale` as plain text: no exponent, no trailing zeros after the point.
pub(crate) fn decimal_text(units: u128, scale: i32) -> String {
    // Room for the longest number, and for a zero before a point that all its digits are behind.
    const DIGITS: usize = 40;
    let mut buffer = [b'0'; DIGITS];
    let mut begin = DIGITS;
    let mut push = |digit: u8| {
        begin -= 1;
        buffer[begin] = b'0' + digit;
    };
    let mut rest = units;
    while rest > u128::from(u64::MAX) {
        push((rest % 10) as u8);
        rest /= 10;
    }
    // Nearly all numbers are so small, and 128-bit divisions cost ten times as much.
    let mut rest = rest as u64;
    while rest > 0 {
        push((rest % 10) as u8);
        rest /= 10;
    }
    let (behind, zeros) = (scale.max(0).unsigned_abs(), scale.min(0).unsigned_abs());
    let point = DIGITS - behind as usize;
    let digits = |range: std::ops::Range<usize>| std::str::from_utf8(&buffer[range]).unwrap_or_default();
    let whole = digits(begin.min(point - 1)..point);
    let fraction = digits(point..DIGITS).trim_end_matches('0');
    let zeros = if units == 0 { 0 } else { zeros as usize };
    let mut text = String::with_capacity(whole.len() + zeros + 1 + fraction.len());
    text.push_str(whole);
    text.extend(std::iter::repeat_n('0', zeros));
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grid(step: &str) -> Grid {
        Grid::new(step.parse().unwrap()).unwrap()
    }

    #[test]
    fn values_on_the_grid_become_steps_and_come_back() {
        let table = [
            ("0.01", "10.25", 1025),
            ("0.25", "10.250", 41),
            ("5", "100", 20),
            ("0.001", "0.001", 1),
            ("10", "1e3", 100),
            ("10000", "20000", 2),
            ("10000", "10000.00", 1),
            ("250", "1000", 4),
            ("120", "3600", 30),
            ("9999000000000", "9999000000000", 1),
        ];
        for (step, value, steps) in table {
            let decimal = Decimal::from_scientific(value).or_else(|_| value.parse()).unwrap();
            assert_eq!(grid(step).steps(decimal), Ok(steps), "{value} on {step}");
        }
        assert_eq!(grid("0.25").text(41), "10.25");
        assert_eq!(grid("5").text(20), "100");
        assert_eq!(grid("0.001").text(0), "0");
        assert_eq!(grid("5").text(0), "0");
        assert_eq!(grid("0.01").product_text(grid("0.1"), 12_345), "12.345");
        assert_eq!(grid("10000").text(2), "20000");
        assert_eq!(grid("10000").text(0), "0");
        assert_eq!(grid("10000").to_string(), "10000");
        assert_eq!(grid("250").text(3), "750");
        assert_eq!(grid("10000").product_text(grid("250"), 6), "15000000");
        assert_eq!(grid("10000").product_text(grid("0.001"), 12_345), "123450");
        assert_eq!(grid("10000").product_text(grid("0.000001"), 12_345), "123.45");
    }

    #[test]
    fn values_off_the_grid_are_refused_with_the_grid() {
        let cents = grid("0.01");
        assert_eq!(
            cents.steps("0.005".parse().unwrap()).unwrap_err().to_string(),
            "must be a multiple of 0.01"
        );
        assert_eq!(cents.steps("-1".parse().unwrap()), Err(GridError::NotPositive));
        assert_eq!(cents.steps("0".parse().unwrap()), Err(GridError::NotPositive));
        let huge: Decimal = "79228162514264337593543950335".parse().unwrap();
        assert_eq!(cents.steps(huge).unwrap_err().to_string(), "must be at most 10000000000000");
        assert_eq!(
            grid("0.000000000000000001").steps(huge),
            Err(GridError::TooLarge(grid("0.000000000000000001")))
        );
    }

    #[test]
    fn a_step_has_few_digits() {
        for step in ["0", "-0.01", "0.0000000000000000001", "12345", "1.2345", "123450", "10000000000"] {
            assert!(Grid::new(step.parse().unwrap()).is_err(), "{step}");
        }
        assert_eq!(grid("10000").steps("10001".parse().unwrap()), Err(GridError::OffGrid(grid("10000"))));
        assert_eq!(grid("10000").steps("1000".parse().unwrap()), Err(GridError::OffGrid(grid("10000"))));
        assert_eq!(grid("10000").steps("0.1".parse().unwrap()), Err(GridError::OffGrid(grid("10000"))));
        assert_eq!(Grid::new("0.0100".parse().unwrap()), Ok(grid("0.01")));
    }

    #[test]
    fn the_longest_values_are_written_whole() {
        let smallest = grid("0.000000000000000001");
        assert_eq!(smallest.text(1), "0.000000000000000001");
        assert_eq!(smallest.product_text(smallest, 1), format!("0.{}1", "0".repeat(35)));
        let largest = u128::from(MAX_STEPS) * u128::from(MAX_STEPS);
        assert_eq!(grid("9999").product_text(grid("9999"), largest), format!("99980001{}", "0".repeat(30)));
        assert_eq!(decimal_text(u128::MAX, 0), u128::MAX.to_string());
        assert_eq!(decimal_text(u128::MAX, 36), "340.282366920938463463374607431768211455");
    }

    /// Any step that is allowed.
    fn any_grid() -> impl Strategy<Value = Grid> {
        let zeros = -MAX_ZEROS.cast_signed();
        (1..=MAX_MANTISSA, zeros..=MAX_SCALE.cast_signed()).prop_filter_map(
            "too small",
            |(mantissa, scale)| {
                let zeros = 10_i128.pow(scale.min(0).unsigned_abs());
                let step = i128::from(mantissa) * zeros;
                Grid::new(Decimal::from_i128_with_scale(step, scale.max(0).unsigned_abs())).ok()
            },
        )
    }

    proptest! {
        #[test]
        fn text_reads_back(grid in any_grid(), steps in 1..=MAX_STEPS) {
            let text = grid.text(steps);
            prop_assert!(text.len() <= 29 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
            prop_assert_eq!(grid.steps(text.parse().unwrap()), Ok(steps));
            // The same number, as the library for decimals multiplies it.
            let step: Decimal = grid.to_string().parse().unwrap();
            prop_assert_eq!(text.parse::<Decimal>().ok(), step.checked_mul(steps.into()));
        }

        #[test]
        fn products_are_exact(price in any_grid(), quantity in any_grid(), ticks in 1..=9_999_u64, lots in 1..=9_999_u64) {
            let (tick, lot): (Decimal, Decimal) =
                (price.to_string().parse().unwrap(), quantity.to_string().parse().unwrap());
            let text = price.product_text(quantity, u128::from(ticks) * u128::from(lots));
            let product = (tick * Decimal::from(ticks)).checked_mul(lot * Decimal::from(lots));
            // The library rounds what has more than 28 digits after the point, and refuses more before it.
            if let Some(product) = product.filter(|_| tick.scale() + lot.scale() <= 28) {
                prop_assert_eq!(text.parse::<Decimal>().unwrap(), product);
            }
        }
    }
}

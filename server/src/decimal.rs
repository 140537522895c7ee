//! Decimals at the edge: text on the wire to whole steps of a grid, and back.
//!
//! A [`Grid`] is a tick or lot size. Its mantissa is kept small ([`MAX_MANTISSA`]), so that the
//! value of any order (ticks times lots) is an exact decimal in a `u128`.

use rust_decimal::Decimal;

/// Largest number of digits after the point of a tick or lot size.
pub const MAX_SCALE: u32 = 18;

/// Largest tick or lot size, counted in units of its last digit: "0.25" counts 25.
pub const MAX_MANTISSA: u64 = 9_999;

/// Most steps that a price or a quantity may have.
pub const MAX_STEPS: u64 = 1_000_000_000_000_000;

/// The step of a price or a quantity: all values are whole multiples of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grid {
    mantissa: u64,
    scale: u32,
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
    #[error("must have at most {MAX_SCALE} digits after the point and at most 4 significant digits")]
    TooManyDigits,
}

impl Grid {
    /// A grid with this step.
    ///
    /// # Errors
    /// The step must be positive and within [`MAX_SCALE`] and [`MAX_MANTISSA`].
    pub fn new(step: Decimal) -> Result<Self, StepError> {
        if step <= Decimal::ZERO {
            return Err(StepError::NotPositive);
        }
        let step = step.normalize();
        match u64::try_from(step.mantissa()) {
            Ok(mantissa) if mantissa <= MAX_MANTISSA && step.scale() <= MAX_SCALE => {
                Ok(Self { mantissa, scale: step.scale() })
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
        let (mut mantissa, mut scale) = (value.mantissa(), value.scale());
        while scale > self.scale && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        let Some(missing) = self.scale.checked_sub(scale) else {
            return Err(GridError::OffGrid(self));
        };
        let units = mantissa.checked_mul(10_i128.pow(missing)).ok_or(GridError::TooLarge(self))?;
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

/// `units` of 10^-`scale` as plain text: no exponent, no trailing zeros.
fn decimal_text(units: u128, scale: u32) -> String {
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
    let point = DIGITS - scale as usize;
    let digits = |range: std::ops::Range<usize>| std::str::from_utf8(&buffer[range]).unwrap_or_default();
    let whole = digits(begin.min(point - 1)..point);
    let fraction = digits(point..DIGITS).trim_end_matches('0');
    let mut text = String::with_capacity(whole.len() + 1 + fraction.len());
    text.push_str(whole);
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
        for step in ["0", "-0.01", "0.0000000000000000001", "12345", "1.2345"] {
            assert!(Grid::new(step.parse().unwrap()).is_err(), "{step}");
        }
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

    proptest! {
        #[test]
        fn text_reads_back(mantissa in 1..=MAX_MANTISSA, scale in 0..=MAX_SCALE, steps in 1..=MAX_STEPS) {
            let grid = Grid::new(Decimal::from_i128_with_scale(mantissa.into(), scale)).unwrap();
            prop_assert_eq!(grid.steps(grid.text(steps).parse().unwrap()), Ok(steps));
        }
    }
}

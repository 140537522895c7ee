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
    let mut buffer = [b'0'; 40];
    let mut begin = buffer.len();
    let mut rest = units;
    while rest > 0 {
        begin -= 1;
        // The remainder of a division by ten is a digit.
        buffer[begin] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    let digits: String = buffer[begin..].iter().map(|&digit| char::from(digit)).collect();
    let scale = scale as usize;
    if scale == 0 || units == 0 {
        return if units == 0 { "0".to_owned() } else { digits };
    }
    let mut text = String::with_capacity(digits.len().max(scale + 1) + 1);
    match digits.len().checked_sub(scale) {
        Some(whole) if whole > 0 => text.push_str(&digits[..whole]),
        _ => text.push('0'),
    }
    text.push('.');
    text.extend(std::iter::repeat_n('0', scale.saturating_sub(digits.len())));
    text.push_str(&digits[digits.len().saturating_sub(scale)..]);
    text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
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

    proptest! {
        #[test]
        fn text_reads_back(mantissa in 1..=MAX_MANTISSA, scale in 0..=MAX_SCALE, steps in 1..=MAX_STEPS) {
            let grid = Grid::new(Decimal::from_i128_with_scale(mantissa.into(), scale)).unwrap();
            prop_assert_eq!(grid.steps(grid.text(steps).parse().unwrap()), Ok(steps));
        }
    }
}

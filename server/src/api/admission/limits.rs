//! Limits that an account sets itself.

use rust_decimal::Decimal;
use xbook_proto::v1::{self, Reason};

use super::{Caller, begin, body_hash, request, text};
use crate::api::error::Refusal;
use crate::decimal::Grid;
use crate::machine::{Action, Caps, Limits, Request, Rules};
use crate::types::Lots;

/// Admits a SetAccountLimits.
///
/// # Errors
/// The first reason by precedence.
pub fn set_account_limits(
    mut message: v1::SetAccountLimitsRequest,
    rules: Option<&Rules>,
    caller: &Caller,
) -> Result<Request, Refusal> {
    let id = std::mem::take(&mut message.request_id);
    let (mut findings, request_id) = begin(&id, &message.market, rules);
    let asked = message.limits.clone().unwrap_or_default();
    findings.within("limits");
    let quantity = findings.note(amount("max_quantity", &asked.max_quantity));
    let notional = findings.note(amount("max_notional", &asked.max_notional));
    let most = Caps::default().open_orders;
    if asked.max_open_orders as usize > most {
        let refusal = Refusal::new(Reason::AboveMaximum, format!("must be at most {most}"));
        findings.refuse(refusal.field("max_open_orders").value(asked.max_open_orders));
    }
    findings.within("");
    let read = rules.zip(quantity.zip(notional)).map(|(rules, (quantity, notional))| Limits {
        quantity: Lots(u64::try_from(steps(quantity, &[rules.lot])).unwrap_or(u64::MAX)),
        notional: steps(notional, &[rules.tick, rules.lot]),
        orders: asked.max_open_orders,
    });
    let limits = findings.unless_found(read)?;
    request(caller, request_id, body_hash("limits", &message), Action::SetLimits(limits))
}

/// An amount that need not be set.
fn amount(field: &'static str, text: &str) -> Result<Decimal, Refusal> {
    if text.is_empty() {
        return Ok(Decimal::ZERO);
    }
    let value = text::decimal(field, text)?;
    if value.is_sign_negative() && !value.is_zero() {
        return Err(Refusal::new(Reason::NotPositive, "must not be below zero").field(field).value(text));
    }
    Ok(value)
}

/// How many whole products of steps an amount has. What is so large that it can't be counted limits nothing that can
/// be; less than one is one, since nothing is no limit.
fn steps(amount: Decimal, grids: &[Grid]) -> u128 {
    if amount.is_zero() {
        return 0;
    }
    let parts = grids.iter().map(|grid| grid.parts());
    let (divisor, scale) = parts.fold((1_u128, 0_i32), |(divisor, scale), (mantissa, digits)| {
        (divisor * u128::from(mantissa), scale + digits)
    });
    let shift = scale - amount.scale().cast_signed();
    let power = 10_u128.checked_pow(shift.unsigned_abs());
    let mantissa = amount.mantissa().unsigned_abs();
    let units = match (power, shift < 0) {
        (Some(power), true) => Some(mantissa / power),
        (None, true) => Some(0),
        (power, false) => power.and_then(|power| mantissa.checked_mul(power)),
    };
    units.map_or(u128::MAX, |units| (units / divisor).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_rounded_down_to_steps() {
        let grid = |text: &str| Grid::new(text.parse().unwrap()).unwrap();
        for (amount, grids, expected) in [
            ("0", vec!["1"], 0),
            ("10", vec!["0.5"], 20),
            ("10.9", vec!["0.5"], 21),
            ("0.1", vec!["0.5"], 1),
            ("1000", vec!["0.01", "0.001"], 100_000_000),
            ("1000", vec!["100", "0.25"], 40),
            ("9999999999999999999999999999", vec!["0.000000000000000001", "0.000000000000000001"], u128::MAX),
        ] {
            let grids: Vec<Grid> = grids.into_iter().map(grid).collect();
            assert_eq!(steps(amount.parse().unwrap(), &grids), expected, "{amount} {grids:?}");
        }
    }
}

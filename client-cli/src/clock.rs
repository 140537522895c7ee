//! The one place that reads the clock and draws random numbers.

use std::time::SystemTime;

use crate::failure::Failure;

/// The time now, by this machine's clock.
#[expect(clippy::disallowed_methods, reason = "a client's only use of the clock: `--expires 10m`")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// A fresh request id: 128 random bits in hex.
pub fn draw_request_id() -> Result<String, Failure> {
    draw()
}

/// A fresh join token: 128 random bits in hex.
pub fn draw_token() -> Result<String, Failure> {
    draw()
}

fn draw() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::internal(format!("the system gives no random numbers: {error}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// A random share of 1, for back-off; 1 if there is no randomness.
pub fn jitter() -> f64 {
    getrandom::u32().map_or(1.0, |draw| f64::from(draw) / f64::from(u32::MAX))
}

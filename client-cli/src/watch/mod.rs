//! Following streams: `book --watch`, `trades --watch`, `updates`, `subscribe`.
//!
//! [`follow`] keeps a stream going over lost connections; the other modules say how it is opened
//! and what is done with each message. Programs get the messages themselves, heartbeats too.

mod book;
mod events;
mod follow;
mod screen;
mod subscribe;

use crate::connect::Client;
use crate::output::Output;
use crate::show::steps::Steps;

pub use book::book;
pub use events::{trades, updates};
pub use subscribe::subscribe;

/// A market's grid, for people.
async fn steps(client: &Client, market: &str, output: &Output<'_>) -> Steps {
    if output.is_json() { Steps::default() } else { client.steps(market).await }
}

//! Following streams: `book --watch`, `trades --watch`, `updates`.
//!
//! [`follow`] keeps a stream going over lost connections; the other modules say how it is opened
//! and what is done with each message. Programs get the messages themselves, heartbeats too.

mod book;
mod events;
mod follow;
mod screen;

pub use book::book;
pub use events::{trades, updates};

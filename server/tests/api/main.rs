//! The services over real gRPC on loopback, with a real node behind them.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic, its helpers too")]
#![allow(clippy::too_many_lines, reason = "a table of cases is as long as it is")]

mod backfill;
mod bad_input;
mod calls;
mod candles;
mod clocks;
mod damage;
mod fees;
mod field_limits;
mod formats;
mod large;
mod lease;
mod limits;
mod market_state;
mod orders;
mod own;
mod past;
mod peers;
mod protect;
mod quarantine;
mod repeats;
mod service;
mod session;
mod stored;
mod streams;
mod subscribe;
mod summary;
mod support;
mod verify;
mod voters;

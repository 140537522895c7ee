//! The services over real gRPC on loopback, with a real node behind them.

mod bad_input;
mod calls;
mod repeats;
mod service;
mod session;
mod streams;
mod support;

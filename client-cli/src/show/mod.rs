//! Answers as people want to see them.

pub mod candles;
pub mod grid;
pub mod ladder;
pub mod lease;
pub mod market;
pub mod node;
pub mod order;
pub mod steps;
pub mod verify;
pub mod words;

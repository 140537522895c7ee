//! The pure core of a node: what an exchange does, without a network, a disk or a clock.
//!
//! From the inside out: [`book`] matches, [`machine`] decides and applies, [`document`] holds what
//! is agreed on, and [`replica`] is the state machine of one document, `handle(now, input) ->
//! effects`. Time comes in as an argument and I/O goes out as an effect, and nothing iterates over
//! a hash map: the same inputs give the same bytes. Cargo guards this: neither an async runtime
//! nor a network nor a store is among this crate's dependencies.

pub mod book;
pub mod decimal;
pub mod document;
pub mod format;
pub mod machine;
pub mod plant;
pub mod replica;
pub mod types;

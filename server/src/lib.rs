//! A node of xbook, as a library.

pub mod api;
pub mod config;
mod frames;
pub mod history;
pub mod layers;
pub mod mirror;
pub mod node;
pub mod peer;
pub mod store;
pub mod telemetry;

pub use xbook_core::{book, decimal, document, format, machine, plant, replica, types};

//! A node of xbook, as a library.

pub mod api;
pub mod book;
pub mod config;
pub mod decimal;
pub mod document;
pub mod history;
pub mod layers;
pub mod machine;
pub mod node;
pub mod peer;
pub mod plant;
pub mod replica;
pub mod store;
pub mod telemetry;
pub mod types;

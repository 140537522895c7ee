//! A node of xbook, as a library.

pub mod book;
pub mod decimal;
pub mod document;
pub mod history;
pub mod machine;
pub mod node;
pub mod replica;
pub mod store;
pub mod types;

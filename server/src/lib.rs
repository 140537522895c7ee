//! A node of xbook, as a library.

pub mod book;
pub mod decimal;
pub mod document;
pub mod machine;
pub mod replica;
pub mod store;
pub mod types;

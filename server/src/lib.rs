//! A node of xbook, as a library.

pub mod book;
pub mod types;

//! The order book.

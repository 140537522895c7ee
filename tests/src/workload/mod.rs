//! Workloads: the same messages for the engine benchmark and for a running service.
//!
//! [`e1::messages`] makes the messages; whoever executes them tells [`report::Reports`] what became of
//! each; the hash of the report says whether all of it was right.

pub mod e1;
pub mod report;

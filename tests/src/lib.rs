//! What attacks and measures xbook from outside: oracles, workloads, the model, and later the simulator.

pub mod client;
pub mod model;
pub mod naive;
pub mod process;
pub mod replay;
pub mod workload;

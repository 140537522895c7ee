//! What attacks and measures xbook from outside: oracles, workloads, the model and the simulator.

pub mod client;
pub mod model;
pub mod naive;
pub mod process;
pub mod replay;
pub mod sim;
pub mod workload;

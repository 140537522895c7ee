//! What attacks and measures xbook from outside: oracles, workloads, the model and the simulator.

pub mod client;
pub mod clock;
pub mod cluster;
pub mod fuzz;
pub mod model;
pub mod naive;
pub mod network;
pub mod process;
pub mod proxy;
pub mod replay;
#[cfg(feature = "plant")]
pub mod sim;
pub mod workload;

//! What attacks and measures xbook from outside: oracles, workloads, and later the simulator.

pub mod naive;

//! The parts of the benchmark: keys, databases filled with them, servers, and a load.

pub mod fill;
pub mod keys;
pub mod load;
pub mod scenario;
pub mod server;

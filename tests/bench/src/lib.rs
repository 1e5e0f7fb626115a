//! The parts of the benchmark: keys, databases filled with them, servers, and a load.

#![expect(clippy::print_stderr, reason = "progress goes to stderr, the report to stdout")]

pub mod fill;
pub mod keys;
pub mod load;
pub mod scenario;
pub mod server;

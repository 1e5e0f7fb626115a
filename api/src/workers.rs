//! Background workers of the process.

pub mod audit_checkpoints;
pub mod verify_summary_log;

//! The subcommands of `claviger`.

pub mod audit_verify;
pub mod bootstrap;
pub mod check_gateway;
pub mod checkpoint_file;
pub mod healthcheck;
pub mod import_better_auth;
pub mod retention;
pub mod usage_error;

//! The service: the HTTP APIs on top of the domain, and the process that serves them.
//!
//! From the outside in: [`server`] (connections) → [`server::pipeline`] (one request) → [`app`] (paths) → [`routes`] and
//! [`compat`] (operations) → [`auth::authenticator`] (who calls) → the domain. [`compose`] puts the database behind it,
//! [`lifecycle`] starts and ends it.

pub mod app;
pub mod auth;
pub mod cli;
pub mod compat;
pub mod compose;
pub mod config;
pub mod dashboard;
pub mod error_formats;
pub mod forward_auth;
pub mod http;
pub mod idempotency;
pub mod lifecycle;
pub mod metrics;
pub mod openapi;
pub mod process;
pub mod routes;
pub mod server;
pub mod token_issuer;
pub mod verifier;
pub mod verify_fast_path;
pub mod workers;

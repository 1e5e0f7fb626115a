//! The service: translators between HTTP and the domain, and everything that makes them one process.
//!
//! From the outside in: [`server`] (connections) → [`edge`] (one request) → [`app`] (paths) → [`contract`] (operations) →
//! [`gate`] (who is it?) → the domain. [`compose`] puts the database behind it, [`lifecycle`] starts and ends it.

pub mod activity;
pub mod address;
pub mod answer;
pub mod app;
pub mod better_auth;
pub mod body;
pub mod body_budget;
pub mod compose;
pub mod config;
pub mod connection;
pub mod content;
pub mod contract;
pub mod credentials;
pub mod dashboard;
pub mod docs;
pub mod edge;
pub mod failure;
pub mod gate;
pub mod heads;
pub mod health;
pub mod hot;
pub mod json;
pub mod json_text;
pub mod jwt;
pub mod key_stream;
pub mod lent;
pub mod lifecycle;
pub mod limiter;
pub mod lists;
pub mod log_writer;
pub mod management_rate;
pub mod methods;
pub mod metrics;
pub mod off_thread;
pub mod once;
pub mod places;
pub mod probe;
pub mod process;
pub mod proof;
pub mod refused;
pub mod request_id;
pub mod retention;
pub mod root_key;
pub mod server;
pub mod signals;
pub mod system;
pub mod tally;
pub mod telemetry;
pub mod time;
pub mod verifier;
pub mod wire;

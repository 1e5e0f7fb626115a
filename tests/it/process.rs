//! The process: starting, stopping, connections, storage, logs.

pub(crate) mod attempts;
pub(crate) mod binary;
pub(crate) mod dashboard;
pub(crate) mod database_messages;
pub(crate) mod database_plans;
pub(crate) mod draining;
pub(crate) mod fairness;
pub(crate) mod files;
pub(crate) mod image;
pub(crate) mod log_reader;
pub(crate) mod management_rate;
pub(crate) mod manifests;
pub(crate) mod metrics;
pub(crate) mod outage;
pub(crate) mod postgres;
pub(crate) mod reload;
pub(crate) mod retention;
pub(crate) mod settings;
pub(crate) mod shutdown;
pub(crate) mod starting;
pub(crate) mod storage;
pub(crate) mod tls;

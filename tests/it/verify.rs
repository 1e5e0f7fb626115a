//! Verification: results, limits, and the key cache.

pub(crate) mod cache;
pub(crate) mod explain;
pub(crate) mod limits;
pub(crate) mod limits_clock;
mod limits_model;
pub(crate) mod native_verify;
pub(crate) mod verdicts;

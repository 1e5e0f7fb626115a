//! The error formats of all contracts.

use crate::{
    compat::{athena, livekit},
    http::contract::ErrorFormat,
    routes,
};

/// The error formats of the contracts. Paths of no contract use the first one.
pub const ERROR_FORMATS: [ErrorFormat; 5] = [
    routes::ERROR_FORMAT,
    livekit::ERROR_FORMAT,
    athena::ERROR_FORMAT,
    crate::compat::oauth::ERROR_FORMAT,
    crate::compat::oauth::METADATA_ERROR_FORMAT,
];

/// The error format for a path.
#[must_use]
pub fn error_format_of(path: &str) -> &'static ErrorFormat {
    let below = |format: &&ErrorFormat| {
        path.strip_prefix(format.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    const { &ERROR_FORMATS }.iter().find(below).unwrap_or(const { &ERROR_FORMATS[0] })
}

//! The result of verifying a key. That a key is not valid is a result, not an error.

use std::sync::Arc;

use crate::{clock::Timestamp, deny_reason::DenyReason, keys::quota::Quota, verify::cached_key::CachedKey};

/// The result of verifying a key.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The key is valid for the request.
    Valid(Valid),
    /// The key is not valid for the request.
    Denied {
        /// Why.
        deny_reason: DenyReason,
        /// The key. `None`: there is none, or the caller has no access to it.
        key: Option<Arc<CachedKey>>,
    },
}

/// A valid key, after this use.
#[derive(Clone, Debug)]
pub struct Valid {
    /// The key.
    pub key: Arc<CachedKey>,
    /// The usage limits and their state after this use.
    pub quota: Quota,
    /// Milliseconds until the end of the window in which this use was counted. `None`: there is no rate limit.
    pub window_ends_in: Option<u64>,
    /// The number of successful verify requests, this one included. For a key that is not metered: as far as this
    /// process knows.
    pub request_count: u64,
    /// The last successful verify request or authentication (UTC).
    pub last_request_at: Option<Timestamp>,
}

impl Verdict {
    /// The result for a text that is not a known secret.
    pub(crate) const UNKNOWN: Self = Self::Denied { deny_reason: DenyReason::InvalidApiKey, key: None };
}

/// The result of counting one use of a metered key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumeOutcome {
    /// The use is stored durably.
    Admitted {
        /// The usage limits and their state after this use.
        quota: Quota,
        /// The number of successful verify requests, this one included.
        request_count: u64,
        /// When the use was counted (UTC).
        at: Timestamp,
    },
    /// The use was denied and not counted.
    Denied(DenyReason),
    /// The key was disabled, changed or deleted, or has expired, after it was checked; or its window or refill interval
    /// ended while the use was written (then the use stays counted). It must be loaded and checked again.
    Changed,
}

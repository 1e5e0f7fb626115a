//! The answer to "is this key good?": a value like any other, not an error.

use std::sync::Arc;

use crate::{clock::Timestamp, quota::Quota, refusal::Refusal, snapshot::Snapshot};

/// The answer to a verify.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is good for what was asked.
    Valid(Valid),
    /// It is not.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The key, where it is known to the caller.
        key: Option<Arc<Snapshot>>,
    },
}

/// A key that was found good, after this use.
#[derive(Clone, Debug)]
pub struct Valid {
    /// The key.
    pub key: Arc<Snapshot>,
    /// What this use left of its limits.
    pub quota: Quota,
    /// Milliseconds until the window ends in which this use was counted, where there is a rate limit.
    pub window_ends_in: Option<u64>,
    /// Verifies that found it good, this one included. For an unmetered key: as far as this process knows.
    pub request_count: u64,
    /// When that was last.
    pub last_request_at: Option<Timestamp>,
}

impl Verdict {
    /// Of a text that is no known key.
    pub(crate) const UNKNOWN: Self = Self::Refused { refusal: Refusal::InvalidApiKey, key: None };
}

/// What the ledger says to one metered use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// Counted, durably.
    Admitted {
        /// What this use left of the limits.
        quota: Quota,
        /// Verifies that found the key good, this one included.
        request_count: u64,
        /// When it was counted.
        at: Timestamp,
    },
    /// Not counted.
    Refused(Refusal),
    /// The key is not as it was when it was decided: disabled, expired, changed or gone. Decide anew.
    Changed,
}

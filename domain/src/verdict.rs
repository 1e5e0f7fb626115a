//! The answer to "is this key good?": a value like any other, not an error.

use crate::{api_key::ApiKey, clock::Timestamp, quota::Quota, refusal::Refusal};

/// The answer to a verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is good for what was asked. The quota is what this use left of it.
    Valid(Box<ApiKey>),
    /// It is not.
    Refused(Refusal),
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

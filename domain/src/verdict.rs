//! The answer to "is this key good?": a value like any other, not an error.

use crate::{api_key::ApiKey, quota::Quota};

/// The answer to a verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is good for what was asked. The quota is what this use left of it.
    Valid(Box<ApiKey>),
    /// It is not.
    Refused(Refusal),
}

/// Why a key is not good. The order is the order of the checks: the first that fails is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// No such key in the caller's reach: malformed, unknown, foreign, or its secret has ended.
    InvalidApiKey,
    /// Switched off, or its user is not a member of the organization any more.
    KeyDisabled,
    /// Its expiry has come.
    KeyExpired,
    /// It does not hold all permissions that were asked for.
    InsufficientPermissions,
    /// Nothing remains of its uses.
    UsageExceeded,
    /// As many uses as its window allows have been made in it.
    RateLimited {
        /// Milliseconds until the window ends.
        try_again_in: u64,
    },
}

/// What the ledger says to one metered use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// Counted, durably. This use left so much.
    Admitted(Quota),
    /// Not counted.
    Refused(Refusal),
    /// The key is not as it was when it was decided: disabled, expired, changed or gone. Decide anew.
    Changed,
}

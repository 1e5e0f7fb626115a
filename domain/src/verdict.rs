//! The answer to "is this key good?": a value like any other, not an error.

/// Why a key is not good. The order is the order of the checks: the first that fails is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// No such key: malformed, unknown, or its secret has ended.
    InvalidApiKey,
    /// Switched off, or its user is not a member of the organization any more.
    KeyDisabled,
    /// Its expiry has come.
    KeyExpired,
}

//! Why a key is not good.

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

impl Refusal {
    /// The word for programs, the same everywhere.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidApiKey => "INVALID_API_KEY",
            Self::KeyDisabled => "KEY_DISABLED",
            Self::KeyExpired => "KEY_EXPIRED",
            Self::InsufficientPermissions => "INSUFFICIENT_PERMISSIONS",
            Self::UsageExceeded => "USAGE_EXCEEDED",
            Self::RateLimited { .. } => "RATE_LIMITED",
        }
    }
}

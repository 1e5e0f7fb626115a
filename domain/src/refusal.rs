//! Why a key is not good.

/// Why a key is not good. The order is the order of the checks: the first that fails is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// No such key in the caller's reach: malformed, unknown, foreign, or its secret has ended.
    InvalidApiKey,
    /// Its organization is suspended.
    OrganizationSuspended,
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
    /// All words for programs, the same everywhere, in the order of the checks.
    pub const CODES: [&'static str; 7] = [
        "INVALID_API_KEY",
        "ORGANIZATION_SUSPENDED",
        "KEY_DISABLED",
        "KEY_EXPIRED",
        "INSUFFICIENT_PERMISSIONS",
        "USAGE_EXCEEDED",
        "RATE_LIMITED",
    ];

    /// Its place in the order of the checks.
    #[must_use]
    pub const fn place(self) -> usize {
        match self {
            Self::InvalidApiKey => 0,
            Self::OrganizationSuspended => 1,
            Self::KeyDisabled => 2,
            Self::KeyExpired => 3,
            Self::InsufficientPermissions => 4,
            Self::UsageExceeded => 5,
            Self::RateLimited { .. } => 6,
        }
    }

    /// The word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        Self::CODES[self.place()]
    }
}

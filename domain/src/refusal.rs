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
    /// Its time has not come yet.
    KeyNotYetValid,
    /// Its expiry has come.
    KeyExpired,
    /// It may be used from some addresses only, and this is none of them or not known.
    AddressNotAllowed,
    /// It does not hold all permissions that were asked for.
    InsufficientPermissions,
    /// Fewer of its uses remain than this one costs.
    UsageExceeded {
        /// So many remain.
        remaining: u64,
    },
    /// As many uses as its window allows have been made in it.
    RateLimited {
        /// Milliseconds until the window ends.
        try_again_in: u64,
    },
}

impl Refusal {
    /// All words for programs, the same everywhere, in the order of the checks.
    pub const CODES: [&'static str; 9] = [
        "INVALID_API_KEY",
        "ORGANIZATION_SUSPENDED",
        "KEY_DISABLED",
        "KEY_NOT_YET_VALID",
        "KEY_EXPIRED",
        "ADDRESS_NOT_ALLOWED",
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
            Self::KeyNotYetValid => 3,
            Self::KeyExpired => 4,
            Self::AddressNotAllowed => 5,
            Self::InsufficientPermissions => 6,
            Self::UsageExceeded { .. } => 7,
            Self::RateLimited { .. } => 8,
        }
    }

    /// The word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        Self::CODES[self.place()]
    }
}

//! Why a key is not valid.

use crate::coded_enum::coded_enum;

/// Why a key is not valid, with the data that the response needs. The checks are made in this order: the first that
/// fails is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DenyReason {
    /// See [`DenyCode::InvalidApiKey`].
    InvalidApiKey,
    /// See [`DenyCode::OrganizationSuspended`].
    OrganizationSuspended,
    /// See [`DenyCode::KeyDisabled`].
    KeyDisabled,
    /// See [`DenyCode::KeyNotYetValid`].
    KeyNotYetValid,
    /// See [`DenyCode::KeyExpired`].
    KeyExpired,
    /// See [`DenyCode::AddressNotAllowed`].
    AddressNotAllowed,
    /// See [`DenyCode::InsufficientPermissions`].
    InsufficientPermissions,
    /// See [`DenyCode::UsageExceeded`].
    UsageExceeded {
        /// The number of remaining uses.
        remaining: u64,
    },
    /// See [`DenyCode::RateLimited`].
    RateLimited {
        /// Milliseconds until the window ends.
        try_again_in: u64,
    },
}

coded_enum! {
    /// The code of a [`DenyReason`], the same in all contracts, in the order of the checks.
    pub enum DenyCode {
        /// The key is malformed or unknown, its secret has expired, or the caller has no access to it.
        InvalidApiKey = "INVALID_API_KEY",
        /// The organization of the key is suspended.
        OrganizationSuspended = "ORGANIZATION_SUSPENDED",
        /// The key is disabled, or its user is not a member of the organization any more.
        KeyDisabled = "KEY_DISABLED",
        /// `not_before` is in the future.
        KeyNotYetValid = "KEY_NOT_YET_VALID",
        /// `expires_at` has passed.
        KeyExpired = "KEY_EXPIRED",
        /// The key has an IP allowlist, and the address is unknown or not in it.
        AddressNotAllowed = "ADDRESS_NOT_ALLOWED",
        /// The key lacks a requested permission.
        InsufficientPermissions = "INSUFFICIENT_PERMISSIONS",
        /// Fewer uses are left than this one costs.
        UsageExceeded = "USAGE_EXCEEDED",
        /// The rate limit of the key is reached.
        RateLimited = "RATE_LIMITED",
    }
}

impl DenyReason {
    /// All codes, in the order of the checks.
    pub const CODES: [&'static str; DenyCode::CODES.len()] = DenyCode::CODES;

    /// The code of the reason.
    #[must_use]
    pub const fn kind(self) -> DenyCode {
        match self {
            Self::InvalidApiKey => DenyCode::InvalidApiKey,
            Self::OrganizationSuspended => DenyCode::OrganizationSuspended,
            Self::KeyDisabled => DenyCode::KeyDisabled,
            Self::KeyNotYetValid => DenyCode::KeyNotYetValid,
            Self::KeyExpired => DenyCode::KeyExpired,
            Self::AddressNotAllowed => DenyCode::AddressNotAllowed,
            Self::InsufficientPermissions => DenyCode::InsufficientPermissions,
            Self::UsageExceeded { .. } => DenyCode::UsageExceeded,
            Self::RateLimited { .. } => DenyCode::RateLimited,
        }
    }

    /// The index of the reason in [`Self::CODES`].
    #[must_use]
    pub const fn ordinal(self) -> usize {
        self.kind() as usize
    }

    /// The code as text.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.kind().code()
    }
}

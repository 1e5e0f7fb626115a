//! The rules of key policies that a key breaks, or would break.

use crate::{clock::Timestamp, coded_enum::coded_enum, id::SetId, permissions::Permission};

coded_enum! {
    /// A rule of a policy. The codes are the names of its fields in the native API.
    pub enum KeyRule {
        /// The key never expires, or later than the maximum number of days after its creation.
        MaxLifetimeDays = "max_lifetime_days",
        /// The key never expires.
        ExpiryRequired = "expiry_required",
        /// The key has one of these permissions and no IP allowlist.
        AddressesRequiredFor = "addresses_required_for",
        /// The secret has another prefix.
        Prefix = "prefix",
        /// The key has other permissions.
        AllowedPermissions = "allowed_permissions",
        /// The key can manage this service.
        CanManage = "can_manage",
        /// The newest secret is too old.
        Rotation = "rotation",
        /// The key was neither used nor changed for too long.
        DisableUnusedAfterDays = "disable_unused_after_days",
    }
}

/// How a key breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// See [`KeyRule::MaxLifetimeDays`].
    Lifetime {
        /// The maximum lifetime, in days.
        days: u32,
        /// The latest allowed expiry. `None`: it has passed.
        latest: Option<Timestamp>,
    },
    /// See [`KeyRule::ExpiryRequired`].
    NoExpiry,
    /// See [`KeyRule::AddressesRequiredFor`]: because of this permission of the policy.
    NoAddresses(Permission),
    /// See [`KeyRule::Prefix`]: this one is required.
    Prefix(String),
    /// See [`KeyRule::AllowedPermissions`]: this permission of the key is not allowed.
    Permission(Permission),
    /// See [`KeyRule::CanManage`].
    CanManage,
    /// See [`KeyRule::Rotation`].
    Rotation {
        /// The maximum age of a secret, in days.
        days: u32,
        /// Whether the key is to be disabled.
        enforce: bool,
    },
    /// See [`KeyRule::DisableUnusedAfterDays`]: the number of days.
    Unused(u32),
}

impl Violation {
    /// The rule that is broken.
    #[must_use]
    pub const fn rule(&self) -> KeyRule {
        match self {
            Self::Lifetime { .. } => KeyRule::MaxLifetimeDays,
            Self::NoExpiry => KeyRule::ExpiryRequired,
            Self::NoAddresses(_) => KeyRule::AddressesRequiredFor,
            Self::Prefix(_) => KeyRule::Prefix,
            Self::Permission(_) => KeyRule::AllowedPermissions,
            Self::CanManage => KeyRule::CanManage,
            Self::Rotation { .. } => KeyRule::Rotation,
            Self::Unused(_) => KeyRule::DisableUnusedAfterDays,
        }
    }
}

/// The object that has a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// The organization.
    Organization,
    /// A permission set.
    Set(SetId),
}

/// A rule that a key breaks, or would break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRule {
    /// Whose policy it is.
    pub source: PolicySource,
    /// How the key breaks it.
    pub violation: Violation,
}

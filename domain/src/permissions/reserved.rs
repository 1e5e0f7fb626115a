//! The reserved resources: those of this service, as opposed to those of its customers.

use crate::coded_enum::coded_enum;

coded_enum! {
    /// A reserved resource. All other resources belong to customers.
    pub enum ReservedResource {
        /// The keys of the whole organization.
        ApiKeys = "api_keys",
        /// The keys of the caller's own user.
        OwnApiKeys = "own_api_keys",
        /// The organization.
        Org = "org",
        /// The members of the organization.
        Members = "members",
        /// The permission sets of the organization.
        PermissionSets = "permission_sets",
        /// The trust rules of the organization.
        TrustRules = "trust_rules",
        /// The portal sessions of the customers of the organization.
        PortalSessions = "portal_sessions",
        /// The audit log of the organization.
        Audit = "audit",
    }
}

impl ReservedResource {
    /// Whether `*:<action>` includes it, as it includes the resources of customers. The documents of Locktera's API
    /// give `read` and `write` to keys that read and write keys; all other reserved resources are included only by
    /// their name or by `*:*`.
    #[must_use]
    pub const fn is_reached_by_wildcard(self) -> bool {
        matches!(self, Self::ApiKeys | Self::OwnApiKeys)
    }
}

/// Whether `*:<action>` includes a resource with this name.
pub(super) fn is_reached_by_wildcard(resource: &str) -> bool {
    !ReservedResource::ALL.iter().any(|reserved| !reserved.is_reached_by_wildcard() && reserved.code() == resource)
}

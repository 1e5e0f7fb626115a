//! The keys that a caller may access: all of an organization, or only those of one of its users.

use crate::id::{OrganizationId, UserId};

/// The keys that a caller may access. Every port method on keys takes a scope, except the lookup by hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyScope {
    /// The organization.
    pub organization: OrganizationId,
    /// Only the keys that belong to this user. `None`: all keys of the organization.
    pub user: Option<UserId>,
}

impl KeyScope {
    /// All keys of an organization.
    #[must_use]
    pub const fn whole(organization: OrganizationId) -> Self {
        Self { organization, user: None }
    }
}

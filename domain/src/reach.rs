//! Which keys a caller may touch: those of one organization, or only those of one of its users.

use crate::id::{OrganizationId, UserId};

/// The keys in reach. Every port method on keys takes one, but for the lookup by hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The organization.
    pub organization: OrganizationId,
    /// Only the keys of this user; `None`: all of the organization.
    pub user: Option<UserId>,
}

impl Reach {
    /// All keys of an organization.
    #[must_use]
    pub const fn whole(organization: OrganizationId) -> Self {
        Self { organization, user: None }
    }
}

//! Organizations: who owns keys.

use crate::{
    clock::Timestamp,
    id::OrganizationId,
    text::{line, name, text},
};

text!(
    /// What an organization is called. It need not be unique and may be empty.
    OrganizationName,
    "Trims; at most 100 characters, none a control character.",
    |text| name(text, 0)
);

text!(
    /// What the operator's own system calls an organization or a key.
    ExternalId,
    "Trims; 1 to 255 characters, none a control character.",
    |text| line(text, 1, 255)
);

/// The most that an organization may have. `None`: what the service allows everyone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Keys.
    pub keys: Option<u64>,
    /// Members.
    pub members: Option<u64>,
    /// Permission sets.
    pub sets: Option<u64>,
}

/// What there is a cap for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capped {
    /// Keys.
    Keys,
    /// Members.
    Members,
    /// Permission sets.
    Sets,
}

/// What an organization is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrganizationKind {
    /// A customer: sees only itself.
    Tenant,
    /// The operator of this service: its keys act in every organization, within their grants. There is at most one.
    Platform,
}

/// An owner of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its identifier.
    pub id: OrganizationId,
    /// Its name, if it was given one.
    pub name: Option<OrganizationName>,
    /// Tenant or platform.
    pub kind: OrganizationKind,
    /// What the operator's own system calls it; no two organizations have the same.
    pub external_id: Option<ExternalId>,
    /// The most that it may have.
    pub caps: Caps,
    /// Since when none of its keys is good for anything. `None`: they are.
    pub suspended_at: Option<Timestamp>,
    /// When it was deleted. `None`: it is in use.
    pub deleted_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An organization that was deleted and whose keys are still being removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedOrganization {
    /// As it was, without its external id, which another one may have.
    pub organization: Organization,
    /// About how many of its keys are left.
    pub keys_left: u64,
}

impl Organization {
    /// One that is in use, without anything that it may be given later.
    #[must_use]
    pub fn new(
        id: OrganizationId,
        name: Option<OrganizationName>,
        kind: OrganizationKind,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            name,
            kind,
            external_id: None,
            caps: Caps::default(),
            suspended_at: None,
            deleted_at: None,
            created_at,
        }
    }
}

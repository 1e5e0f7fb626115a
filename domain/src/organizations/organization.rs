//! Organizations, which own API keys, and their limits.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    id::{ExternalId, OrganizationId},
    keys::policy::KeyPolicy,
    validated_string::{MAX_NAME, name, stored_line, text},
};

text!(
    /// The name of an organization. Names need not be unique, and may be empty.
    OrganizationName,
    "Parses a name: at most 100 characters, neither control characters nor invisible ones. Converts it to NFC.",
    |text| name(text, 0),
    stored |text| stored_line(text, 0, MAX_NAME)
);

/// The maximum numbers of objects of an organization. `None`: the limit of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// API keys.
    pub keys: Option<u64>,
    /// Members.
    pub members: Option<u64>,
    /// Permission sets.
    pub sets: Option<u64>,
}

/// The kind of an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrganizationKind {
    /// A customer. It has access only to itself.
    Tenant,
    /// The operator of this service. Its keys may act in every organization, within their permissions. There is at most
    /// one.
    Platform,
}

/// An organization, which owns API keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// The id.
    pub id: OrganizationId,
    /// The name. `None`: it has no name.
    pub name: Option<OrganizationName>,
    /// Whether it is a tenant or the platform organization.
    pub kind: OrganizationKind,
    /// The id in the operator's own system, unique among organizations. `None`: it has none.
    pub external_id: Option<ExternalId>,
    /// The maximum numbers of keys, members and permission sets.
    pub caps: Caps,
    /// Whether new keys can manage this service, if the request that creates them does not say.
    pub keys_can_manage_by_default: bool,
    /// The policy for its keys. `None`: it has none.
    pub key_policy: Option<Arc<KeyPolicy>>,
    /// When the organization was suspended (UTC): its keys are invalid meanwhile. `None`: it is not suspended.
    pub suspended_at: Option<Timestamp>,
    /// When the organization was deleted (UTC). `None`: it is not deleted.
    pub deleted_at: Option<Timestamp>,
    /// When it was created (UTC).
    pub created_at: Timestamp,
}

/// The state of an organization that was just deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is kept, and can be restored before this time (UTC, exclusive).
    Kept(Timestamp),
    /// Its data is being purged.
    Removing,
    /// All of its data is purged.
    Removed,
}

/// A deleted organization that is not completely purged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedOrganization {
    /// The organization as it was. Its external id is free, so another organization may have it meanwhile.
    pub organization: Organization,
    /// It can be restored before this time (UTC, exclusive). `None`: it is being purged.
    pub restorable_until: Option<Timestamp>,
    /// The approximate number of its keys that are not purged yet.
    pub keys_left: u64,
}

impl Organization {
    /// A new organization with the default settings.
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
            keys_can_manage_by_default: true,
            key_policy: None,
            suspended_at: None,
            deleted_at: None,
            created_at,
        }
    }
}

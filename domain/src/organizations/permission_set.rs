//! Permission sets: named sets of permissions that are attached to keys and members of their organization.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    id::{OrganizationId, SetId},
    keys::policy::KeyPolicy,
    permissions::Permissions,
    validated_string::{MAX_NAME, ValidationError, name, stored_line, text},
};

text!(
    /// The name of a permission set. Names are unique in an organization.
    SetName,
    "Parses a name: at most 100 characters, at least 1 after trimming, neither control characters nor invisible ones. \
     Converts it to NFC.",
    |text| name(text, 1),
    stored |text| stored_line(text, 1, MAX_NAME)
);

/// The maximum number of permission sets that are attached to a key or a member.
pub const MAX_ATTACHED: usize = 16;

/// Checks the permission sets to attach to a key or a member: at most 16, without duplicates.
pub fn attached(sets: Vec<SetId>) -> Result<Vec<SetId>, ValidationError> {
    let is_double = |(n, set): (usize, &SetId)| sets[..n].contains(set);
    if sets.len() > MAX_ATTACHED || sets.iter().enumerate().any(is_double) {
        return Err(ValidationError::AttachedSets);
    }
    Ok(sets)
}

/// Identifies what a permission set gives and demands: two values differ if the permissions or the key policies differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetVersion([u8; 32]);

impl SetVersion {
    /// From a hash of the permissions and the key policy.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// A permission set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionSet {
    /// The id.
    pub id: SetId,
    /// The organization that it belongs to.
    pub organization: OrganizationId,
    /// The name, unique in the organization.
    pub name: SetName,
    /// The permissions of keys and members that have the set.
    pub permissions: Permissions,
    /// The key policy that have the set. `None`: it has none.
    pub key_policy: Option<Arc<KeyPolicy>>,
    /// When it was created (UTC).
    pub created_at: Timestamp,
    /// When it was last changed (UTC).
    pub updated_at: Timestamp,
    /// The version of its permissions and its key policy. The default: it is not stored yet.
    pub version: SetVersion,
}

/// How many keys and members have a permission set. Each number is exact up to [`SetHolders::MAX_COUNTED`], and one more than that
/// if there are more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetHolders {
    /// Keys that are not deleted.
    pub keys: u64,
    /// Members.
    pub members: u64,
}

impl SetHolders {
    /// The most keys and the most members that are counted.
    pub const MAX_COUNTED: u64 = 10_000;
}

/// The union of own permissions and those of permission sets.
#[must_use]
pub fn effective(own: &Permissions, sets: &[PermissionSet]) -> Permissions {
    Permissions::union(std::iter::once(own).chain(sets.iter().map(|set| &set.permissions)))
}

//! Named permission sets: made once, attached to keys and members of their organization.

use crate::{
    clock::Timestamp,
    id::{OrganizationId, SetId},
    permission::PermissionSet,
    text::{Invalid, name, text},
};

text!(
    /// What a permission set is called: once in an organization.
    SetName,
    "Trims; 1 to 100 characters, none a control character.",
    |text| name(text, 1)
);

/// The most sets that a key or a member has.
pub const MOST_ATTACHED: usize = 16;

/// Sets that a key or a member may be given: at most 16, each once.
pub fn attached(sets: Vec<SetId>) -> Result<Vec<SetId>, Invalid> {
    let is_double = |(n, set): (usize, &SetId)| sets[..n].contains(set);
    if sets.len() > MOST_ATTACHED || sets.iter().enumerate().any(is_double) {
        return Err(Invalid::AttachedSets);
    }
    Ok(sets)
}

/// A permission set with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSet {
    /// Its identifier.
    pub id: SetId,
    /// The organization that it belongs to.
    pub organization: OrganizationId,
    /// Its name.
    pub name: SetName,
    /// What it gives.
    pub permissions: PermissionSet,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What somebody holds who has these permissions and these sets.
#[must_use]
pub fn effective(own: &PermissionSet, sets: &[NamedSet]) -> PermissionSet {
    PermissionSet::union(std::iter::once(own).chain(sets.iter().map(|set| &set.permissions)))
}

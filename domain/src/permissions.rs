//! Permissions: an action on a resource, their two text forms, and the rule that decides whether one is included in
//! another.
//!
//! Both the resource and the action may be the wildcard `*`; there are no other wildcards. `*:<action>` does not
//! include the reserved resources of this service, except keys: those must be named (`org:read`), or all be included by
//! `*:*`.

mod narrowing;
mod reserved;
#[cfg(test)]
pub(crate) mod tests;

use std::{borrow::Cow, collections::HashMap, fmt, mem::size_of};

use indexmap::{Equivalent, IndexSet};

pub(crate) use crate::permissions::narrowing::Narrowing;
pub use crate::permissions::reserved::ReservedResource;
use crate::permissions::reserved::is_reached_by_wildcard;
use crate::validated_string::ValidationError;

const ANY: &str = "*";

/// A permission: an action on a resource, either of which may be `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Permission {
    resource: Cow<'static, str>,
    action: Cow<'static, str>,
}

/// Declares the permissions of this service: a constant for each, and a list of all.
macro_rules! service_permissions {
    ($($(#[$about:meta])* $name:ident = $resource:ident, $action:literal;)+) => {
        impl Permission {
            $($(#[$about])* pub const $name: Self = Self::reserved(ReservedResource::$resource, $action);)+

            /// All permissions of this service, [`Self::EVERYTHING`] last.
            pub const SERVICE: [Self; [$($action),+].len() + 1] = [$(Self::$name,)+ Self::EVERYTHING];
        }
    };
}

service_permissions! {
    /// Read keys and their usage in the whole organization.
    API_KEYS_READ = ApiKeys, "read";
    /// Create, update, rotate and delete keys in the whole organization.
    API_KEYS_WRITE = ApiKeys, "write";
    /// Verify keys of the whole organization.
    API_KEYS_VERIFY = ApiKeys, "verify";
    /// Read the keys of the caller's own user.
    OWN_API_KEYS_READ = OwnApiKeys, "read";
    /// Create, update, rotate and delete the keys of the caller's own user.
    OWN_API_KEYS_WRITE = OwnApiKeys, "write";
    /// Read the organization itself.
    ORG_READ = Org, "read";
    /// Administer the organization, including the limits and owners of keys.
    ORG_ADMIN = Org, "admin";
    /// List the members.
    MEMBERS_READ = Members, "read";
    /// Add, update and remove members.
    MEMBERS_ADMIN = Members, "admin";
    /// Read permission sets.
    SETS_READ = PermissionSets, "read";
    /// Create, update and delete permission sets.
    SETS_ADMIN = PermissionSets, "admin";
    /// Read trust rules.
    TRUST_RULES_READ = TrustRules, "read";
    /// Create, update and delete trust rules.
    TRUST_RULES_ADMIN = TrustRules, "admin";
    /// Create and revoke portal sessions, in which customers of the organization manage their keys.
    PORTAL_SESSIONS_WRITE = PortalSessions, "write";
    /// Read the audit log.
    AUDIT_READ = Audit, "read";
}

impl Permission {
    /// Everything (`*`). It is required for operations that no other administrator can undo, such as deleting an
    /// organization.
    pub const EVERYTHING: Self = Self { resource: Cow::Borrowed(ANY), action: Cow::Borrowed(ANY) };

    const fn reserved(resource: ReservedResource, action: &'static str) -> Self {
        Self { resource: Cow::Borrowed(resource.code()), action: Cow::Borrowed(action) }
    }

    /// The permission for `action` on `resource`.
    pub fn new(resource: &str, action: &str) -> Result<Self, ValidationError> {
        Ok(Self { resource: Cow::Owned(token(resource)?), action: Cow::Owned(token(action)?) })
    }

    /// Parses the flat form: `read` is `*:read`, `*` is `*:*`.
    pub fn parse(text: &str) -> Result<Self, ValidationError> {
        let (resource, action) = text.split_once(':').unwrap_or((ANY, text));
        Self::new(resource, action).map_err(|_| ValidationError::PermissionToken(excerpt(text)))
    }

    /// The resource, or `*`.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The action, or `*`.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The permissions that include this one, itself included. A set that has any of them allows it.
    #[must_use]
    pub fn holders(&self) -> Vec<Self> {
        self.pair().holders().map(Pair::to_permission).collect()
    }

    /// The shortest flat form.
    #[must_use]
    pub fn flat(&self) -> String {
        if self.resource == ANY { self.action.to_string() } else { [&self.resource, ":", &self.action].concat() }
    }

    /// The two parts, borrowed.
    fn pair(&self) -> Pair<'_> {
        Pair { resource: &self.resource, action: &self.action }
    }

    /// The allocated bytes on the heap.
    fn heap_size(&self) -> usize {
        [&self.resource, &self.action]
            .map(|part| if let Cow::Owned(text) = part { allocated(text.capacity()) } else { 0 })
            .iter()
            .sum()
    }
}

/// A permission with borrowed parts.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct Pair<'a> {
    resource: &'a str,
    action: &'a str,
}

impl Pair<'_> {
    /// Whether this permission includes `other`.
    fn includes(self, other: Self) -> bool {
        (self.action == ANY || self.action == other.action)
            && (self.resource == other.resource || (self.resource == ANY && self.reaches(other.resource)))
    }

    /// Whether this permission, whose resource is `*`, includes this resource.
    fn reaches(self, resource: &str) -> bool {
        self.action == ANY || is_reached_by_wildcard(resource)
    }

    /// The permissions that include this one: at most 4, this one first.
    fn holders(self) -> impl Iterator<Item = Self> {
        let Self { resource, action } = self;
        let (has_resource, has_action) = (resource != ANY, action != ANY);
        let any = Self { resource: ANY, action };
        [
            (true, self),
            (has_action, Self { resource, action: ANY }),
            (has_resource && any.reaches(resource), any),
            (has_resource && has_action, Self { resource: ANY, action: ANY }),
        ]
        .into_iter()
        .filter_map(|(is_another, holder)| is_another.then_some(holder))
    }

    fn to_permission(self) -> Permission {
        let owned = |text: &str| Cow::Owned(text.to_owned());
        Permission { resource: owned(self.resource), action: owned(self.action) }
    }
}

impl Equivalent<Permission> for Pair<'_> {
    fn equivalent(&self, permission: &Permission) -> bool {
        *self == permission.pair()
    }
}

impl fmt::Display for Permission {
    /// The shortest flat form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.flat())
    }
}

/// Parses a resource or an action: `*`, or 1 to 64 of `A-Z a-z 0-9 _ . -`.
fn token(text: &str) -> Result<String, ValidationError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if text == ANY || ((1..=64).contains(&text.len()) && text.bytes().all(plain)) {
        Ok(text.to_owned())
    } else {
        Err(ValidationError::PermissionToken(excerpt(text)))
    }
}

/// The first 64 characters of an invalid text, for the error.
fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

/// A set of permissions without duplicates, in insertion order. Sets with the same permissions are equal in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(IndexSet<Permission>);

impl Permissions {
    /// The maximum number of permissions in a set.
    pub const MAX: usize = 256;

    /// The maximum number of permissions of a key or a member, including those of its permission sets. Rows that older
    /// versions stored may have more.
    pub const MAX_EFFECTIVE: usize = 1_024;

    /// Up to this number of permissions, comparing each of them is faster than computing hashes.
    const MAX_COMPARISONS: usize = 16;

    /// Everything: `*:*`.
    #[must_use]
    pub fn all() -> Self {
        Self(IndexSet::from([Permission::EVERYTHING]))
    }

    /// Creates a set of these permissions, at most [`Self::MAX`].
    pub fn new(permissions: impl IntoIterator<Item = Permission>) -> Result<Self, ValidationError> {
        let mut set = IndexSet::new();
        for permission in permissions {
            step();
            set.insert(permission);
            if set.len() > Self::MAX {
                return Err(ValidationError::TooManyPermissions);
            }
        }
        Ok(Self::compact(set))
    }

    /// Releases unused capacity: sets are kept in memory for long.
    fn compact(mut set: IndexSet<Permission>) -> Self {
        set.shrink_to_fit();
        Self(set)
    }

    /// Parses the flat form: `["read", "files:write"]`.
    pub fn from_flat<'a>(strings: impl IntoIterator<Item = &'a str>) -> Result<Self, ValidationError> {
        let permissions: Result<Vec<_>, _> = strings.into_iter().map(Permission::parse).collect();
        Self::new(permissions?)
    }

    /// Parses the map form: resource → actions. A resource without actions adds nothing.
    pub fn from_map<'a, Actions>(map: impl IntoIterator<Item = (&'a str, Actions)>) -> Result<Self, ValidationError>
    where
        Actions: IntoIterator<Item = &'a str>,
    {
        let mut permissions = Vec::new();
        for (resource, actions) in map {
            token(resource)?;
            for action in actions {
                permissions.push(Permission::new(resource, action)?);
            }
        }
        Self::new(permissions)
    }

    /// The flat form, each permission as short as possible.
    #[must_use]
    pub fn flat(&self) -> Vec<String> {
        self.0.iter().map(Permission::flat).collect()
    }

    /// The map form: resources in insertion order, each with its actions.
    #[must_use]
    pub fn map(&self) -> Vec<(&str, Vec<&str>)> {
        let mut map: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for permission in &self.0 {
            step();
            let (name, next) = (permission.resource(), map.len());
            let place = if self.len() <= Self::MAX_COMPARISONS {
                map.iter().position(|(known, _)| *known == name).unwrap_or(next)
            } else {
                *places.entry(name).or_insert(next)
            };
            if place == next {
                map.push((name, Vec::new()));
            }
            map[place].1.push(permission.action());
        }
        map
    }

    /// The union of these sets. It may exceed [`Self::MAX`].
    #[must_use]
    pub fn union<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut union = IndexSet::new();
        for permission in sets.into_iter().flat_map(|set| &set.0) {
            step();
            if !union.contains(permission) {
                union.insert(permission.clone());
            }
        }
        Self::compact(union)
    }

    /// The number of permissions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The permissions, in insertion order.
    pub fn iter(&self) -> impl Iterator<Item = &Permission> {
        self.0.iter()
    }

    /// Whether this set allows `permission`.
    #[must_use]
    pub fn allows(&self, permission: &Permission) -> bool {
        self.holds(permission.pair())
    }

    /// Whether this set allows a permission: at most 16 comparisons or 4 lookups.
    fn holds(&self, asked: Pair<'_>) -> bool {
        if self.len() <= Self::MAX_COMPARISONS {
            return self.0.iter().any(|held| {
                step();
                held.pair().includes(asked)
            });
        }
        asked.holders().any(|holder| {
            step();
            self.0.contains(&holder)
        })
    }

    /// Whether this set allows everything that `other` allows.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|permission| self.allows(permission))
    }

    /// The permissions of this set that `other` does not allow.
    #[must_use]
    pub fn not_in(&self, other: &Self) -> Self {
        Self::compact(self.0.iter().filter(|permission| !other.allows(permission)).cloned().collect())
    }

    /// The allocated bytes on the heap, estimated from the layouts of the standard library and `indexmap`.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        const HASH: usize = size_of::<u64>();
        const PLACE: usize = size_of::<usize>() + 1;
        if self.0.capacity() == 0 {
            return 0;
        }
        // The size of the hash table is a power of two, and at most seven eighths of it are in use.
        let places = (self.len() * 8).div_ceil(7).next_power_of_two().max(4);
        allocated(self.len() * (size_of::<Permission>() + HASH))
            + allocated(places * PLACE + TABLE_END)
            + self.0.iter().map(Permission::heap_size).sum::<usize>()
    }
}

/// The control bytes that a hash table repeats at its end.
const TABLE_END: usize = 16;

/// The bytes that an allocator uses for `bytes`: allocations are rounded up.
pub(crate) const fn allocated(bytes: usize) -> usize {
    bytes.next_multiple_of(16)
}

/// Counts a comparison or a lookup, for tests that limit their number.
#[cfg(not(test))]
const fn step() {}

#[cfg(test)]
use tests::step;

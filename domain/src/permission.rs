//! Permission sets: what may be done to what, in two written forms, with one rule that decides.
//!
//! A permission is an action on a resource, and either may be the wildcard `*`. Nothing else is a wildcard.

mod narrowing;

use std::{borrow::Cow, collections::HashMap, fmt, mem::size_of};

use indexmap::{Equivalent, IndexSet};

pub(crate) use self::narrowing::Narrowing;
use crate::text::Invalid;

const ANY: &str = "*";

/// An action on a resource, either of which may be `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Permission {
    resource: Cow<'static, str>,
    action: Cow<'static, str>,
}

impl Permission {
    /// Read keys and their usage in the whole organization.
    pub const API_KEYS_READ: Self = Self::reserved("api_keys", "read");
    /// Create, update, rotate and delete keys in the whole organization.
    pub const API_KEYS_WRITE: Self = Self::reserved("api_keys", "write");

    /// Verify keys of the whole organization.
    pub const API_KEYS_VERIFY: Self = Self::reserved("api_keys", "verify");
    /// Read the keys of the caller's own user.
    pub const OWN_API_KEYS_READ: Self = Self::reserved("own_api_keys", "read");
    /// Create, update, rotate and delete the keys of the caller's own user.
    pub const OWN_API_KEYS_WRITE: Self = Self::reserved("own_api_keys", "write");
    /// Read the organization itself.
    pub const ORG_READ: Self = Self::reserved("org", "read");
    /// Administer the organization: among others the limits of keys and whom they belong to.
    pub const ORG_ADMIN: Self = Self::reserved("org", "admin");
    /// Read who is a member.
    pub const MEMBERS_READ: Self = Self::reserved("members", "read");
    /// Add, change and remove members.
    pub const MEMBERS_ADMIN: Self = Self::reserved("members", "admin");
    /// Read permission sets.
    pub const SETS_READ: Self = Self::reserved("permission_sets", "read");
    /// Read the log.
    pub const AUDIT_READ: Self = Self::reserved("audit", "read");
    /// Make, change and remove permission sets.
    pub const SETS_ADMIN: Self = Self::reserved("permission_sets", "admin");

    const fn reserved(resource: &'static str, action: &'static str) -> Self {
        Self { resource: Cow::Borrowed(resource), action: Cow::Borrowed(action) }
    }

    /// The permission to do `action` to `resource`.
    pub fn new(resource: &str, action: &str) -> Result<Self, Invalid> {
        Ok(Self { resource: Cow::Owned(token(resource)?), action: Cow::Owned(token(action)?) })
    }

    /// Reads the flat form: `read` is `*:read`, `*` is `*:*`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let (resource, action) = text.split_once(':').unwrap_or((ANY, text));
        Self::new(resource, action).map_err(|_| Invalid::PermissionToken(excerpt(text)))
    }

    /// What is acted on, or `*`.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// What is done, or `*`.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The permissions of which a set has to have one, so that it holds this one.
    #[must_use]
    pub fn holders(&self) -> Vec<Self> {
        self.pair().holders().map(Pair::to_permission).collect()
    }

    /// The shortest flat form.
    #[must_use]
    pub fn flat(&self) -> String {
        if self.resource == ANY { self.action.to_string() } else { [&self.resource, ":", &self.action].concat() }
    }

    /// The two parts.
    fn pair(&self) -> Pair<'_> {
        Pair { resource: &self.resource, action: &self.action }
    }

    /// Bytes on the heap.
    fn heap_size(&self) -> usize {
        [&self.resource, &self.action]
            .map(|part| if let Cow::Owned(text) = part { allocated(text.capacity()) } else { 0 })
            .iter()
            .sum()
    }
}

/// A permission in texts that somebody else owns.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct Pair<'a> {
    resource: &'a str,
    action: &'a str,
}

impl Pair<'_> {
    /// Whether who has this permission has `other`.
    fn includes(self, other: Self) -> bool {
        (self.resource == ANY || self.resource == other.resource) && (self.action == ANY || self.action == other.action)
    }

    /// The permissions that include this one: at most 4, this one first.
    fn holders(self) -> impl Iterator<Item = Self> {
        let Self { resource, action } = self;
        let (has_resource, has_action) = (resource != ANY, action != ANY);
        [
            (true, self),
            (has_action, Self { resource, action: ANY }),
            (has_resource, Self { resource: ANY, action }),
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

/// A resource or an action: `*`, or 1 to 64 of `A-Z a-z 0-9 _ . -`.
fn token(text: &str) -> Result<String, Invalid> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if text == ANY || ((1..=64).contains(&text.len()) && text.bytes().all(plain)) {
        Ok(text.to_owned())
    } else {
        Err(Invalid::PermissionToken(excerpt(text)))
    }
}

/// Enough of a wrong text to recognize it in an error.
fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Permissions without doubles, in the order of first mention. Sets with the same permissions are equal in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PermissionSet(IndexSet<Permission>);

impl PermissionSet {
    /// The most permissions that a set holds.
    pub const MAX: usize = 256;

    /// The most permissions that a key or a member holds, those of its named sets included. Rows that an older version stored
    /// may hold more.
    pub const MAX_EFFECTIVE: usize = 1_024;

    /// Up to this number it is faster to look at each permission than to compute hashes.
    const FEW: usize = 16;

    /// Everything: `*:*`.
    #[must_use]
    pub fn all() -> Self {
        Self(IndexSet::from([Permission::reserved(ANY, ANY)]))
    }

    /// The set of these permissions.
    pub fn new(permissions: impl IntoIterator<Item = Permission>) -> Result<Self, Invalid> {
        let mut set = IndexSet::new();
        for permission in permissions {
            step();
            set.insert(permission);
            if set.len() > Self::MAX {
                return Err(Invalid::TooManyPermissions);
            }
        }
        Ok(Self::compact(set))
    }

    /// Without spare room: sets are kept in memory for long.
    fn compact(mut set: IndexSet<Permission>) -> Self {
        set.shrink_to_fit();
        Self(set)
    }

    /// Reads the flat form: `["read", "files:write"]`.
    pub fn from_flat<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Invalid> {
        let permissions: Result<Vec<_>, _> = texts.into_iter().map(Permission::parse).collect();
        Self::new(permissions?)
    }

    /// Reads the map form: resource → actions. A resource without actions gives nothing.
    pub fn from_map<'a, Actions>(map: impl IntoIterator<Item = (&'a str, Actions)>) -> Result<Self, Invalid>
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

    /// The flat form, each permission printed shortest.
    #[must_use]
    pub fn flat(&self) -> Vec<String> {
        self.0.iter().map(Permission::flat).collect()
    }

    /// The map form: resources in the order of first mention, each with its actions.
    #[must_use]
    pub fn map(&self) -> Vec<(&str, Vec<&str>)> {
        let mut map: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for permission in &self.0 {
            step();
            let (name, next) = (permission.resource(), map.len());
            let place = if self.len() <= Self::FEW {
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

    /// All that these sets hold, which may be more than one set does.
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

    /// Whether it holds everything: `*:*`.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.allows(&Permission::reserved(ANY, ANY))
    }

    /// How many permissions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The permissions, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Permission> {
        self.0.iter()
    }

    /// Whether this set holds `permission`.
    #[must_use]
    pub fn allows(&self, permission: &Permission) -> bool {
        self.holds(permission.pair())
    }

    /// Whether this set holds a permission: at most 16 comparisons or 4 lookups.
    fn holds(&self, asked: Pair<'_>) -> bool {
        if self.len() <= Self::FEW {
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

    /// Whether this set holds all that `other` holds.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|permission| self.allows(permission))
    }

    /// Bytes on the heap, as far as the layouts of the standard library and of `indexmap` tell.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        const HASH: usize = size_of::<u64>();
        const PLACE: usize = size_of::<usize>() + 1;
        if self.0.capacity() == 0 {
            return 0;
        }
        // The table of places has a power of two of them, of which at most seven eighths are in use.
        let places = (self.len() * 8).div_ceil(7).next_power_of_two().max(4);
        allocated(self.len() * (size_of::<Permission>() + HASH))
            + allocated(places * PLACE + TABLE_END)
            + self.0.iter().map(Permission::heap_size).sum::<usize>()
    }
}

/// The control bytes that a hash table repeats at its end.
const TABLE_END: usize = 16;

/// The bytes that an allocator takes for so many: it has sizes of its own.
pub(crate) const fn allocated(bytes: usize) -> usize {
    bytes.next_multiple_of(16)
}

/// Counts a comparison or a lookup, for tests that bound their number.
#[cfg(not(test))]
const fn step() {}

#[cfg(test)]
use tests::step;

#[cfg(test)]
pub(crate) mod tests;

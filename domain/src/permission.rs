//! Permission sets: what may be done to what, in two written forms, with one rule that decides.
//!
//! A permission is an action on a resource, and either may be the wildcard `*`. Nothing else is a wildcard.

use std::{borrow::Cow, fmt};

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
        let any = Cow::Borrowed(ANY);
        let (resource, action) = (&self.resource, &self.action);
        let mut holders = Vec::new();
        for (resource, action) in [(resource, action), (resource, &any), (&any, action), (&any, &any)] {
            let holder = Self { resource: resource.clone(), action: action.clone() };
            if !holders.contains(&holder) {
                holders.push(holder);
            }
        }
        holders
    }

    /// The shortest flat form.
    #[must_use]
    pub fn flat(&self) -> String {
        if self.resource == ANY { self.action.to_string() } else { [&self.resource, ":", &self.action].concat() }
    }

    /// Whether who has this permission has `other`.
    fn includes(&self, other: &Self) -> bool {
        (self.resource == ANY || self.resource == other.resource) && (self.action == ANY || self.action == other.action)
    }

    /// The permission that both include and that includes every other such, if there is any.
    pub(crate) fn meet(&self, other: &Self) -> Option<Self> {
        let narrower = |left: &Cow<'static, str>, right: &Cow<'static, str>| {
            if left == ANY || left == right {
                Some(right.clone())
            } else if right == ANY {
                Some(left.clone())
            } else {
                None
            }
        };
        Some(Self {
            resource: narrower(&self.resource, &other.resource)?,
            action: narrower(&self.action, &other.action)?,
        })
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

/// Permissions without doubles, in the order of first mention.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PermissionSet(Vec<Permission>);

impl PermissionSet {
    /// The most permissions that a set holds.
    pub const MAX: usize = 256;

    /// Everything: `*:*`.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![Permission::reserved(ANY, ANY)])
    }

    /// The set of these permissions.
    pub fn new(permissions: impl IntoIterator<Item = Permission>) -> Result<Self, Invalid> {
        let mut set = Self::default();
        for permission in permissions {
            if set.0.contains(&permission) {
                continue;
            }
            if set.0.len() == Self::MAX {
                return Err(Invalid::TooManyPermissions);
            }
            set.0.push(permission);
        }
        Ok(set)
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
        for permission in &self.0 {
            match map.iter_mut().find(|(name, _)| *name == permission.resource()) {
                Some((_, actions)) => actions.push(permission.action()),
                None => map.push((permission.resource(), vec![permission.action()])),
            }
        }
        map
    }

    /// All that these sets hold, which may be more than one set does.
    #[must_use]
    pub fn union<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut union = Self::default();
        for permission in sets.into_iter().flat_map(|set| &set.0) {
            if !union.0.contains(permission) {
                union.0.push(permission.clone());
            }
        }
        union
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
        self.0.iter().any(|held| held.includes(permission))
    }

    /// Whether this set holds all that `other` holds.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|permission| self.allows(permission))
    }
}

#[cfg(test)]
pub(crate) mod tests;

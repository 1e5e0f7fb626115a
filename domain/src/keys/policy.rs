//! The key policy: the rules that an organization has for all of its keys, or a permission set for the keys that have it.
//! A policy has no effect on verification; it decides how keys may be created and changed, and which keys are disabled.

mod applied;
#[cfg(test)]
mod tests;

use crate::{
    clock::Timestamp,
    keys::{api_key::ApiKey, ip_allowlist::IpAllowlist, secret::KeyPrefix},
    permissions::{Narrowing, Permission, Permissions},
    validated_string::{ValidationError, line, stored_line, text},
};

pub use crate::broken_rule::{BrokenRule, KeyRule, PolicySource, Violation};
pub use applied::{AppliedPolicies, CheckedPolicies, KeyPolicyState};

text!(
    /// What a permission of a catalogue is for.
    PermissionDescription,
    "Parses a description: at most 200 characters, at least 1 after trimming, neither control characters nor invisible \
     ones. Converts it to NFC.",
    |text| line(text, 1, 200),
    stored |text| stored_line(text, 1, 200)
);

/// A number of days: 1 to 3,650.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Days(u32);

impl Days {
    /// The maximum: ten years.
    pub const MAX: u32 = 3_650;

    /// Checks a number of days.
    pub fn new(days: u64) -> Result<Self, ValidationError> {
        match u32::try_from(days) {
            Ok(days) if (1..=Self::MAX).contains(&days) => Ok(Self(days)),
            _ => Err(ValidationError::Range { min: 1, max: Self::MAX.into() }),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// In milliseconds.
    #[must_use]
    pub fn millis(self) -> i64 {
        const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
        i64::from(self.0) * DAY_MS
    }

    /// The time this many days after `start`.
    #[must_use]
    pub fn after(self, start: Timestamp) -> Timestamp {
        start.plus_millis(self.millis())
    }
}

/// A permission that keys may have, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// The permission.
    pub permission: Permission,
    /// What it is for. `None`: no description.
    pub description: Option<PermissionDescription>,
}

/// The permissions that keys may have: 1 to 200, in the order in which they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue {
    entries: Vec<CatalogueEntry>,
    permissions: Permissions,
}

impl Catalogue {
    /// The maximum number of entries.
    pub const MAX: usize = 200;

    /// Checks the entries: 1 to 200, each permission once.
    pub fn new(entries: Vec<CatalogueEntry>) -> Result<Self, ValidationError> {
        if !(1..=Self::MAX).contains(&entries.len()) {
            return Err(ValidationError::Catalogue);
        }
        let permissions = Permissions::new(entries.iter().map(|entry| entry.permission.clone()))?;
        if permissions.len() < entries.len() {
            return Err(ValidationError::Catalogue);
        }
        Ok(Self { entries, permissions })
    }

    /// The entries, in their order.
    #[must_use]
    pub fn entries(&self) -> &[CatalogueEntry] {
        &self.entries
    }
}

/// How often the secret of a key is to be rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationRule {
    /// The maximum age of the newest secret.
    pub days: Days,
    /// Whether keys with an older secret are disabled. If false, they are only reported.
    pub enforce: bool,
}

/// A key policy. Each rule is independent of the others; one that is not set allows everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPolicy {
    max_lifetime: Option<Days>,
    expiry_required: bool,
    addresses_required_for: Permissions,
    prefix: Option<KeyPrefix>,
    allowed_permissions: Option<Catalogue>,
    can_manage: bool,
    rotation: Option<RotationRule>,
    disable_unused_after: Option<Days>,
}

/// The rules of a policy that are not set.
impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            max_lifetime: None,
            expiry_required: false,
            addresses_required_for: Permissions::default(),
            prefix: None,
            allowed_permissions: None,
            can_manage: true,
            rotation: None,
            disable_unused_after: None,
        }
    }
}

/// The rules of a policy, before it is known whether they are valid together: see [`KeyPolicy::new`].
#[derive(Clone, Debug)]
pub struct KeyPolicyRules {
    /// The maximum time from the creation of a key to its expiry. A key that never expires breaks it.
    pub max_lifetime: Option<Days>,
    /// Whether a key must expire.
    pub expiry_required: bool,
    /// A key that has one of these permissions, or a part of one, needs an IP allowlist.
    pub addresses_required_for: Permissions,
    /// The prefix that secrets must have. `None`: any.
    pub prefix: Option<KeyPrefix>,
    /// The permissions that keys may have. `None`: any.
    pub allowed_permissions: Option<Catalogue>,
    /// Whether keys may manage this service.
    pub can_manage: bool,
    /// How often secrets are to be rotated. `None`: never.
    pub rotation: Option<RotationRule>,
    /// Keys that were neither used nor changed for so long are disabled. `None`: never.
    pub disable_unused_after: Option<Days>,
}

impl KeyPolicy {
    /// The maximum number of permissions that need an IP allowlist.
    pub const MAX_ADDRESSES_REQUIRED_FOR: usize = 50;

    /// The maximum size of all permissions and descriptions of a policy, in bytes.
    pub const MAX_BYTES: usize = 16 * 1_024;

    /// Checks what the types of the rules do not say. An error has the name of its field in the native API.
    pub fn new(rules: KeyPolicyRules) -> Result<Self, (&'static str, ValidationError)> {
        let KeyPolicyRules {
            max_lifetime,
            expiry_required,
            addresses_required_for,
            prefix,
            allowed_permissions,
            can_manage,
            rotation,
            disable_unused_after,
        } = rules;
        if addresses_required_for.len() > Self::MAX_ADDRESSES_REQUIRED_FOR {
            return Err((KeyRule::AddressesRequiredFor.code(), ValidationError::AddressesRequiredFor));
        }
        let guarded: usize = addresses_required_for.iter().map(|permission| permission.flat().len()).sum();
        let entries = allowed_permissions.iter().flat_map(Catalogue::entries);
        let listed: usize = entries
            .map(|entry| {
                entry.permission.flat().len()
                    + entry.description.as_ref().map_or(0, |description| description.as_str().len())
            })
            .sum();
        if guarded + listed > Self::MAX_BYTES {
            return Err((KeyRule::AllowedPermissions.code(), ValidationError::KeyPolicySize));
        }
        Ok(Self {
            max_lifetime,
            expiry_required,
            addresses_required_for,
            prefix,
            allowed_permissions,
            can_manage,
            rotation,
            disable_unused_after,
        })
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> KeyPolicyRules {
        KeyPolicyRules {
            max_lifetime: self.max_lifetime,
            expiry_required: self.expiry_required,
            addresses_required_for: self.addresses_required_for.clone(),
            prefix: self.prefix.clone(),
            allowed_permissions: self.allowed_permissions.clone(),
            can_manage: self.can_manage,
            rotation: self.rotation,
            disable_unused_after: self.disable_unused_after,
        }
    }

    /// Whether keys can be disabled by this policy.
    #[must_use]
    pub fn disables_keys(&self) -> bool {
        self.rotation.is_some_and(|rotation| rotation.enforce) || self.disable_unused_after.is_some()
    }

    /// The age of the youngest keys that this policy can disable. `None`: it disables none.
    #[must_use]
    pub fn min_age_of_disabled(&self) -> Option<Days> {
        let rotation = self.rotation.filter(|rotation| rotation.enforce).map(|rotation| rotation.days);
        rotation.into_iter().chain(self.disable_unused_after).min()
    }

    /// The rules on the settings that a key breaks. `granted`: the key's own permissions and those of its permission sets.
    /// Permissions count even if the key's user does not have them at the moment.
    #[must_use]
    pub fn broken_settings(&self, key: &ApiKey, granted: &[&Permissions], now: Timestamp) -> Vec<Violation> {
        let mut broken = Vec::new();
        let expires_at = key.settings.expires_at;
        if let Some(days) = self.max_lifetime {
            let latest = days.after(key.created_at);
            if expires_at.is_none_or(|end| end > latest) {
                broken.push(Violation::Lifetime {
                    days: days.get(),
                    latest: Some(latest).filter(|latest| *latest > now),
                });
            }
        }
        if self.expiry_required && expires_at.is_none() {
            broken.push(Violation::NoExpiry);
        }
        if key.settings.addresses.as_ref().is_none_or(IpAllowlist::has_all_addresses)
            && let Some(permission) = self.guarded_part(granted)
        {
            broken.push(Violation::NoAddresses(permission.clone()));
        }
        broken.extend(self.broken_prefix(&key.prefix));
        if let Some(permission) = self.forbidden_part(granted) {
            broken.push(Violation::Permission(permission.clone()));
        }
        if key.settings.can_manage && !self.can_manage {
            broken.push(Violation::CanManage);
        }
        broken
    }

    /// The rules on the age that a key breaks: its newest secret was created at `secret_created_at`. A key that cannot be used
    /// (disabled, deleted or expired) breaks none.
    #[must_use]
    pub fn broken_by_age(&self, key: &ApiKey, secret_created_at: Timestamp, now: Timestamp) -> Vec<Violation> {
        let is_usable = key.settings.enabled && key.deleted_at.is_none();
        if !is_usable || key.settings.expires_at.is_some_and(|end| end <= now) {
            return Vec::new();
        }
        let mut broken = Vec::new();
        if let Some(RotationRule { days, enforce }) = self.rotation
            && days.after(secret_created_at) <= now
        {
            broken.push(Violation::Rotation { days: days.get(), enforce });
        }
        if let Some(days) = self.disable_unused_after
            && days.after(last_activity(key)) <= now
        {
            broken.push(Violation::Unused(days.get()));
        }
        broken
    }

    /// Whether a secret with this prefix breaks the policy.
    pub(super) fn broken_prefix(&self, prefix: &KeyPrefix) -> Option<Violation> {
        let required = self.prefix.as_ref().filter(|required| *required != prefix);
        required.map(|required| Violation::Prefix(required.as_str().to_owned()))
    }

    /// The first permission that needs an IP allowlist and of which `granted` has at least a part.
    #[must_use]
    pub fn guarded_part(&self, granted: &[&Permissions]) -> Option<&Permission> {
        if self.addresses_required_for.is_empty() {
            return None;
        }
        let granted: Vec<Narrowing<'_>> = granted.iter().map(|part| Narrowing::to(part)).collect();
        self.addresses_required_for
            .iter()
            .find(|guarded| granted.iter().any(|granted| granted.narrow(guarded).next().is_some()))
    }

    /// The first permission of `granted` that is not allowed.
    #[must_use]
    pub fn forbidden_part<'a>(&self, granted: &[&'a Permissions]) -> Option<&'a Permission> {
        let allowed = &self.allowed_permissions.as_ref()?.permissions;
        granted.iter().flat_map(|part| part.iter()).find(|permission| !allowed.allows(permission))
    }
}

/// The rules that keys would break by these further permissions of one of their permission sets. [`Violation::NoAddresses`]
/// applies only to keys without an IP allowlist.
#[must_use]
pub fn broken_by_permissions(source: PolicySource, policy: &KeyPolicy, added: &Permissions) -> Vec<BrokenRule> {
    let forbidden = policy.forbidden_part(&[added]).cloned().map(Violation::Permission);
    let guarded = policy.guarded_part(&[added]).cloned().map(Violation::NoAddresses);
    forbidden.into_iter().chain(guarded).map(|violation| BrokenRule { source, violation }).collect()
}

/// The last time that a key was created, used or changed.
fn last_activity(key: &ApiKey) -> Timestamp {
    key.created_at.max(key.updated_at).max(key.last_request_at.unwrap_or(key.created_at))
}

//! The cached key: everything of a key that a verify request needs for its decision and its response. It is loaded once
//! and shared by all requests. It never changes, except for its counted uses; when the key changes, it is loaded again.

mod decide;
mod shared;
#[cfg(test)]
mod tests;

use std::mem::size_of;

pub use shared::{Interned, KeyPermissions, MemberInfo, OrganizationInfo, Shareable, SharedSets, SharedValues, Totals};

use ipnet::IpNet;

use crate::{
    clock::Timestamp,
    id::{ExternalId, KeyId, OrganizationId, UserId},
    keys::{api_key::ApiKey, ip_allowlist::IpAllowlist, quota::Quota, secret::SecretHash},
    organizations::organization::OrganizationKind,
    permissions::Permissions,
    verify::usage_counter::UsageCounter,
};

/// A key with one of its secrets, as it was loaded.
///
/// A million of these are cached at once, so the memory layout is compact: strings share one buffer, and fields that
/// most keys do not have are allocated separately.
#[derive(Debug)]
pub struct CachedKey {
    hash: SecretHash,
    id: KeyId,
    shared: SharedValues,
    /// The start, name, external id and metadata, one after the other.
    buffer: Box<str>,
    /// When the key expires (UTC, exclusive). [`NEVER`]: it does not expire.
    expires_at: Timestamp,
    created_at: Timestamp,
    rare: Option<Box<RareFields>>,
    uses: UsageCounter,
    name_len: u16,
    external_id_len: u16,
    prefix_len: u8,
    start_len: u8,
    enabled: bool,
    can_manage: bool,
}

/// Fields that most keys do not have: limits, changed settings, the expiry of a rotated secret, restrictions.
#[derive(Debug, PartialEq, Eq)]
struct RareFields {
    quota: Quota,
    updated_at: Timestamp,
    version: u64,
    secret_expires_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
    addresses: Option<IpAllowlist>,
}

const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

impl CachedKey {
    /// Creates the cached key with the secret whose hash is `hash`. `secret_expires_at` is when this secret expires
    /// (UTC, exclusive). `None`: it was not rotated.
    #[must_use]
    pub fn new(hash: SecretHash, key: &ApiKey, shared: SharedValues, secret_expires_at: Option<Timestamp>) -> Self {
        let settings = &key.settings;
        let name = settings.name.as_ref().map_or("", |name| name.as_str());
        let external_id = settings.external_id.as_ref().map_or("", |id| id.as_str());
        let metadata = settings.metadata.as_ref().map_or("", |metadata| metadata.as_str());
        let short = |len: usize| u8::try_from(len).expect("a start is at most 38 bytes");
        let rare = RareFields {
            quota: key.quota(),
            updated_at: key.updated_at,
            version: key.version,
            secret_expires_at,
            not_before: settings.not_before,
            addresses: settings.addresses.clone(),
        };
        Self {
            hash,
            id: key.id,
            shared,
            buffer: [key.start.as_str(), name, external_id, metadata].concat().into(),
            expires_at: settings.expires_at.unwrap_or(NEVER),
            created_at: key.created_at,
            rare: (rare != RareFields::default_for(key.created_at)).then(|| Box::new(rare)),
            uses: UsageCounter::new(key.request_count, key.last_request_at),
            name_len: u16::try_from(name.len()).expect("a name is at most 100 characters"),
            external_id_len: u16::try_from(external_id.len()).expect("an external id is at most 255 characters"),
            // The prefix of an imported secret may differ from the prefix of the key's later secrets.
            prefix_len: short(if key.start.starts_with(key.prefix.as_str()) { key.prefix.as_str().len() } else { 0 }),
            start_len: short(key.start.len()),
            enabled: settings.enabled,
            can_manage: settings.can_manage,
        }
    }

    /// The hash of the secret by which the key was found.
    #[must_use]
    pub fn hash(&self) -> &SecretHash {
        &self.hash
    }

    /// The id of the key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The organization that the key belongs to.
    #[must_use]
    pub fn organization(&self) -> OrganizationId {
        self.shared.organization.id
    }

    /// The kind of that organization.
    #[must_use]
    pub fn kind(&self) -> OrganizationKind {
        self.shared.organization.kind
    }

    /// The user that the key belongs to. `None`: it belongs to the organization.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        self.shared.member.as_ref().map(|member| member.user)
    }

    /// The permissions of the key, including those of its permission sets, not limited by those of its user.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.shared.permissions.permissions
    }

    /// Whether the organization, the user or the permissions were invalidated after the key was loaded.
    #[must_use]
    pub fn is_invalidated(&self) -> bool {
        self.shared.is_invalidated()
    }

    /// The external id of the organization. `None`: it has none.
    #[must_use]
    pub fn organization_external_id(&self) -> Option<&str> {
        self.shared.organization.external_id.as_ref().map(ExternalId::as_str)
    }

    /// The prefix and first characters of the secret.
    #[must_use]
    pub fn start(&self) -> &str {
        &self.buffer[..usize::from(self.start_len)]
    }

    /// The prefix of the secret.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.buffer[..usize::from(self.prefix_len)]
    }

    /// The name. `None`: the key has no name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let begin = usize::from(self.start_len);
        Some(&self.buffer[begin..begin + usize::from(self.name_len)]).filter(|name| !name.is_empty())
    }

    /// The external id. `None`: the key has none.
    #[must_use]
    pub fn external_id(&self) -> Option<&str> {
        let begin = usize::from(self.start_len) + usize::from(self.name_len);
        Some(&self.buffer[begin..begin + usize::from(self.external_id_len)]).filter(|id| !id.is_empty())
    }

    /// The metadata, a JSON object as compact JSON text. `None`: the key has none.
    #[must_use]
    pub fn metadata(&self) -> Option<&str> {
        let begin =
            [usize::from(self.start_len), self.name_len.into(), self.external_id_len.into()].iter().sum::<usize>();
        Some(&self.buffer[begin..]).filter(|metadata| !metadata.is_empty())
    }

    /// When the key expires (UTC, exclusive). `None`: never.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at).filter(|at| *at != NEVER)
    }

    /// When the key becomes valid (UTC, inclusive). `None`: at its creation.
    #[must_use]
    pub fn not_before(&self) -> Option<Timestamp> {
        self.rare.as_ref().and_then(|rare| rare.not_before)
    }

    /// The networks that the key may be used from. `None`: no restriction.
    #[must_use]
    pub fn addresses(&self) -> Option<&IpAllowlist> {
        self.rare.as_ref().and_then(|rare| rare.addresses.as_ref())
    }

    /// When the key was created (UTC).
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When the settings were last changed (UTC).
    #[must_use]
    pub fn updated_at(&self) -> Timestamp {
        self.rare.as_ref().map_or(self.created_at, |rare| rare.updated_at)
    }

    /// The version of the settings: each change increments it.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.version)
    }

    /// The usage limits of the key and their state when it was loaded. Only the ledger knows the current state.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.rare.as_ref().map_or_else(Quota::default, |rare| rare.quota)
    }

    /// Whether a use must be stored before the request is answered, because the key has a usage limit or a rate limit.
    #[must_use]
    pub fn is_metered(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.quota.is_metered())
    }

    /// Whether the key is enabled.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether the key may authenticate management requests to this service.
    #[must_use]
    pub fn can_manage(&self) -> bool {
        self.can_manage
    }

    /// The counter of its uses.
    #[must_use]
    pub fn uses(&self) -> &UsageCounter {
        &self.uses
    }

    /// The size of the shared values of the key, in bytes.
    #[must_use]
    pub fn shared_size(&self) -> usize {
        self.shared.size()
    }

    /// The size of the key without shared values, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        const ALLOCATED: usize = 2 * size_of::<usize>();
        let rare = if self.rare.is_some() { size_of::<RareFields>() + ALLOCATED } else { 0 };
        let addresses = self.addresses().map_or(0, |list| size_of_val(list) + list.len() * size_of::<IpNet>());
        size_of::<Self>() + ALLOCATED + self.buffer.len() + ALLOCATED + rare + addresses
    }
}

impl RareFields {
    /// The values for a key that has none of these fields.
    fn default_for(created_at: Timestamp) -> Self {
        Self {
            quota: Quota::default(),
            updated_at: created_at,
            version: 0,
            secret_expires_at: None,
            not_before: None,
            addresses: None,
        }
    }
}

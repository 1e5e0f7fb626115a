//! A key as verify sees it: everything that decides whether it is good and everything that an answer shows, read once,
//! packed, and shared by all who ask. It never changes, but for its counted uses; a changed key is a new snapshot.

mod decide;
mod shared;

use std::mem::size_of;

pub use shared::{Common, Given, Holder, Home, Shareable, Shared, SharedSets, Totals};

use ipnet::IpNet;

use crate::{
    addresses::AddressList,
    api_key::ApiKey,
    clock::Timestamp,
    id::{KeyId, OrganizationId, UserId},
    organization::{ExternalId, OrganizationKind},
    permission::PermissionSet,
    quota::Quota,
    secret::SecretHash,
    uses::Uses,
};

/// A key with one of its secrets, as it was read.
///
/// A million of these are kept at once, so it is packed: texts lie together, and what most keys do not have is elsewhere.
#[derive(Debug)]
pub struct Snapshot {
    hash: SecretHash,
    id: KeyId,
    shared: Shared,
    /// `start`, name, external id and metadata, one after the other.
    texts: Box<str>,
    /// The end of time for a key that never expires.
    expires_at: Timestamp,
    created_at: Timestamp,
    seldom: Option<Box<Seldom>>,
    uses: Uses,
    name_len: u16,
    external_id_len: u16,
    prefix_len: u8,
    start_len: u8,
    enabled: bool,
}

/// What most keys do not have: limits, changed settings, a secret with an end, conditions.
#[derive(Debug, PartialEq, Eq)]
struct Seldom {
    quota: Quota,
    updated_at: Timestamp,
    version: u64,
    secret_expires_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
    addresses: Option<AddressList>,
}

const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

impl Snapshot {
    /// The key as it is, found by the secret with `hash`, which ends at `secret_expires_at`.
    #[must_use]
    pub fn new(hash: SecretHash, key: &ApiKey, shared: Shared, secret_expires_at: Option<Timestamp>) -> Self {
        let name = key.name.as_ref().map_or("", |name| name.as_str());
        let external_id = key.external_id.as_ref().map_or("", |id| id.as_str());
        let metadata = key.metadata.as_ref().map_or("", |metadata| metadata.as_str());
        let short = |len: usize| u8::try_from(len).expect("a start is at most 38 bytes");
        let seldom = Seldom {
            quota: key.quota,
            updated_at: key.updated_at,
            version: key.version,
            secret_expires_at,
            not_before: key.not_before,
            addresses: key.addresses.clone(),
        };
        Self {
            hash,
            id: key.id,
            shared,
            texts: [key.start.as_str(), name, external_id, metadata].concat().into(),
            expires_at: key.expires_at.unwrap_or(NEVER),
            created_at: key.created_at,
            seldom: (seldom != Seldom::of_most(key.created_at)).then(|| Box::new(seldom)),
            uses: Uses::new(key.request_count, key.last_request_at),
            name_len: u16::try_from(name.len()).expect("a name is at most 100 characters"),
            external_id_len: u16::try_from(external_id.len()).expect("an external id is at most 255 characters"),
            // An imported secret may begin otherwise than those that its key is given now.
            prefix_len: short(if key.start.starts_with(key.prefix.as_str()) { key.prefix.as_str().len() } else { 0 }),
            start_len: short(key.start.len()),
            enabled: key.enabled,
        }
    }

    /// The hash of the secret that finds it.
    #[must_use]
    pub fn hash(&self) -> &SecretHash {
        &self.hash
    }

    /// The key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The organization that owns it.
    #[must_use]
    pub fn organization(&self) -> OrganizationId {
        self.shared.home.id
    }

    /// What kind of organization that is.
    #[must_use]
    pub fn kind(&self) -> OrganizationKind {
        self.shared.home.kind
    }

    /// The user it belongs to; `None` for the organization's own key.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        self.shared.holder.as_ref().map(|holder| holder.user)
    }

    /// What it may do, all in all, before its user's grants bound it.
    #[must_use]
    pub fn permissions(&self) -> &PermissionSet {
        &self.shared.given.permissions
    }

    /// Whether its organization, its user or what it may do has changed since it was read.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.shared.is_outdated()
    }

    /// What the operator's own system calls its organization.
    #[must_use]
    pub fn organization_external_id(&self) -> Option<&str> {
        self.shared.home.external_id.as_ref().map(ExternalId::as_str)
    }

    /// Prefix and first characters of the secret.
    #[must_use]
    pub fn start(&self) -> &str {
        &self.texts[..usize::from(self.start_len)]
    }

    /// What stands in front of the secret.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.texts[..usize::from(self.prefix_len)]
    }

    /// The name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let begin = usize::from(self.start_len);
        Some(&self.texts[begin..begin + usize::from(self.name_len)]).filter(|name| !name.is_empty())
    }

    /// What the operator's own system calls it.
    #[must_use]
    pub fn external_id(&self) -> Option<&str> {
        let begin = usize::from(self.start_len) + usize::from(self.name_len);
        Some(&self.texts[begin..begin + usize::from(self.external_id_len)]).filter(|id| !id.is_empty())
    }

    /// What its maker keeps with it: a JSON object, compact.
    #[must_use]
    pub fn metadata(&self) -> Option<&str> {
        let begin =
            [usize::from(self.start_len), self.name_len.into(), self.external_id_len.into()].iter().sum::<usize>();
        Some(&self.texts[begin..]).filter(|metadata| !metadata.is_empty())
    }

    /// From this moment on it is expired. `None`: never.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at).filter(|at| *at != NEVER)
    }

    /// Before this moment it is not in use yet. `None`: it always was.
    #[must_use]
    pub fn not_before(&self) -> Option<Timestamp> {
        self.seldom.as_ref().and_then(|seldom| seldom.not_before)
    }

    /// From where it may be used. `None`: from anywhere.
    #[must_use]
    pub fn addresses(&self) -> Option<&AddressList> {
        self.seldom.as_ref().and_then(|seldom| seldom.addresses.as_ref())
    }

    /// When it was made.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When its settings last changed.
    #[must_use]
    pub fn updated_at(&self) -> Timestamp {
        self.seldom.as_ref().map_or(self.created_at, |seldom| seldom.updated_at)
    }

    /// Counts changes of the settings.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.seldom.as_ref().map_or(0, |seldom| seldom.version)
    }

    /// Its limits, and how far they were used when it was read: what is left now the ledger knows.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.seldom.as_ref().map_or_else(Quota::default, |seldom| seldom.quota)
    }

    /// Whether a use has to be counted before it is answered.
    #[must_use]
    pub fn is_metered(&self) -> bool {
        self.seldom.as_ref().is_some_and(|seldom| seldom.quota.is_metered())
    }

    /// Whether it is in use.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Its counted uses.
    #[must_use]
    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    /// The bytes of memory of what it shares with others.
    #[must_use]
    pub fn shared_size(&self) -> usize {
        self.shared.size()
    }

    /// The bytes of memory that it takes by itself, without what it shares.
    #[must_use]
    pub fn size(&self) -> usize {
        const ALLOCATED: usize = 2 * size_of::<usize>();
        let seldom = if self.seldom.is_some() { size_of::<Seldom>() + ALLOCATED } else { 0 };
        let addresses = self.addresses().map_or(0, |list| size_of_val(list) + list.len() * size_of::<IpNet>());
        size_of::<Self>() + ALLOCATED + self.texts.len() + ALLOCATED + seldom + addresses
    }
}

impl Seldom {
    /// What it is for a key that has none of it.
    fn of_most(created_at: Timestamp) -> Self {
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

#[cfg(test)]
mod tests;

//! A key as verify sees it: everything that decides whether it is good and everything that an answer shows, read once,
//! packed, and shared by all who ask. It never changes, but for its counted uses; a changed key is a new snapshot.

mod shared;

use std::mem::size_of;

pub use shared::{Common, Given, Holder, Home, Shared};

use crate::{
    api_key::ApiKey,
    clock::Timestamp,
    grants::Grants,
    id::{KeyId, OrganizationId, UserId},
    organization::{ExternalId, OrganizationKind},
    permission::{Permission, PermissionSet},
    quota::Quota,
    refusal::Refusal,
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

/// What most keys do not have: limits, changed settings, a secret with an end.
#[derive(Debug, PartialEq, Eq)]
struct Seldom {
    quota: Quota,
    updated_at: Timestamp,
    version: u64,
    secret_expires_at: Option<Timestamp>,
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
        let seldom = Seldom { quota: key.quota, updated_at: key.updated_at, version: key.version, secret_expires_at };
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
            prefix_len: short(key.prefix.as_str().len()),
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

    /// Whether its organization is suspended.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.shared.home.is_suspended
    }

    /// Whether it belongs to a user who is no member of the organization any more.
    #[must_use]
    pub fn is_orphan(&self) -> bool {
        self.shared.holder.as_ref().is_some_and(|holder| holder.permissions.is_none())
    }

    /// When what was shown is good no longer: the key is expired, or its secret has been replaced. `None`: never.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        let secret = self.seldom.as_ref().and_then(|seldom| seldom.secret_expires_at);
        self.expires_at().into_iter().chain(secret).min()
    }

    /// Whether the secret that finds it is being replaced, and ends.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.seldom.as_ref().is_some_and(|seldom| seldom.secret_expires_at.is_some())
    }

    /// Whether whoever holds it may do anything at `now`. The order of the reasons is that of [`Refusal`].
    pub fn check(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.seldom.as_ref().and_then(|seldom| seldom.secret_expires_at).is_some_and(|end| now >= end) {
            return Err(Refusal::InvalidApiKey);
        }
        if self.is_suspended() {
            return Err(Refusal::OrganizationSuspended);
        }
        if self.is_orphan() || !self.enabled {
            return Err(Refusal::KeyDisabled);
        }
        if now >= self.expires_at {
            return Err(Refusal::KeyExpired);
        }
        Ok(())
    }

    /// Whether its grants hold `permission`.
    #[must_use]
    pub fn allows(&self, permission: &Permission) -> bool {
        let user = self.shared.holder.as_ref().map(|holder| &holder.permissions);
        self.shared.given.permissions.allows(permission)
            && user.is_none_or(|user| user.as_ref().is_some_and(|user| user.allows(permission)))
    }

    /// Whether its grants hold all of these.
    #[must_use]
    pub fn allows_all(&self, permissions: &PermissionSet) -> bool {
        permissions.iter().all(|permission| self.allows(permission))
    }

    /// What whoever holds it may do.
    #[must_use]
    pub fn grants(&self) -> Grants {
        let own = self.shared.given.permissions.clone();
        match &self.shared.holder {
            None => Grants::of_organization(own),
            // A user who is no member any more has nothing, and so have their keys.
            Some(holder) => Grants::of_user(own, holder.permissions.clone().unwrap_or_default()),
        }
    }

    /// The bytes of memory that it takes by itself, without what it shares.
    #[must_use]
    pub fn size(&self) -> usize {
        const ALLOCATED: usize = 2 * size_of::<usize>();
        let seldom = if self.seldom.is_some() { size_of::<Seldom>() + ALLOCATED } else { 0 };
        size_of::<Self>() + ALLOCATED + self.texts.len() + ALLOCATED + seldom
    }
}

impl Seldom {
    /// What it is for a key that has none of it.
    fn of_most(created_at: Timestamp) -> Self {
        Self { quota: Quota::default(), updated_at: created_at, version: 0, secret_expires_at: None }
    }
}

#[cfg(test)]
mod tests;

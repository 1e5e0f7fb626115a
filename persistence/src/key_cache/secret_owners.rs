//! A cache of the organizations of imported secrets, for secrets that were used in one organization only. With it an imported key
//! authenticates without a read, like any other.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::{id::OrganizationId, keys::secret::SecretHash};
use lru::LruCache;

/// The most cached secrets, at about 100 bytes each.
const MAX_OWNERS: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// Organizations by [`domain::keys::secret::LegacyHash::in_all_organizations`].
#[derive(Debug)]
pub(super) struct SecretOwners(Mutex<Entries>);

#[derive(Debug)]
struct Entries {
    secret_owners: LruCache<SecretHash, OrganizationId>,
    /// Counts invalidations: an organization that was read before one is not cached after it.
    changes: u64,
}

impl Default for SecretOwners {
    fn default() -> Self {
        Self(Mutex::new(Entries { secret_owners: LruCache::new(MAX_OWNERS), changes: 0 }))
    }
}

impl SecretOwners {
    /// The organization of a secret, if it is cached. The least recently used entries are evicted.
    pub(super) fn get(&self, secret: &SecretHash) -> Option<OrganizationId> {
        self.entries().secret_owners.get(secret).copied()
    }

    /// The number of invalidations. Taken before an organization is read, for [`SecretOwners::insert`].
    pub(super) fn changes(&self) -> u64 {
        self.entries().changes
    }

    /// Caches an organization, unless something was invalidated since `changes` was taken.
    pub(super) fn insert(&self, secret: SecretHash, organization: OrganizationId, changes: u64) {
        let mut entries = self.entries();
        if entries.changes == changes {
            entries.secret_owners.put(secret, organization);
        }
    }

    /// Removes these secrets.
    pub(super) fn invalidate(&self, secrets: &[SecretHash]) {
        if secrets.is_empty() {
            return;
        }
        let mut entries = self.entries();
        entries.changes += 1;
        for secret in secrets {
            entries.secret_owners.pop(secret);
        }
    }

    /// Removes all secrets.
    pub(super) fn clear(&self) {
        let mut entries = self.entries();
        entries.changes += 1;
        entries.secret_owners.clear();
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::prelude::Uuid;

    use super::*;

    #[test]
    fn the_least_recently_used_owner_of_a_secret_is_evicted() {
        let secret_owners = SecretOwners::default();
        let organization = OrganizationId::from_uuid(Uuid::from_u128(1));
        let secret = |n: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            SecretHash::from_bytes(bytes)
        };
        for n in 0..MAX_OWNERS.get() {
            secret_owners.insert(secret(n), organization, 0);
        }
        assert!(secret_owners.get(&secret(0)).is_some());
        secret_owners.insert(secret(MAX_OWNERS.get()), organization, 0);
        assert_eq!((secret_owners.get(&secret(0)), secret_owners.get(&secret(1))), (Some(organization), None));
    }

    #[test]
    fn an_owner_that_was_read_before_a_change_is_not_cached_after_it() {
        let (secret_owners, secret) = (SecretOwners::default(), SecretHash::from_bytes([1; 32]));
        let organization = OrganizationId::from_uuid(Uuid::from_u128(1));
        let before = secret_owners.changes();
        secret_owners.invalidate(&[secret]);
        secret_owners.insert(secret, organization, before);
        assert_eq!(secret_owners.get(&secret), None);
        secret_owners.insert(secret, organization, secret_owners.changes());
        assert_eq!(secret_owners.get(&secret), Some(organization));
        secret_owners.invalidate(&[SecretHash::from_bytes([2; 32])]);
        assert_eq!(secret_owners.get(&secret), Some(organization), "that was about another one");
        secret_owners.invalidate(&[secret]);
        assert_eq!(secret_owners.get(&secret), None);
        secret_owners.insert(secret, organization, secret_owners.changes());
        let before = secret_owners.changes();
        secret_owners.clear();
        assert_eq!(secret_owners.get(&secret), None);
        secret_owners.insert(secret, organization, before);
        assert_eq!(secret_owners.get(&secret), None);
    }
}

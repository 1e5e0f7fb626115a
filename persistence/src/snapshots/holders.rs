//! Whose imported secrets are: remembered for those that were shown in one organization only, so that a key that came from
//! elsewhere authenticates without a read, like any other.

use std::{
    num::NonZeroUsize,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use domain::{id::OrganizationId, secret::SecretHash};
use lru::LruCache;

/// Secrets whose holders are remembered, at about 100 bytes each.
const MAX_HOLDERS: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// By [`domain::secret::OldHash::in_all_organizations`].
#[derive(Debug)]
pub(super) struct Holders(RwLock<Remembered>);

#[derive(Debug)]
struct Remembered {
    holders: LruCache<SecretHash, OrganizationId>,
    /// Grows with every change: what was read before one is not remembered after it.
    changes: u64,
}

impl Default for Holders {
    fn default() -> Self {
        Self(RwLock::new(Remembered { holders: LruCache::new(MAX_HOLDERS), changes: 0 }))
    }
}

impl Holders {
    /// The organization, if it is remembered.
    pub(super) fn get(&self, secret: &SecretHash) -> Option<OrganizationId> {
        self.remembered().holders.peek(secret).copied()
    }

    /// To be asked before a holder is read.
    pub(super) fn changes(&self) -> u64 {
        self.remembered().changes
    }

    /// Remembers what was read, unless something changed since `changes` were counted.
    pub(super) fn insert(&self, secret: SecretHash, organization: OrganizationId, changes: u64) {
        let mut remembered = self.writing();
        if remembered.changes == changes {
            remembered.holders.put(secret, organization);
        }
    }

    /// Forgets these.
    pub(super) fn forget(&self, secrets: &[SecretHash]) {
        if secrets.is_empty() {
            return;
        }
        let mut remembered = self.writing();
        remembered.changes += 1;
        for secret in secrets {
            remembered.holders.pop(secret);
        }
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        let mut remembered = self.writing();
        remembered.changes += 1;
        remembered.holders.clear();
    }

    fn remembered(&self) -> RwLockReadGuard<'_, Remembered> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> RwLockWriteGuard<'_, Remembered> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::prelude::Uuid;

    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let (holders, secret) = (Holders::default(), SecretHash::from_bytes([1; 32]));
        let organization = OrganizationId::from_uuid(Uuid::from_u128(1));
        let before = holders.changes();
        holders.forget(&[secret]);
        holders.insert(secret, organization, before);
        assert_eq!(holders.get(&secret), None);
        holders.insert(secret, organization, holders.changes());
        assert_eq!(holders.get(&secret), Some(organization));
        holders.forget(&[SecretHash::from_bytes([2; 32])]);
        assert_eq!(holders.get(&secret), Some(organization), "that was about another one");
        holders.forget(&[secret]);
        assert_eq!(holders.get(&secret), None);
        holders.insert(secret, organization, holders.changes());
        let before = holders.changes();
        holders.clear();
        assert_eq!(holders.get(&secret), None);
        holders.insert(secret, organization, before);
        assert_eq!(holders.get(&secret), None);
    }
}

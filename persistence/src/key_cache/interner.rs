//! Interns what many cached keys have in common: organizations, members, permissions. When one of these changes it is marked as
//! outdated, and every key that shares it has to be loaded again.

use std::{
    collections::HashMap,
    hash::Hash,
    mem::size_of,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use domain::{
    id::{OrganizationId, SetId, UserId},
    verify::cached_key::{Interned, KeyPermissions, MemberInfo, OrganizationInfo, Shareable, SharedSets, Totals},
};

use crate::key_cache::notification::Invalidations;

/// The interned values by kind.
#[derive(Debug, Default)]
pub(super) struct Interner {
    pub(super) organizations: InternTable<OrganizationId, OrganizationInfo>,
    pub(super) members: InternTable<(OrganizationId, UserId), MemberInfo>,
    /// By the hash of the stored permissions, whose texts may have a hundred kilobytes.
    pub(super) permissions: InternTable<[u8; 32], KeyPermissions>,
    sets: InternTable<SetId, SetId>,
}

impl Interner {
    /// The bytes of all interned values that are in use, with their entries here.
    pub(super) fn bytes(&self) -> usize {
        let (organizations, members) = (self.organizations.totals.bytes(), self.members.totals.bytes());
        organizations + members + self.permissions.totals.bytes() + self.sets.totals.bytes()
    }

    /// Interns these permission sets, so that they can be marked when they change.
    pub(super) fn sets(&self, sets: &[SetId]) -> SharedSets {
        sets.iter().map(|set| self.sets.share(*set, *set)).collect()
    }

    /// Marks the values that have changed.
    pub(super) fn invalidate(&self, changed: &Invalidations) {
        changed.organizations.iter().for_each(|id| self.organizations.invalidate(id));
        changed.members.iter().for_each(|id| self.members.invalidate(id));
        changed.sets.iter().for_each(|id| self.sets.invalidate(id));
    }
}

/// Interned values of one kind that are in use, by a key.
#[derive(Debug)]
pub(super) struct InternTable<K, V> {
    known: Mutex<HashMap<K, Weak<Interned<V>>>>,
    totals: Totals,
}

/// Entries of dropped values that may remain before they are swept.
const MIN_DEAD_ENTRIES: usize = 256;

impl<K, V> Default for InternTable<K, V> {
    fn default() -> Self {
        Self { known: Mutex::default(), totals: Totals::default() }
    }
}

impl<K: Eq + Hash, V: PartialEq + Shareable> InternTable<K, V> {
    /// The bytes of an entry: the table is between half and seven eighths full, and one entry in five may be of a dropped value,
    /// whose reference counts remain until it is swept.
    const ENTRY_BYTES: usize = 2 * (size_of::<(K, Weak<Interned<V>>)>() + 1) + size_of::<Interned<V>>() / 4;

    /// Interns `value`: returns the equal value that is in use already, or this one.
    pub(super) fn share(&self, key: K, value: V) -> Arc<Interned<V>> {
        let mut known = self.known();
        if let Some(current) = known.get(&key).and_then(Weak::upgrade) {
            if !current.is_invalidated() && **current == value {
                return current;
            }
            // The two values differ and either may be stale, so the interned one is marked: its holders reload. Otherwise later
            // invalidations could not find it.
            current.invalidate();
        }
        let in_use = self.totals.count();
        if known.len() > in_use + in_use / 4 + MIN_DEAD_ENTRIES {
            known.retain(|_, value| value.strong_count() > 0);
            let max = 2 * known.len() + MIN_DEAD_ENTRIES;
            known.shrink_to(max);
        }
        let value = Arc::new(Interned::new(value, Self::ENTRY_BYTES, &self.totals));
        known.insert(key, Arc::downgrade(&value));
        value
    }

    /// The value in use with this key, for keys that determine the value.
    pub(super) fn find<Q>(&self, key: &Q) -> Option<Arc<Interned<V>>>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.known().get(key).and_then(Weak::upgrade).filter(|value| !value.is_invalidated())
    }

    /// Marks a value as outdated and removes it.
    fn invalidate(&self, key: &K) {
        if let Some(value) = self.known().remove(key).and_then(|value| value.upgrade()) {
            value.invalidate();
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<K, Weak<Interned<V>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use domain::organizations::organization::OrganizationKind;
    use sea_orm::prelude::Uuid;

    use super::*;

    fn organization(is_suspended: bool) -> OrganizationInfo {
        let id = OrganizationId::from_uuid(Uuid::nil());
        OrganizationInfo { id, kind: OrganizationKind::Tenant, external_id: None, is_suspended }
    }

    #[test]
    fn equal_values_are_interned_once_and_different_ones_invalidated() {
        let table = InternTable::<u32, OrganizationInfo>::default();
        let one = table.share(1, organization(false));
        assert!(Arc::ptr_eq(&one, &table.share(1, organization(false))));
        assert!(Arc::ptr_eq(&one, &table.find(&1).expect("in use")));
        let other = table.share(1, organization(true));
        let again = table.share(1, organization(true));
        assert!(!one.is_suspended && other.is_suspended && Arc::ptr_eq(&other, &again));
        assert!(one.is_invalidated() && !other.is_invalidated(), "holders of a different value reload it");
        table.invalidate(&1);
        assert!(other.is_invalidated());
        let reloaded = table.share(1, organization(true));
        assert!(!Arc::ptr_eq(&other, &reloaded) && !reloaded.is_invalidated(), "the reloaded value is a new one");
        drop((one, other, again, reloaded));
        assert!(table.find(&1).is_none());
    }

    #[test]
    fn unused_values_are_not_kept() {
        let table = InternTable::<usize, OrganizationInfo>::default();
        let kept: Vec<_> = (0..1_000).map(|n| table.share(n, organization(false))).collect();
        for n in 1_000..100 * MIN_DEAD_ENTRIES {
            drop(table.share(n, organization(false)));
        }
        assert!(table.known().len() <= kept.len() * 5 / 4 + MIN_DEAD_ENTRIES + 1);
        assert!(kept.iter().enumerate().all(|(n, kept)| Arc::ptr_eq(kept, &table.share(n, organization(false)))));
        let bytes: usize = kept.iter().map(|kept| kept.size()).sum();
        assert_eq!((table.totals.count(), table.totals.bytes()), (kept.len(), bytes));
        drop(kept);
        assert_eq!((table.totals.count(), table.totals.bytes()), (0, 0));
    }
}

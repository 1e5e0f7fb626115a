//! What many keys have in common is kept once: organizations, members, permissions. Where one of these changes, it is marked,
//! and all keys that share it have to be read anew.

use std::{
    collections::HashMap,
    hash::Hash,
    mem::size_of,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use domain::{
    id::{OrganizationId, SetId, UserId},
    snapshot::{Common, Given, Holder, Home, Shareable, SharedSets, Totals},
};

use crate::notice::Changed;

/// What keys have in common.
#[derive(Debug, Default)]
pub(super) struct Commons {
    pub(super) homes: Sharing<OrganizationId, Home>,
    pub(super) holders: Sharing<(OrganizationId, UserId), Holder>,
    /// By the hash of all that decides: the texts may have a hundred kilobytes.
    pub(super) given: Sharing<[u8; 32], Given>,
    sets: Sharing<SetId, SetId>,
}

impl Commons {
    /// The bytes of all values that anything holds, each once, with their places here.
    pub(super) fn bytes(&self) -> usize {
        let (homes, holders) = (self.homes.totals.bytes(), self.holders.totals.bytes());
        homes + holders + self.given.totals.bytes() + self.sets.totals.bytes()
    }

    /// These sets, as they are now.
    pub(super) fn sets(&self, sets: &[SetId]) -> SharedSets {
        sets.iter().map(|set| self.sets.share(*set, *set)).collect()
    }

    /// Marks what has changed.
    pub(super) fn outdate(&self, changed: &Changed) {
        changed.organizations.iter().for_each(|id| self.homes.outdate(id));
        changed.members.iter().for_each(|id| self.holders.outdate(id));
        changed.sets.iter().for_each(|id| self.sets.outdate(id));
    }
}

/// Values that are in use somewhere, by a key of theirs.
#[derive(Debug)]
pub(super) struct Sharing<K, V> {
    known: Mutex<HashMap<K, Weak<Common<V>>>>,
    totals: Totals,
}

/// Fewer dead entries than this are not worth looking for.
const FEW: usize = 256;

impl<K, V> Default for Sharing<K, V> {
    fn default() -> Self {
        Self { known: Mutex::default(), totals: Totals::default() }
    }
}

impl<K: Eq + Hash, V: PartialEq + Shareable> Sharing<K, V> {
    /// The bytes of a place here: the table is between half and seven eighths full, and one place in five may be of a value that
    /// nobody uses any more, whose counts are still there.
    const PLACE: usize = 2 * (size_of::<(K, Weak<Common<V>>)>() + 1) + size_of::<Common<V>>() / 4;

    /// `value`, or the one like it that others use already. Later callers get this one.
    pub(super) fn share(&self, key: K, value: V) -> Arc<Common<V>> {
        let mut known = self.known();
        if let Some(current) = known.get(&key).and_then(Weak::upgrade) {
            if !current.is_outdated() && **current == value {
                return current;
            }
            // One of the two is old, and nobody knows which: who has this one reads anew, too. Left unmarked it would be out
            // of reach for every later change.
            current.outdate();
        }
        let in_use = self.totals.count();
        if known.len() > in_use + in_use / 4 + FEW {
            known.retain(|_, value| value.strong_count() > 0);
            let most = 2 * known.len() + FEW;
            known.shrink_to(most);
        }
        let value = Arc::new(Common::new(value, Self::PLACE, &self.totals));
        known.insert(key, Arc::downgrade(&value));
        value
    }

    /// The value that others use, where the key says all about it.
    pub(super) fn find<Q>(&self, key: &Q) -> Option<Arc<Common<V>>>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.known().get(key).and_then(Weak::upgrade).filter(|value| !value.is_outdated())
    }

    /// Marks and forgets a value.
    fn outdate(&self, key: &K) {
        if let Some(value) = self.known().remove(key).and_then(|value| value.upgrade()) {
            value.outdate();
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<K, Weak<Common<V>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use domain::organization::OrganizationKind;
    use sea_orm::prelude::Uuid;

    use super::*;

    fn home(is_suspended: bool) -> Home {
        let id = OrganizationId::from_uuid(Uuid::nil());
        Home { id, kind: OrganizationKind::Tenant, external_id: None, is_suspended }
    }

    #[test]
    fn a_value_is_kept_once_and_replaced_by_another() {
        let sharing = Sharing::<u32, Home>::default();
        let one = sharing.share(1, home(false));
        assert!(Arc::ptr_eq(&one, &sharing.share(1, home(false))));
        assert!(Arc::ptr_eq(&one, &sharing.find(&1).expect("in use")));
        let other = sharing.share(1, home(true));
        let again = sharing.share(1, home(true));
        assert!(!one.is_suspended && other.is_suspended && Arc::ptr_eq(&other, &again));
        assert!(one.is_outdated() && !other.is_outdated(), "who has another one reads anew");
        sharing.outdate(&1);
        assert!(other.is_outdated());
        let anew = sharing.share(1, home(true));
        assert!(!Arc::ptr_eq(&other, &anew) && !anew.is_outdated(), "read anew, it is another one");
        drop((one, other, again, anew));
        assert!(sharing.find(&1).is_none());
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let sharing = Sharing::<usize, Home>::default();
        let kept: Vec<_> = (0..1_000).map(|n| sharing.share(n, home(false))).collect();
        for n in 1_000..100 * FEW {
            drop(sharing.share(n, home(false)));
        }
        assert!(sharing.known().len() <= kept.len() * 5 / 4 + FEW + 1);
        assert!(kept.iter().enumerate().all(|(n, kept)| Arc::ptr_eq(kept, &sharing.share(n, home(false)))));
        let bytes: usize = kept.iter().map(|kept| kept.size()).sum();
        assert_eq!((sharing.totals.count(), sharing.totals.bytes()), (kept.len(), bytes));
        drop(kept);
        assert_eq!((sharing.totals.count(), sharing.totals.bytes()), (0, 0));
    }
}

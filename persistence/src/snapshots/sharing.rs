//! What many keys have in common is kept once: organizations, members, permissions. Where one of these changes, it is marked,
//! and all keys that share it have to be read anew.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use domain::{
    id::{OrganizationId, SetId, UserId},
    snapshot::{Common, Given, Holder, Home},
};

use crate::notice::Changed;

/// What keys have in common.
#[derive(Debug, Default)]
pub(super) struct Commons {
    pub(super) homes: Sharing<OrganizationId, Home>,
    pub(super) holders: Sharing<(OrganizationId, UserId), Holder>,
    /// By all that decides.
    pub(super) given: Sharing<Box<str>, Given>,
}

impl Commons {
    /// Marks what has changed.
    pub(super) fn outdate(&self, changed: &Changed) {
        changed.organizations.iter().for_each(|id| self.homes.outdate(id));
        changed.members.iter().for_each(|id| self.holders.outdate(id));
        if !changed.sets.is_empty() {
            let has_changed = |sets: &[SetId]| sets.iter().any(|set| changed.sets.contains(set));
            self.holders.outdate_all(|holder| has_changed(&holder.sets));
            self.given.outdate_all(|given| has_changed(&given.sets));
        }
    }
}

/// Values that are in use somewhere, by a key of theirs.
#[derive(Debug)]
pub(super) struct Sharing<K, V>(Mutex<Known<K, V>>);

#[derive(Debug)]
struct Known<K, V> {
    values: HashMap<K, Weak<Common<V>>>,
    /// At this size it is time to look for values that nobody uses any more.
    purge_at: usize,
}

/// Fewer dead entries than this are not worth looking for.
const FEW: usize = 1_024;

impl<K, V> Default for Sharing<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Known { values: HashMap::new(), purge_at: FEW }))
    }
}

impl<K: Eq + Hash, V: PartialEq> Sharing<K, V> {
    /// `value`, or the one like it that others use already. Later callers get this one.
    pub(super) fn share(&self, key: K, value: V) -> Arc<Common<V>> {
        let mut known = self.known();
        if let Some(current) = known.values.get(&key).and_then(Weak::upgrade) {
            if !current.is_outdated() && **current == value {
                return current;
            }
            // One of the two is old, and nobody knows which: who has this one reads anew, too. Left unmarked it would be out
            // of reach for every later change.
            current.outdate();
        }
        if known.values.len() >= known.purge_at {
            known.values.retain(|_, value| value.strong_count() > 0);
            known.purge_at = FEW.max(2 * known.values.len());
        }
        let value = Arc::new(Common::new(value));
        known.values.insert(key, Arc::downgrade(&value));
        value
    }

    /// The value that others use, where the key says all about it.
    pub(super) fn find<Q>(&self, key: &Q) -> Option<Arc<Common<V>>>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.known().values.get(key).and_then(Weak::upgrade).filter(|value| !value.is_outdated())
    }

    /// Marks and forgets a value.
    fn outdate(&self, key: &K) {
        if let Some(value) = self.known().values.remove(key).and_then(|value| value.upgrade()) {
            value.outdate();
        }
    }

    /// Marks and forgets the values that `has_changed` names.
    fn outdate_all(&self, has_changed: impl Fn(&V) -> bool) {
        self.known().values.retain(|_, value| {
            let Some(value) = value.upgrade() else { return false };
            let is_outdated = has_changed(&value);
            if is_outdated {
                value.outdate();
            }
            !is_outdated
        });
    }

    fn known(&self) -> MutexGuard<'_, Known<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_once_and_replaced_by_another() {
        let sharing = Sharing::<u32, &str>::default();
        let one = sharing.share(1, "a");
        assert!(Arc::ptr_eq(&one, &sharing.share(1, "a")));
        assert!(Arc::ptr_eq(&one, &sharing.find(&1).expect("in use")));
        let other = sharing.share(1, "b");
        assert_eq!((**one, **other, **sharing.share(1, "b")), ("a", "b", "b"));
        assert!(one.is_outdated() && !other.is_outdated(), "who has another one reads anew");
        sharing.outdate_all(|value| *value == "b");
        assert!(other.is_outdated());
        let anew = sharing.share(1, "b");
        assert!(!Arc::ptr_eq(&other, &anew) && !anew.is_outdated(), "read anew, it is another one");
        drop((one, other, anew));
        assert!(sharing.find(&1).is_none());
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let sharing = Sharing::<usize, usize>::default();
        let kept = sharing.share(0, 0);
        for n in 1..10 * FEW {
            drop(sharing.share(n, n));
        }
        assert!(sharing.known().values.len() <= FEW);
        assert!(Arc::ptr_eq(&kept, &sharing.share(0, 0)));
    }
}

//! What many keys have in common is kept once: organizations, members, permission sets.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// Values that are in use somewhere, by a key of theirs.
#[derive(Debug)]
pub(super) struct Sharing<K, V>(Mutex<Known<K, V>>);

#[derive(Debug)]
struct Known<K, V> {
    values: HashMap<K, Weak<V>>,
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
    pub(super) fn share(&self, key: K, value: V) -> Arc<V> {
        let mut known = self.known();
        if let Some(same) = known.values.get(&key).and_then(Weak::upgrade).filter(|same| **same == value) {
            return same;
        }
        if known.values.len() >= known.purge_at {
            known.values.retain(|_, value| value.strong_count() > 0);
            known.purge_at = FEW.max(2 * known.values.len());
        }
        let value = Arc::new(value);
        known.values.insert(key, Arc::downgrade(&value));
        value
    }

    /// The value that others use, where the key says all about it.
    pub(super) fn find<Q>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.known().values.get(key).and_then(Weak::upgrade)
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
        assert_eq!((*one, *other, *sharing.share(1, "b")), ("a", "b", "b"));
        drop((one, other));
        assert_eq!(sharing.find(&1), None);
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

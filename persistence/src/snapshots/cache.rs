//! Remembered keys by their hashes, within bounds; and for a moment, that there is no key with some hash.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicUsize, Ordering},
};

use domain::{ports::Recalled, secret::SecretHash, snapshot::Snapshot};

use super::shard::Shard;
use crate::settings::CacheSize;

/// So many threads can look at the cache without meeting in one lock, most of the time.
const SHARDS: usize = 64;

#[derive(Debug)]
pub(super) struct Cache {
    most: CacheSize,
    shards: Box<[RwLock<Shard>]>,
    keys: AtomicUsize,
    bytes: AtomicUsize,
}

impl Cache {
    pub(super) fn new(size: CacheSize) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { most: size, shards, keys: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }
    }

    /// What is remembered.
    pub(super) fn get(&self, hash: &SecretHash) -> Recalled {
        self.shard(hash).read().unwrap_or_else(PoisonError::into_inner).get(hash)
    }

    /// Remembers a key, or that there is none.
    pub(super) fn insert(&self, hash: SecretHash, key: Option<Arc<Snapshot>>) {
        let Some(key) = key else {
            let mut shard = self.shard(&hash).write().unwrap_or_else(PoisonError::into_inner);
            self.subtract(shard.remove(&hash));
            shard.insert_unknown(hash);
            return;
        };
        let size = Shard::cost(&key);
        if self.most.keys == 0 || size > self.most.bytes {
            return;
        }
        let mut shard = self.shard(&hash).write().unwrap_or_else(PoisonError::into_inner);
        self.subtract(shard.remove(&hash));
        // Each shard gives way for its own: the hashes are spread evenly, so all of them do about as often.
        while self.keys.load(Ordering::Relaxed) >= self.most.keys
            || self.bytes.load(Ordering::Relaxed) + size > self.most.bytes
        {
            let evicted = shard.evict();
            if evicted.is_none() {
                break;
            }
            self.subtract(evicted);
        }
        shard.insert(key);
        self.keys.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(size, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, hash: &SecretHash) {
        let mut shard = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        self.subtract(shard.remove(hash));
    }

    /// How many keys there are, and how many bytes they take.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.keys.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Empties the cache. What was in it comes back to be dropped when there is time.
    pub(super) fn take(&self) -> Vec<Shard> {
        let take = |shard: &RwLock<Shard>| {
            let taken = std::mem::take(&mut *shard.write().unwrap_or_else(PoisonError::into_inner));
            self.keys.fetch_sub(taken.len(), Ordering::Relaxed);
            self.bytes.fetch_sub(taken.bytes(), Ordering::Relaxed);
            taken
        };
        self.shards.iter().map(take).collect()
    }

    /// Counts a key out of the bounds.
    fn subtract(&self, removed: Option<Arc<Snapshot>>) {
        if let Some(key) = removed {
            self.keys.fetch_sub(1, Ordering::Relaxed);
            self.bytes.fetch_sub(Shard::cost(&key), Ordering::Relaxed);
        }
    }

    fn shard(&self, hash: &SecretHash) -> &RwLock<Shard> {
        // Not a byte that the shards' own tables go by.
        &self.shards[usize::from(hash.bytes()[31]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::{super::shard::tests::key, *};

    fn cache(keys: usize, bytes: usize) -> Cache {
        Cache::new(CacheSize { keys, bytes })
    }

    fn len(cache: &Cache) -> usize {
        cache.shards.iter().map(|shard| shard.read().expect("not poisoned").len()).sum()
    }

    #[test]
    fn keys_and_bytes_are_bounded() {
        let one = Shard::cost(&key(0));
        for cache in [cache(1_000, usize::MAX), cache(usize::MAX, 1_000 * one)] {
            for n in 0..5_000 {
                let key = key(n);
                cache.insert(*key.hash(), Some(key.clone()));
                // A shard without a key of its own to give cannot make room: it goes over by one.
                assert!(len(&cache) <= 1_000 + SHARDS);
            }
            assert!(len(&cache) >= 1_000);
            assert_eq!(cache.keys.load(Ordering::Relaxed), len(&cache));
            assert_eq!(cache.bytes.load(Ordering::Relaxed), len(&cache) * one);
            drop(cache.take());
            assert_eq!((cache.keys.load(Ordering::Relaxed), cache.bytes.load(Ordering::Relaxed)), (0, 0));
        }
        let none = cache(0, usize::MAX);
        none.insert(*key(1).hash(), Some(key(1)));
        assert_eq!(len(&none), 0);
    }

    #[test]
    fn a_key_that_is_used_stays() {
        let cache = cache(1_000, usize::MAX);
        let used = key(0);
        cache.insert(*used.hash(), Some(used.clone()));
        for n in 1..20_000 {
            assert!(matches!(cache.get(used.hash()), Recalled::Key(_)), "{n}");
            let key = key(n);
            cache.insert(*key.hash(), Some(key.clone()));
        }
    }

    #[test]
    fn a_flood_of_unknown_keys_evicts_nothing() {
        let cache = cache(1_000, usize::MAX);
        for n in 0..500 {
            cache.insert(*key(n).hash(), Some(key(n)));
        }
        for n in 500..200_000 {
            cache.insert(*key(n).hash(), None);
        }
        assert_eq!(len(&cache), 500);
        assert!((0..500).all(|n| matches!(cache.get(key(n).hash()), Recalled::Key(_))));
        let unknown = (500..200_000).filter(|n| matches!(cache.get(key(*n).hash()), Recalled::NoKey)).count();
        assert!(unknown <= SHARDS * super::super::shard::UNKNOWN.get(), "{unknown}");
    }

    #[test]
    fn what_was_removed_is_not_known_either_way() {
        let cache = cache(10, usize::MAX);
        for known in [Some(key(1)), None] {
            cache.insert(*key(1).hash(), known);
            assert!(!matches!(cache.get(key(1).hash()), Recalled::Nothing));
            cache.remove(key(1).hash());
            assert!(matches!(cache.get(key(1).hash()), Recalled::Nothing));
        }
    }
}

//! Cached keys by the hashes of their secrets, bounded by number and bytes, and a short-lived negative cache of unknown hashes.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicUsize, Ordering},
};

use domain::{keys::secret::SecretHash, ports::Cached, verify::cached_key::CachedKey};

use super::shard::Shard;
use crate::key_cache::interner::Interner;
use crate::settings::CacheSize;

/// Shards, each with a lock of its own: enough that threads seldom contend.
const SHARDS: usize = 64;

#[derive(Debug)]
pub(super) struct Cache {
    max: CacheSize,
    shards: Box<[RwLock<Shard>]>,
    /// Values that keys share, whose bytes count as well.
    interner: Arc<Interner>,
    keys: AtomicUsize,
    /// Bytes of the keys, without shared values.
    bytes: AtomicUsize,
    /// The shard from which a key is evicted next.
    next: AtomicUsize,
}

impl Cache {
    pub(super) fn new(size: CacheSize, interner: Arc<Interner>) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        let [keys, bytes, next] = [0; 3].map(AtomicUsize::new);
        Self { max: size, shards, interner, keys, bytes, next }
    }

    /// The cached key with this hash, or a negative entry.
    pub(super) fn get(&self, hash: &SecretHash) -> Cached {
        self.shard(hash).read().unwrap_or_else(PoisonError::into_inner).get(hash)
    }

    /// Caches a key, or for a second that there is none. The cache may exceed its bounds until [`Cache::trim`] is called.
    pub(super) fn insert(&self, hash: SecretHash, key: Option<Arc<CachedKey>>) {
        let Some(key) = key else {
            let mut shard = self.shard(&hash).write().unwrap_or_else(PoisonError::into_inner);
            self.subtract(shard.remove(&hash));
            shard.insert_unknown(hash);
            return;
        };
        let size = Shard::cost(&key);
        if self.max.keys == 0 || size + key.shared_size() > self.max.bytes {
            return;
        }
        let mut shard = self.shard(&hash).write().unwrap_or_else(PoisonError::into_inner);
        self.subtract(shard.remove(&hash));
        shard.insert(key);
        self.keys.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(size, Ordering::Relaxed);
    }

    /// Evicts keys until the cache is within its bounds, but at most `max`. Returns whether it is within its bounds.
    pub(super) fn trim(&self, max: usize) -> bool {
        for _ in 0..max {
            if self.is_within_bounds() {
                return true;
            }
            // Hashes are evenly distributed over the shards, so evictions go around.
            let evicted = (0..SHARDS).find_map(|_| {
                let next = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
                self.shards[next].write().unwrap_or_else(PoisonError::into_inner).evict()
            });
            if evicted.is_none() {
                // The remaining bytes are of shared values that requests hold, and are freed with them.
                return true;
            }
            self.subtract(evicted);
        }
        self.is_within_bounds()
    }

    fn is_within_bounds(&self) -> bool {
        let (keys, bytes) = self.size();
        keys <= self.max.keys && bytes <= self.max.bytes
    }

    pub(super) fn remove(&self, hash: &SecretHash) {
        let mut shard = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        self.subtract(shard.remove(hash));
    }

    /// Removes all negative entries: a few thousand at most.
    pub(super) fn clear_unknown(&self) {
        for shard in &self.shards {
            shard.write().unwrap_or_else(PoisonError::into_inner).clear_unknown();
        }
    }

    /// The number of keys, and the bytes that they take, shared values included.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.keys.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed) + self.interner.bytes())
    }

    /// Empties the cache. Returns the shards, so that the caller can drop them outside of request threads.
    pub(super) fn take(&self) -> Vec<Shard> {
        let take = |shard: &RwLock<Shard>| {
            let taken = std::mem::take(&mut *shard.write().unwrap_or_else(PoisonError::into_inner));
            self.keys.fetch_sub(taken.len(), Ordering::Relaxed);
            self.bytes.fetch_sub(taken.bytes(), Ordering::Relaxed);
            taken
        };
        self.shards.iter().map(take).collect()
    }

    /// Subtracts a removed key from the counts.
    fn subtract(&self, removed: Option<Arc<CachedKey>>) {
        if let Some(key) = removed {
            self.keys.fetch_sub(1, Ordering::Relaxed);
            self.bytes.fetch_sub(Shard::cost(&key), Ordering::Relaxed);
        }
    }

    fn shard(&self, hash: &SecretHash) -> &RwLock<Shard> {
        // Not one of the first bytes, by which the tables of the shards hash.
        &self.shards[usize::from(hash.bytes()[31]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        id::OrganizationId,
        permissions::Permissions,
        verify::cached_key::{KeyPermissions, OrganizationInfo},
    };
    use sea_orm::prelude::Uuid;

    use super::*;
    use crate::key_cache::shard::tests::{key, key_with};

    fn cache(keys: usize, bytes: usize) -> Cache {
        Cache::new(CacheSize { keys, bytes }, Arc::default())
    }

    fn len(cache: &Cache) -> usize {
        cache.shards.iter().map(|shard| shard.read().expect("not poisoned").len()).sum()
    }

    fn insert(cache: &Cache, key: &Arc<CachedKey>) {
        cache.insert(*key.hash(), Some(key.clone()));
        while !cache.trim(1) {}
    }

    #[test]
    fn the_key_cache_is_bounded_in_keys_and_bytes() {
        let one = Shard::cost(&key(0));
        for cache in [cache(1_000, usize::MAX), cache(usize::MAX, 1_000 * one)] {
            for n in 0..5_000 {
                insert(&cache, &key(n));
                assert!(len(&cache) <= 1_000);
            }
            assert_eq!(len(&cache), 1_000);
            assert_eq!(cache.keys.load(Ordering::Relaxed), len(&cache));
            assert_eq!(cache.bytes.load(Ordering::Relaxed), len(&cache) * one);
            drop(cache.take());
            assert_eq!((cache.keys.load(Ordering::Relaxed), cache.bytes.load(Ordering::Relaxed)), (0, 0));
        }
        let none = cache(0, usize::MAX);
        insert(&none, &key(1));
        assert_eq!(len(&none), 0);
    }

    #[test]
    fn shared_values_count_towards_the_bound_of_the_key_cache() {
        const MAX_BYTES: usize = 4 * 1_024 * 1_024;
        let cache = cache(usize::MAX, MAX_BYTES);
        let interner = cache.interner.clone();
        let organization = OrganizationId::from_uuid(Uuid::nil());
        let long = "x".repeat(60);
        let mut least = usize::MAX;
        for n in 0..200 {
            // Each key has permissions that no other one has: about a hundred kilobytes of names.
            let strings: Vec<String> = (0..Permissions::MAX_EFFECTIVE).map(|m| format!("{long}:{n}-{m}")).collect();
            let sets: Vec<Permissions> = strings
                .chunks(Permissions::MAX)
                .map(|strings| Permissions::from_flat(strings.iter().map(String::as_str)).expect("permissions"))
                .collect();
            let mut permissions_hash = [0; 32];
            permissions_hash[..4].copy_from_slice(&u32::to_le_bytes(n));
            let given = KeyPermissions { permissions: Permissions::union(&sets), sets: Box::default() };
            let given = interner.permissions.share(permissions_hash, given);
            least = least.min(given.size());
            let info =
                OrganizationInfo { id: organization, kind: key(0).kind(), external_id: None, is_suspended: false };
            insert(&cache, &key_with(n, interner.organizations.share(organization, info), given));
            let (keys, bytes) = cache.size();
            assert!(bytes <= MAX_BYTES && keys == len(&cache), "{bytes}");
            assert!(keys * least <= bytes, "{keys} keys in {bytes}");
        }
        assert!(least > 80_000, "{least}");
        assert!(cache.size().0 >= MAX_BYTES / least / 2, "there is room for as many as fit");
        drop(cache.take());
        assert_eq!(cache.size(), (0, 0));
    }

    #[test]
    fn a_key_larger_than_the_cache_is_not_cached() {
        let cache = cache(usize::MAX, 1_000);
        let info = OrganizationInfo {
            id: OrganizationId::from_uuid(Uuid::nil()),
            kind: key(0).kind(),
            external_id: None,
            is_suspended: false,
        };
        let strings: Vec<String> = (0..100).map(|n| format!("a{n}")).collect();
        let permissions = Permissions::from_flat(strings.iter().map(String::as_str)).expect("permissions");
        let given = cache.interner.permissions.share([0; 32], KeyPermissions { permissions, sets: Box::default() });
        let info = cache.interner.organizations.share(info.id, info);
        let large = key_with(1, info, given);
        insert(&cache, &large);
        assert!(matches!(cache.get(large.hash()), Cached::Nothing));
    }

    #[test]
    fn a_used_key_is_not_evicted() {
        let cache = cache(1_000, usize::MAX);
        let used = key(0);
        insert(&cache, &used);
        for n in 1..20_000 {
            assert!(matches!(cache.get(used.hash()), Cached::Key(_)), "{n}");
            insert(&cache, &key(n));
        }
    }

    #[test]
    fn unknown_keys_evict_no_cached_keys() {
        let cache = cache(1_000, usize::MAX);
        for n in 0..500 {
            cache.insert(*key(n).hash(), Some(key(n)));
        }
        for n in 500..200_000 {
            cache.insert(*key(n).hash(), None);
        }
        assert_eq!(len(&cache), 500);
        assert!((0..500).all(|n| matches!(cache.get(key(n).hash()), Cached::Key(_))));
        let unknown = (500..200_000).filter(|n| matches!(cache.get(key(*n).hash()), Cached::NoKey)).count();
        assert!(unknown <= SHARDS * crate::key_cache::shard::MAX_NEGATIVE.get(), "{unknown}");
    }

    #[test]
    fn a_removed_key_is_neither_cached_nor_unknown() {
        let cache = cache(10, usize::MAX);
        for known in [Some(key(1)), None] {
            cache.insert(*key(1).hash(), known);
            assert!(!matches!(cache.get(key(1).hash()), Cached::Nothing));
            cache.remove(key(1).hash());
            assert!(matches!(cache.get(key(1).hash()), Cached::Nothing));
        }
    }
}

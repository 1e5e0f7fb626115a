//! Remembered keys by their hashes, within bounds; and for a moment, that there is no key with some hash.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicUsize, Ordering},
};

use domain::{ports::Recalled, secret::SecretHash, snapshot::Snapshot};

use super::{shard::Shard, sharing::Commons};
use crate::settings::CacheSize;

/// So many threads can look at the cache without meeting in one lock, most of the time.
const SHARDS: usize = 64;

#[derive(Debug)]
pub(super) struct Cache {
    most: CacheSize,
    shards: Box<[RwLock<Shard>]>,
    /// What the keys share counts, too.
    commons: Arc<Commons>,
    keys: AtomicUsize,
    /// Bytes that the keys take by themselves.
    bytes: AtomicUsize,
    /// The shard that gives way next.
    next: AtomicUsize,
}

impl Cache {
    pub(super) fn new(size: CacheSize, commons: Arc<Commons>) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        let [keys, bytes, next] = [0; 3].map(AtomicUsize::new);
        Self { most: size, shards, commons, keys, bytes, next }
    }

    /// What is remembered.
    pub(super) fn get(&self, hash: &SecretHash) -> Recalled {
        self.shard(hash).read().unwrap_or_else(PoisonError::into_inner).get(hash)
    }

    /// Remembers a key, or that there is none. The cache may be beyond its bounds then, until [`Cache::trim`] has been called.
    pub(super) fn insert(&self, hash: SecretHash, key: Option<Arc<Snapshot>>) {
        let Some(key) = key else {
            let mut shard = self.shard(&hash).write().unwrap_or_else(PoisonError::into_inner);
            self.subtract(shard.remove(&hash));
            shard.insert_unknown(hash);
            return;
        };
        let size = Shard::cost(&key);
        if self.most.keys == 0 || size + key.shared_size() > self.most.bytes {
            return;
        }
        let mut shard = self.shard(&hash).write().unwrap_or_else(PoisonError::into_inner);
        self.subtract(shard.remove(&hash));
        shard.insert(key);
        self.keys.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(size, Ordering::Relaxed);
    }

    /// Evicts keys until the cache is within its bounds, but no more than `most`. Answers whether that was enough.
    pub(super) fn trim(&self, most: usize) -> bool {
        for _ in 0..most {
            if self.is_within_bounds() {
                return true;
            }
            // The hashes are spread evenly, and so are those that go.
            let evicted = (0..SHARDS).find_map(|_| {
                let next = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
                self.shards[next].write().unwrap_or_else(PoisonError::into_inner).evict()
            });
            if evicted.is_none() {
                // What is left is held by requests, and goes with them.
                return true;
            }
            self.subtract(evicted);
        }
        self.is_within_bounds()
    }

    fn is_within_bounds(&self) -> bool {
        let (keys, bytes) = self.size();
        keys <= self.most.keys && bytes <= self.most.bytes
    }

    pub(super) fn remove(&self, hash: &SecretHash) {
        let mut shard = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        self.subtract(shard.remove(hash));
    }

    /// How many keys there are, and how many bytes they take, with all that is shared.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.keys.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed) + self.commons.bytes())
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
    use domain::{
        id::OrganizationId,
        permission::PermissionSet,
        snapshot::{Given, Home},
    };
    use sea_orm::prelude::Uuid;

    use super::{
        super::shard::tests::{key, key_with},
        *,
    };

    fn cache(keys: usize, bytes: usize) -> Cache {
        Cache::new(CacheSize { keys, bytes }, Arc::default())
    }

    fn len(cache: &Cache) -> usize {
        cache.shards.iter().map(|shard| shard.read().expect("not poisoned").len()).sum()
    }

    fn insert(cache: &Cache, key: &Arc<Snapshot>) {
        cache.insert(*key.hash(), Some(key.clone()));
        while !cache.trim(1) {}
    }

    #[test]
    fn keys_and_bytes_are_bounded() {
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
    fn what_keys_share_is_bounded_with_them() {
        const MOST: usize = 4 * 1_024 * 1_024;
        let cache = cache(usize::MAX, MOST);
        let commons = cache.commons.clone();
        let organization = OrganizationId::from_uuid(Uuid::nil());
        let long = "x".repeat(60);
        let mut least = usize::MAX;
        for n in 0..200 {
            // Each key has permissions that no other one has: about a hundred kilobytes of names.
            let texts: Vec<String> = (0..PermissionSet::MAX_EFFECTIVE).map(|m| format!("{long}:{n}-{m}")).collect();
            let sets: Vec<PermissionSet> = texts
                .chunks(PermissionSet::MAX)
                .map(|texts| PermissionSet::from_flat(texts.iter().map(String::as_str)).expect("permissions"))
                .collect();
            let mut texts = [0; 32];
            texts[..4].copy_from_slice(&u32::to_le_bytes(n));
            let given = Given { permissions: PermissionSet::union(&sets), sets: Box::default() };
            let given = commons.given.share(texts, given);
            least = least.min(given.size());
            let home = Home { id: organization, kind: key(0).kind(), external_id: None, is_suspended: false };
            insert(&cache, &key_with(n, commons.homes.share(organization, home), given));
            let (keys, bytes) = cache.size();
            assert!(bytes <= MOST && keys == len(&cache), "{bytes}");
            assert!(keys * least <= bytes, "{keys} keys in {bytes}");
        }
        assert!(least > 80_000, "{least}");
        assert!(cache.size().0 >= MOST / least / 2, "there is room for as many as fit");
        drop(cache.take());
        assert_eq!(cache.size(), (0, 0));
    }

    #[test]
    fn what_is_larger_than_the_cache_is_not_remembered() {
        let cache = cache(usize::MAX, 1_000);
        let home = Home {
            id: OrganizationId::from_uuid(Uuid::nil()),
            kind: key(0).kind(),
            external_id: None,
            is_suspended: false,
        };
        let texts: Vec<String> = (0..100).map(|n| format!("a{n}")).collect();
        let permissions = PermissionSet::from_flat(texts.iter().map(String::as_str)).expect("permissions");
        let given = cache.commons.given.share([0; 32], Given { permissions, sets: Box::default() });
        let home = cache.commons.homes.share(home.id, home);
        let large = key_with(1, home, given);
        insert(&cache, &large);
        assert!(matches!(cache.get(large.hash()), Recalled::Nothing));
    }

    #[test]
    fn a_key_that_is_used_stays() {
        let cache = cache(1_000, usize::MAX);
        let used = key(0);
        insert(&cache, &used);
        for n in 1..20_000 {
            assert!(matches!(cache.get(used.hash()), Recalled::Key(_)), "{n}");
            insert(&cache, &key(n));
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

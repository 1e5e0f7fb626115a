//! One shard of the cache: a hash table of indices into a vector of keys. The hash is stored once, in the key.
//!
//! Eviction is by the CLOCK algorithm: a hand goes around over the keys. A key that was used since the last pass of the hand is
//! spared once, any other key is evicted.

use std::{
    mem::size_of,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{keys::secret::SecretHash, ports::Cached, verify::cached_key::CachedKey};
use hashbrown::HashTable;
use lru::LruCache;

/// How long an unknown hash is cached. It protects the database from clients that retry with an unknown key.
const NEGATIVE_TTL: Duration = Duration::from_secs(1);

/// The most unknown hashes that a shard caches.
pub(super) const MAX_NEGATIVE: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");

#[derive(Debug)]
pub(super) struct Shard {
    /// Indices into `keys`.
    table: HashTable<u32>,
    keys: Vec<Arc<CachedKey>>,
    /// Whether the key at the same index was used since the last pass of the hand.
    used: Vec<AtomicBool>,
    hand: usize,
    bytes: usize,
    unknown: LruCache<SecretHash, Instant>,
}

impl Default for Shard {
    fn default() -> Self {
        let (table, keys, used) = (HashTable::new(), Vec::new(), Vec::new());
        Self { table, keys, used, hand: 0, bytes: 0, unknown: LruCache::new(MAX_NEGATIVE) }
    }
}

/// The hash of the table. The secrets' hashes are uniformly distributed, so their first bytes serve.
fn table_hash(hash: &SecretHash) -> u64 {
    let (first, _) = hash.bytes().split_first_chunk().expect("32 bytes");
    u64::from_le_bytes(*first)
}

fn to_index(index: u32) -> usize {
    usize::try_from(index).expect("32 bits fit")
}

impl Shard {
    /// The bytes that a cached key takes, its entry in the table included.
    pub(super) fn cost(key: &CachedKey) -> usize {
        // The table is between half and seven eighths full.
        const ENTRY_BYTES: usize = size_of::<Arc<CachedKey>>() + size_of::<AtomicBool>() + 2 * (size_of::<u32>() + 1);
        key.size() + ENTRY_BYTES
    }

    pub(super) fn get(&self, hash: &SecretHash) -> Cached {
        let found = self.table.find(table_hash(hash), |index| self.keys[to_index(*index)].hash() == hash);
        match found {
            Some(index) => {
                let used = &self.used[to_index(*index)];
                // Read before it is written, because a write invalidates the cache line for the other cores.
                if !used.load(Ordering::Relaxed) {
                    used.store(true, Ordering::Relaxed);
                }
                Cached::Key(self.keys[to_index(*index)].clone())
            }
            None if self.unknown.peek(hash).is_some_and(|since| since.elapsed() < NEGATIVE_TTL) => Cached::NoKey,
            None => Cached::Nothing,
        }
    }

    /// Adds a key. There must be none with the same hash.
    pub(super) fn insert(&mut self, key: Arc<CachedKey>) {
        let index = u32::try_from(self.keys.len()).expect("a shard does not have four billion keys");
        let hash = table_hash(key.hash());
        self.bytes += Self::cost(&key);
        grow(&mut self.keys);
        grow(&mut self.used);
        self.keys.push(key);
        self.used.push(AtomicBool::new(false));
        self.table.insert_unique(hash, index, |index| table_hash(self.keys[to_index(*index)].hash()));
    }

    pub(super) fn insert_unknown(&mut self, hash: SecretHash) {
        self.unknown.put(hash, Instant::now());
    }

    /// Removes all negative entries.
    pub(super) fn clear_unknown(&mut self) {
        self.unknown.clear();
    }

    /// Removes the key or the negative entry with this hash. Returns the key.
    pub(super) fn remove(&mut self, hash: &SecretHash) -> Option<Arc<CachedKey>> {
        self.unknown.pop(hash);
        let entry = self.table.find_entry(table_hash(hash), |index| self.keys[to_index(*index)].hash() == hash).ok()?;
        let (index, _) = entry.remove();
        Some(self.remove_at(index))
    }

    /// Removes a key that was not used recently. `None`: there are no keys.
    pub(super) fn evict(&mut self) -> Option<Arc<CachedKey>> {
        if self.keys.is_empty() {
            return None;
        }
        loop {
            if self.hand >= self.keys.len() {
                self.hand = 0;
            }
            if !self.used[self.hand].swap(false, Ordering::Relaxed) {
                let index = u32::try_from(self.hand).expect("it is an index");
                let hash = table_hash(self.keys[self.hand].hash());
                let entry = self.table.find_entry(hash, |candidate| *candidate == index);
                entry.expect("every key is in the table").remove();
                return Some(self.remove_at(index));
            }
            self.hand += 1;
        }
    }

    /// Removes the key at an index that was removed from the table already. The last key moves to that index.
    fn remove_at(&mut self, index: u32) -> Arc<CachedKey> {
        let last = u32::try_from(self.keys.len() - 1).expect("it is an index");
        if index != last {
            let hash = table_hash(self.keys[to_index(last)].hash());
            let entry = self.table.find_mut(hash, |candidate| *candidate == last);
            *entry.expect("every key is in the table") = index;
        }
        self.used.swap_remove(to_index(index));
        let key = self.keys.swap_remove(to_index(index));
        self.bytes -= Self::cost(&key);
        key
    }

    /// The number of keys.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The bytes that the keys take, without shared values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Grows by an eighth instead of doubling: with a million keys, unused capacity would be a large part of the memory.
fn grow<T>(items: &mut Vec<T>) {
    if items.len() == items.capacity() {
        items.reserve_exact(items.len() / 8 + 16);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use domain::{
        clock::{Entropy, Timestamp},
        id::{KeyId, OrganizationId},
        keys::{
            api_key::{ApiKey, Creator},
            secret::{KeyPrefix, Secret},
        },
        organizations::organization::OrganizationKind,
        permissions::Permissions,
        verify::cached_key::{Interned, KeyPermissions, OrganizationInfo, SharedValues, Totals},
    };
    use sea_orm::prelude::Uuid;

    use super::*;

    struct Number(u32);

    impl Entropy for Number {
        fn fill(&self, buffer: &mut [u8]) {
            let digits = (0..32).step_by(5).map(|bits| self.0 >> bits & 31);
            buffer.fill(0);
            for (byte, digit) in buffer.iter_mut().zip(digits) {
                *byte = u8::try_from(digit).expect("5 bits");
            }
        }
    }

    /// A different key for each number.
    pub(crate) fn key(n: u32) -> Arc<CachedKey> {
        let (id, totals) = (OrganizationId::from_uuid(Uuid::nil()), Totals::default());
        let organization =
            OrganizationInfo { id, kind: OrganizationKind::Tenant, external_id: None, is_suspended: false };
        let given = KeyPermissions { permissions: Permissions::default(), sets: Box::default() };
        key_with(n, Arc::new(Interned::new(organization, 0, &totals)), Arc::new(Interned::new(given, 0, &totals)))
    }

    /// The same with these shared values.
    pub(crate) fn key_with(
        n: u32,
        organization: Arc<Interned<OrganizationInfo>>,
        given: Arc<Interned<KeyPermissions>>,
    ) -> Arc<CachedKey> {
        let secret = Secret::generate(&KeyPrefix::default_prefix(), &Number(n));
        let id = KeyId::from_uuid(Uuid::from_u128(n.into()));
        let key = ApiKey::new(id, organization.id, &secret, Creator::Operator, Timestamp::from_millis(0));
        Arc::new(CachedKey::new(
            secret.hash(),
            &key,
            SharedValues { organization, member: None, permissions: given },
            None,
        ))
    }

    #[test]
    fn keys_are_inserted_and_removed_in_any_order() {
        let mut shard = Shard::default();
        for n in 0..300 {
            shard.insert(key(n));
        }
        for n in (0..300).step_by(3) {
            assert_eq!(shard.remove(key(n).hash()).map(|gone| gone.id()), Some(key(n).id()));
            assert!(shard.remove(key(n).hash()).is_none());
        }
        for n in 0..300 {
            let is_there = matches!(shard.get(key(n).hash()), Cached::Key(found) if found.id() == key(n).id());
            assert_eq!(is_there, n % 3 != 0);
        }
        let mut evicted = 0;
        while shard.evict().is_some() {
            evicted += 1;
        }
        assert_eq!((evicted, shard.len()), (200, 0));
    }

    #[test]
    fn eviction_skips_recently_used_keys() {
        let mut shard = Shard::default();
        for n in 0..3 {
            shard.insert(key(n));
        }
        assert!(matches!(shard.get(key(0).hash()), Cached::Key(_)));
        assert_eq!(shard.evict().map(|key| key.id()), Some(key(1).id()));
        assert!(matches!(shard.get(key(0).hash()), Cached::Key(_)));
    }
}

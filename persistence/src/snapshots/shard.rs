//! A part of the cache: the keys whose hashes fall here, each found by the hash that it holds itself.
//!
//! When room is needed a hand goes around over the keys (the CLOCK algorithm): a key that was used since the hand was here
//! last is spared once, another one goes.

use std::{
    mem::size_of,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{ports::Recalled, secret::SecretHash, snapshot::Snapshot};
use hashbrown::HashTable;
use lru::LruCache;

/// How long it is remembered that there is no key with some hash. It spares the database clients that try again and again.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);

/// Hashes without a key that are remembered.
pub(super) const UNKNOWN: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");

#[derive(Debug)]
pub(super) struct Shard {
    /// Places in `keys`.
    table: HashTable<u32>,
    keys: Vec<Arc<Snapshot>>,
    /// Whether the key at the same place was used since the hand was there.
    used: Vec<AtomicBool>,
    hand: usize,
    bytes: usize,
    unknown: LruCache<SecretHash, Instant>,
}

impl Default for Shard {
    fn default() -> Self {
        let (table, keys, used) = (HashTable::new(), Vec::new(), Vec::new());
        Self { table, keys, used, hand: 0, bytes: 0, unknown: LruCache::new(UNKNOWN) }
    }
}

/// The hashes are as random as can be: their first bytes are as good as any hash of them.
fn short(hash: &SecretHash) -> u64 {
    let (first, _) = hash.bytes().split_first_chunk().expect("32 bytes");
    u64::from_le_bytes(*first)
}

fn place(index: u32) -> usize {
    usize::try_from(index).expect("32 bits fit")
}

impl Shard {
    /// The bytes that a remembered key takes.
    pub(super) fn cost(key: &Snapshot) -> usize {
        // The table is between half and seven eighths full.
        const PLACE: usize = size_of::<Arc<Snapshot>>() + size_of::<AtomicBool>() + 2 * (size_of::<u32>() + 1);
        key.size() + PLACE
    }

    pub(super) fn get(&self, hash: &SecretHash) -> Recalled {
        let found = self.table.find(short(hash), |index| self.keys[place(*index)].hash() == hash);
        match found {
            Some(index) => {
                let used = &self.used[place(*index)];
                // Looked at first, because writing makes the other cores wait for this line of memory.
                if !used.load(Ordering::Relaxed) {
                    used.store(true, Ordering::Relaxed);
                }
                Recalled::Key(self.keys[place(*index)].clone())
            }
            None if self.unknown.peek(hash).is_some_and(|since| since.elapsed() < UNKNOWN_FOR) => Recalled::NoKey,
            None => Recalled::Nothing,
        }
    }

    /// Adds a key that is not there.
    pub(super) fn insert(&mut self, key: Arc<Snapshot>) {
        let index = u32::try_from(self.keys.len()).expect("a shard does not have four billion keys");
        let hash = short(key.hash());
        self.bytes += Self::cost(&key);
        grow(&mut self.keys);
        grow(&mut self.used);
        self.keys.push(key);
        self.used.push(AtomicBool::new(false));
        self.table.insert_unique(hash, index, |index| short(self.keys[place(*index)].hash()));
    }

    pub(super) fn insert_unknown(&mut self, hash: SecretHash) {
        self.unknown.put(hash, Instant::now());
    }

    /// Forgets a key, and that there is none.
    pub(super) fn remove(&mut self, hash: &SecretHash) -> Option<Arc<Snapshot>> {
        self.unknown.pop(hash);
        let entry = self.table.find_entry(short(hash), |index| self.keys[place(*index)].hash() == hash).ok()?;
        let (index, _) = entry.remove();
        Some(self.take_out(index))
    }

    /// Removes a key that was not used for long.
    pub(super) fn evict(&mut self) -> Option<Arc<Snapshot>> {
        if self.keys.is_empty() {
            return None;
        }
        loop {
            if self.hand >= self.keys.len() {
                self.hand = 0;
            }
            if !self.used[self.hand].swap(false, Ordering::Relaxed) {
                let index = u32::try_from(self.hand).expect("it is an index");
                let hash = short(self.keys[self.hand].hash());
                let entry = self.table.find_entry(hash, |candidate| *candidate == index);
                entry.expect("every key is in the table").remove();
                return Some(self.take_out(index));
            }
            self.hand += 1;
        }
    }

    /// Takes a key out of its place, which the table does not name any more; the last key moves there.
    fn take_out(&mut self, index: u32) -> Arc<Snapshot> {
        let last = u32::try_from(self.keys.len() - 1).expect("it is an index");
        if index != last {
            let hash = short(self.keys[place(last)].hash());
            let entry = self.table.find_mut(hash, |candidate| *candidate == last);
            *entry.expect("every key is in the table") = index;
        }
        self.used.swap_remove(place(index));
        let key = self.keys.swap_remove(place(index));
        self.bytes -= Self::cost(&key);
        key
    }

    /// Keys in it.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Grows by an eighth instead of doubling: at a million keys, unused places would be a good part of the memory.
fn grow<T>(places: &mut Vec<T>) {
    if places.len() == places.capacity() {
        places.reserve_exact(places.len() / 8 + 16);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use domain::{
        api_key::{ApiKey, Creator},
        clock::{Entropy, Timestamp},
        id::{KeyId, OrganizationId},
        organization::OrganizationKind,
        permission::PermissionSet,
        secret::{KeyPrefix, Secret},
        snapshot::{Common, Given, Home, Shared, Totals},
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

    /// A key of its own for each number.
    pub(crate) fn key(n: u32) -> Arc<Snapshot> {
        let (id, totals) = (OrganizationId::from_uuid(Uuid::nil()), Totals::default());
        let home = Home { id, kind: OrganizationKind::Tenant, external_id: None, is_suspended: false };
        let given = Given { permissions: PermissionSet::default(), sets: Box::default() };
        key_with(n, Arc::new(Common::new(home, 0, &totals)), Arc::new(Common::new(given, 0, &totals)))
    }

    /// The same with what it shares.
    pub(crate) fn key_with(n: u32, home: Arc<Common<Home>>, given: Arc<Common<Given>>) -> Arc<Snapshot> {
        let secret = Secret::generate(&KeyPrefix::standard(), &Number(n));
        let id = KeyId::from_uuid(Uuid::from_u128(n.into()));
        let key = ApiKey::new(id, home.id, &secret, Creator::Operator, Timestamp::from_millis(0));
        Arc::new(Snapshot::new(secret.hash(), &key, Shared { home, holder: None, given }, None))
    }

    #[test]
    fn keys_come_and_go_in_any_order() {
        let mut shard = Shard::default();
        for n in 0..300 {
            shard.insert(key(n));
        }
        for n in (0..300).step_by(3) {
            assert_eq!(shard.remove(key(n).hash()).map(|gone| gone.id()), Some(key(n).id()));
            assert!(shard.remove(key(n).hash()).is_none());
        }
        for n in 0..300 {
            let is_there = matches!(shard.get(key(n).hash()), Recalled::Key(found) if found.id() == key(n).id());
            assert_eq!(is_there, n % 3 != 0);
        }
        let mut evicted = 0;
        while shard.evict().is_some() {
            evicted += 1;
        }
        assert_eq!((evicted, shard.len()), (200, 0));
    }

    #[test]
    fn the_hand_spares_what_was_used() {
        let mut shard = Shard::default();
        for n in 0..3 {
            shard.insert(key(n));
        }
        assert!(matches!(shard.get(key(0).hash()), Recalled::Key(_)));
        assert_eq!(shard.evict().map(|key| key.id()), Some(key(1).id()));
        assert!(matches!(shard.get(key(0).hash()), Recalled::Key(_)));
    }
}

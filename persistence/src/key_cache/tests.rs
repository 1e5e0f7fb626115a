//! Reads and changes, interleaved in a fixed order.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

pub(crate) use super::shard::tests::key;
use domain::verify::cached_key::OrganizationInfo;

use super::*;

fn new_cache() -> KeyCache {
    let size = CacheSize { keys: 10, bytes: usize::MAX };
    KeyCache::new(size, Arc::new(Staleness::always()), &Counters::new())
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn found(key: &Arc<CachedKey>) -> load::Found {
    load::Found::from([(*key.hash(), Ok(Loaded { key: key.clone(), is_unused: false }))])
}

#[test]
fn concurrent_reads_of_one_key_share_one_query() {
    let (key_cache, key) = (new_cache(), key(1));
    let mut first = pin!(key_cache.load(key.hash()));
    let mut second = pin!(key_cache.load(key.hash()));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    assert_eq!(key_cache.begin(0), Some(vec![*key.hash()]));
    let mut third = pin!(key_cache.load(key.hash()));
    assert!(poll(third.as_mut()).is_pending());
    assert_eq!(key_cache.begin(1), None, "a request during the read waits for its result");
    key_cache.end(0, Ok(found(&key)));
    for waiter in [first, second, third] {
        assert!(matches!(poll(waiter), Poll::Ready(Ok(Some(read))) if Arc::ptr_eq(&read, &key)));
    }
    assert!(matches!(key_cache.get_cached(key.hash()), Cached::Key(_)));
}

#[test]
fn a_change_during_a_read_discards_its_result() {
    for everything in [false, true] {
        let (key_cache, old, new) = (new_cache(), key(1), key(1));
        let mut before = pin!(key_cache.load(old.hash()));
        assert!(poll(before.as_mut()).is_pending());
        assert!(key_cache.begin(0).is_some());
        if everything {
            key_cache.invalidate_all();
        } else {
            key_cache.invalidate(&Invalidations { keys: vec![*old.hash()], ..Invalidations::default() });
        }
        let mut after = pin!(key_cache.load(old.hash()));
        assert!(poll(after.as_mut()).is_pending());
        key_cache.end(0, Ok(found(&old)));
        assert!(matches!(poll(before), Poll::Ready(Ok(Some(read))) if Arc::ptr_eq(&read, &old)));
        assert!(
            matches!(key_cache.get_cached(old.hash()), Cached::Nothing),
            "a result that may be stale is not cached"
        );
        assert!(poll(after.as_mut()).is_pending(), "a request after the change does not get a result from before it");
        assert!(key_cache.begin(0).is_some());
        key_cache.end(0, Ok(found(&new)));
        assert!(matches!(poll(after), Poll::Ready(Ok(Some(read))) if Arc::ptr_eq(&read, &new)));
        assert!(matches!(key_cache.get_cached(old.hash()), Cached::Key(read) if Arc::ptr_eq(&read, &new)));
    }
}

#[test]
fn a_failed_read_fails_all_waiters_and_caches_nothing() {
    let (key_cache, key) = (new_cache(), key(1));
    let mut asked = pin!(key_cache.load(key.hash()));
    assert!(poll(asked.as_mut()).is_pending());
    assert!(key_cache.begin(0).is_some());
    key_cache.end(0, Err(DbFailure::Timeout));
    assert!(matches!(poll(asked), Poll::Ready(Err(Outage::Unavailable(_)))));
    assert!(matches!(key_cache.get_cached(key.hash()), Cached::Nothing));
}

#[test]
fn a_change_of_a_shared_value_invalidates_every_key_read_before() {
    let organization = |keys: &[&Arc<CachedKey>]| Invalidations {
        organizations: vec![keys[0].organization()],
        ..Invalidations::default()
    };
    let (key_cache, early, late) = (new_cache(), key(1), key(2));
    let interned = [false, true].map(|is_suspended| {
        let info = OrganizationInfo { id: early.organization(), kind: early.kind(), external_id: None, is_suspended };
        key_cache.interner.organizations.share(early.organization(), info)
    });
    assert!(
        interned[0].is_invalidated() && !interned[1].is_invalidated(),
        "read after the change and before its notification"
    );
    key_cache.invalidate(&organization(&[&early, &late]));
    assert!(interned.iter().all(|info| info.is_invalidated()));
}

#[test]
fn large_keys_are_read_in_small_batches() {
    let (key_cache, keys) = (new_cache(), (0..600).map(key).collect::<Vec<_>>());
    let mut asked: Vec<_> = keys.iter().map(|key| Box::pin(key_cache.load(key.hash()))).collect();
    assert!(asked.iter_mut().all(|asked| poll(asked.as_mut()).is_pending()));
    let read = |keys: usize, bytes: usize| {
        let asked = key_cache.begin(0).expect("more keys are waiting").len();
        key_cache.end(0, Ok(load::Found::new()));
        key_cache.adapt_batch(keys, bytes);
        asked
    };
    assert_eq!(read(MAX_KEYS_PER_READ, 16 * MAX_BYTES_PER_READ), MAX_KEYS_PER_READ);
    assert_eq!(read(1, 2 * MAX_BYTES_PER_READ), MAX_KEYS_PER_READ / 16);
    assert_eq!(read(1, 100), 1, "at least one");
    assert_eq!([read(2, 200), read(4, 400), read(8, 800)], [2, 4, 8]);
}

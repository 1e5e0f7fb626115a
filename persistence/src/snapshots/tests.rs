//! Reads and changes, interleaved by hand.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

pub(crate) use super::shard::tests::key;
use domain::snapshot::Home;

use super::*;

fn snapshots() -> Snapshots {
    let size = CacheSize { keys: 10, bytes: usize::MAX };
    Snapshots::new(size, Arc::new(Freshness::always()), &Figures::new())
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn found(key: &Arc<Snapshot>) -> read::Found {
    read::Found::from([(*key.hash(), Ok(key.clone()))])
}

#[test]
fn those_who_ask_together_share_a_read() {
    let (snapshots, key) = (snapshots(), key(1));
    let mut first = pin!(snapshots.read(key.hash()));
    let mut second = pin!(snapshots.read(key.hash()));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    assert_eq!(snapshots.begin(0), Some(vec![*key.hash()]));
    let mut third = pin!(snapshots.read(key.hash()));
    assert!(poll(third.as_mut()).is_pending());
    assert_eq!(snapshots.begin(1), None, "who asks during the read joins it");
    snapshots.end(0, Ok(found(&key)));
    for waiter in [first, second, third] {
        assert!(matches!(poll(waiter), Poll::Ready(Ok(Some(read))) if Arc::ptr_eq(&read, &key)));
    }
    assert!(matches!(snapshots.recall(key.hash()), Recalled::Key(_)));
}

#[test]
fn a_change_during_a_read_is_not_overtaken_by_it() {
    for everything in [false, true] {
        let (snapshots, old, new) = (snapshots(), key(1), key(1));
        let mut before = pin!(snapshots.read(old.hash()));
        assert!(poll(before.as_mut()).is_pending());
        assert!(snapshots.begin(0).is_some());
        if everything {
            snapshots.forget_everything();
        } else {
            snapshots.forget(&Changed { keys: vec![*old.hash()], ..Changed::default() });
        }
        let mut after = pin!(snapshots.read(old.hash()));
        assert!(poll(after.as_mut()).is_pending());
        snapshots.end(0, Ok(found(&old)));
        assert!(matches!(poll(before), Poll::Ready(Ok(Some(read))) if Arc::ptr_eq(&read, &old)));
        assert!(matches!(snapshots.recall(old.hash()), Recalled::Nothing), "what may be old is not remembered");
        assert!(poll(after.as_mut()).is_pending(), "who asked after the change does not get what was before");
        assert!(snapshots.begin(0).is_some());
        snapshots.end(0, Ok(found(&new)));
        assert!(matches!(poll(after), Poll::Ready(Ok(Some(read))) if Arc::ptr_eq(&read, &new)));
        assert!(matches!(snapshots.recall(old.hash()), Recalled::Key(read) if Arc::ptr_eq(&read, &new)));
    }
}

#[test]
fn a_failed_read_is_told_to_all_and_nothing_is_remembered() {
    let (snapshots, key) = (snapshots(), key(1));
    let mut asked = pin!(snapshots.read(key.hash()));
    assert!(poll(asked.as_mut()).is_pending());
    assert!(snapshots.begin(0).is_some());
    snapshots.end(0, Err(Failure::Timeout));
    assert!(matches!(poll(asked), Poll::Ready(Err(Outage::Unavailable(_)))));
    assert!(matches!(snapshots.recall(key.hash()), Recalled::Nothing));
}

#[test]
fn a_change_of_what_is_shared_reaches_every_key_that_was_read_before_it() {
    let organization =
        |keys: &[&Arc<Snapshot>]| Changed { organizations: vec![keys[0].organization()], ..Changed::default() };
    let (snapshots, early, late) = (snapshots(), key(1), key(2));
    let homes = [false, true].map(|is_suspended| {
        let home = Home { id: early.organization(), kind: early.kind(), external_id: None, is_suspended };
        snapshots.commons.homes.share(early.organization(), home)
    });
    assert!(homes[0].is_outdated() && !homes[1].is_outdated(), "read after the change, before its notice");
    snapshots.forget(&organization(&[&early, &late]));
    assert!(homes.iter().all(|home| home.is_outdated()));
}

#[test]
fn wide_keys_are_read_a_few_at_once() {
    let (snapshots, keys) = (snapshots(), (0..600).map(key).collect::<Vec<_>>());
    let mut asked: Vec<_> = keys.iter().map(|key| Box::pin(snapshots.read(key.hash()))).collect();
    assert!(asked.iter_mut().all(|asked| poll(asked.as_mut()).is_pending()));
    let read = |keys: usize, bytes: usize| {
        let asked = snapshots.begin(0).expect("more wait").len();
        snapshots.end(0, Ok(read::Found::new()));
        snapshots.measure(keys, bytes);
        asked
    };
    assert_eq!(read(256, 16 * READ_BYTES), 256);
    assert_eq!(read(1, 2 * READ_BYTES), 16);
    assert_eq!(read(1, 100), 1, "at least one");
    assert_eq!([read(2, 200), read(4, 400), read(8, 800)], [2, 4, 8]);
}

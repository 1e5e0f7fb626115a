//! Uses of a key that are counted in memory first and stored shortly afterwards.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::clock::Timestamp;

/// Counts uses of a key that need not be stored before the request is answered: their number, and the time of the last
/// one.
#[derive(Debug)]
pub struct UsageCounter {
    /// The number of verify requests. The highest bit is set if some of them are not stored yet.
    count: AtomicU64,
    last: AtomicI64,
}

const UNSTORED: u64 = 1 << 63;
const NONE: i64 = i64::MIN;

impl UsageCounter {
    /// Starts with the stored values.
    #[must_use]
    pub fn new(count: u64, last: Option<Timestamp>) -> Self {
        Self { count: AtomicU64::new(count), last: AtomicI64::new(last.map_or(NONE, Timestamp::millis)) }
    }

    /// Adds `verifies`, or with 0 an authentication. If all previous uses are stored, returns the number of stored
    /// verify requests: the caller must then schedule a flush.
    #[must_use]
    pub fn add(&self, verifies: u64, at: Timestamp) -> Option<u64> {
        // Written at most once a millisecond, so that concurrent requests with one key do not contend for the memory
        // location.
        if self.last.load(Ordering::Relaxed) < at.millis() {
            self.last.fetch_max(at.millis(), Ordering::Relaxed);
        }
        if verifies == 0 && self.count.load(Ordering::Relaxed) & UNSTORED != 0 {
            return None;
        }
        let add = |count: u64| Some((count + verifies) | UNSTORED);
        let before = self.count.fetch_update(Ordering::AcqRel, Ordering::Relaxed, add).unwrap_or(UNSTORED);
        (before & UNSTORED == 0).then_some(before)
    }

    /// Marks all uses as stored, and returns the values that the caller must store.
    pub fn store(&self) -> (u64, Option<Timestamp>) {
        let count = self.count.fetch_and(!UNSTORED, Ordering::AcqRel);
        (count & !UNSTORED, self.last())
    }

    /// The number of successful verify requests.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed) & !UNSTORED
    }

    /// The last successful verify request or authentication (UTC). `None`: none yet.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        Some(self.last.load(Ordering::Relaxed)).filter(|last| *last != NONE).map(Timestamp::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn uses_are_counted_and_flushed_once() {
        let uses = UsageCounter::new(7, None);
        assert_eq!(uses.add(1, at(5)), Some(7), "the first use after a flush");
        assert_eq!(uses.add(1, at(3)), None);
        assert_eq!(uses.add(0, at(4)), None);
        assert_eq!((uses.count(), uses.last()), (9, Some(at(5))));
        assert_eq!(uses.store(), (9, Some(at(5))));
        assert_eq!(uses.add(0, at(6)), Some(9), "an authentication is stored, too");
        assert_eq!(uses.store(), (9, Some(at(6))));
    }

    #[test]
    fn concurrent_uses_and_flushes_count_exactly() {
        const THREADS: i64 = 4;
        const USES: i64 = 20_000;
        let (uses, scheduled) = (UsageCounter::new(0, None), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for n in 0..USES {
                        if let Some(stored) = uses.add(1, at(n)) {
                            assert_eq!(scheduled.fetch_add(1, Ordering::SeqCst), 0, "one flush at a time is scheduled");
                            scheduled.fetch_sub(1, Ordering::SeqCst);
                            assert!(uses.store().0 > stored, "a flush stores the use that has scheduled it");
                        }
                    }
                });
            }
        });
        let all = u64::try_from(THREADS * USES).expect("small");
        assert_eq!(uses.add(0, at(USES)), Some(all), "all uses are counted, and all are stored");
        assert_eq!(uses.store(), (all, Some(at(USES))));
    }
}

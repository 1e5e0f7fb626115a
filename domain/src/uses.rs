//! Uses of a key that are counted in memory first and stored a moment later.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::clock::Timestamp;

/// Uses of a key that need not be stored before they are answered: how many there were and when the last one was.
#[derive(Debug)]
pub struct Uses {
    /// Verifies; the highest bit says that some are not stored yet.
    count: AtomicU64,
    last: AtomicI64,
}

const UNSTORED: u64 = 1 << 63;
const NONE: i64 = i64::MIN;

impl Uses {
    /// As many as are stored.
    #[must_use]
    pub fn new(count: u64, last: Option<Timestamp>) -> Self {
        Self { count: AtomicU64::new(count), last: AtomicI64::new(last.map_or(NONE, Timestamp::millis)) }
    }

    /// Counts so many verifies, or with 0 an authentication. When everything before was stored, answers how many verifies
    /// that was: from then on somebody has to see to storing the rest.
    #[must_use]
    pub fn add(&self, verifies: u64, at: Timestamp) -> Option<u64> {
        // Written once a millisecond at most, so that the many who use one key do not wait for each other.
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

    /// Says that what there is will be stored. Answers it.
    pub fn store(&self) -> (u64, Option<Timestamp>) {
        let count = self.count.fetch_and(!UNSTORED, Ordering::AcqRel);
        (count & !UNSTORED, self.last())
    }

    /// Verifies that found the key good.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed) & !UNSTORED
    }

    /// The last verify or authentication that found it good.
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
    fn uses_are_counted_and_handed_over_once() {
        let uses = Uses::new(7, None);
        assert_eq!(uses.add(1, at(5)), Some(7), "from here on there is something to store");
        assert_eq!(uses.add(1, at(3)), None);
        assert_eq!(uses.add(0, at(4)), None);
        assert_eq!((uses.count(), uses.last()), (9, Some(at(5))));
        assert_eq!(uses.store(), (9, Some(at(5))));
        assert_eq!(uses.add(0, at(6)), Some(9), "an authentication is to be stored too");
        assert_eq!(uses.store(), (9, Some(at(6))));
    }
}

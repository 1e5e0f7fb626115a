//! Time and randomness as ports, so that tests can set them.

use std::fmt;

/// A point in time (UTC): milliseconds since 1970-01-01T00:00:00Z, rounded down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time that is `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Milliseconds from `earlier` to this time; 0 if `earlier` is not earlier.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> u64 {
        let millis = self.0.saturating_sub(earlier.0);
        if millis < 0 { 0 } else { millis.unsigned_abs() }
    }

    /// Whether a period of `length` milliseconds that began at `start` has ended at this time. A period that begins
    /// further in the future than its length has ended, too: the clock that set its start was wrong.
    #[must_use]
    pub const fn is_after_period(self, start: Self, length: u64) -> bool {
        let millis = self.0.saturating_sub(start.0);
        if millis < 0 { millis.unsigned_abs() > length } else { millis.unsigned_abs() >= length }
    }

    /// Milliseconds from this time to the end of a period of `length` milliseconds that began at `start`; 0 if it has
    /// ended.
    #[must_use]
    pub const fn millis_to_end_of(self, start: Self, length: u64) -> u64 {
        let millis = self.0.saturating_sub(start.0);
        if millis < 0 {
            length.saturating_add(millis.unsigned_abs())
        } else {
            length.saturating_sub(millis.unsigned_abs())
        }
    }

    /// This time or `end`, whichever is earlier. `None`: there is no end.
    #[must_use]
    pub fn no_later_than(self, end: Option<Self>) -> Self {
        end.map_or(self, |end| end.min(self))
    }

    /// The time `millis` milliseconds later, saturating at the bounds of `i64`.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// The current time (UTC).
    fn now(&self) -> Timestamp;
}

/// A cryptographically secure source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

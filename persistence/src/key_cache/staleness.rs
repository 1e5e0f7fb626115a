//! Bounded staleness: how long the key cache may be used after the last heartbeat of the change feed.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// Whether the key cache may be used.
#[derive(Debug)]
pub(crate) struct Staleness {
    /// How long it may be used after a heartbeat was sent; `None`: always.
    bound: Option<Duration>,
    /// When the last heartbeat that arrived was sent, in milliseconds since the machine started; 0: none has arrived.
    last_heartbeat: AtomicU64,
    /// When this was created, in milliseconds since the machine started.
    created_at: u64,
}

impl Staleness {
    /// For a database whose changes are all noticed: the cache may always be used.
    pub(crate) fn always() -> Self {
        Self { bound: None, last_heartbeat: AtomicU64::new(0), created_at: since_boot() }
    }

    /// When the last heartbeat that arrived was sent, in milliseconds since the machine started; 0: none has arrived.
    pub(crate) fn last_heartbeat(&self) -> u64 {
        self.last_heartbeat.load(Ordering::Relaxed)
    }

    /// The cache may be used for `bound` after a heartbeat was sent.
    pub(crate) fn within(bound: Duration) -> Self {
        Self { bound: Some(bound), last_heartbeat: AtomicU64::new(0), created_at: since_boot() }
    }

    /// Whether the cache may be used now.
    pub(crate) fn is_within_bound(&self) -> bool {
        let Some(bound) = self.bound else { return true };
        let last = self.last_heartbeat();
        last != 0 && u128::from(since_boot().saturating_sub(last)) < bound.as_millis()
    }

    /// Time since the last heartbeat was sent; since the start of this process if there was none. Zero if the cache may always be
    /// used.
    pub(crate) fn elapsed(&self) -> Duration {
        let since = match (self.bound, self.last_heartbeat()) {
            (None, _) => return Duration::ZERO,
            (Some(_), 0) => self.created_at,
            (Some(_), sent_at) => sent_at,
        };
        Duration::from_millis(since_boot().saturating_sub(since))
    }

    /// Whether no heartbeat has arrived yet, or at least two are missing. One is sent each quarter of the bound.
    pub(crate) fn is_heartbeat_overdue(&self) -> bool {
        self.bound.is_some_and(|bound| self.last_heartbeat() == 0 || self.elapsed() > bound / 2)
    }

    /// The time since the last heartbeat, if heartbeats are missing but the cache is still used.
    pub(crate) fn overdue(&self) -> Option<Duration> {
        let age = Some(self.elapsed()).filter(|_| self.last_heartbeat() != 0)?;
        self.bound.filter(|bound| (*bound / 2..*bound).contains(&age)).map(|_| age)
    }

    /// How long the cache may be used after a heartbeat was sent; `None`: always.
    pub(crate) fn bound(&self) -> Option<Duration> {
        self.bound
    }

    /// Records that a heartbeat has arrived that was sent at `sent_at`, in milliseconds since the machine started.
    pub(crate) fn record_heartbeat(&self, sent_at: u64) {
        self.last_heartbeat.fetch_max(sent_at, Ordering::Relaxed);
    }
}

/// Milliseconds since the machine started, suspended time included: the system clock can be set, and a monotonic clock that
/// stops in suspend would let the cache outlive its bound.
pub(crate) fn since_boot() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let parts = u64::try_from(time.tv_sec).ok().zip(u64::try_from(time.tv_nsec).ok());
    parts.map_or(u64::MAX, |(seconds, nanos)| seconds * 1_000 + nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_before_the_first_heartbeat_is_that_of_the_process() {
        let before = since_boot();
        let new = Staleness::within(Duration::from_secs(2));
        let age = new.elapsed().as_millis();
        assert!(age <= u128::from(since_boot() - before), "{age}");
        assert!(new.is_heartbeat_overdue() && new.overdue().is_none(), "the cache is not used yet");
    }

    #[test]
    fn the_cache_may_be_used_until_the_bound_after_a_heartbeat() {
        assert!(Staleness::always().is_within_bound());
        let staleness = Staleness::within(Duration::from_secs(2));
        assert!(!staleness.is_within_bound(), "no heartbeat has arrived yet");
        let now = since_boot();
        staleness.record_heartbeat(now.saturating_sub(3_000));
        assert!(!staleness.is_within_bound(), "a heartbeat that was late proves nothing about now");
        staleness.record_heartbeat(now);
        assert!(staleness.is_within_bound());
        staleness.record_heartbeat(now.saturating_sub(3_000));
        assert!(staleness.is_within_bound(), "an older heartbeat does not shorten the bound");
        assert!(!staleness.is_heartbeat_overdue() && staleness.overdue().is_none());
        let silent = Staleness::within(Duration::from_secs(2));
        silent.record_heartbeat(now.saturating_sub(1_500));
        assert!(silent.is_within_bound() && silent.is_heartbeat_overdue());
        assert!(silent.overdue().is_some_and(|age| (1_500..2_000).contains(&age.as_millis())));
        let past = Staleness::within(Duration::from_secs(2));
        past.record_heartbeat(now.saturating_sub(3_000));
        assert!(past.is_heartbeat_overdue() && past.overdue().is_none(), "the cache is not used any more");
    }
}

//! For how long what is remembered may be relied on: a bound, counted from when the last beat that was heard had been sent.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// Whether what is remembered may be relied on.
#[derive(Debug)]
pub(crate) struct Freshness {
    /// `None`: always.
    bound: Option<Duration>,
    /// When the last beat that was heard had been sent, in milliseconds since the machine started.
    heard: AtomicU64,
}

impl Freshness {
    /// For a database that nobody else changes unnoticed.
    pub(crate) fn always() -> Self {
        Self { bound: None, heard: AtomicU64::new(0) }
    }

    /// When the last beat that was heard had been sent.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// For so long after a beat.
    pub(crate) fn within(bound: Duration) -> Self {
        Self { bound: Some(bound), heard: AtomicU64::new(0) }
    }

    /// Whether it may be relied on now.
    pub(crate) fn holds(&self) -> bool {
        let Some(bound) = self.bound else { return true };
        let heard = self.heard.load(Ordering::Relaxed);
        heard != 0 && u128::from(since_boot().saturating_sub(heard)) < bound.as_millis()
    }

    /// Since when a change may have gone unheard; nothing was heard yet: since the machine started.
    pub(crate) fn age(&self) -> Duration {
        match self.bound {
            None => Duration::ZERO,
            Some(_) => Duration::from_millis(since_boot().saturating_sub(self.heard.load(Ordering::Relaxed))),
        }
    }

    /// Whether beats are missing: two of them, at least.
    pub(crate) fn is_silent(&self) -> bool {
        self.bound.is_some_and(|bound| self.age() > bound / 2)
    }

    /// How old what is remembered may be, while it is relied on although beats are missing.
    pub(crate) fn silence(&self) -> Option<Duration> {
        let age = self.age();
        self.bound.filter(|bound| (*bound / 2..*bound).contains(&age)).map(|_| age)
    }

    pub(crate) fn bound(&self) -> Option<Duration> {
        self.bound
    }

    pub(crate) fn hear(&self, sent: u64) {
        self.heard.fetch_max(sent, Ordering::Relaxed);
    }
}

/// Milliseconds since the machine started, those in which it was suspended too.
pub(crate) fn since_boot() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let parts = u64::try_from(time.tv_sec).ok().zip(u64::try_from(time.tv_nsec).ok());
    parts.map_or(u64::MAX, |(seconds, nanos)| seconds * 1_000 + nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_ends() {
        assert!(Freshness::always().holds());
        let freshness = Freshness::within(Duration::from_secs(2));
        assert!(!freshness.holds(), "nothing was heard yet");
        let now = since_boot();
        freshness.hear(now.saturating_sub(3_000));
        assert!(!freshness.holds(), "a beat that took long proves nothing about now");
        freshness.hear(now);
        assert!(freshness.holds());
        freshness.hear(now.saturating_sub(3_000));
        assert!(freshness.holds(), "a late one takes nothing back");
        assert!(!freshness.is_silent() && freshness.silence().is_none());
        let silent = Freshness::within(Duration::from_secs(2));
        silent.hear(now.saturating_sub(1_500));
        assert!(silent.holds() && silent.is_silent());
        assert!(silent.silence().is_some_and(|age| (1_500..2_000).contains(&age.as_millis())));
        let past = Freshness::within(Duration::from_secs(2));
        past.hear(now.saturating_sub(3_000));
        assert!(past.is_silent() && past.silence().is_none(), "nothing that is remembered is answered");
    }
}

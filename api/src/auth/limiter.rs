//! Rate limits by network: at most `max` attempts at once, and `max` a minute on average (GCRA, by `governor`).
//!
//! The keyed stores of `governor` have no maximum size: a client with an IPv6 /32 has four billion /64 networks, and could fill
//! the memory within a minute. So this file has a store with a maximum size.

use std::{
    net::IpAddr,
    num::{NonZeroU32, NonZeroUsize},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::StateStore,
};
use lru::LruCache;

use crate::http::client_ip::ClientAddress;

/// The maximum number of tracked networks, at about 100 bytes each. Beyond it the least recently limited one is dropped,
/// and may make `max` attempts again.
const MAX_NETWORKS: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// Limits attempts by network: an IPv4 address or an IPv6 /64.
pub struct Limiter<C: Clock = MonotonicClock> {
    limiter: RateLimiter<AttemptKey, Networks, C, NoOpMiddleware<C::Instant>>,
    /// Whether any attempt was counted since the start: if not, checks need no lookup.
    is_used: AtomicBool,
}

/// An attempt from a network.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum AttemptKey {
    /// It is only checked: the state is unchanged.
    Checked(IpAddr),
    /// It is counted.
    Counted(IpAddr),
}

/// When the next attempt would conform, for each network, as `governor` counts it.
struct Networks(RwLock<LruCache<IpAddr, Nanos>>);

impl StateStore for Networks {
    type Key = AttemptKey;

    fn measure_and_replace<T, F, E>(&self, attempt: &AttemptKey, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        match attempt {
            AttemptKey::Checked(network) => {
                let networks = self.0.read().unwrap_or_else(PoisonError::into_inner);
                decide(networks.peek(network).copied()).map(|(outcome, _)| outcome)
            }
            AttemptKey::Counted(network) => {
                let mut networks = self.0.write().unwrap_or_else(PoisonError::into_inner);
                let (outcome, next) = decide(networks.get(network).copied())?;
                networks.put(*network, next);
                Ok(outcome)
            }
        }
    }
}

/// The limit is reached. The number of seconds until the next attempt is possible, rounded up; at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub u64);

impl Limiter {
    /// Allows `max` attempts per minute and network; 0 is treated as 1.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self::with(max, MonotonicClock)
    }
}

impl<C: Clock> Limiter<C> {
    fn with(max: u32, clock: C) -> Self {
        let quota = Quota::per_minute(NonZeroU32::new(max).unwrap_or(NonZeroU32::MIN));
        let networks = Networks(RwLock::new(LruCache::new(MAX_NETWORKS)));
        Self { limiter: RateLimiter::new(quota, networks, clock), is_used: AtomicBool::new(false) }
    }

    /// Checks whether another attempt is allowed, without counting it.
    ///
    /// # Errors
    /// The limit is reached.
    pub fn check(&self, address: ClientAddress) -> Result<(), RetryAfter> {
        if !self.is_used.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.decide(AttemptKey::Checked(address.network()))
    }

    /// Counts an attempt, if it is allowed.
    ///
    /// # Errors
    /// The limit is reached.
    pub fn count(&self, address: ClientAddress) -> Result<(), RetryAfter> {
        self.is_used.store(true, Ordering::Relaxed);
        self.decide(AttemptKey::Counted(address.network()))
    }

    fn decide(&self, attempt: AttemptKey) -> Result<(), RetryAfter> {
        let retry_after = |denied: NotUntil<C::Instant>| seconds(denied.wait_time_from(self.limiter.clock().now()));
        self.limiter.check_key(&attempt).map_err(retry_after)
    }
}

/// Rounded up, and at least 1: the time may have passed since it was decided.
fn seconds(wait: Duration) -> RetryAfter {
    RetryAfter((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn address(n: u32) -> ClientAddress {
        ClientAddress(IpAddr::from(n.to_be_bytes()))
    }

    #[test]
    fn attempts_beyond_the_limit_wait_until_the_next_one_is_due() {
        let clock = FakeRelativeClock::default();
        let limiter = Limiter::with(2, clock.clone());
        assert_eq!(limiter.count(address(1)), Ok(()));
        assert_eq!(limiter.check(address(1)), Ok(()));
        assert_eq!(limiter.count(address(1)), Ok(()));
        assert_eq!(limiter.check(address(1)), Err(RetryAfter(30)), "one is due in half a minute");
        clock.advance(Duration::from_millis(500));
        assert_eq!(limiter.count(address(1)), Err(RetryAfter(30)), "29.5 s, rounded up");
        assert_eq!(limiter.count(address(2)), Ok(()), "another network");
        clock.advance(Duration::from_millis(29_500));
        assert_eq!(limiter.check(address(1)), Ok(()));
        assert_eq!(limiter.check(address(1)), Ok(()), "a check counts nothing");
        assert_eq!(limiter.count(address(1)), Ok(()));
        assert_eq!(limiter.check(address(1)), Err(RetryAfter(30)), "only one was due");
        clock.advance(Duration::from_mins(1));
        assert_eq!([limiter.count(address(1)), limiter.count(address(1))], [Ok(()), Ok(())]);
        assert!(limiter.count(address(1)).is_err(), "attempts that were not made do not add up");
    }

    #[test]
    fn the_number_of_limited_networks_is_bounded() {
        let limiter = Limiter::with(1, FakeRelativeClock::default());
        let networks = u32::try_from(MAX_NETWORKS.get()).expect("small");
        for n in 0..=networks {
            assert_eq!(limiter.count(address(n)), Ok(()));
        }
        assert_eq!(limiter.check(address(0)), Ok(()), "the oldest was dropped");
        assert!(limiter.check(address(networks)).is_err());
        assert_eq!(limiter.limiter.into_state_store().0.into_inner().expect("not poisoned").len(), MAX_NETWORKS.get());
    }
}

//! How often one network may try something within a minute.

use std::{
    net::IpAddr,
    num::NonZeroUsize,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use domain::clock::Timestamp;
use lru::LruCache;

use crate::address::ClientAddress;

const MINUTE_MILLIS: i64 = 60_000;

/// Networks that are remembered at once, at about 100 bytes each; beyond it the one whose last attempt is longest ago is forgotten.
const NETWORKS: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// Counts attempts by network. A minute begins with the first attempt after the last minute.
#[derive(Debug)]
pub struct Limiter {
    max: u32,
    /// Whether any attempt was counted yet: where nobody fails, nothing is looked up.
    is_used: AtomicBool,
    networks: RwLock<LruCache<IpAddr, Minute>>,
}

#[derive(Clone, Copy, Debug)]
struct Minute {
    start: Timestamp,
    count: u32,
}

impl Minute {
    fn is_over(self, now: Timestamp) -> bool {
        // Also over: a minute that starts in the future, because the clock was set back.
        now < self.start || now >= self.start.plus_millis(MINUTE_MILLIS)
    }
}

/// Too many; the minute ends in so many seconds, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub u64);

impl Limiter {
    /// Allows `max` attempts a minute.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self { max, is_used: AtomicBool::new(false), networks: RwLock::new(LruCache::new(NETWORKS)) }
    }

    /// Whether the attempts of this minute are used up; counts nothing.
    pub fn check(&self, address: ClientAddress, now: Timestamp) -> Result<(), RetryAfter> {
        if !self.is_used.load(Ordering::Relaxed) {
            return Ok(());
        }
        let networks = self.networks.read().unwrap_or_else(PoisonError::into_inner);
        match networks.peek(&address.network()) {
            Some(minute) if !minute.is_over(now) && minute.count >= self.max => Err(retry_after(*minute, now)),
            _ => Ok(()),
        }
    }

    /// Counts one attempt, unless they are used up.
    pub fn count(&self, address: ClientAddress, now: Timestamp) -> Result<(), RetryAfter> {
        self.is_used.store(true, Ordering::Relaxed);
        let mut networks = self.networks.write().unwrap_or_else(PoisonError::into_inner);
        let minute = networks.get_or_insert_mut(address.network(), || Minute { start: now, count: 0 });
        if minute.is_over(now) {
            *minute = Minute { start: now, count: 0 };
        }
        if minute.count >= self.max {
            return Err(retry_after(*minute, now));
        }
        minute.count += 1;
        Ok(())
    }
}

fn retry_after(minute: Minute, now: Timestamp) -> RetryAfter {
    let left = minute.start.millis().saturating_add(MINUTE_MILLIS).saturating_sub(now.millis());
    RetryAfter(u64::try_from(left).unwrap_or(0).div_ceil(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> ClientAddress {
        ClientAddress(IpAddr::from(n.to_be_bytes()))
    }

    #[test]
    fn a_minute_has_so_many_attempts() {
        let limiter = Limiter::new(2);
        let at = |millis: i64| Timestamp::from_millis(1_000_000 + millis);
        assert_eq!(limiter.count(address(1), at(0)), Ok(()));
        assert_eq!(limiter.check(address(1), at(0)), Ok(()));
        assert_eq!(limiter.count(address(1), at(30_000)), Ok(()));
        assert_eq!(limiter.check(address(1), at(30_001)), Err(RetryAfter(30)));
        assert_eq!(limiter.count(address(1), at(59_999)), Err(RetryAfter(1)));
        assert_eq!(limiter.count(address(2), at(59_999)), Ok(()), "another network");
        assert_eq!(limiter.check(address(1), at(60_000)), Ok(()));
        assert_eq!(limiter.count(address(1), at(60_000)), Ok(()));
        assert_eq!(limiter.check(address(1), at(-1)), Ok(()), "the clock was set back");
    }

    #[test]
    fn the_table_is_bounded() {
        let limiter = Limiter::new(1);
        let now = Timestamp::from_millis(0);
        let networks = u32::try_from(NETWORKS.get()).expect("small");
        for n in 0..=networks {
            assert_eq!(limiter.count(address(n), now), Ok(()));
        }
        assert_eq!(limiter.networks.read().expect("not poisoned").len(), NETWORKS.get());
        assert_eq!(limiter.check(address(0), now), Ok(()), "the oldest was forgotten");
        assert!(limiter.check(address(networks), now).is_err());
    }
}

//! The rate limit of management requests: per organization, per second and per node (GCRA, by `governor`).

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use domain::{Error, error::Limited, id::OrganizationId, ports::ManagementRate};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};

/// After this number of requests, the state of organizations that are back at the full rate is removed. So the memory is bounded
/// by the number of organizations that are managed at the same time, plus this.
const CLEANUP_INTERVAL: u32 = 4_096;

/// The rate limit. `None`: unlimited.
pub struct Rate<C: Clock = MonotonicClock>(Option<RateLimiters<C>>);

struct RateLimiters<C: Clock> {
    limiter: RateLimiter<OrganizationId, HashMapStateStore<OrganizationId>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    counted: AtomicU32,
}

impl Rate {
    /// Allows `per_second` requests per second and organization, including as one burst. `None`: unlimited.
    #[must_use]
    pub fn new(per_second: Option<NonZeroU32>) -> Self {
        Self::with(per_second, MonotonicClock)
    }
}

impl<C: Clock + Clone> Rate<C> {
    fn with(per_second: Option<NonZeroU32>, clock: C) -> Self {
        Self(per_second.map(|per_second| RateLimiters {
            limiter: RateLimiter::new(Quota::per_second(per_second), HashMapStateStore::default(), clock.clone()),
            clock,
            counted: AtomicU32::new(0),
        }))
    }
}

impl<C: Clock + Send + Sync> ManagementRate for Rate<C> {
    fn count(&self, organization: OrganizationId) -> Result<(), Error> {
        let Some(limits) = &self.0 else { return Ok(()) };
        if limits.counted.fetch_add(1, Ordering::Relaxed) % CLEANUP_INTERVAL == 0 {
            limits.limiter.retain_recent();
            limits.limiter.shrink_to_fit();
        }
        limits.limiter.check_key(&organization).map_err(|denied| {
            let wait = denied.wait_time_from(limits.clock.now());
            Error::TooMany { what: Limited::Requests, retry_after: wait.as_secs() + 1 }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn organization(n: u32) -> OrganizationId {
        OrganizationId::from_uuid(uuid::Uuid::from_u128(n.into()))
    }

    #[test]
    fn the_management_rate_is_counted_per_organization_and_second() {
        let clock = FakeRelativeClock::default();
        let rate = Rate::with(NonZeroU32::new(3), clock.clone());
        assert!((0..3).all(|_| rate.count(organization(1)).is_ok()));
        let denied = rate.count(organization(1));
        assert!(matches!(denied, Err(Error::TooMany { what: Limited::Requests, retry_after: 1 })), "{denied:?}");
        assert!(rate.count(organization(2)).is_ok(), "another organization");
        clock.advance(Duration::from_secs(1));
        assert!((0..3).all(|_| rate.count(organization(1)).is_ok()));
        assert!(rate.count(organization(1)).is_err());
        let unlimited = Rate::with(None, clock);
        assert!((0..1_000).all(|_| unlimited.count(organization(1)).is_ok()));
    }

    #[test]
    fn idle_organizations_are_removed_from_the_management_rate() {
        let clock = FakeRelativeClock::default();
        let rate = Rate::with(NonZeroU32::new(1), clock.clone());
        for n in 0..10 * CLEANUP_INTERVAL {
            clock.advance(Duration::from_millis(10));
            assert!(rate.count(organization(n)).is_ok());
        }
        let stored = rate.0.map_or(0, |limits| limits.limiter.len());
        assert!(stored <= 2 * CLEANUP_INTERVAL as usize, "{stored}");
    }
}

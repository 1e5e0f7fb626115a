//! How many requests a second may manage one organization: a token bucket for each (GCRA, by `governor`), on this node.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use domain::{Error, id::OrganizationId, ports::ManagementRate};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};

/// After so many requests the organizations are forgotten that have their whole second again: so about as many are remembered
/// as are managed at the same time.
const FORGET_EVERY: u32 = 4_096;

/// The rate, if there is one.
pub struct Rate<C: Clock = MonotonicClock>(Option<Limits<C>>);

struct Limits<C: Clock> {
    limiter: RateLimiter<OrganizationId, HashMapStateStore<OrganizationId>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    counted: AtomicU32,
}

impl Rate {
    /// So many requests a second, at once or spread over it. `None`: any number.
    #[must_use]
    pub fn new(per_second: Option<NonZeroU32>) -> Self {
        Self::with(per_second, MonotonicClock)
    }
}

impl<C: Clock + Clone> Rate<C> {
    fn with(per_second: Option<NonZeroU32>, clock: C) -> Self {
        Self(per_second.map(|per_second| Limits {
            limiter: RateLimiter::new(Quota::per_second(per_second), HashMapStateStore::default(), clock.clone()),
            clock,
            counted: AtomicU32::new(0),
        }))
    }
}

impl<C: Clock + Send + Sync> ManagementRate for Rate<C> {
    fn count(&self, organization: OrganizationId) -> Result<(), Error> {
        let Some(limits) = &self.0 else { return Ok(()) };
        if limits.counted.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == 0 {
            limits.limiter.retain_recent();
            limits.limiter.shrink_to_fit();
        }
        limits.limiter.check_key(&organization).map_err(|refused| {
            let wait = refused.wait_time_from(limits.clock.now());
            Error::TooManyRequests { retry_after: wait.as_secs() + 1 }
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
    fn each_organization_has_its_second() {
        let clock = FakeRelativeClock::default();
        let rate = Rate::with(NonZeroU32::new(3), clock.clone());
        assert!((0..3).all(|_| rate.count(organization(1)).is_ok()));
        assert!(matches!(rate.count(organization(1)), Err(Error::TooManyRequests { retry_after: 1 })));
        assert!(rate.count(organization(2)).is_ok(), "another organization");
        clock.advance(Duration::from_secs(1));
        assert!((0..3).all(|_| rate.count(organization(1)).is_ok()));
        assert!(rate.count(organization(1)).is_err());
        let unlimited = Rate::with(None, clock);
        assert!((0..1_000).all(|_| unlimited.count(organization(1)).is_ok()));
    }

    #[test]
    fn organizations_of_long_ago_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let rate = Rate::with(NonZeroU32::new(1), clock.clone());
        for n in 0..10 * FORGET_EVERY {
            clock.advance(Duration::from_millis(10));
            assert!(rate.count(organization(n)).is_ok());
        }
        let remembered = rate.0.map_or(0, |limits| limits.limiter.len());
        assert!(remembered <= 2 * FORGET_EVERY as usize, "{remembered}");
    }
}

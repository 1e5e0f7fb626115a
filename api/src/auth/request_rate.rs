//! The rate limits of authorized requests: of an organization or of a portal session, per second and per node (GCRA, by `governor`).

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use domain::{
    Error,
    error::Limited,
    id::{OrganizationId, PortalSessionId},
    ports::RequestRate,
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};

/// After this number of requests, the state of those that are back at the full rate is removed. So the memory is bounded by the
/// number of organizations or sessions that send requests at the same time, plus this.
const CLEANUP_INTERVAL: u32 = 4_096;

/// The requests that a portal session may send in a second, on average. The page needs a few for what its customer does.
const PORTAL_REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).expect("not zero");

/// The requests that a portal session may send at once.
const PORTAL_BURST: NonZeroU32 = NonZeroU32::new(20).expect("not zero");

/// A rate limit by `K`, of whom existing ones only are counted. `None`: unlimited.
pub struct Rate<K: Copy + Eq + Hash, C: Clock = MonotonicClock>(Option<RateLimiters<K, C>>);

struct RateLimiters<K: Copy + Eq + Hash, C: Clock> {
    limiter: RateLimiter<K, HashMapStateStore<K>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    what: Limited,
    counted: AtomicU32,
}

impl Rate<OrganizationId> {
    /// The rate limit of management requests. Allows `per_second` requests per second and organization, including as one burst. `None`: unlimited.
    #[must_use]
    pub fn of_organizations(per_second: Option<NonZeroU32>) -> Self {
        Self::with(per_second.map(Quota::per_second), Limited::Requests, MonotonicClock)
    }
}

impl Rate<PortalSessionId> {
    /// The rate limit of portal sessions: 10 requests per second and session, and 20 as one burst.
    #[must_use]
    pub fn of_portal_sessions() -> Self {
        Self::with(Some(portal_quota()), Limited::PortalRequests, MonotonicClock)
    }
}

fn portal_quota() -> Quota {
    Quota::per_second(PORTAL_REQUESTS_PER_SECOND).allow_burst(PORTAL_BURST)
}

impl<K: Copy + Eq + Hash, C: Clock + Clone> Rate<K, C> {
    fn with(quota: Option<Quota>, what: Limited, clock: C) -> Self {
        Self(quota.map(|quota| RateLimiters {
            limiter: RateLimiter::new(quota, HashMapStateStore::default(), clock.clone()),
            clock,
            what,
            counted: AtomicU32::new(0),
        }))
    }
}

impl<K: Copy + Eq + Hash + Send + Sync, C: Clock + Send + Sync> RequestRate<K> for Rate<K, C> {
    fn count(&self, of: K) -> Result<(), Error> {
        let Some(limits) = &self.0 else { return Ok(()) };
        if limits.counted.fetch_add(1, Ordering::Relaxed) % CLEANUP_INTERVAL == 0 {
            limits.limiter.retain_recent();
            limits.limiter.shrink_to_fit();
        }
        limits.limiter.check_key(&of).map_err(|denied| {
            let wait = denied.wait_time_from(limits.clock.now());
            Error::TooMany { what: limits.what, retry_after: wait.as_secs() + 1 }
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

    fn management(per_second: u32, clock: &FakeRelativeClock) -> Rate<OrganizationId, FakeRelativeClock> {
        let quota = NonZeroU32::new(per_second).map(Quota::per_second);
        Rate::with(quota, Limited::Requests, clock.clone())
    }

    #[test]
    fn a_portal_session_may_send_20_requests_at_once_and_10_a_second() {
        let clock = FakeRelativeClock::default();
        let rate = Rate::with(Some(portal_quota()), Limited::PortalRequests, clock.clone());
        let session = |n: u128| PortalSessionId::from_uuid(uuid::Uuid::from_u128(n));
        assert!((0..20).all(|_| rate.count(session(1)).is_ok()));
        let denied = rate.count(session(1));
        assert!(matches!(denied, Err(Error::TooMany { what: Limited::PortalRequests, retry_after: 1 })), "{denied:?}");
        assert!(rate.count(session(2)).is_ok(), "another session");
        clock.advance(Duration::from_secs(1));
        assert!((0..10).all(|_| rate.count(session(1)).is_ok()));
        assert!(rate.count(session(1)).is_err());
    }

    #[test]
    fn the_management_rate_is_counted_per_organization_and_second() {
        let clock = FakeRelativeClock::default();
        let rate = management(3, &clock);
        assert!((0..3).all(|_| rate.count(organization(1)).is_ok()));
        let denied = rate.count(organization(1));
        assert!(matches!(denied, Err(Error::TooMany { what: Limited::Requests, retry_after: 1 })), "{denied:?}");
        assert!(rate.count(organization(2)).is_ok(), "another organization");
        clock.advance(Duration::from_secs(1));
        assert!((0..3).all(|_| rate.count(organization(1)).is_ok()));
        assert!(rate.count(organization(1)).is_err());
        let unlimited = Rate::with(None, Limited::Requests, clock);
        assert!((0..1_000).all(|_| unlimited.count(organization(1)).is_ok()));
    }

    #[test]
    fn idle_organizations_are_removed_from_the_management_rate() {
        let clock = FakeRelativeClock::default();
        let rate = management(1, &clock);
        for n in 0..10 * CLEANUP_INTERVAL {
            clock.advance(Duration::from_millis(10));
            assert!(rate.count(organization(n)).is_ok());
        }
        let stored = rate.0.map_or(0, |limits| limits.limiter.len());
        assert!(stored <= 2 * CLEANUP_INTERVAL as usize, "{stored}");
    }
}

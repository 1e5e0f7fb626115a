//! Limits attempts to authenticate, to sign up and to open the page of the portal by network, and reports the refused ones: all of
//! them in a metric, and the networks in a few WARN lines a minute.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus::IntCounter;

use crate::{
    auth::limiter::{Limiter, RetryAfter},
    http::{
        api_error::ApiError,
        client_ip::{Network, RequestSource},
    },
    metrics::Metrics,
};

/// How often a network is reported again.
const REPORT_PERIOD: Duration = Duration::from_mins(1);

/// The maximum number of networks that are reported in a period. The metric counts the others, too.
const MAX_REPORTED: usize = 10;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptKind {
    /// Failed authentications.
    Authentication,
    /// Sign-ups, failed ones included.
    SignUp,
    /// Requests for the page of the portal that read its session.
    PortalPage,
}

impl AttemptKind {
    /// The label in metrics.
    fn label(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::SignUp => "sign_up",
            Self::PortalPage => "portal_page",
        }
    }

    /// The log line about a network whose attempts are refused.
    fn report(self) -> &'static str {
        match self {
            Self::Authentication => {
                "too many failed authentications from this network: until it has waited, only cached keys, sessions and access \
                 tokens are accepted from it"
            }
            Self::SignUp => "too many sign-ups from this network: further ones are refused until it has waited",
            Self::PortalPage => {
                "too many requests for the page of the portal from this network: further ones are refused until it waits"
            }
        }
    }
}

/// The end of the log line if the request was forwarded by a proxy that is not trusted.
const UNTRUSTED_PROXY: &str = "; a proxy that is not in CLAVIGER_TRUSTED_PROXIES has forwarded the request: if it is yours, add its \
                               network, or all of its clients count as one";

/// Limits attempts of one kind by network.
pub struct AttemptLimit {
    limiter: Limiter,
    kind: AttemptKind,
    refused: IntCounter,
    reported: Mutex<Reported>,
}

impl AttemptLimit {
    /// Allows `max` attempts per minute and network; 0 is treated as 1.
    #[must_use]
    pub fn new(max: u32, kind: AttemptKind, metrics: &Metrics) -> Self {
        let refused = metrics.refused_attempts(kind.label());
        Self { limiter: Limiter::new(max), kind, refused, reported: Mutex::default() }
    }

    /// Refuses a network that has reached the limit. Nothing is counted.
    ///
    /// # Errors
    /// [`ApiError::TooManyAttempts`].
    pub fn require(&self, source: &RequestSource) -> Result<(), ApiError> {
        self.require_unless(source, || false)
    }

    /// As [`AttemptLimit::require`], except for attempts that are exempt. `is_exempt` is asked only if the limit is reached.
    ///
    /// # Errors
    /// [`ApiError::TooManyAttempts`].
    pub fn require_unless(&self, source: &RequestSource, is_exempt: impl FnOnce() -> bool) -> Result<(), ApiError> {
        match self.limiter.check(source.address) {
            Err(retry_after) if !is_exempt() => Err(self.refuse(source, retry_after)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Counts an attempt.
    ///
    /// # Errors
    /// [`ApiError::TooManyAttempts`]: the limit is reached, and the attempt is refused.
    pub fn count(&self, source: &RequestSource) -> Result<(), ApiError> {
        self.limiter.count(source.address).map_err(|retry_after| self.refuse(source, retry_after))
    }

    /// Refuses an attempt, and reports it.
    fn refuse(&self, source: &RequestSource, RetryAfter(retry_after): RetryAfter) -> ApiError {
        self.refused.inc();
        let network = source.address.network();
        if self.reported.lock().unwrap_or_else(PoisonError::into_inner).is_due(network, Instant::now()) {
            let message = self.kind.report();
            let hint = if source.is_behind_untrusted_proxy { UNTRUSTED_PROXY } else { "" };
            tracing::warn!(target: "claviger", network = %Network(network), retry_after, "{message}{hint}");
        }
        ApiError::TooManyAttempts { retry_after }
    }
}

/// The networks that were reported in the current period.
#[derive(Default)]
struct Reported {
    since: Option<Instant>,
    networks: HashSet<IpAddr>,
}

impl Reported {
    /// Whether a network is to be reported now.
    fn is_due(&mut self, network: IpAddr, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= REPORT_PERIOD) {
            self.since = Some(now);
            self.networks.clear();
        }
        self.networks.len() < MAX_REPORTED && self.networks.insert(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_networks_are_reported_each_once_a_minute() {
        let (mut reported, start) = (Reported::default(), Instant::now());
        let mut is_due = |network: u8, seconds| {
            reported.is_due(IpAddr::from([192, 0, 2, network]), start + Duration::from_secs(seconds))
        };
        assert!(is_due(1, 0) && is_due(2, 1));
        assert!(!is_due(1, 2) && !is_due(2, 59));
        assert!(is_due(1, 60) && !is_due(1, 61));
        assert_eq!((2..200).filter(|network| is_due(*network, 62)).count(), MAX_REPORTED - 1);
    }
}

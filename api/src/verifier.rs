//! Verifies keys for the contracts, and counts the outcomes by contract.

#[cfg(test)]
pub(crate) mod samples;

use std::sync::Arc;

use domain::{
    Error, Outage,
    auth::caller::Caller,
    cooperation::Pace,
    deny_reason::DenyReason,
    verify::{Explanation, KeyVerifier, Progress, Requester, VerifyRequest, result::Verdict},
};
use futures_util::future::try_join_all;
use prometheus::IntCounter;

use crate::{http::api_error::ApiError, metrics::Metrics};

/// Verifies keys for one contract. Its callers, if they are no gateway, have to be authorized for `api_keys:verify` before.
pub struct Verifier {
    keys: Arc<KeyVerifier>,
    counters: VerifyCounters,
}

impl Verifier {
    /// `contract` is the value of the metrics label.
    #[must_use]
    pub fn new(keys: Arc<KeyVerifier>, metrics: &Metrics, contract: &str) -> Self {
        Self { keys, counters: VerifyCounters::new(metrics, contract) }
    }

    /// Verifies a key. If it is valid, the use is counted.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn verify(&self, requester: Requester<'_>, request: VerifyRequest<'_>) -> Result<Verdict, ApiError> {
        let verdict = match self.keys.decide_cached(requester, request) {
            Progress::Decided(verdict) => Ok(verdict),
            // Boxed, because this future is large and rarely needed: the cached decision should not pay for its size.
            step => Box::pin(self.keys.decide(requester, request, step)).await,
        };
        self.counters.count(&verdict);
        Ok(verdict.map_err(Error::from)?)
    }

    /// The verdict that verifying a key would have, without counting a use.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn introspect(&self, caller: &Caller, request: VerifyRequest<'_>) -> Result<Verdict, ApiError> {
        let verdict = self.keys.introspect(caller, request).await;
        self.counters.count(&verdict);
        Ok(verdict.map_err(Error::from)?)
    }

    /// Verifies several keys, with the verdicts in the order of the requests. Keys are read, and uses are counted, in batches.
    ///
    /// # Errors
    /// The database is unavailable for at least one of the keys. Uses that were already counted stay counted.
    pub async fn verify_all(&self, caller: &Caller, requests: &[VerifyRequest<'_>]) -> Result<Vec<Verdict>, ApiError> {
        let requester = Requester::Caller(caller);
        let (mut steps, mut pace) = (Vec::with_capacity(requests.len()), Pace::default());
        for request in requests {
            // A request may name 256 permissions: a hundred such requests would block the thread for milliseconds.
            pace.checked(request.permissions.len()).await;
            steps.push(self.keys.decide_cached(requester, *request));
        }
        let verdicts = if steps.iter().all(|step| matches!(step, Progress::Decided(_))) {
            let decided = |step| if let Progress::Decided(verdict) = step { Some(verdict) } else { None };
            Ok(steps.into_iter().filter_map(decided).collect::<Vec<_>>())
        } else {
            let rest = requests.iter().zip(steps);
            try_join_all(rest.map(|(request, step)| self.keys.decide(requester, *request, step))).await
        };
        match &verdicts {
            Ok(verdicts) => verdicts.iter().for_each(|verdict| self.counters.counter(verdict).inc()),
            Err(_) => self.counters.unavailable.inc_by(requests.len() as u64),
        }
        Ok(verdicts.map_err(Error::from)?)
    }

    /// Counts a verify whose caller could not be authenticated because the database is unavailable: it has no verdict.
    ///
    /// # Errors
    /// The error of `caller`, unchanged.
    pub fn count_failed_authentication(&self, caller: Result<Caller, ApiError>) -> Result<Caller, ApiError> {
        if let Err(ApiError::Domain(Error::Outage(_))) = &caller {
            self.counters.unavailable.inc();
        }
        caller
    }

    /// Every check of a verify with its result. No use is counted.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn explain(&self, caller: &Caller, request: VerifyRequest<'_>) -> Result<Explanation, ApiError> {
        Ok(self.keys.explain(caller, request).await?)
    }

    /// The number of valid and of denied verifies since the start of the process.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        (self.counters.valid.get(), self.counters.denied.iter().map(IntCounter::get).sum())
    }
}

/// The counters of the outcomes of verifies, in the metrics.
pub struct VerifyCounters {
    valid: IntCounter,
    denied: [IntCounter; DenyReason::CODES.len()],
    unavailable: IntCounter,
}

impl VerifyCounters {
    /// `contract` is the value of the metrics label.
    #[must_use]
    pub fn new(metrics: &Metrics, contract: &str) -> Self {
        Self {
            valid: metrics.verification_counter(contract, "VALID"),
            denied: DenyReason::CODES.map(|code| metrics.verification_counter(contract, code)),
            unavailable: metrics.verification_counter(contract, "UNAVAILABLE"),
        }
    }

    /// Counts one verify; an error counts as unavailable.
    pub fn count(&self, outcome: &Result<Verdict, Outage>) {
        match outcome {
            Ok(verdict) => self.counter(verdict).inc(),
            Err(_) => self.unavailable.inc(),
        }
    }

    /// Counts the authentication of a caller as a verify of its key. Other errors than a denial or an outage are not counted.
    pub fn count_authentication<T>(&self, outcome: &Result<T, ApiError>) {
        match outcome {
            Ok(_) => self.valid.inc(),
            Err(ApiError::Domain(Error::Unauthenticated(deny_reason))) => self.denied[deny_reason.ordinal()].inc(),
            Err(ApiError::Domain(Error::Outage(_))) => self.unavailable.inc(),
            Err(_) => {}
        }
    }

    fn counter(&self, verdict: &Verdict) -> &IntCounter {
        match verdict {
            Verdict::Valid(_) => &self.valid,
            Verdict::Denied { deny_reason, .. } => &self.denied[deny_reason.ordinal()],
        }
    }
}

//! The state of a key that decides whether it may be used, and how uses change it.

use domain::{clock::Timestamp, deny_reason::DenyReason, keys::quota::Quota, verify::result::ConsumeOutcome};

use super::SpendRequest;
use crate::rows::{
    convert::{self, BrokenRow},
    entity::api_key,
};

/// The columns of a key that decide whether it may be used.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) version: i64,
    pub(super) enabled: bool,
    pub(super) expires_at: Option<i64>,
    pub(super) quota: Quota,
    /// Successful verifies.
    pub(super) requests: u64,
}

/// The outcome of the requests for one key.
pub(super) struct Served {
    /// In the order of the requests.
    pub(super) answers: Vec<ConsumeOutcome>,
    /// The number of admitted requests.
    pub(super) admitted: u64,
    /// The state afterwards.
    pub(super) after: State,
}

impl State {
    pub(super) fn of(row: &api_key::Model) -> Result<Self, BrokenRow> {
        Ok(Self {
            version: row.version,
            enabled: row.enabled,
            expires_at: row.expires_at,
            quota: convert::quota(row)?,
            requests: convert::count(row.request_count).unwrap_or(0),
        })
    }

    /// Whether its uses depend on the time, apart from the expiry.
    pub(super) fn depends_on_time(&self) -> bool {
        self.quota.refill.is_some() || self.quota.rate_limit.is_some()
    }

    /// Whether a request was decided by the settings of this state.
    pub(super) fn matches_version(&self, request: &SpendRequest) -> bool {
        self.enabled && convert::number(request.version) == self.version
    }

    /// Consumes the requested uses in their order.
    pub(super) fn serve(&self, requests: &[SpendRequest], now: Timestamp) -> Served {
        let expired = self.expires_at.is_some_and(|end| now.millis() >= end);
        let mut batch = self.quota.start_batch(now);
        let answer = |request: &SpendRequest| {
            if !self.matches_version(request) {
                return ConsumeOutcome::Changed;
            }
            if expired {
                return ConsumeOutcome::Denied(DenyReason::KeyExpired);
            }
            match batch.try_consume(request.cost) {
                Ok(quota) => {
                    ConsumeOutcome::Admitted { quota, request_count: self.requests + batch.admitted(), at: now }
                }
                Err(deny_reason) => ConsumeOutcome::Denied(deny_reason),
            }
        };
        let answers = requests.iter().map(answer).collect();
        let admitted = batch.admitted();
        let after = Self { quota: batch.after(), requests: self.requests + admitted, ..*self };
        Served { answers, admitted, after }
    }
}

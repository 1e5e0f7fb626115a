//! How uses change the state of a key.

use domain::{clock::Timestamp, deny_reason::DenyReason, verify::result::ConsumeOutcome};

use super::SpendRequest;
use crate::{counter_states::State, rows::convert};

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
        let last_request_at =
            if admitted == 0 { self.last_request_at } else { self.last_request_at.max(Some(now.millis())) };
        let after = Self { quota: batch.after(), requests: self.requests + admitted, last_request_at, ..*self };
        Served { answers, admitted, after }
    }
}

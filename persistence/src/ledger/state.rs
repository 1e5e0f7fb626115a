//! What decides about the uses of a key, and what some uses make of it.

use domain::{clock::Timestamp, quota::Quota, refusal::Refusal, verdict::Spent};

use super::Ask;
use crate::{convert, convert::BrokenRow, entity::api_key};

/// A key as far as uses go.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) version: i64,
    pub(super) enabled: bool,
    pub(super) expires_at: Option<i64>,
    pub(super) quota: Quota,
    /// Verifies that found it good.
    pub(super) requests: u64,
}

/// What came of the uses that were asked for.
pub(super) struct Served {
    /// In the order of the asks.
    pub(super) answers: Vec<Spent>,
    /// So many were admitted.
    pub(super) admitted: u64,
    /// The key afterwards.
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

    /// Whether its uses depend on the time, but for the end of the key.
    pub(super) fn goes_by_time(&self) -> bool {
        self.quota.refill.is_some() || self.quota.rate_limit.is_some()
    }

    /// Whether a use was decided on these settings.
    pub(super) fn is_of(&self, ask: &Ask) -> bool {
        self.enabled && convert::number(ask.version) == self.version
    }

    /// Serves the uses of the key in their order, and gives each its own answer.
    pub(super) fn serve(&self, asks: &[Ask], now: Timestamp) -> Served {
        let expired = self.expires_at.is_some_and(|end| now.millis() >= end);
        let mut tally = self.quota.tally(now);
        let answer = |ask: &Ask| {
            if !self.is_of(ask) {
                return Spent::Changed;
            }
            if expired {
                return Spent::Refused(Refusal::KeyExpired);
            }
            match tally.take(ask.cost) {
                Ok(quota) => Spent::Admitted { quota, request_count: self.requests + tally.admitted(), at: now },
                Err(refusal) => Spent::Refused(refusal),
            }
        };
        let answers = asks.iter().map(answer).collect();
        let admitted = tally.admitted();
        let after = Self { quota: tally.after(), requests: self.requests + admitted, ..*self };
        Served { answers, admitted, after }
    }
}

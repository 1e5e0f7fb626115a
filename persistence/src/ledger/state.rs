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

    /// Serves the uses of the key together, and gives each its own answer.
    pub(super) fn serve(&self, asks: &[Ask], now: Timestamp) -> Served {
        let wanted = asks.iter().filter(|ask| self.is_of(ask)).count() as u64;
        let expired = self.expires_at.is_some_and(|end| now.millis() >= end);
        let spend = self.quota.spend(if expired { 0 } else { wanted }, now);
        let mut served = 0;
        let answer = |ask| {
            if !self.is_of(ask) {
                return Spent::Changed;
            }
            if expired {
                return Spent::Refused(Refusal::KeyExpired);
            }
            served += 1;
            match spend.refused {
                Some(refusal) if served > spend.admitted => Spent::Refused(refusal),
                _ => {
                    let later = spend.admitted - served;
                    let remaining = spend.after.remaining.map(|remaining| remaining + later);
                    let counted = if self.quota.rate_limit.is_some() { later } else { 0 };
                    let window_count = spend.after.window_count - counted;
                    Spent::Admitted {
                        quota: Quota { remaining, window_count, ..spend.after },
                        request_count: self.requests + served,
                        at: now,
                    }
                }
            }
        };
        let answers = asks.iter().map(answer).collect();
        let after = Self { quota: spend.after, requests: self.requests + spend.admitted, ..*self };
        Served { answers, admitted: spend.admitted, after }
    }
}

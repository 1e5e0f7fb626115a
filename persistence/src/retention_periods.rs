//! How long rows are kept.

use std::time::Duration;

use domain::clock::Timestamp;

/// How long an idempotency record is kept after its request, in milliseconds: 12 hours, as the API promises.
pub(crate) const IDEMPOTENCY_RECORDS_MS: i64 = 12 * 60 * 60 * 1_000;

/// How long a token group is kept after its last token has expired, in milliseconds: an hour. Longer than the list of revoked
/// tokens names its tokens. Longer still after the clock has jumped ahead: see `db/steady_clock`.
pub(crate) const TOKEN_GROUPS_MS: i64 = 60 * 60 * 1_000;

/// How long a revoked or expired secret is kept after it was created, in milliseconds: 400 days. Until then a request with it gets
/// the reason that it has expired, if the caller may see the key.
pub(crate) const ENDED_SECRETS_MS: i64 = 400 * 24 * 60 * 60 * 1_000;

/// The configured retention periods.
#[derive(Clone, Copy, Debug)]
pub struct RetentionPeriods {
    /// Deleted keys, which can be restored until then; zero: they are purged with the deletion.
    pub deleted_keys: Duration,
    /// Deleted organizations, which can be restored until then; zero: their removal begins with the deletion.
    pub deleted_organizations: Duration,
    /// Events of the audit logs.
    pub audit: Duration,
    /// Counts of verifies by hour.
    pub usage: Duration,
    /// Sessions, from their last use.
    pub idle_sessions: Duration,
}

/// The time, in milliseconds since the Unix epoch, before which rows that are kept for `period` are purged.
pub(crate) fn cutoff(now: Timestamp, period: Duration) -> i64 {
    now.plus_millis(-i64::try_from(period.as_millis()).unwrap_or(i64::MAX)).millis()
}

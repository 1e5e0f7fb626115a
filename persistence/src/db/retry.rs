//! Retries and time limits. The pauses between attempts are random, so that nodes which failed at the same time do not retry at the
//! same time.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder, Retryable};

use sea_orm::DbErr;

use crate::db::error::{DbFailure, is_locked};

/// Runs `work`, and again after a deadlock or serialization failure, as long as less than `time` has passed. The caller bounds the
/// time of one attempt.
///
/// Other failures are not retried: only after these two is it certain that nothing of the work was done.
pub(crate) async fn retry_on_serialization_failure<T, F>(
    time: Duration,
    work: impl FnMut() -> F,
) -> Result<T, DbFailure>
where
    F: Future<Output = Result<T, DbFailure>>,
{
    retry_if(time, work, DbFailure::is_retryable).await
}

/// Runs `work`, and again while another process holds the lock of the SQLite file, as long as less than `time` has passed.
pub(crate) async fn retry_while_locked<T, F>(time: Duration, work: impl FnMut() -> F) -> Result<T, DbErr>
where
    F: Future<Output = Result<T, DbErr>>,
{
    retry_if(time, work, is_locked).await
}

/// Runs `work`, and again after errors for which `is_retryable` is true, as long as less than `time` has passed.
pub(crate) async fn retry_if<T, E, F>(
    time: Duration,
    work: impl FnMut() -> F,
    is_retryable: fn(&E) -> bool,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let min = Duration::from_millis(2);
    work.retry(backoff(min, 50 * min).with_total_delay(Some(time))).when(is_retryable).await
}

/// Runs `work`, and once more after a unique constraint was violated: the second attempt sees the row that a concurrent request
/// has stored.
pub(crate) async fn retry_once_on_conflict<T, F>(mut work: impl FnMut() -> F) -> Result<T, DbFailure>
where
    F: Future<Output = Result<T, DbFailure>>,
{
    match work().await {
        Err(failure) if failure.is_conflict() => work().await,
        outcome => outcome,
    }
}

/// The result of `work`, or [`DbFailure::Timeout`] after `time`.
pub(crate) async fn in_time<T>(
    time: Duration,
    work: impl Future<Output = Result<T, DbFailure>>,
) -> Result<T, DbFailure> {
    tokio::time::timeout(time, work).await.unwrap_or(Err(DbFailure::Timeout))
}

/// As [`retry_on_serialization_failure`], but all attempts together take at most `time`: a connection that died silently must not
/// block what waits for the work.
pub(crate) async fn retry_in_time<T, F>(time: Duration, work: impl FnMut() -> F) -> Result<T, DbFailure>
where
    F: Future<Output = Result<T, DbFailure>>,
{
    in_time(time, retry_on_serialization_failure(time, work)).await
}

/// The pauses before reconnecting: 100 ms to 1 s.
pub(crate) fn reconnect_backoff() -> ExponentialBackoff {
    backoff(Duration::from_millis(100), Duration::from_secs(1)).build()
}

fn backoff(min: Duration, max: Duration) -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(min).with_max_delay(max).with_jitter().without_max_times()
}

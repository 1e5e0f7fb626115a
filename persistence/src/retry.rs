//! Trying again: what the database undid because somebody else was at the same rows, and a connection that was lost. The
//! pauses are random, so that nodes which failed together do not come back together.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder, Retryable};

use sea_orm::DbErr;

use crate::outage::{Failure, is_locked};

/// Does `work` until the database lets it stand; for at most `time` it is begun anew. How long one attempt takes is for the
/// caller to bound.
///
/// Only a deadlock and a serialization failure are tried again: after them the database tells for sure that nothing of the
/// work was done.
pub(crate) async fn until_it_stands<T, F>(time: Duration, work: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    again(time, work, Failure::was_undone).await
}

/// Does `work` until nobody else has the file of the database for themselves, for at most `time`.
pub(crate) async fn while_it_is_locked<T, F>(time: Duration, work: impl FnMut() -> F) -> Result<T, DbErr>
where
    F: Future<Output = Result<T, DbErr>>,
{
    again(time, work, is_locked).await
}

async fn again<T, E, F>(time: Duration, work: impl FnMut() -> F, when: fn(&E) -> bool) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let least = Duration::from_millis(2);
    work.retry(pauses(least, 50 * least).with_total_delay(Some(time))).when(when).await
}

/// Does `work` once more where somebody else stored the same at the same moment: what they stored is there now.
pub(crate) async fn after_the_other<T, F>(mut work: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    match work().await {
        Err(failure) if failure.is_conflict() => work().await,
        outcome => outcome,
    }
}

/// The outcome of `work`, if it comes in time.
pub(crate) async fn in_time<T>(time: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(time, work).await.unwrap_or(Err(Failure::Timeout))
}

/// The pauses before new connections.
pub(crate) fn reconnecting() -> ExponentialBackoff {
    pauses(Duration::from_millis(100), Duration::from_secs(1)).build()
}

fn pauses(least: Duration, most: Duration) -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(least).with_max_delay(most).with_jitter().without_max_times()
}

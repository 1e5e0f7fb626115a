//! The transactions of changes: they run to completion, log what they did at their end, and then invalidate what they changed.

use std::{future::Future, pin::Pin};

use sea_orm::DatabaseTransaction;

use crate::{
    change_feed,
    database::{Database, change_log::ChangeLog},
    db::{
        connect::Pools,
        counter_journal,
        dialect::Dialect,
        error::{self, DbFailure},
        retry,
    },
    key_cache::{KeyCache, notification::Invalidations},
};

/// The statements of a transaction.
pub(crate) type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, DbFailure>> + Send + 'a>>;

/// What a transaction changes besides its rows.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// The cached objects that it changes or removes.
    pub(crate) cached: Invalidations,
    /// What it writes at its end.
    pub(crate) log: ChangeLog,
}

impl Database {
    /// Runs `work` in a transaction, retrying on deadlock and serialization failure. `work` records what has to be invalidated and
    /// logged. A new secret needs no invalidation: before it is stored no client has it, so it cannot be cached as unknown.
    ///
    /// Runs to completion even if the caller is cancelled: otherwise it would not be known whether a commit was made, and a revoked
    /// key must be invalidated in any case.
    pub(crate) async fn transaction<T, W>(&self, work: W) -> Result<T, DbFailure>
    where
        T: Send + 'static,
        W: for<'a> Fn(&'a DatabaseTransaction, &'a mut Changed) -> Work<'a, T> + Send + Sync + 'static,
    {
        let (pools, key_cache) = (self.pools.clone(), self.key_cache.clone());
        let task = self.workers.tasks.spawn(async move {
            let attempt = async || {
                let mut attempt = Attempt { key_cache: &key_cache, changed: Changed::default() };
                let begin = async { Ok(pools.begin().await?) };
                let transaction = retry::in_time(pools.timeout, begin).await?;
                let work = async {
                    // So that the change finds all uses in the rows of the keys, and none is lost with the version it replaces.
                    counter_journal::fold(&transaction).await?;
                    let outcome = work(&transaction, &mut attempt.changed).await?;
                    let log = std::mem::take(&mut attempt.changed.log);
                    log.prepare(&transaction).await?;
                    change_feed::announce(&transaction, &attempt.changed.cached).await?;
                    // The last statements, because other changes of the organization wait from here until the commit.
                    log.write(&transaction).await?;
                    Ok(outcome)
                };
                let outcome = retry::in_time(pools.change_timeout, work).await?;
                commit(transaction, &pools).await?;
                pools.confirm_commit()?;
                Ok(outcome)
            };
            let outcome = retry::retry_on_serialization_failure(pools.change_timeout, attempt).await;
            outcome.inspect_err(|failure| pools.health.observe(failure))
        });
        error::finished(task.await).unwrap_or(Err(DbFailure::Timeout))
    }
}

/// Commits. On SQLite without a time limit: a commit completes even if it is no longer waited for, and the invalidation must
/// come after it. On PostgreSQL with one, because a connection that died silently never answers. If the commit was made all the
/// same, its notification invalidates.
async fn commit(transaction: DatabaseTransaction, pools: &Pools) -> Result<(), DbFailure> {
    let is_remote = Dialect::of(&transaction).is_shared();
    let commit = async { Ok(transaction.commit().await?) };
    if is_remote { retry::in_time(pools.change_timeout, commit).await } else { commit.await }
}

/// One attempt of a transaction. It invalidates what was changed when it is dropped, even after a failure: a commit whose answer
/// was lost may have been made.
struct Attempt<'a> {
    key_cache: &'a KeyCache,
    changed: Changed,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.key_cache.invalidate(&self.changed.cached);
    }
}

#[cfg(test)]
mod tests;

//! How everything but uses is written: in one transaction, to its end, and then what it changed is forgotten.

use std::{future::Future, pin::Pin};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend};

use crate::{
    Store,
    connect::Pools,
    feed,
    notice::Changed,
    outage::{self, Failure},
    retry,
    snapshots::Snapshots,
};

/// The work of a transaction.
pub(crate) type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

impl Store {
    /// Runs `work` in a transaction, anew where the database undid it. It notes what it changes or removes; nobody knows a
    /// secret before its key is stored, so nobody remembers that there was none.
    ///
    /// It goes on to its end when nobody waits for it any more: a commit that was under way could not be told from one that
    /// was not, and a key that is revoked must be forgotten in any case.
    pub(crate) async fn transaction<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: for<'a> Fn(&'a DatabaseTransaction, &'a mut Changed) -> Work<'a, T> + Send + Sync + 'static,
    {
        let (pools, snapshots) = (self.pools.clone(), self.snapshots.clone());
        let whole = self.workers.spawn(async move {
            let attempt = async || {
                let mut attempt = Attempt { snapshots: &snapshots, changed: Changed::default() };
                let begin = async { Ok(pools.begin().await?) };
                let transaction = retry::in_time(pools.timeout, begin).await?;
                let work = async {
                    let outcome = work(&transaction, &mut attempt.changed).await?;
                    feed::announce(&transaction, &attempt.changed).await?;
                    Ok(outcome)
                };
                let outcome = retry::in_time(pools.change_timeout, work).await?;
                commit(transaction, &pools).await?;
                pools.confirm_commit()?;
                Ok(outcome)
            };
            let outcome = retry::until_it_stands(pools.change_timeout, attempt).await;
            outcome.inspect_err(|failure| pools.health.observe(failure))
        });
        outage::finished(whole.await).unwrap_or(Err(Failure::Timeout))
    }
}

/// A commit on SQLite goes on to its end whether or not anybody waits for it, and what it changes must be forgotten after it:
/// so it is waited for. One on PostgreSQL may never be answered, where the connection has died silently; if it is made all
/// the same, its notice tells.
async fn commit(transaction: DatabaseTransaction, pools: &Pools) -> Result<(), Failure> {
    let is_remote = transaction.get_database_backend() == DbBackend::Postgres;
    let commit = async { Ok(transaction.commit().await?) };
    if is_remote { retry::in_time(pools.change_timeout, commit).await } else { commit.await }
}

/// What a transaction changes is forgotten when it ends, however it ends: a commit whose answer was lost may have been made.
struct Attempt<'a> {
    snapshots: &'a Snapshots,
    changed: Changed,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.snapshots.forget(&self.changed);
    }
}

#[cfg(test)]
mod tests;

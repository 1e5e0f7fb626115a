//! How everything but uses is written: in one transaction, to its end, and then what it changed is forgotten.

use std::{future::Future, pin::Pin};

use domain::{Outage, secret::SecretHash};
use sea_orm::DatabaseTransaction;

use crate::{Store, feed, outage::Failure};

/// The work of a transaction.
pub(crate) type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

impl Store {
    /// Runs `work` in a transaction. It notes the secrets whose keys it changes or removes; nobody knows
    /// a secret before its key is stored, so nobody remembers that there was none.
    ///
    /// It goes on to its end when nobody waits for it any more: a commit that was under way could not be told from one that
    /// was not, and a key that is revoked must be forgotten in any case.
    pub(crate) async fn transaction<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a DatabaseTransaction, &'a mut Vec<SecretHash>) -> Work<'a, T> + Send + 'static,
    {
        let (pools, snapshots) = (self.pools.clone(), self.snapshots.clone());
        let whole = self.workers.spawn(async move {
            let mut changed = Vec::new();
            let outcome = async {
                let transaction = pools.begin().await?;
                let outcome = work(&transaction, &mut changed).await?;
                feed::announce(&transaction, &changed).await?;
                transaction.commit().await?;
                Ok(outcome)
            };
            let outcome = outcome.await;
            // Also after a failure: a commit whose answer was lost may have been made.
            snapshots.forget(&changed);
            outcome
        });
        match whole.await {
            Ok(outcome) => outcome,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// As [`Store::transaction`], for a port.
    pub(crate) async fn change<T, W>(&self, work: W) -> Result<T, Outage>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a DatabaseTransaction, &'a mut Vec<SecretHash>) -> Work<'a, T> + Send + 'static,
    {
        Ok(self.transaction(work).await?)
    }
}

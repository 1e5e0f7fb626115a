//! Long deletions are done in batches. Each batch is a transaction that holds the writer for milliseconds. SQLite has one writer, so
//! metered verifies and changes run between two batches.

use std::time::Duration;

use sea_orm::{
    ColumnTrait,
    sea_query::{LockBehavior, LockType, Order, Query, SelectStatement, SimpleExpr},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    database::Database,
    db::{error::DbFailure, retry},
};

/// The most rows in a batch, and the rows in the first one.
pub(crate) const MAX_ROWS: u64 = 500;

/// The fewest rows in a batch, when the database is slow.
const MIN_ROWS: u64 = 100;

/// A batch that takes longer is followed by one with half as many rows.
const SLOW_BATCH: Duration = Duration::from_millis(10);

/// The longest pause between two batches.
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// The size of the batches, adapted to the speed of the database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batches {
    size: u64,
}

impl Batches {
    pub(crate) const fn new() -> Self {
        Self { size: MAX_ROWS }
    }

    /// The most rows in the next batch.
    pub(crate) const fn size(self) -> u64 {
        self.size
    }

    /// Called after a batch whose statements took this long. Adapts the size of the next one, and sleeps as long as the batch took,
    /// at most 100 ms, so that other transactions can run. Returns at once if the process is stopping.
    pub(crate) async fn give_way(&mut self, took: Duration, stop: &CancellationToken) {
        self.adapt(took);
        tokio::select! {
            () = tokio::time::sleep(took.min(MAX_PAUSE)) => {}
            () = stop.cancelled() => {}
        }
    }

    fn adapt(&mut self, took: Duration) {
        self.size = if took > SLOW_BATCH { (self.size / 2).max(MIN_ROWS) } else { (self.size * 2).min(MAX_ROWS) };
    }
}

impl Database {
    /// Removes rows in batches, until a batch removes fewer than it may or the process is stopping. `batch` removes at most the given
    /// number of rows, and returns how many it removed. Returns the total.
    pub(crate) async fn in_batches<F>(&self, batch: impl Fn(u64) -> F) -> Result<u64, DbFailure>
    where
        F: Future<Output = Result<u64, DbFailure>>,
    {
        let (mut batches, mut removed) = (Batches::new(), 0);
        while !self.workers.stop.is_cancelled() {
            let (begun, size) = (Instant::now(), batches.size());
            // With a time limit: a connection that died silently must not block all purging.
            let count = retry::in_time(self.pools.change_timeout, batch(size)).await;
            let count = count.inspect_err(|failure| self.pools.health.observe(failure))?;
            self.pools.confirm_commit()?;
            removed += count;
            if count < size {
                break;
            }
            batches.give_way(begun.elapsed(), &self.workers.stop).await;
        }
        Ok(removed)
    }
}

/// A query of the ids of the first `max` rows with `which`, in the order of a column, for a statement that removes or changes them.
/// It locks the rows, and skips those that another node has locked.
pub(crate) fn first_ids<C: ColumnTrait>(id: C, which: SimpleExpr, order: C, max: u64) -> SelectStatement {
    Query::select()
        .column(id)
        .from(id.entity_name())
        .and_where(which)
        .order_by(order, Order::Asc)
        .limit(max)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_shrink_while_the_database_is_slow_and_grow_again() {
        let mut batches = Batches::new();
        assert_eq!(batches.size(), MAX_ROWS);
        for _ in 0..10 {
            batches.adapt(2 * SLOW_BATCH);
        }
        assert_eq!(batches.size(), MIN_ROWS);
        for _ in 0..10 {
            batches.adapt(SLOW_BATCH);
        }
        assert_eq!(batches.size(), MAX_ROWS);
    }
}

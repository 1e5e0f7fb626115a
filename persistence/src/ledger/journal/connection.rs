//! The connection that appends to the journal.

use std::time::Duration;

use sea_orm::{
    DatabaseConnection, DbErr,
    sqlx::{self, Sqlite, SqlitePool, pool::PoolConnection},
};
use tokio::{sync::Mutex, time::Instant};

use crate::db::error::query_error;

/// How long the connection is kept. Changes and background work, which need the same connection, wait for this time and for the row
/// that is being appended.
const KEPT_FOR: Duration = Duration::from_millis(5);

const APPEND: &str =
    "INSERT INTO counter_journal (seq, entries) SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM changed_counters)";

/// Appends rows to the journal on SQLite's only writing connection, and keeps it between them for [`KEPT_FOR`]: the pool tests each
/// connection that is returned, and for that four more messages pass between threads, while the next row waits.
pub(super) struct JournalConnection {
    pool: SqlitePool,
    /// `None` while a statement runs, so that a connection whose statement failed or was cancelled goes back to the pool, which tests
    /// it.
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    connection: PoolConnection<Sqlite>,
    until: Instant,
}

impl JournalConnection {
    pub(super) fn new(pool: &DatabaseConnection) -> Self {
        Self { pool: pool.get_sqlite_connection_pool().clone(), kept: Mutex::new(None) }
    }

    /// Appends a row unless there are changed keys. Returns whether it was appended.
    pub(super) async fn append(&self, seq: i64, entries: &[u8]) -> Result<bool, DbErr> {
        let mut place = self.kept.lock().await;
        let Kept { mut connection, until } = if let Some(kept) = place.take() {
            kept
        } else {
            let connection = self.pool.acquire().await.map_err(query_error)?;
            Kept { connection, until: Instant::now() + KEPT_FOR }
        };
        let query = sqlx::query(APPEND).bind(seq).bind(entries);
        let done = query.execute(&mut *connection).await.map_err(query_error)?;
        *place = Some(Kept { connection, until });
        Ok(done.rows_affected() > 0)
    }

    /// Gives the connection back to the pool.
    pub(super) async fn release(&self) {
        drop(self.kept.lock().await.take());
    }

    /// Gives the connection back to the pool if it was kept for [`KEPT_FOR`].
    pub(super) async fn release_if_due(&self) {
        drop(self.kept.lock().await.take_if(|kept| kept.until <= Instant::now()));
    }

    /// Gives the connection back to the pool when it was kept for [`KEPT_FOR`]. Does not end if none is kept.
    pub(super) async fn release_in_time(&self) {
        let until = self.kept.lock().await.as_ref().map(|kept| kept.until);
        match until {
            Some(until) => {
                tokio::time::sleep_until(until).await;
                self.release().await;
            }
            None => std::future::pending().await,
        }
    }
}

//! A connection of the ledger.

use std::time::{Duration, Instant};

use sea_orm::{
    DatabaseConnection, DbErr,
    sqlx::{self, Acquire, Connection, Postgres, pool::PoolConnection, postgres::PgRow},
};
use tokio::sync::Mutex;

use super::{MAX_BATCHES, optimistic::UpdateStatement};
use crate::db::{connect::TESTED_IF_IDLE_FOR, dialect::pool_state, error::query_error, postgres};

/// How long a connection is kept. After that the pool decides whether it is too old.
const KEPT_FOR: Duration = Duration::from_mins(1);

/// How long the test of a connection may take that was not used for a while: another one may be tried.
const TEST_TIME_LIMIT: Duration = Duration::from_millis(500);

/// Executes the statements of one batch after the other. Keeps its connection if the pool is large enough: the pool tests each
/// connection that is returned, and these round trips take as long as the statement of a small batch.
pub(super) struct LedgerConnection {
    pool: sqlx::PgPool,
    /// Whether the connection is kept. In a smaller pool none would be left for the other transactions of the ledger and the background
    /// counts.
    is_kept: bool,
    /// `None` while a statement runs, so that a connection whose statement failed or was cancelled goes back to the pool, which tests
    /// it.
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    connection: PoolConnection<Postgres>,
    since: Instant,
    last_use: Instant,
}

impl LedgerConnection {
    pub(super) fn new(pool: &DatabaseConnection) -> Self {
        let is_kept = pool_state(pool).max > MAX_BATCHES;
        Self { pool: pool.get_postgres_connection_pool().clone(), is_kept, kept: Mutex::new(None) }
    }

    /// Executes statements, all or none. Returns their rows.
    pub(super) async fn execute(&self, statements: &[UpdateStatement]) -> Result<Vec<PgRow>, DbErr> {
        let mut place = self.kept.lock().await;
        let (mut connection, since) = match place.take() {
            Some(kept) => self.working(kept).await,
            None => self.acquire().await,
        }
        .map_err(query_error)?;
        let rows = execute(&mut connection, statements).await.map_err(query_error)?;
        if self.is_kept {
            *place = Some(Kept { connection, since, last_use: Instant::now() });
        }
        Ok(rows)
    }

    /// Gives the connection back to the pool.
    pub(super) async fn release(&self) {
        drop(self.kept.lock().await.take());
    }

    async fn acquire(&self) -> Result<(PoolConnection<Postgres>, Instant), sqlx::Error> {
        Ok((self.pool.acquire().await?, Instant::now()))
    }

    /// The connection that was kept, or another one if it was kept for long, or was not used for a while and does not work.
    async fn working(&self, kept: Kept) -> Result<(PoolConnection<Postgres>, Instant), sqlx::Error> {
        let Kept { mut connection, since, last_use } = kept;
        if since.elapsed() < KEPT_FOR {
            if last_use.elapsed() < TESTED_IF_IDLE_FOR
                || postgres::in_time(TEST_TIME_LIMIT, connection.ping()).await.is_ok()
            {
                return Ok((connection, since));
            }
            connection.close_on_drop();
        }
        drop(connection);
        self.acquire().await
    }
}

/// Executes several statements in one transaction, and a single one without.
async fn execute(
    connection: &mut PoolConnection<Postgres>,
    statements: &[UpdateStatement],
) -> Result<Vec<PgRow>, sqlx::Error> {
    if let [statement] = statements {
        return statement.query().fetch_all(&mut **connection).await;
    }
    let (mut transaction, mut rows) = (connection.begin().await?, Vec::new());
    for statement in statements {
        rows.extend(statement.query().fetch_all(&mut *transaction).await?);
    }
    transaction.commit().await?;
    Ok(rows)
}

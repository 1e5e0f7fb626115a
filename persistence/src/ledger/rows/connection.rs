//! A connection of the ledger.

use sea_orm::{
    DatabaseConnection, DbErr, RuntimeErr, Statement, Value,
    sqlx::{self, Acquire, AssertSqlSafe, Postgres, pool::PoolConnection, postgres::PgRow},
};
use tokio::sync::Mutex;

use super::MAX_BATCHES;

/// Executes the statements of one batch after the other. It keeps its connection to the server: a pool tests each connection that it
/// gets back by two round trips, which take as long as the statement of a small batch.
pub(super) struct LedgerConnection {
    pool: sqlx::PgPool,
    /// Not there while a statement is executed, so that a connection whose statement failed or was cancelled is not used again.
    kept: Mutex<Option<PoolConnection<Postgres>>>,
}

impl LedgerConnection {
    pub(super) fn of(pool: &DatabaseConnection) -> Self {
        Self { pool: pool.get_postgres_connection_pool().clone(), kept: Mutex::new(None) }
    }

    /// Executes statements, all or none. Returns their rows.
    pub(super) async fn execute(&self, statements: Vec<Statement>) -> Result<Vec<PgRow>, DbErr> {
        let mut kept = self.kept.lock().await;
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.pool.acquire().await.map_err(failed)?,
        };
        let rows = execute(&mut connection, statements).await.map_err(failed)?;
        // Otherwise none would be left for the background counts.
        if usize::try_from(self.pool.options().get_max_connections()).is_ok_and(|max| max > MAX_BATCHES) {
            *kept = Some(connection);
        }
        Ok(rows)
    }
}

async fn execute(
    connection: &mut PoolConnection<Postgres>,
    mut statements: Vec<Statement>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    if statements.len() == 1 {
        return fetch(connection, statements.remove(0)).await;
    }
    let (mut transaction, mut rows) = (connection.begin().await?, Vec::new());
    for statement in statements {
        rows.extend(fetch(&mut transaction, statement).await?);
    }
    transaction.commit().await?;
    Ok(rows)
}

async fn fetch(connection: &mut sqlx::PgConnection, statement: Statement) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut query = sqlx::query(AssertSqlSafe(statement.sql));
    for value in statement.values.map(|values| values.0).unwrap_or_default() {
        query = match value {
            Value::String(text) => query.bind(text),
            Value::Uuid(id) => query.bind(id),
            Value::BigInt(number) => query.bind(number),
            other => unreachable!("the ledger has no values like {other:?}"),
        };
    }
    query.fetch_all(connection).await
}

/// The error of a statement.
pub(super) fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

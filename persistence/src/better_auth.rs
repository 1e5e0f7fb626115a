//! Reads the keys of a better-auth database (<https://www.better-auth.com>, plugin `api-key`): only its table `apikey`. Writes
//! nothing.

use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, Statement};

use crate::db::{
    dialect,
    postgres::{self, Use},
};

/// How long connecting may take.
const CONNECT_TIME_LIMIT: Duration = Duration::from_secs(10);

/// All rows of its keys, each a JSON object of the columns that its version has.
///
/// # Errors
/// The database cannot be reached, or has no such table.
pub async fn better_auth_keys(url: &str) -> Result<Vec<String>, DbErr> {
    let mut options = if url.starts_with("sqlite:") {
        ConnectOptions::new(url)
    } else {
        let server = postgres::options(url)?;
        Box::pin(postgres::check(&server, CONNECT_TIME_LIMIT, Duration::ZERO, Use::Read)).await?;
        postgres::pool(&server)
    };
    options.max_connections(1).connect_timeout(CONNECT_TIME_LIMIT).acquire_timeout(CONNECT_TIME_LIMIT);
    // They contain hashes.
    options.sqlx_logging(false);
    let database = Database::connect(options).await?;
    let keys = read(&database).await;
    database.close().await?;
    keys
}

async fn read(database: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let row = dialect::row_as_json(database, "apikey", "k").await?;
    let backend = database.get_database_backend();
    let statement = Statement::from_string(backend, format!("SELECT {row} AS row FROM apikey k ORDER BY id"));
    let rows = database.query_all_raw(statement).await?;
    rows.iter().map(|row| row.try_get("", "row")).collect()
}

//! Reading the keys of a better-auth database (<https://www.better-auth.com>, plugin `api-key`), which is not ours: only read, and
//! only its table `apikey`.

use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, Statement};

use crate::connect;

/// How long a connection may take.
const CONNECT_TIME_LIMIT: Duration = Duration::from_secs(10);

/// All rows of its keys, each a JSON object of the columns that this version of it has.
///
/// # Errors
/// The database cannot be reached, or has no such table.
pub async fn better_auth_keys(url: &str) -> Result<Vec<String>, DbErr> {
    if !url.starts_with("sqlite:") {
        // For the reason, where it cannot be reached.
        connect::try_postgres(url, CONNECT_TIME_LIMIT).await?;
    }
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).connect_timeout(CONNECT_TIME_LIMIT).acquire_timeout(CONNECT_TIME_LIMIT);
    // Statements of others are not for our log.
    options.sqlx_logging(false);
    let database = Database::connect(options).await?;
    let keys = read(&database).await;
    database.close().await?;
    keys
}

async fn read(database: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let backend = database.get_database_backend();
    let row = if backend == DbBackend::Postgres {
        "to_jsonb(k)::text".to_owned()
    } else {
        let columns = Statement::from_string(backend, "SELECT name FROM pragma_table_info('apikey') ORDER BY name");
        let columns = database.query_all_raw(columns).await?;
        let names = columns.iter().map(|row| row.try_get::<String>("", "name")).collect::<Result<Vec<_>, _>>()?;
        // Of a text that is a name, both kinds of quotes are doubled.
        let pair = |name: &String| format!("'{}', \"{}\"", name.replace('\'', "''"), name.replace('"', "\"\""));
        format!("json_object({})", names.iter().map(pair).collect::<Vec<_>>().join(", "))
    };
    let statement = Statement::from_string(backend, format!("SELECT {row} AS row FROM apikey k ORDER BY id"));
    let rows = database.query_all_raw(statement).await?;
    rows.iter().map(|row| row.try_get("", "row")).collect()
}

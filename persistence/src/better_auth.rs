//! Reading the keys of a better-auth database (<https://www.better-auth.com>, plugin `api-key`), which is not ours: only read, and
//! only its table `apikey`.

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, Statement};

/// All rows of its keys, each a JSON object of the columns that this version of it has.
///
/// # Errors
/// The database cannot be reached, or has no such table.
pub async fn better_auth_keys(url: &str) -> Result<Vec<String>, DbErr> {
    let database = Database::connect(url).await?;
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

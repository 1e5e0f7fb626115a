//! Databases with a given number of keys. They are filled by SQL, not through the service, and kept for the next run.

use std::{fmt::Write, path::PathBuf, time::Instant};

use domain::keys::secret::SecretHash;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement, TransactionTrait, Value,
    sqlx::postgres::PgPoolCopyExt,
};
use uuid::Uuid;

use crate::{
    keys::{Kind, key},
    server::Server,
};

/// The number of metered keys in each database, in addition to the unmetered ones.
pub const METERED_KEYS: u64 = 10_001;

/// A database with keys.
pub struct FilledDatabase {
    /// Its URL, for `CLAVIGER_DATABASE_URL`.
    pub url: String,
    /// Its size on disk in bytes, divided by the number of unmetered keys.
    pub bytes_per_key: u64,
}

/// The SQLite database with this number of unmetered keys, in `folder`. Created and filled if it does not exist.
pub async fn sqlite(folder: &std::path::Path, keys: u64) -> FilledDatabase {
    let path: PathBuf = folder.join(format!("keys-{keys}.db"));
    let url = format!("sqlite://{}", path.display());
    let done = path.with_extension("filled");
    if !done.exists() {
        for suffix in ["", "-wal", "-shm", "-lock"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
        Server::run(&url, &["migrate"]);
        let database = connect(&url).await;
        for pragma in ["journal_mode=OFF", "synchronous=OFF", "cache_size=-4000000", "foreign_keys=OFF"] {
            database.execute_unprepared(&format!("PRAGMA {pragma}")).await.expect("a pragma");
        }
        fill(&database, keys).await;
        database.execute_unprepared("PRAGMA journal_mode=WAL").await.expect("a pragma");
        database.close().await.expect("closed");
        std::fs::write(&done, "").expect("written");
    }
    let bytes = std::fs::metadata(&path).expect("the database").len();
    FilledDatabase { url, bytes_per_key: bytes / keys.max(1) }
}

/// The PostgreSQL database with this number of unmetered keys. Created and filled if it does not exist. `server` is the URL of
/// a database on the server. `None` if a statement fails, for example because there is no server.
pub async fn postgres(server: &str, keys: u64) -> Option<FilledDatabase> {
    let name = format!("claviger_bench_{keys}");
    let at = |name: &str| server.rsplit_once('/').map(|(host, _)| format!("{host}/{name}"));
    let url = at(&name)?;
    let admin = Database::connect(server).await.ok()?;
    let to_statement = |text: &str| Statement::from_string(DbBackend::Postgres, text.to_owned());
    let is_filled_sql = format!(
        "SELECT description FROM pg_shdescription d JOIN pg_database b ON b.oid = d.objoid \
                         WHERE b.datname = '{name}' AND description = 'filled'"
    );
    if admin.query_one_raw(to_statement(&is_filled_sql)).await.ok()?.is_none() {
        let _ = admin.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.ok()?;
        Server::run(&url, &["migrate"]);
        let database = connect(&url).await;
        // The references are valid by construction. Building an index at the end is faster than maintaining it for each row.
        let index = "CREATE INDEX api_key_secrets_by_api_key ON api_key_secrets (api_key_id)";
        for statement in ["SET session_replication_role = replica", "DROP INDEX api_key_secrets_by_api_key"] {
            database.execute_unprepared(statement).await.ok()?;
        }
        fill(&database, keys).await;
        for statement in [index, "VACUUM ANALYZE", "CHECKPOINT"] {
            database.execute_unprepared(statement).await.ok()?;
        }
        database.close().await.ok()?;
        admin.execute_unprepared(&format!("COMMENT ON DATABASE {name} IS 'filled'")).await.ok()?;
    }
    let size =
        admin.query_one_raw(to_statement(&format!("SELECT pg_database_size('{name}') AS size"))).await.ok()??;
    let bytes: i64 = size.try_get("", "size").ok()?;
    Some(FilledDatabase { url, bytes_per_key: bytes.unsigned_abs() / keys.max(1) })
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url.to_owned());
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.expect("a connection to the database")
}

/// The id of the organization that all keys belong to.
#[must_use]
pub fn organization() -> Uuid {
    Uuid::from_u128(0x0193_5000_0000_7000_8000_0000_0000_0001)
}

/// When the first key was created, in ms UTC.
const FIRST_KEY_CREATED_AT_MS: i64 = 1_760_000_000_000;

fn id(kind: Kind, number: u64) -> Uuid {
    let millis = u128::try_from(FIRST_KEY_CREATED_AT_MS).expect("positive") + u128::from(number / 100);
    Uuid::from_u128(millis << 80 | 0x7000 << 64 | 0x8000 << 48 | u128::from(number) | (kind as u128) << 40)
}

const KEY_COLUMNS: [&str; 10] = [
    "id",
    "organization_id",
    "name",
    "prefix",
    "start",
    "enabled",
    "permissions",
    "created_at",
    "updated_at",
    "remaining",
];
const SECRET_COLUMNS: [&str; 3] = ["hash", "api_key_id", "created_at"];

async fn fill(database: &DatabaseConnection, keys: u64) {
    let started = Instant::now();
    let organization = organization();
    let statement = format!(
        "INSERT INTO organizations (id, name, kind, created_at) VALUES ({}, 'Bench', 'tenant', {FIRST_KEY_CREATED_AT_MS})",
        match database.get_database_backend() {
            DbBackend::Postgres => format!("'{organization}'"),
            _ => format!("X'{}'", organization.simple()),
        }
    );
    database.execute_unprepared(&statement).await.expect("inserted");
    let numbers = [(Kind::Caller, 1), (Kind::Admin, 1), (Kind::Metered, METERED_KEYS), (Kind::Unmetered, keys)];
    let all = numbers.into_iter().flat_map(|(kind, count)| (0..count).map(move |number| (kind, number)));
    let mut secrets = Vec::with_capacity(usize::try_from(keys).expect("a usize"));
    let rows = all.map(|(kind, number)| {
        let secret = key(kind, number);
        secrets.push((secret.hash(), id(kind, number)));
        let permissions = match kind {
            Kind::Caller => "api_keys:verify",
            Kind::Admin => "*",
            _ => "files:read",
        };
        let created_at = FIRST_KEY_CREATED_AT_MS + (number / 100).cast_signed();
        let remaining = (kind == Kind::Metered).then_some(9_000_000_000_000_i64);
        vec![
            id(kind, number).into(),
            organization.into(),
            format!("key {number:08}").into(),
            "cvg_".into(),
            secret.start().into(),
            true.into(),
            permissions.into(),
            created_at.into(),
            created_at.into(),
            remaining.into(),
        ]
    });
    copy(database, "api_keys", &KEY_COLUMNS, rows).await;
    // Sorted, so that rows are appended to the index instead of inserted at random places.
    secrets.sort_unstable_by_key(|(hash, _): &(SecretHash, Uuid)| *hash.bytes());
    let rows = secrets
        .iter()
        .map(|(hash, id)| vec![hash.bytes().to_vec().into(), (*id).into(), FIRST_KEY_CREATED_AT_MS.into()]);
    copy(database, "api_key_secrets", &SECRET_COLUMNS, rows).await;
    eprintln!("  filled with {keys} keys in {:.1} s", started.elapsed().as_secs_f64());
}

async fn copy(database: &DatabaseConnection, table: &str, columns: &[&str], rows: impl Iterator<Item = Vec<Value>>) {
    let columns = columns.join(", ");
    if database.get_database_backend() == DbBackend::Postgres {
        let pool = database.get_postgres_connection_pool();
        let mut copy = pool.copy_in_raw(&format!("COPY {table} ({columns}) FROM STDIN")).await.expect("a copy");
        let mut text = String::new();
        for row in rows {
            let fields: Vec<String> = row.iter().map(copy_field).collect();
            text.push_str(&fields.join("\t"));
            text.push('\n');
            if text.len() > 1 << 20 {
                copy.send(std::mem::take(&mut text).into_bytes()).await.expect("sent");
            }
        }
        copy.send(text.into_bytes()).await.expect("sent");
        copy.finish().await.expect("copied");
        return;
    }
    let statement = format!("INSERT INTO {table} ({columns}) VALUES");
    let transaction = database.begin().await.expect("a transaction");
    let mut batch = Vec::with_capacity(ROWS_PER_INSERT);
    for row in rows {
        batch.push(row);
        if batch.len() == ROWS_PER_INSERT {
            insert(&transaction, &statement, std::mem::take(&mut batch)).await;
        }
    }
    insert(&transaction, &statement, batch).await;
    transaction.commit().await.expect("committed");
}

/// A value in the text format of `COPY`.
fn copy_field(value: &Value) -> String {
    match value {
        Value::Uuid(Some(id)) => id.to_string(),
        Value::Bool(Some(value)) => value.to_string(),
        Value::BigInt(Some(number)) => number.to_string(),
        Value::String(Some(text)) => text.clone(),
        Value::Bytes(Some(bytes)) => {
            let mut text = String::from("\\\\x");
            for byte in bytes {
                let _ = write!(text, "{byte:02x}");
            }
            text
        }
        _ => "\\N".to_owned(),
    }
}

const ROWS_PER_INSERT: usize = 500;

async fn insert<C: ConnectionTrait>(database: &C, statement: &str, rows: Vec<Vec<Value>>) {
    let Some(first) = rows.first() else { return };
    let row = format!("({})", vec!["?"; first.len()].join(", "));
    let sql = format!("{statement} {}", vec![row.as_str(); rows.len()].join(", "));
    let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, rows.into_iter().flatten());
    database.execute_raw(statement).await.expect("inserted");
}

//! Opening the database: which pools there are, how large, and with which guarantees.
//!
//! SQLite: **one writer and four readers.** It has one writer at a time anyway; with one connection for writing, our
//! writes queue in the pool, in order, instead of failing on its lock. Readers never wait for the writer (WAL), and a
//! statement on a reader sees everything that was committed before it began. `synchronous=FULL`: what was acknowledged
//! survives a power cut. Writing transactions begin with `BEGIN IMMEDIATE`: one that started as a reader cannot be
//! upgraded once somebody else has written.
//!
//! PostgreSQL: one pool for everything; its size is a setting, because the server's `max_connections` is shared by all
//! nodes.

use std::{io, time::Duration};

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
    sqlx::{
        self, Connection, PgConnection,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};

use crate::{retry, settings::Settings};

/// The connections of a process.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    pub(crate) write: DatabaseConnection,
    pub(crate) read: DatabaseConnection,
    /// How long a worker's transaction may take.
    pub(crate) timeout: Duration,
    /// How long a change may take.
    pub(crate) change_timeout: Duration,
}

impl Pools {
    /// A transaction that will write.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.write.begin_with_options(options).await
    }
}

const SQLITE_READERS: u32 = 4;

pub(crate) async fn connect(settings: &Settings) -> Result<Pools, DbErr> {
    let (write, read) = if is_in_memory(&settings.url) {
        let only = open(settings, 1, false).await?;
        (only.clone(), only)
    } else if settings.url.starts_with("sqlite:") {
        let write = open(settings, 1, false).await?;
        let read = open(settings, SQLITE_READERS, true).await?;
        (write, read)
    } else {
        let both = Database::connect(postgres(settings)).await?;
        (both.clone(), both)
    };
    Ok(Pools { write, read, timeout: settings.timeout, change_timeout: settings.change_timeout })
}

pub(crate) fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

fn common(settings: &Settings, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(settings.url.clone());
    options
        .max_connections(connections)
        .min_connections(1)
        .connect_timeout(settings.timeout)
        .acquire_timeout(settings.timeout)
        // Statements carry hashes and addresses: they are not for logs.
        .sqlx_logging(false)
        .record_stmt_in_spans(false);
    options
}

fn postgres(settings: &Settings) -> ConnectOptions {
    let timeout = settings.timeout;
    let mut options = common(settings, settings.connections);
    options
        // One that served a moment ago is not asked whether it still does: that would be a round trip for each statement.
        .test_before_acquire_if_idle_for(Duration::from_secs(1))
        // The pool asks a connection that comes back, but without a time limit: one that died silently would keep its place
        // for as long as the system takes to notice, a quarter of an hour. So it is asked before, within one; that round
        // trip is made when the answer has been given.
        .map_sqlx_postgres_pool_opts(move |options| {
            let options = options.after_connect(|connection, _| Box::pin(require_primary(connection)));
            options.after_release(move |connection, _| {
                Box::pin(async move {
                    let answer = tokio::time::timeout(timeout, connection.ping()).await;
                    answer.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
                })
            })
        });
    options
}

/// Refuses a server that is read-only: a standby may lag behind, and what is read there may have been revoked.
pub(crate) async fn require_primary(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let sql = "SELECT current_setting('transaction_read_only') = 'on'";
    let is_read_only: bool = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
    if !is_read_only {
        return Ok(());
    }
    // The driver waits for the server's side of a connection that it closes: with TLS without an end.
    let _ = sqlx::query("SELECT pg_terminate_backend(pg_backend_pid())").execute(connection).await;
    Err(sqlx::Error::Io(io::Error::other("the server is read-only")))
}

/// A file that another process is just opening or closing: what changes the kind of its journal fails at once on its lock,
/// without the wait that every other statement makes.
async fn open(settings: &Settings, connections: u32, query_only: bool) -> Result<DatabaseConnection, DbErr> {
    let connect = || Database::connect(sqlite(settings, connections, query_only));
    retry::while_it_is_locked(settings.timeout, connect).await
}

fn sqlite(settings: &Settings, connections: u32, query_only: bool) -> ConnectOptions {
    let busy_timeout = settings.timeout;
    let mut options = common(settings, connections);
    options
        // A connection to a file does not break; there is nothing to test, and nothing gained by closing it.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .map_sqlx_sqlite_opts(move |options| {
            let options = options
                .create_if_missing(!query_only)
                .foreign_keys(true)
                .busy_timeout(busy_timeout)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                // Uses are written to the same pages again and again: held in memory (KiB) and copied back seldom.
                .pragma("cache_size", if query_only { "-8192" } else { "-65536" })
                .pragma("wal_autocheckpoint", "8000");
            if query_only { options.pragma("query_only", "on") } else { options }
        });
    options
}

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

use std::{sync::Arc, time::Duration};

use domain::clock::Clock;
use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};

use crate::snapshots::CacheSize;

/// Which database, and how to use it.
#[derive(Clone)]
pub struct Settings {
    /// `sqlite://path` or `postgres://user:password@host/database`.
    pub url: String,
    /// Connections to PostgreSQL. On SQLite there are always one writer and four readers.
    pub connections: u32,
    /// Whose time the ledger takes; `None`: PostgreSQL's own, so that nodes agree. On SQLite it must be given.
    pub ledger_clock: Option<Arc<dyn Clock>>,
    /// How long to wait for a connection or for SQLite's lock before the database counts as away.
    pub timeout: Duration,
    /// On PostgreSQL: for how long what is remembered may be relied on without a sign of the change feed.
    pub staleness_bound: Duration,
    /// How many keys to remember.
    pub cache: CacheSize,
}

/// The connections of a process.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    pub(crate) write: DatabaseConnection,
    pub(crate) read: DatabaseConnection,
    /// How long a worker's transaction may take.
    pub(crate) timeout: Duration,
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
    if is_in_memory(&settings.url) {
        let only = Database::connect(sqlite(settings, 1, false)).await?;
        Ok(Pools { write: only.clone(), read: only, timeout: settings.timeout })
    } else if settings.url.starts_with("sqlite:") {
        let write = Database::connect(sqlite(settings, 1, false)).await?;
        let read = Database::connect(sqlite(settings, SQLITE_READERS, true)).await?;
        Ok(Pools { write, read, timeout: settings.timeout })
    } else {
        let mut options = common(settings, settings.connections);
        options.test_before_acquire(true);
        let both = Database::connect(options).await?;
        Ok(Pools { write: both.clone(), read: both, timeout: settings.timeout })
    }
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

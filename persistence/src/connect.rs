//! Opening the database: which pools there are, how large, and with which guarantees.
//!
//! Work that must not wait for other work has connections of its own: verification (cold keys, sessions, sign-in), the
//! ledger, changes, and everything else that reads, which is mostly lists. However many lists run, a verify, a metered use
//! and a change find a connection.
//!
//! SQLite: **one writer**, two readers for verification and four for the rest. SQLite has one writer at a time anyway; with
//! one connection for writing, writes queue in the pool, in order, instead of failing on its lock. Readers never wait for the
//! writer (WAL), and a statement on a reader sees everything that was committed before it began. `synchronous=FULL`:
//! acknowledged writes survive a power cut. Writing transactions begin with `BEGIN IMMEDIATE`: one that started as a reader
//! cannot be upgraded once another connection has written.
//!
//! PostgreSQL: the connections of `CLAVIGER_DATABASE_CONNECTIONS` are divided among the pools ([`Shares`]), because the
//! server's `max_connections` is shared by all nodes.
//!
//! **A connection goes back to its pool only outside of a transaction.** SQLite rolls a transaction back by itself when the
//! disk is full or cannot be written; the driver's own `ROLLBACK` fails then, and the driver goes on counting a transaction
//! that is not there. Its next transactions would be savepoints that nothing commits: writes would be acknowledged and lost.
//! So each connection is asked when it comes back ([`is_outside_of_transaction`]), and closed where it is not clean.

use std::{io, path::Path, sync::Arc, time::Duration};

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbErr, RuntimeErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
    sqlx::{
        self, Connection, PgConnection, SqliteConnection,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};

use crate::{health::DatabaseHealth, outage::Failure, retry, settings::Settings};

/// The connections of a process.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    /// Changes.
    pub(crate) write: DatabaseConnection,
    /// The ledger, and the counts that are written in the background. On SQLite the same connection as `write`.
    pub(crate) ledger: DatabaseConnection,
    /// What authentication and verification read.
    pub(crate) verification: DatabaseConnection,
    /// Everything else that is read.
    pub(crate) read: DatabaseConnection,
    /// Whether the database can be used, as far as this process knows.
    pub(crate) health: Arc<DatabaseHealth>,
    /// How long a worker's transaction may take.
    pub(crate) timeout: Duration,
    /// How long a change may take.
    pub(crate) change_timeout: Duration,
}

impl Pools {
    /// A transaction that makes a change.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        begin(&self.write).await
    }

    /// A transaction of the ledger, or of the counts that are written in the background.
    pub(crate) async fn begin_counting(&self) -> Result<DatabaseTransaction, DbErr> {
        begin(&self.ledger).await
    }

    /// Whether what was just committed is in the file that the next start will read. Asked after each commit and before its
    /// acknowledgement.
    pub(crate) fn confirm_commit(&self) -> Result<(), Failure> {
        self.health.confirm_file().map_err(Failure::File)
    }

    /// Closes all connections, after what runs on them.
    pub(crate) async fn close(&self) {
        for pool in [&self.verification, &self.read, &self.ledger, &self.write] {
            // A pool that is shared is closed by the first call; a later one has nothing to do.
            let _ = pool.clone().close().await;
        }
    }
}

/// A transaction that will write.
async fn begin(pool: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    pool.begin_with_options(options).await
}

const SQLITE_READERS: u32 = 4;
const SQLITE_VERIFICATION_READERS: u32 = 2;

/// How many of PostgreSQL's connections each pool gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shares {
    verification: u32,
    ledger: u32,
    write: u32,
    read: u32,
}

impl Shares {
    /// Verification and the ledger get one connection each, and two from ten on: each has two statements under way at most.
    /// Changes and other reads get halves of the rest.
    fn of(connections: u32) -> Self {
        let reserved = if connections < 10 { 1 } else { 2 };
        let rest = connections.saturating_sub(2 * reserved);
        let write = (rest / 2).max(1);
        Self { verification: reserved, ledger: reserved, write, read: rest.saturating_sub(write).max(1) }
    }
}

pub(crate) async fn connect(settings: &Settings) -> Result<Pools, DbErr> {
    let (write, ledger, verification, read) = if is_in_memory(&settings.url) {
        let only = open(settings, 1, false).await?;
        (only.clone(), only.clone(), only.clone(), only)
    } else if settings.url.starts_with("sqlite:") {
        let write = open(settings, 1, false).await?;
        let verification = open(settings, SQLITE_VERIFICATION_READERS, true).await?;
        let read = open(settings, SQLITE_READERS, true).await?;
        (write.clone(), write, verification, read)
    } else {
        let shares = Shares::of(settings.connections);
        let connect = |connections| Database::connect(postgres(settings, connections));
        // One after the other: where the database is away the first failure is enough.
        let write = match connect(shares.write).await {
            Ok(write) => write,
            Err(error) => return Err(why_not(&settings.url, settings.timeout).await.unwrap_or(error)),
        };
        let ledger = connect(shares.ledger).await?;
        let verification = connect(shares.verification).await?;
        (write, ledger, verification, connect(shares.read).await?)
    };
    let health = Arc::new(DatabaseHealth::of(&settings.url));
    let (timeout, change_timeout) = (settings.timeout, settings.change_timeout);
    Ok(Pools { write, ledger, verification, read, health, timeout, change_timeout })
}

/// A connection that only reads, and that shares nothing with those of the pools.
pub(crate) async fn open_once(path: &Path) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=ro", path.display()));
    options.max_connections(1).sqlx_logging(false).record_stmt_in_spans(false);
    Database::connect(options).await
}

/// Pools on which nothing can be written. An SQLite file must exist.
pub(crate) async fn connect_read_only(settings: &Settings) -> Result<Pools, DbErr> {
    let only = if is_in_memory(&settings.url) {
        open(settings, 1, false).await?
    } else if settings.url.starts_with("sqlite:") {
        let mut options = common(settings, SQLITE_READERS);
        options.map_sqlx_sqlite_opts(|options| options.create_if_missing(false).pragma("query_only", "on"));
        let connect = || Database::connect(options.clone());
        retry::while_it_is_locked(settings.timeout, connect).await?
    } else {
        let mut options = common(settings, settings.connections);
        options.map_sqlx_postgres_pool_opts(|options| {
            options.after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::query("SET default_transaction_read_only = on").execute(connection).await.map(|_| ())
                })
            })
        });
        match Database::connect(options).await {
            Ok(only) => only,
            Err(error) => return Err(try_postgres(&settings.url, settings.timeout).await.err().unwrap_or(error)),
        }
    };
    let (timeout, change_timeout) = (settings.timeout, settings.change_timeout);
    let health = Arc::new(DatabaseHealth::of(&settings.url));
    let (write, ledger, verification) = (only.clone(), only.clone(), only.clone());
    Ok(Pools { write, ledger, verification, read: only, health, timeout, change_timeout })
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

fn postgres(settings: &Settings, connections: u32) -> ConnectOptions {
    let timeout = settings.timeout;
    let mut options = common(settings, connections);
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

/// Connects to the PostgreSQL server at `url` once. A pool would try again, and say only that its time was over.
pub(crate) async fn try_postgres(url: &str, timeout: Duration) -> Result<PgConnection, DbErr> {
    let connection = tokio::time::timeout(timeout, PgConnection::connect(url)).await;
    connection.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(failed)
}

/// The reason why a pool could not connect, where the server tells one.
async fn why_not(url: &str, timeout: Duration) -> Option<DbErr> {
    let mut connection = match try_postgres(url, timeout).await {
        Ok(connection) => connection,
        Err(error) => return Some(error),
    };
    let asked = tokio::time::timeout(timeout, require_primary(&mut connection)).await;
    asked.ok()?.map_err(failed).err()
}

fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
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
        })
        .map_sqlx_sqlite_pool_opts(|options| {
            options.after_release(|connection, _| Box::pin(is_outside_of_transaction(connection)))
        });
    options
}

/// Whether a connection that comes back is in no transaction: neither by SQLite's word, which refuses a `BEGIN` inside of one,
/// nor by the driver's count, which can be wrong after SQLite has rolled back by itself. Where it is in one the pool closes it,
/// and opens another one for the next user.
async fn is_outside_of_transaction(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // Statements are done in order, so a rollback that the driver has queued is over when these are.
    let probe = sqlx::raw_sql("BEGIN; ROLLBACK").execute(&mut *connection).await;
    let is_clean = probe.is_ok() && !connection.is_in_transaction();
    if !is_clean {
        tracing::warn!(target: "claviger", "a database connection was left inside of a transaction; it is replaced");
    }
    Ok(is_clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pool_of_postgresql_has_a_connection() {
        let shares = |verification, ledger, write, read| Shares { verification, ledger, write, read };
        assert_eq!(Shares::of(4), shares(1, 1, 1, 1));
        assert_eq!(Shares::of(5), shares(1, 1, 1, 2));
        assert_eq!(Shares::of(10), shares(2, 2, 3, 3));
        for connections in 4..100 {
            let Shares { verification, ledger, write, read } = Shares::of(connections);
            assert_eq!(verification + ledger + write + read, connections);
        }
    }
}
